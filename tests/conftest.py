"""Gives Airflow a home of its own before anything imports it, and every test a process that knows no token."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest

_HOME = tempfile.mkdtemp(prefix="airflow-home-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ["AIRFLOW_HOME"] = _HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"


@pytest.fixture(autouse=True)
def fixture_no_tokens():
    """Start each test without tokens, refusals or proxies of the test before or of the machine."""
    from sentinelhub_provider.oauth.broker import forget_tokens

    forget_tokens()
    yield
    forget_tokens()
