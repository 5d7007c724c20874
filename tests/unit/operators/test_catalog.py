"""The Catalog search operator without a service: what is refused before anything is sent, and odd answers."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from sentinelhub_provider.exceptions import SentinelHubRateLimitError, SentinelHubResponseError
from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator

AREA = [14.0, 46.0, 14.1, 46.1]
JUNE = "2024-06-01/2024-06-30"
MONDAY = datetime(2024, 6, 3, tzinfo=UTC)


class Hook:
    """Answers with pages that were prepared, or raises."""

    def __init__(self, *answers: Any) -> None:
        self.settings = SimpleNamespace(deployment=SimpleNamespace(name="sentinel-hub"))
        self.sent: list[dict[str, Any]] = []
        self.meter = SimpleNamespace(spent=None)
        self._answers = list(answers)

    def request(self, method: str, endpoint: str, *, json: dict[str, Any], **_: Any) -> Any:
        """Return the next answer."""
        self.sent.append(json)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if units := answer.headers.get("x-processingunits-spent"):
            self.meter.spent = (self.meter.spent or 0.0) + float(units)
        return answer


def page(features: Any, *, following: int | None = None, units: str | None = None, text: str | None = None) -> Any:
    """Return an answer as the hook does."""
    document = {"type": "FeatureCollection", "features": features, "context": {"next": following}}
    headers = {} if units is None else {"x-processingunits-spent": units}
    body = json.dumps(document) if text is None else text
    return SimpleNamespace(headers=headers, content=body)


def item(name: str) -> dict[str, Any]:
    """Return an item."""
    return {"id": name, "bbox": AREA, "properties": {"datetime": "2024-06-03T10:00:00Z", "eo:cloud_cover": 5.0}}


def run(hook: Hook, context: dict[str, Any] | None = None, **arguments: Any) -> Any:
    """Execute a search; what it pushes is in ``hook.pushed``."""
    given = {"collection": "sentinel-2-l2a", "bbox": AREA, "datetime": JUNE, **arguments}
    operator = SentinelHubCatalogSearchOperator(task_id="t", **given)
    vars(operator)["hook"] = hook
    hook.pushed = {}  # type: ignore[attr-defined]
    ti = SimpleNamespace(xcom_push=lambda key, value: hook.pushed.update({key: value}))  # type: ignore[attr-defined]
    return operator.execute({"ti": ti, **(context or {})})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"collection": "byoc-2"}, "collection 'byoc-2' is no name of an own"),
        ({"collection": "landsat-ot-l2"}, "not available at Sentinel Hub.*us-west"),
        ({"bbox": [14.1, 46, 14, 46.1]}, "bbox.*upside down"),
        ({"bbox": [46, 140, 46.1, 140.1]}, "bbox.*swapped"),
        ({"intersects": "POINT (1 1)"}, "bbox and intersects are both given"),
        ({"bbox": None, "intersects": "POLYGON ((0 0, 1 1, 0 1, 1 0, 0 0))"}, "intersects crosses or touches itself"),
        ({"bbox": None, "intersects": "gone.geojson"}, "intersects names the file gone.geojson, which cannot be read"),
        ({"datetime": "2024-06-30/2024-06-01"}, "datetime is reversed"),
        ({"max_cloud_cover": 120}, "max_cloud_cover is 120"),
        ({"collection": "sentinel-1-grd", "max_cloud_cover": 20}, "max_cloud_cover.*no cloud cover"),
        ({"fields": ["id"]}, "fields is"),
        ({"filter": 3}, "filter is a int"),
        ({"limit": 0}, "limit is 0"),
        ({"limit": "many"}, "limit is 'many'"),
        ({"sort": "best"}, "sort is 'best'"),
        ({"one_per": "week"}, "one_per is 'week'"),
        ({"sort": "newest", "distinct": "date"}, "sort orders items, but distinct"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_argument_is_named_before_anything_is_sent(arguments, words):
    """And no retry is spent on it."""
    hook = Hook()
    with pytest.raises(AirflowFailException, match=f"(?s){words}"):
        run(hook, **arguments)

    assert hook.sent == []


@pytest.mark.parametrize(
    "interval",
    [
        {},
        {"data_interval_start": None, "data_interval_end": None},
        {"data_interval_start": MONDAY, "data_interval_end": MONDAY},
    ],
    ids=["absent", "none", "empty"],
)
def test_run_without_an_interval_wants_a_time(interval):
    """Airflow 3's cron texts give runs without one: that is said, not searched in vain."""
    with pytest.raises(
        AirflowFailException, match=r"datetime is missing, and this DAG run has .*'P7D'.*CronDataIntervalTimetable"
    ):
        run(Hook(), interval, datetime=None)


