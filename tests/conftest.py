"""Gives Airflow a home of its own before anything imports it, and every test a process that knows no token."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile

import pytest

_HOME = tempfile.mkdtemp(prefix="airflow-home-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = _HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["NO_PROXY"] = "127.0.0.1,localhost,::1"


@pytest.fixture(autouse=True)
def fixture_no_tokens():
    """Start each test without tokens, refusals or masked secrets of the test before."""
    from sentinelhub_provider.oauth.broker import forget_tokens

    forget_tokens()
    yield
    forget_tokens()
    # Each masked secret makes one regular expression longer, which is compiled anew with the next.
    masker = sys.modules.get("airflow.sdk._shared.secrets_masker")
    if masker is not None:
        masker.reset_secrets_masker()
