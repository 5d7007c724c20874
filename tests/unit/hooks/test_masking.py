"""Masking, from an event loop, in an Airflow that can only mask by blocking."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import async_to_sync

from sentinelhub_provider.hooks.airflow_side import amask


def test_blocking_masking_finds_its_way_back_to_the_loop(monkeypatch: pytest.MonkeyPatch):
    """Airflow 3.1 masks in a triggerer by a call that waits for the triggerer's own loop."""
    loops = []

    async def send() -> None:
        loops.append(asyncio.get_running_loop())

    monkeypatch.delattr("airflow.sdk.log.amask_secret")
    monkeypatch.setattr("airflow.sdk.log.mask_secret", lambda _secret: async_to_sync(send)())

    async def run() -> None:
        await amask("a-secret")
        assert loops == [asyncio.get_running_loop()]

    asyncio.run(run())
