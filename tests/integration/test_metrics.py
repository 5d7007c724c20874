"""Airflow's metrics, as calls of the hook write them."""

from __future__ import annotations

from collections import Counter

import pytest
from airflow.providers.common.compat.sdk import Stats
from loopback import Reply, loopback_server

from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.transport.answers import UNITS_HEADER
from sentinelhub_provider.transport.budget import SpendingLimits


@pytest.fixture(name="counted")
def fixture_counted(monkeypatch) -> Counter[str]:
    """What is counted while the test runs: Airflow's own backends need a statsd or an OpenTelemetry server."""
    counted: Counter[str] = Counter()

    def write(stat: str, value: float = 1, *_: object, tags: dict[str, str], **__: object) -> None:
        counted[stat] += value
        counted[f"{stat} {' '.join(tags.values())}"] += value

    for kind in ("incr", "timing", "gauge"):
        monkeypatch.setattr(Stats, kind, write)
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
    assert counted["sentinelhub.requests sentinelhub_default catalog 2xx"] == 2
    assert counted["sentinelhub.requests sentinelhub_default catalog 429"] == 1
    assert counted["sentinelhub.requests.duration sentinelhub_default catalog 2xx"] > 0
    assert counted["sentinelhub.waits.duration sentinelhub_default catalog"] > 0
    assert counted["sentinelhub.rate_limit.requests_per_minute"] > 0
    assert counted["sentinelhub.token.requests sentinelhub_default token 2xx"] == 1


@pytest.mark.parametrize("path", ["/statistics/v1", "/api/v1/statistics"])
def test_units_are_counted_by_api(make_caller, counted, path: str):
    """Those of a failed call as well; the hook knows the sum for its task."""
    answers = [Reply(503, {UNITS_HEADER: "1.5"}), Reply(200, {UNITS_HEADER: "2"})]
    with loopback_server(lambda _: answers.pop(0)) as server:
        caller = make_caller(host=server.url)
        caller.request("POST", path, json={})

    assert caller.hook.meter.spent == 3.5
    assert counted["sentinelhub.processing_units sentinelhub_default statistical"] == 3.5


def test_what_is_left_of_a_budget_is_shown(connect, monkeypatch, tmp_path, process_request):
    """Of the day and the month, after each request that costs something; a DAG run is no tag."""
    shown: dict[tuple[str, ...], float] = {}
    monkeypatch.setattr(Stats, "gauge", lambda stat, value, tags: shown.update({(stat, *tags.values()): value}))
    limits = {"processing_units_per_day": 2, "processing_units_per_month": 30}
    hook = connect(extra={"auth_cache": f"file://{tmp_path}/shared", **limits})
    hook.spending_limits = SpendingLimits(per_run=1, run="dag run")

    hook.request("POST", "/process/v1", json=process_request)

    spent = hook.meter.spent
    assert spent > 0
    budgets = {names[1:]: left for names, left in shown.items() if names[0] == "sentinelhub.budget.remaining"}
    assert budgets == {
        ("sentinelhub_default", "day"): pytest.approx(2 - spent),
        ("sentinelhub_default", "month"): pytest.approx(30 - spent),
    }