def test_spent_units_of_all_pages_are_pushed():
    """As far as the service says them."""
    hook = Hook(page([item("a")], following=1, units="0.01"), page([item("b")], units="0.02"))

    assert [one["id"] for one in run(hook)] == ["a", "b"]
    assert hook.sent[1]["next"] == 1
    assert hook.pushed["processing_units"] == pytest.approx(0.03)  # type: ignore[attr-defined]


def test_next_page_over_the_limit_is_not_asked_for():
    """What was spent counts."""
    hook = Hook(page([item("a")], following=1, units="0.05"))
    with pytest.raises(AirflowFailException, match=r"one more would cost 0\.01 PU"):
        run(hook, max_processing_units=0.055)

    assert len(hook.sent) == 1


def test_endless_pages_end():
    """A page that points to itself would be asked for for ever."""
    hook = Hook(page([item("a")], following=1), page([item("b")], following=1))
    with pytest.raises(SentinelHubResponseError, match="to itself"):
        run(hook)


@pytest.mark.parametrize("text", ["<html>", '{"features": 3}', "[]"])
def test_answer_that_is_no_page(text: str):
    """Is an error, not an empty list."""
    with pytest.raises(SentinelHubResponseError):
        run(Hook(page([], text=text)))


def test_long_wait_is_spent_in_the_triggerer():
    """Where the task may be deferred."""
    with pytest.raises(TaskDeferred) as deferred:
        run(Hook(SentinelHubRateLimitError("later", retry_after=300.0)), deferrable=True)

    assert deferred.value.method_name == "resume"


def test_values_have_no_place_in_geoparquet(tmp_path: Path):
    """They have no geometry, which is said before they are paid for."""
    hook = Hook(page(["2024-06-03"]))
    with pytest.raises(AirflowFailException, match="distinct='date' returns values"):
        run(hook, distinct="date", output_path=str(tmp_path / "a.parquet"))
    assert hook.sent == []


@pytest.mark.parametrize("name", ["a.csv", "a.gpkg", "A.CSV", "items.json.gz", "s3://bucket/items.shp"])
def test_items_are_written_in_two_formats(name: str):
    """A file of another ending would hold JSON all the same."""
    hook = Hook(page([item("a")]))
    with pytest.raises(AirflowFailException, match=r"output_path ends with .*\.json or \.parquet"):
        run(hook, output_path=name)
    assert hook.sent == []


@pytest.mark.parametrize("name", ["a.json", "a.GeoJSON", "items", "items-2024.06/all", "items.2024-06-01"])
def test_json_needs_no_ending(tmp_path: Path, name: str):
    """But may have one."""
    run(Hook(page([item("a")])), output_path=str(tmp_path / name))
    assert json.loads((tmp_path / name).read_text())["features"][0]["id"] == "a"


def test_geoparquet_without_pyarrow_fails_before_anything_is_sent(monkeypatch, tmp_path: Path):
    """And says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    hook = Hook(page([item("a")]))
    with pytest.raises(AirflowFailException, match=r"output_path.*airflow-provider-sentinelhub\[parquet\].*\.json"):
        run(hook, output_path=str(tmp_path / "a.parquet"))
    assert hook.sent == []
