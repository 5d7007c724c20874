"""What all operators have in common, seen through each of them."""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred
from airflow.sdk import DAG, Asset, AssetAlias

from sentinelhub_provider.exceptions import SentinelHubRateLimitError
from sentinelhub_provider.operators.arguments import tell_outlets
from sentinelhub_provider.operators.base import LONGEST_BLOCKING_WAIT, SentinelHubOperator
from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator
from sentinelhub_provider.operators.http import SentinelHubHttpOperator
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

LEAST: dict[type[SentinelHubOperator], dict[str, Any]] = {
    SentinelHubCatalogSearchOperator: {"collection": "sentinel-2-l2a"},
    SentinelHubHttpOperator: {"endpoint": "/catalog/v1"},
    SentinelHubProcessOperator: {"output_path": "/nowhere/a.tif"},
    SentinelHubStatisticsOperator: {},
}
"""The operators, each with the arguments that it cannot do without."""

COMMON = {
    "timeout": 5.0,
    "deadline": 50.0,
    "deferrable": True,
    "max_wait": 500.0,
    "repeat_silent": False,
    "sentinelhub_conn_id": "mine",
}


@pytest.fixture(name="operator_class", params=LEAST, ids=lambda kind: kind.__name__)
def fixture_operator_class(request: pytest.FixtureRequest) -> type[SentinelHubOperator]:
    """Each operator."""
    kind: type[SentinelHubOperator] = request.param
    return kind


def without_samples(operator: SentinelHubOperator) -> dict[str, Any]:
    """Return what each call of the hook gets, but for the samples that operators of requests add."""
    arguments = operator.call_arguments
    assert arguments.pop("samples", 1.0) == 1.0
    return arguments


def test_common_arguments_come_from_the_call(operator_class: type[SentinelHubOperator]):
    """And reach the hook: the connection, and how long a call may take."""
    operator = operator_class(task_id="t", **LEAST[operator_class], **COMMON)

    assert operator.hook.sentinelhub_conn_id == "mine"
    assert without_samples(operator) == {
        "timeout": 5.0,
        "deadline": 50.0,
        "longest_wait": LONGEST_BLOCKING_WAIT,
        "repeat_silent": False,
    }
    assert operator.max_wait == 500.0


def test_common_arguments_come_from_the_dag(operator_class: type[SentinelHubOperator]):
    """As ``default_args``, which also serve a mapped task."""
    with DAG("dag", schedule=None, start_date=datetime(2025, 1, 1, tzinfo=UTC), default_args=COMMON):
        operator = operator_class(task_id="t", **LEAST[operator_class])
        mapped = operator_class.partial(task_id="m", **LEAST[operator_class]).expand(timeout=[1.0, 2.0])
    unmapped = mapped.unmap({"timeout": 2.0})

    assert {name: getattr(operator, name) for name in COMMON} == COMMON
    assert {name: getattr(unmapped, name) for name in COMMON} == {**COMMON, "timeout": 2.0}


def test_no_call_takes_longer_than_the_attempt_may(operator_class: type[SentinelHubOperator]):
    """``execution_timeout`` counts from its beginning, with its waits in the triggerer, which Airflow leaves out."""
    given = {**LEAST[operator_class], "execution_timeout": timedelta(seconds=100)}
    operator = operator_class(task_id="t", **given)
    operator.ends = time.time() + 40

    assert 0 < operator.call_arguments["deadline"] <= 40
    operator.deadline = 5
    assert operator.call_arguments["deadline"] == 5
    operator.ends = time.time() - 1
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout=0:01:40"):
        _ = operator.call_arguments


@pytest.mark.parametrize(("retry_after", "is_deferred"), [(300.0, True), (4000.0, False)])
def test_a_wait_ends_with_the_attempt(operator_class: type[SentinelHubOperator], retry_after: float, is_deferred: bool):
    """A rate limit that lasts longer is not waited for, and the end is passed on."""

    class Limited(operator_class):  # type: ignore[valid-type,misc]
        def _result(self, context: Any) -> Any:
            raise SentinelHubRateLimitError("later", retry_after=retry_after)

    given = {**LEAST[operator_class], "execution_timeout": timedelta(hours=1), "deferrable": True}
    began = time.time()
    with pytest.raises(TaskDeferred if is_deferred else SentinelHubRateLimitError) as raised:
        Limited(task_id="t", **given).execute({})
    if is_deferred:
        assert raised.value.kwargs["ends"] == pytest.approx(began + 3600, abs=60)
        assert raised.value.kwargs["waits_until"] <= raised.value.kwargs["ends"]


def test_a_blocking_task_waits_as_long_as_its_deadline_lets_it(operator_class: type[SentinelHubOperator]):
    """No single wait is too long for it."""
    operator = operator_class(task_id="t", **LEAST[operator_class], deferrable=False)

    assert without_samples(operator) == {
        "timeout": None,
        "deadline": None,
        "longest_wait": None,
        "repeat_silent": True,
    }


def test_the_connection_is_a_template(operator_class: type[SentinelHubOperator]):
    """So that one DAG serves several accounts."""
    assert "sentinelhub_conn_id" in operator_class.template_fields


def test_a_blocking_task_fails_with_the_rate_limit(operator_class: type[SentinelHubOperator]):
    """Its next try may do better: the error stays one that Airflow retries."""

    class Limited(operator_class):  # type: ignore[valid-type,misc]
        def _result(self, context: Any) -> Any:
            raise SentinelHubRateLimitError("later", retry_after=300.0)

    with pytest.raises(SentinelHubRateLimitError):
        Limited(task_id="t", **LEAST[operator_class], deferrable=False).execute({})


@pytest.mark.parametrize("outlet", [Asset("ndvi"), Asset.ref(name="ndvi"), Asset.ref(uri="s3://bucket/ndvi")], ids=repr)
def test_outlet_is_told_in_each_form_of_an_asset(outlet: Any):
    """An asset may be named by reference, too."""
    events: dict[Any, Any] = defaultdict(lambda: SimpleNamespace(extra={}))
    told = {"path": "a.tif", "other": 1, "sha256": None}
    operator: Any = SimpleNamespace(outlets=[outlet, AssetAlias("any")])
    context: Any = {"outlet_events": events}
    tell_outlets(operator, context, told, {"from": "a"})
    assert events == {outlet: SimpleNamespace(extra={"path": "a.tif", "time_range": {"from": "a"}})}
