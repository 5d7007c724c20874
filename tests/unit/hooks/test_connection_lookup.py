"""How a trigger looks a connection up: in Airflow's own way where that does not block its loop, else in a thread."""

from __future__ import annotations

import asyncio
import threading

import pytest
from airflow.sdk import Connection

from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook


@pytest.mark.parametrize("version", ["3.3.2", "older"])
def test_connection_is_looked_up_off_the_loop(monkeypatch: pytest.MonkeyPatch, version: str):
    """Airflow before 3.3.2 masks a connection's secrets by a call that blocks: never on the loop's own thread."""
    monkeypatch.setenv("AIRFLOW_CONN_SH", '{"conn_type": "sentinelhub", "login": "id", "password": "secret"}')
    if version == "older":
        monkeypatch.delattr(Connection, "aextra_dejson")
        monkeypatch.setattr(SentinelHubHook, "aget_connection", None)
    threads: list[threading.Thread] = []
    look_up = SentinelHubHook.get_connection

    def watched(conn_id: str) -> Connection:
        threads.append(threading.current_thread())
        return look_up(conn_id)

    monkeypatch.setattr(SentinelHubHook, "get_connection", staticmethod(watched))
    settings = asyncio.run(SentinelHubHook("sh").asettings())

    assert settings.client_id == "id"
    assert threading.main_thread() not in threads
    assert bool(threads) is (version == "older")
