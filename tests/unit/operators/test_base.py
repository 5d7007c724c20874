"""What all operators have in common, seen through each of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG

from sentinelhub_provider.exceptions import SentinelHubRateLimitError
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


def test_common_arguments_come_from_the_call(operator_class: type[SentinelHubOperator]):
    """And reach the hook: the connection, and how long a call may take."""
    operator = operator_class(task_id="t", **LEAST[operator_class], **COMMON)

    assert operator.hook.sentinelhub_conn_id == "mine"
    assert operator.call_arguments == {
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


def test_a_blocking_task_waits_as_long_as_its_deadline_lets_it(operator_class: type[SentinelHubOperator]):
    """No single wait is too long for it."""
    operator = operator_class(task_id="t", **LEAST[operator_class], deferrable=False)

    assert operator.call_arguments == {
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
