"""Where Airflow Variables can be used."""

from __future__ import annotations

import asyncio
import logging

import pytest

from sentinelhub_provider.hooks import airflow_variables
from sentinelhub_provider.hooks.sharing import open_token_store
from sentinelhub_provider.oauth.stores.variable import VariableStore


async def opened() -> object:
    """Open the store as a trigger does."""
    return open_token_store("variable")


def test_a_trigger_of_an_old_airflow_keeps_its_token_in_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Its triggerer would break down; a task's process has no such fault."""
    monkeypatch.setattr(airflow_variables, "sdk_version", "1.1.8")

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(opened()) is None
    assert "before Airflow 3.2" in caplog.text
    assert isinstance(open_token_store("variable"), VariableStore)


def test_a_trigger_of_a_newer_airflow_uses_variables():
    """From 3.2 on, any thread gets its own answer."""
    assert isinstance(asyncio.run(opened()), VariableStore)
