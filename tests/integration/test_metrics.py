"""Airflow's metrics, as calls of the hook write them."""

from __future__ import annotations

from collections import Counter

import pytest
from airflow.providers.common.compat.sdk import Stats

from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook


@pytest.fixture(name="counted")
def fixture_counted(monkeypatch) -> Counter[str]:
    """What is counted while the test runs: Airflow's own backends need a statsd or an OpenTelemetry server."""
    counted: Counter[str] = Counter()

    def incr(stat: str, count: float = 1, *_: object, **__: object) -> None:
        counted[stat] += count

    monkeypatch.setattr(Stats, "incr", incr)
    return counted


def test_calls_are_counted(sentinelhub_sandbox, monkeypatch, counted):
    """One token request, cache hits after that, requests, a 429 and the repetition that it caused."""
    monkeypatch.setenv("AIRFLOW_CONN_SENTINELHUB_DEFAULT", sentinelhub_sandbox.connection_json(auth_cache="memory"))
    sentinelhub_sandbox.control.add_fault(
        path="/catalog/v1/collections", action={"kind": "rate_limit", "retry_after": "5"}, times=1
    )
    hook = SentinelHubHook()

    hook.request("GET", "/catalog/v1/collections")
    hook.request("GET", "/catalog/v1/collections")

    assert counted["sentinelhub.token.requests"] == 1
    assert counted["sentinelhub.token.cache_hits"] >= 1
    assert counted["sentinelhub.requests"] == 3
    assert counted["sentinelhub.rate_limited"] == 1
    assert counted["sentinelhub.retries"] == 1
