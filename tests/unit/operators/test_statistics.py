"""The statistics operator and its parts, against a server that answers what each test writes."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from json import dumps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import shapely
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from loopback import Loopback, Received, Reply, loopback_server
from task_instance import TaskInstance

from sentinelhub_provider.api.statistical.table import State, column_names
from sentinelhub_provider.exceptions import (
    SentinelHubOutputError,
    SentinelHubResponseError,
    SentinelHubServerError,
    SentinelHubTransportError,
)
from sentinelhub_provider.hooks import sharing
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.operators.feature_statistics.answers import PartFile
from sentinelhub_provider.operators.feature_statistics.feature_requests import MOST_FAILURES_IN_A_ROW, FeatureRequests
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

STATS = {"min": 0.1, "max": 0.9, "mean": 0.5, "stDev": 0.2, "sampleCount": 100, "noDataCount": 20}
TIME = ["2025-06-01", "2025-06-14"]
WEEKS = ["2025-06-01T00:00:00Z", "2025-06-08T00:00:00Z", "2025-06-15T00:00:00Z"]
EVALSCRIPT = "ndvi"

NOT_WITH_REQUEST = ("collection", "evalscript", "time_range", "resolution", "aggregation_interval")


def square(number: int) -> dict[str, Any]:
    """Return a field; the number is to be read in its first longitude."""
    x, y, side = 20 + number / 100, 47.5, 0.004
    return {
        "type": "Polygon",
        "coordinates": [[[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]],
    }


def field(number: int, geometry: Any = ..., **members: Any) -> dict[str, Any]:
    """Return a feature."""
    return {
        "type": "Feature",
        "properties": {"name": f"field {number}"},
        "geometry": square(number) if geometry is ... else geometry,
        **members,
    }


def collection(*features: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a FeatureCollection."""
    return {"type": "FeatureCollection", "features": list(features), **members}


def number_of(body: dict[str, Any]) -> int:
    """Return which field a request asks about."""
    return round((body["input"]["bounds"]["geometry"]["coordinates"][0][0][0] - 20) * 100)


def interval(start: str, end: str, **members: Any) -> dict[str, Any]:
    """Return an entry of an answer; with statistics, if nothing else is said."""
    outputs = {"outputs": {"default": {"bands": {"B0": {"stats": STATS}}}}}
    return {"interval": {"from": start, "to": end}, **(members or outputs)}


def error(kind: str = "EXECUTION_ERROR") -> dict[str, Any]:
    """Return what stands in the place of outputs where an interval failed."""
    return {"error": {"type": kind}}


BOTH = [interval(*WEEKS[:2]), interval(*WEEKS[1:])]


class Service:
    """A Statistical API. ``answer`` gets a request's body, and returns the entries of its answer or a status."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], Any] = self.all_well

    @staticmethod
    def all_well(body: dict[str, Any]) -> list[dict[str, Any]]:
        """Answer with statistics of the intervals that were asked for."""
        wanted = body["aggregation"]["timeRange"]
        return [entry for entry in BOTH if wanted["from"] <= entry["interval"]["from"] < wanted["to"]]

    @property
    def asked(self) -> list[int]:
        """The fields that were asked about, in the order of the requests."""
        return [number_of(body) for body in self.bodies]

    def reply(self, request: Received) -> Reply:
        """Answer a token or statistics."""
        if "token" in request.path:
            return Reply(body=json.dumps({"access_token": "a" * 20, "expires_in": 3600}).encode())
        assert request.path == "/statistics/v1"
        body = json.loads(request.body)
        self.bodies.append(body)
        found = self.answer(body)
        if isinstance(found, Reply):
            return found
        if isinstance(found, int):
            problem = {"error": {"status": found, "reason": "No", "message": "not so", "code": "COMMON_BAD_PAYLOAD"}}
            return Reply(found, body=json.dumps(problem).encode())
        failed = sum("error" in entry for entry in found)
        status = "OK" if not failed else "FAILED" if failed == len(found) else "PARTIAL"
        document = {"data": found, "status": status}
        return Reply(headers={"x-processingunits-spent": "0.5"}, body=json.dumps(document).encode())


@pytest.fixture(name="service")
def fixture_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service, and the connection that leads to it."""
    service = Service()
    server: Loopback
    with loopback_server(service.reply) as server:
        extra = {"deployment": "custom", "auth_url": f"{server.url}/token", "auth_cache": "memory"}
        connection = {"conn_type": "sentinelhub", "login": "me", "password": "secret-of-mine", "host": server.url}
        monkeypatch.setenv("AIRFLOW_CONN_SENTINELHUB_DEFAULT", json.dumps({**connection, "extra": extra}))
        yield service


@pytest.fixture(name="run")
def fixture_run(service: Service, ti: TaskInstance, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Execute an operator made of these arguments and some that are good."""

    def run(
        context: dict[str, Any] | None = None, *, after: TaskDeferred | None = None, **arguments: Any
    ) -> dict[str, Any]:
        usual = {
            "collection": "sentinel-2-l2a",
            "evalscript": EVALSCRIPT,
            "time_range": TIME,
            "aggregation_interval": "P7D",
            "resolution": 20,
            "part_folder": str(tmp_path / "parts"),
        }
        operator = SentinelHubStatisticsOperator(task_id="t", **{**usual, **arguments})
        everything: Any = {"ti": ti, **(context or {})}
        operator.render_template_fields(everything)
        if after is not None:
            return getattr(operator, after.method_name)(everything, **after.kwargs)
        return operator.execute(everything)

    return run


def rows_of(path: str | Path) -> list[dict[str, str]]:
    """Read a CSV file."""
    return list(csv.DictReader(io.StringIO(Path(path).read_text())))


# --- The table -------------------------------------------------------------------------------------------------------


def test_a_small_table_is_returned(run, ti: TaskInstance):
    """With a row for each feature, interval, output and band; the cost and its estimate go to XCom."""
    result = run(features=collection(field(1), field(2)), id_property="name")

    assert [(row["feature_id"], row["interval_from"]) for row in result["table"]] == [
        ("field 1", WEEKS[0]),
        ("field 1", WEEKS[1]),
        ("field 2", WEEKS[0]),
        ("field 2", WEEKS[1]),
    ]
    first = result["table"][0]
    assert (first["output"], first["band"], first["state"]) == ("default", "B0", "ok")
    assert (first["mean"], first["count"], first["no_data_count"]) == (0.5, 80, 20)
    assert (result["rows"], result["features"], result["failed"], result["missing_intervals"]) == (4, 2, 0, 0)
    assert ti.pushed["processing_units"] == result["processing_units"] == 1.0
    assert ti.pushed["estimated_processing_units"] == pytest.approx(2 * 2 * 0.01 * 2 / 3)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_format_holds_the_same(run, service: Service, tmp_path: Path, kind: str):
    """Values, times, percentiles and histogram; and the kinds of missing numbers stay apart by their state."""
    stats = {**STATS, "percentiles": {"5.0": 0.2, "97.5": 0.8}}
    bins = {"bins": [{"lowEdge": 0, "highEdge": 0.5, "count": 30}, {"lowEdge": 0.5, "highEdge": 1, "count": 50}]}
    bins |= {"underflowCount": 3, "overflowCount": 7}
    masked = {"min": "NaN", "max": "NaN", "mean": "NaN", "stDev": "NaN", "sampleCount": 100, "noDataCount": 100}
    answers = {
        1: [
            interval(*WEEKS[:2], outputs={"default": {"bands": {"B0": {"stats": stats, "histogram": bins}}}}),
            interval(*WEEKS[1:], outputs={"default": {"bands": {"B0": {"stats": masked}}}}),
        ],
        2: [interval(*WEEKS[1:], outputs={"default": {"bands": {"B0": {"stats": {**masked, "noDataCount": 0}}}}})],
    }
    service.answer = lambda body: answers[number_of(body)]
    path = tmp_path / "out" / f"table.{kind}"

    result = run(
        features=collection(field(1), field(2)), percentiles=[97.5, 5], histogram=[0, 0.5, 1], output_path=str(path)
    )

    assert result["path"] == str(path)
    if kind == "csv":
        table: list[dict[str, Any]] = list(rows_of(path))
        assert table[0]["interval_to"] == WEEKS[1]
        assert [row["mean"] for row in table] == ["0.5", "", "", "nan"]
        histogram = json.loads(table[0]["histogram"])
    elif kind == "jsonl":
        table = [json.loads(line) for line in path.read_text().splitlines()]
        assert [row["mean"] for row in table] == [0.5, None, None, None]
        histogram = table[0]["histogram"]
    else:
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path).to_pylist()
        assert [str(row["mean"]) for row in table] == ["0.5", "None", "None", "nan"]
        assert table[0]["interval_from"].isoformat() == "2025-06-01T00:00:00+00:00"
        histogram = table[0]["histogram"]
    assert table[0]["feature_id"] == "0"
    assert [int(table[0][f"histogram_{side}"]) for side in ("under", "over")] == [3, 7]
    assert [row["state"] for row in table] == ["ok", "masked", "empty", "not_a_number"]
    assert list(table[0])[6:15] == [
        "min", "max", "mean", "stdev", "count", "sample_count", "no_data_count", "p5", "p97.5",
    ]  # fmt: skip
    assert (float(table[0]["p5"]), float(table[0]["p97.5"])) == (0.2, 0.8)
    assert histogram == [{"low": 0, "high": 0.5, "count": 30}, {"low": 0.5, "high": 1, "count": 50}]
    assert result["rows"] == len(table) == 4


def test_parquet_without_pyarrow_fails_before_anything_is_sent(run, service: Service, monkeypatch, tmp_path: Path):
    """And says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(AirflowFailException, match=r"\[parquet\]"):
        run(geometry=square(1), output_path=str(tmp_path / "table.parquet"))
    assert service.bodies == []


def test_a_table_too_large_for_xcom_is_refused_unpaid(run, service: Service):
    """By what its rows must take at least."""
    with pytest.raises(AirflowFailException, match="output_path"):
        run(features=collection(*(field(n) for n in range(20))), max_xcom_size=4000)
    assert service.bodies == []


# --- What is asked ---------------------------------------------------------------------------------------------------


def test_a_date_ends_with_its_day(run, service: Service):
    """So that the last of daily or weekly intervals is not a second short, which the service would skip."""
    run(geometry=square(1))

    aggregation = service.bodies[0]["aggregation"]
    assert aggregation["timeRange"] == {"from": WEEKS[0], "to": WEEKS[2]}
    assert aggregation["aggregationInterval"] == {"of": "P7D"}


def test_the_data_interval_is_the_default_time(run, service: Service):
    """With its last second, so that each of its days is asked for."""
    context = {
        "data_interval_start": datetime(2025, 6, 1, 6, tzinfo=UTC),
        "data_interval_end": datetime(2025, 6, 8, 6, tzinfo=UTC),
    }
    service.answer = lambda body: []

    result = run(context, geometry=square(1), time_range=None, aggregation_interval="P1D")

    assert service.bodies[0]["aggregation"]["timeRange"] == {
        "from": "2025-06-01T06:00:00Z",
        "to": "2025-06-08T06:00:00Z",
    }
    assert [row["state"] for row in result["table"]] == ["empty"] * 7


def test_a_run_without_data_interval_needs_a_time(run, service: Service):
    """Said by the argument's name."""
    with pytest.raises(AirflowFailException, match="time_range is missing"):
        run(geometry=square(1), time_range=None)
    assert service.bodies == []


def test_a_plain_request_is_sent_as_it_is_but_for_its_bounds(run, service: Service):
    """Once for each feature."""
    request = {
        "input": {"bounds": {"bbox": [0, 0, 1, 1]}, "data": [{"type": "sentinel-2-l2a", "extra": 1}]},
        "aggregation": {
            "timeRange": {"from": WEEKS[0], "to": WEEKS[2]},
            "aggregationInterval": {"of": "P7D"},
            "width": 20,
            "height": 30,
            "evalscript": "//VERSION=3\nfunction setup() { } function evaluatePixel(s) { /* dataMask */ }",
        },
    }

    nothing = dict.fromkeys(NOT_WITH_REQUEST)
    run(request=json.dumps(request), features=collection(field(1), field(2)), **nothing)

    assert sorted(service.asked) == [1, 2]
    sent = service.bodies[0]
    assert sent["input"]["data"] == request["input"]["data"]
    assert sent["aggregation"] == request["aggregation"]


def test_a_plain_request_brings_its_own_bounds(run, service: Service):
    """Where no area is given."""
    request = {
        "input": {"bounds": {"bbox": [20, 47, 20.01, 47.01]}, "data": [{"type": "sentinel-2-l2a"}]},
        "aggregation": {
            "timeRange": {"from": WEEKS[0], "to": WEEKS[2]},
            "aggregationInterval": {"of": "P7D"},
            "evalscript": "//VERSION=3\nfunction setup() { } function evaluatePixel(s) { /* dataMask */ }",
        },
    }
    run(request=request, **dict.fromkeys(NOT_WITH_REQUEST))

    assert service.bodies == [request]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"geometry": None}, "Give one of features, geometry and bbox"),
        ({"bbox": [20, 47, 20.1, 47.1]}, "geometry and bbox are given"),
        ({"on_error": "ignore"}, "on_error is 'ignore'"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"output_path": "table.xlsx"}, "does not say what table"),
        ({"collection": None}, "collection is missing"),
        ({"request": {}}, "request is given, and collection, evalscript"),
        ({"percentiles": [101]}, "percentiles"),
        ({"time_range": ["2025-06-02", "2025-06-01"]}, "reversed"),
        ({"evalscript": "nvdi"}, "ndvi"),
        ({"resolution": 0.0001}, "degrees"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_cannot_work_is_refused_before_anything_is_sent(run, service: Service, arguments, message: str):
    """With the argument's name."""
    with pytest.raises(AirflowFailException, match=message):
        run(**{"geometry": square(1), **arguments})
    assert service.bodies == []


def test_too_dear_a_task_is_refused_with_the_arithmetic(run, service: Service):
    """That of its largest feature."""
    with pytest.raises(
        AirflowFailException, match=r"more than max_processing_units=0.01; nothing was sent.*bands 2 / 3"
    ):
        run(features=collection(field(1), field(2)), max_processing_units=0.01)
    assert service.bodies == []


def test_a_limit_needs_an_estimate(run, service: Service):
    """Where the script computes what its setup returns, there is none."""
    script = "//VERSION=3\nfunction setup() { return made(); } function evaluatePixel(s) { /* dataMask */ }"
    with pytest.raises(AirflowFailException, match="one plain literal"):
        run(geometry=square(1), evalscript=script, max_processing_units=1)
    assert service.bodies == []


# --- Features --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_url", [False, True], ids=["path", "object storage"])
def test_features_are_read_from_a_file(run, service: Service, tmp_path: Path, as_url: bool):
    """Local, or by object storage's URL."""
    path = tmp_path / "fields.geojson"
    path.write_text(json.dumps(collection(field(3), field(4))))

    result = run(features=path.as_uri() if as_url else str(path), id_property="name")

    assert [row["feature_id"] for row in result["table"][::2]] == ["field 3", "field 4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ('{"type": "FeatureCollection", "features": [', "not GeoJSON"),
        ('{"type": "FeatureCollection", "features": []}', "no feature"),
        (b"PK\xff\xfe", "not text"),
    ],
    ids=["missing", "cut", "empty", "binary"],
)
def test_an_unreadable_file_is_named(run, service: Service, tmp_path: Path, text, message: str):
    """Before anything is sent."""
    path = tmp_path / "fields.geojson"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(AirflowFailException, match=f"features.*{message}"):
        run(features=str(path))
    assert service.bodies == []


BAD_FEATURES = {
    "no geometry": field(2, None),
    "a bow-tie": field(2, {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}),
    "a point": field(2, {"type": "Point", "coordinates": [0, 0]}),
    "too large": field(2, {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]}),
    "no name": field(2, properties={}),
    "the name of another": field(2, properties={"name": "field 1"}),
}


@pytest.mark.parametrize("bad", BAD_FEATURES.values(), ids=BAD_FEATURES)
def test_an_unusable_feature_fails_the_task_before_anything_is_sent(run, service: Service, bad):
    """It is named, with what is wrong."""
    with pytest.raises(AirflowFailException, match=r"1 feature without statistics: feature .*Nothing was sent"):
        run(features=collection(field(1), bad, field(3)), id_property="name")
    assert service.bodies == []


@pytest.mark.parametrize("bad", BAD_FEATURES.values(), ids=BAD_FEATURES)
def test_an_unusable_feature_is_skipped_and_reported(run, service: Service, bad):
    """The others are asked about."""
    result = run(features=collection(bad, field(1), field(3)), id_property="name", on_error="skip")

    assert (result["features"], result["failed"], len(result["failed_features"])) == (2, 1, 1)


def test_a_collection_in_another_crs_than_said_is_refused(run, service: Service):
    """It names its own."""
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32634"}}
    with pytest.raises(AirflowFailException, match="EPSG:32634"):
        run(features=collection(field(1), crs=named), crs="EPSG:4326")
    assert service.bodies == []


# --- Failures --------------------------------------------------------------------------------------------------------


def test_failed_intervals_are_asked_for_once_more(run, service: Service):
    """Alone; what that brings replaces the failure."""

    def answer(body: dict[str, Any]) -> list[dict[str, Any]]:
        if len(service.bodies) == 1:
            return [BOTH[0], interval(*WEEKS[1:], **error())]
        return Service.all_well(body)

    service.answer = answer
    result = run(geometry=square(1))

    assert [row["state"] for row in result["table"]] == ["ok", "ok"]
    assert len(service.bodies) == 2
    assert service.bodies[1]["aggregation"]["timeRange"] == {"from": WEEKS[1], "to": WEEKS[2]}
    assert result["processing_units"] == 1.0


@pytest.mark.parametrize(("kind", "requests"), [("TIMEOUT", 2), ("BAD_REQUEST", 1)])
def test_an_interval_that_stays_failed_is_reported(run, service: Service, kind: str, requests: int):
    """As a row of its own and in the result; a bad request is not repeated."""
    service.answer = lambda body: [
        BOTH[0] if entry is BOTH[0] else interval(*WEEKS[1:], **error(kind)) for entry in Service.all_well(body)
    ]

    result = run(geometry=square(1), on_error="skip")

    assert [(row["state"], row["error"]) for row in result["table"]] == [("ok", None), ("failed", kind)]
    assert result["missing_intervals"] == 1
    assert len(service.bodies) == requests


def test_a_retry_asks_only_for_the_missing_interval(run, service: Service, tmp_path: Path):
    """The first try writes what there is and fails; the second completes it."""
    service.answer = lambda body: [
        BOTH[0] if entry is BOTH[0] else interval(*WEEKS[1:], **error()) for entry in Service.all_well(body)
    ]
    path = tmp_path / "table.csv"
    with pytest.raises(SentinelHubResponseError, match="1 interval failed twice"):
        run(geometry=square(1), output_path=str(path))
    assert [row["state"] for row in rows_of(path)] == ["ok", "failed"]
    service.bodies.clear()
    service.answer = Service.all_well

    result = run(geometry=square(1), output_path=str(path))

    assert [row["state"] for row in rows_of(path)] == ["ok", "ok"]
    assert [body["aggregation"]["timeRange"]["from"] for body in service.bodies] == [WEEKS[1]]
    assert result["processing_units"] == 1.5
    assert list((tmp_path / "parts").iterdir()) == []


def test_one_refused_feature_leaves_the_others(run, service: Service, tmp_path: Path):
    """The table has them; the task fails for good, since asking again is in vain."""
    service.answer = lambda body: 400 if number_of(body) == 2 else Service.all_well(body)
    path = tmp_path / "table.csv"

    with pytest.raises(AirflowFailException, match=r"feature 'field 2'.*not so"):
        run(features=collection(*(field(n) for n in range(4))), id_property="name", output_path=str(path))

    assert [row["feature_id"] for row in rows_of(path)[::2]] == ["field 0", "field 1", "field 3"]


def test_one_refused_feature_is_skipped(run, service: Service):
    """And reported."""
    service.answer = lambda body: 400 if number_of(body) == 2 else Service.all_well(body)

    result = run(features=collection(*(field(n) for n in range(4))), id_property="name", on_error="skip")

    assert (result["features"], result["failed"]) == (3, 1)
    assert result["failed_features"][0]["feature_id"] == "field 2"


def test_a_repaired_feature_is_the_only_one_asked_about(run, service: Service):
    """A next try with another file finds the answers for all that is as it was."""
    service.answer = lambda body: 400 if number_of(body) == 2 else Service.all_well(body)
    with pytest.raises(AirflowFailException):
        run(features=collection(*(field(n) for n in range(4))))
    service.bodies.clear()

    result = run(features=collection(field(0), field(1), field(7), field(3)))

    assert service.asked == [7]
    assert result["features"] == 4


def test_nothing_answered_is_no_success(run, service: Service):
    """Whatever ``on_error`` says."""
    service.answer = lambda body: 400
    with pytest.raises(AirflowFailException, match="1 feature without statistics"):
        run(geometry=square(1), on_error="skip")


def test_a_fault_that_strikes_all_ends_the_try(run, service: Service):
    """An account that may not: the tenth request is not sent."""
    service.answer = lambda body: 403 if len(service.bodies) > 3 else Service.all_well(body)

    with pytest.raises(AirflowFailException, match="403"):
        run(features=collection(*(field(n) for n in range(30))), concurrency=1)
    assert len(service.bodies) == 4
    service.answer = Service.all_well

    assert run(features=collection(*(field(n) for n in range(30))))["features"] == 30
    assert Counter(service.asked) == Counter([*range(30), 3])


def test_a_service_that_fails_for_every_feature_is_given_up(run, service: Service):
    """After a number of failures in a row."""
    service.answer = lambda body: Reply(200, body=b'{"status": "FAILED", "data": []}')

    with pytest.raises(SentinelHubResponseError, match="names no interval"):
        run(features=collection(*(field(n) for n in range(MOST_FAILURES_IN_A_ROW + 9))), concurrency=1)
    assert len(service.bodies) == MOST_FAILURES_IN_A_ROW


def test_an_answer_that_is_none_is_an_error(run, service: Service):
    """Not an empty table."""
    service.answer = lambda body: Reply(200, body=b'{"data": 7}')
    with pytest.raises(SentinelHubResponseError, match="no list of intervals"):
        run(geometry=square(1))


@pytest.mark.parametrize(
    "error",
    [SentinelHubTransportError("silence", was_sent=True), SentinelHubServerError("upstream timed out", status=504)],
    ids=["silence", "504"],
)
def test_a_feature_without_an_answer_spares_the_others(run, monkeypatch: pytest.MonkeyPatch, error: Exception):
    """It is reported, and all others are requested; one rule holds for silence and a gateway's time-out."""
    post = SentinelHubHook.arequest

    async def call(hook: Any, *args: Any, **kwargs: Any) -> Any:
        if number_of(kwargs["json"]) == 2:
            raise error
        return await post(hook, *args, **kwargs)

    monkeypatch.setattr(SentinelHubHook, "arequest", call)
    result = run(features=collection(*(field(n) for n in range(1, 6))), on_error="skip", concurrency=1)

    assert (result["features"], result["failed"]) == (4, 1)


DAYS = {"time_range": ["2025-06-01", "2025-07-10"], "aggregation_interval": "P1D"}


@pytest.fixture(name="answer_short_ranges")
def fixture_answer_short_ranges(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Let calls with more days than that, or with a certain day, end with a gateway's time-out."""

    def make(most: int, *, never: str = "") -> list[Any]:
        asked: list[Any] = []

        async def call(hook: Any, *_: Any, json: Any, **__: Any) -> Any:
            start, end = (datetime.fromisoformat(text) for text in json["aggregation"]["timeRange"].values())
            texts = [f"{start + timedelta(days=n):%Y-%m-%dT%H:%M:%SZ}" for n in range((end - start).days + 1)]
            asked.append(texts)
            if len(texts) - 1 > most or never in texts[:-1]:
                raise SentinelHubServerError("upstream timed out", status=504)
            body = {"data": [interval(*pair) for pair in pairwise(texts)], "status": "OK"}
            return SimpleNamespace(content=dumps(body).encode(), headers={"x-processingunits-spent": "0.5"})

        monkeypatch.setattr(SentinelHubHook, "arequest", call)
        return asked

    return make


@pytest.mark.parametrize("most", [30, 10, 3, 1])
def test_a_heavy_request_is_split_at_interval_borders(run, answer_short_ranges, most: int):
    """No interval is lost or asked for in another form."""
    answer_short_ranges(most)
    result = run(geometry=square(1), **DAYS)

    assert [row["state"] for row in result["table"]] == ["ok"] * 40
    assert len({row["interval_from"] for row in result["table"]}) == 40


def test_an_interval_that_is_too_heavy_alone_is_missing(run, answer_short_ranges):
    """The others of its feature are there."""
    answer_short_ranges(10, never="2025-06-20T00:00:00Z")
    result = run(geometry=square(1), on_error="skip", **DAYS)

    states = Counter(row["state"] for row in result["table"])
    assert (states["ok"], states["failed"]) == (39, 1)


def test_a_service_that_answers_nothing_is_not_split_for_ever(run, answer_short_ranges):
    """A few pieces are enough to tell."""
    asked = answer_short_ranges(0)
    with pytest.raises(SentinelHubResponseError, match="upstream timed out"):
        run(geometry=square(1), **DAYS)

    assert [len(texts) - 1 for texts in asked] == [40, 10, 3, 1]


def test_the_secret_is_nowhere(run, service: Service, capsys, tmp_path: Path):
    """Neither in what is printed nor in files."""
    service.answer = lambda body: 400 if number_of(body) == 2 else Service.all_well(body)
    with pytest.raises(AirflowFailException) as caught:
        run(features=collection(field(1), field(2)))

    printed = "".join(capsys.readouterr()) + str(caught.value)
    written = "".join(path.read_text() for path in (tmp_path / "parts").iterdir())
    assert all(hidden not in printed + written for hidden in ("secret-of-mine", "a" * 20))


# --- The part file ---------------------------------------------------------------------------------------------------


def test_a_line_cut_short_is_dropped(tmp_path: Path):
    """What was whole before it stays, and new answers go after that."""
    path = tmp_path / "answers.part"
    with PartFile(path) as part:
        part.add("a", {"data": [1]}, units=0.5, is_complete=True)
        part.add("b", {"data": [2]}, units=0.5, is_complete=False)
    path.write_bytes(path.read_bytes()[:-5])

    with PartFile(path) as part:
        assert (len(part), part.spent, part.is_complete("a"), "b" in part) == (1, 0.5, True, False)
        part.add("c", {"data": [3]}, units=1, is_complete=True)
    with PartFile(path) as part:
        assert (part.get("a"), part.get("b"), part.get("c")) == ({"data": [1]}, None, {"data": [3]})


def test_the_later_answer_counts(tmp_path: Path):
    """And the cost of both."""
    with PartFile(tmp_path / "answers.part") as part:
        part.add("a", {"n": 1}, units=1, is_complete=False)
        part.add("a", {"n": 2}, units=1, is_complete=True)
        assert (part.get("a"), part.is_complete("a"), part.spent) == ({"n": 2}, True, 2)


def test_two_tasks_do_not_share_a_part_file(tmp_path: Path):
    """The second says so instead of paying twice; a retry may find the first one gone."""
    with (
        PartFile(tmp_path / "answers.part"),
        pytest.raises(SentinelHubOutputError, match="another attempt") as caught,
    ):
        PartFile(tmp_path / "answers.part").__enter__()
    assert not caught.value.final
    with PartFile(tmp_path / "answers.part") as part:
        part.remove()
    assert list(tmp_path.iterdir()) == []


def test_templates_are_rendered():
    """In what is asked and where it goes."""
    operator = SentinelHubStatisticsOperator(
        task_id="t",
        features="{{ ds }}/fields.json",
        time_range=["{{ ds }}", "{{ ds }}"],
        output_path="/data/{{ ds }}.jsonl",
        request={"a": "{{ ds }}"},
    )
    operator.render_template_fields({"ds": "2025-06-01"})

    assert operator.features == "2025-06-01/fields.json"
    assert operator.time_range == ["2025-06-01", "2025-06-01"]
    assert operator.output_path == "/data/2025-06-01.jsonl"
    assert operator.request == {"a": "2025-06-01"}


PROPERTIES = [
    {"crop": "rye", "policy": 2**70, "area": 1, "rented": True, "owner": None, "tags": ["a"]},
    {"crop": None, "policy": 7, "area": 1.5, "rented": None, "owner": None, "tags": None},
]


def test_features_of_one_area_are_paid_for_once(run, service: Service):
    """A field that a file has once for each crop, say; also where all of them are requested at the same time."""
    crops = [field(1, id=crop) for crop in ("rye", "oats", "peas")]
    result = run(features=collection(*crops, field(2, id="other")), concurrency=4)

    assert sorted(service.asked) == [1, 2]
    assert (result["features"], result["rows"], result["processing_units"]) == (4, 8, 1.0)


def test_features_of_one_area_are_not_requested_after_a_fault_that_strikes_all(run, service: Service):
    """Nor are those that waited for the first of them."""
    service.answer = lambda body: 403
    with pytest.raises(AirflowFailException, match="403"):
        run(features=collection(*(field(1, id=crop) for crop in ("rye", "oats", "peas"))), concurrency=3)
    assert service.asked == [1]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_any_property_fits_into_the_table(run, service: Service, tmp_path: Path, kind: str):
    """What databases export: a table that is paid for is never lost to the type of a cell."""
    table = pa.table(
        {
            "size": pa.array([Decimal("1.50"), None]),
            "photo": pa.array([b"\xff", None]),
            "sown": pa.array([[date(2025, 5, 1)], None]),
            "growth": pa.array([timedelta(days=90), None]),
            "geometry": pa.array([shapely.to_wkb(shapely.from_geojson(json.dumps(square(n)))) for n in (1, 2)]),
        }
    )
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB"}}}
    pyarrow.parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), tmp_path / "fields.parquet")
    names = ["size", "photo", "sown", "growth"]
    path = tmp_path / f"table.{kind}"

    result = run(features=str(tmp_path / "fields.parquet"), properties=names, output_path=str(path))

    assert result["rows"] == 4
    if kind == "csv":
        assert [rows_of(path)[0][name] for name in names] == ["1.5", "ff", '["2025-05-01"]', "90 days, 0:00:00"]


@pytest.mark.parametrize("name", ["a" * 251, "\N{GRINNING FACE}" * 62], ids=["ascii", "four-bytes"])
def test_a_table_may_have_as_long_a_name_as_any_file(run, name: str, tmp_path: Path):
    """Though answers on their way lie beside it, under a name that is derived from it."""
    path = tmp_path / f"{name}.csv"
    assert run(features=collection(field(1)), output_path=str(path), part_folder=None)["rows"] == 2
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_full_disk_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As what it is, and not again by the file that is closed on the way out."""

    class FullDisk(io.BytesIO):
        def write(self, _line: Any, /) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            super().close()
            self.write(b"")

    part = PartFile(tmp_path / "answers.part")
    monkeypatch.setattr(part, "_open", FullDisk)
    with pytest.raises(SentinelHubOutputError, match="No space left") as caught, part:
        part.add("a", {"data": []}, units=1, is_complete=True)
    assert not caught.value.final


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_properties_become_columns(run, service: Service, tmp_path: Path, kind: str):
    """Each of one type, which all features together decide."""
    service.answer = lambda body: [interval(*WEEKS[:2], outputs={"default": {"bands": {"B0": {"stats": STATS}}}})]
    features = collection(*(field(number + 1, id=number, properties=some) for number, some in enumerate(PROPERTIES)))
    path = tmp_path / f"table.{kind}"

    run(features=features, properties=list(PROPERTIES[0]), output_path=str(path))

    if kind == "csv":
        first, *_ = rows_of(path)
        assert list(first)[:7] == ["feature_id", *PROPERTIES[0]]
        assert [first[name] for name in PROPERTIES[0]] == ["rye", str(2**70), "1.0", "True", "", '["a"]']
    elif kind == "jsonl":
        first, *_ = (json.loads(line) for line in path.read_text().splitlines())
        assert [first[name] for name in PROPERTIES[0]] == ["rye", str(2**70), 1.0, True, None, '["a"]']
    else:
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path)
        types = [str(table.schema.field(name).type) for name in ("feature_id", *PROPERTIES[0])]
        assert types == ["string", "string", "string", "double", "bool", "string", "string"]
        assert table["policy"].to_pylist()[::2] == [str(2**70), "7"]


@pytest.mark.parametrize(
    ("properties", "message"),
    [(["mean"], "properties has mean"), ("p50", "properties has p50"), ("crp", "There are: name")],
)
def test_properties_that_cannot_be_columns_are_refused(run, service: Service, properties: Any, message: str):
    """Before anything is sent."""
    features = collection(field(1, properties={"name": 1, "mean": 2, "p50": 3}))
    with pytest.raises(AirflowFailException, match=message):
        run(features=features, properties=properties)
    assert not service.asked


def test_all_broken_features_are_named_at_once(run, service: Service, ti: TaskInstance, capsys):
    """In the error, in the log and in XCom, before anything is sent."""
    features = collection(field(0), *(field(number, geometry=None, id=number) for number in range(1, 41)))
    with pytest.raises(AirflowFailException, match=r"40 features without statistics: .*feature 20: .*; and 20 more"):
        run(features=features)
    assert not service.asked
    assert capsys.readouterr().out.count("no statistics of feature") == 40
    assert [failed["feature_id"] for failed in ti.pushed["failed_features"]] == list(range(1, 41))


def test_the_documentation_lists_all_columns_and_states():
    """In the order of the table."""
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "operators" / "statistics.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    calculations = build_calculations([10], 3)

    assert listed == [*column_names({"calculations": calculations}), *map(str, State)]


def build_calculations(percentiles: list[float], bins: int) -> dict[str, Any]:
    """Return what a request asks for."""
    statistics = {"default": {"percentiles": {"k": percentiles}}}
    return {"default": {"statistics": statistics, "histograms": {"default": {"nBins": bins}}}}


# --- Rate limits -----------------------------------------------------------------------------------------------------


def test_a_long_rate_limit_is_waited_out_in_the_triggerer(run, service: Service, monkeypatch):
    """What was answered before it is kept: after the wait, the task asks for the others alone."""
    fields = collection(*(field(number) for number in range(8)))
    limited = Reply(429, headers={"Retry-After": "300000"}, body=b'{"error": {"status": 429}}')
    service.answer = lambda body: service.all_well(body) if len(service.bodies) <= 5 else limited
    with pytest.raises(TaskDeferred) as deferred:
        run(features=fields, concurrency=2, deferrable=True)
    answered = service.asked[:5]
    service.bodies.clear()
    service.answer = service.all_well
    sharing._rate_state.cache_clear()  # another process goes on, when the time has come
    sharing._limiter.cache_clear()

    result = run(after=deferred.value, features=fields, concurrency=2, deferrable=True)

    assert sorted([*answered, *service.asked]) == list(range(8))
    assert (result["rows"], result["processing_units"]) == (16, 4.0)


def test_what_is_under_way_comes_to_its_end(run, service: Service, monkeypatch):
    """An error that would strike each feature stops the asking; answers to what was asked before are kept."""
    both_there, noticed = threading.Barrier(2), threading.Event()
    failed = FeatureRequests._failed

    def notice(requests: FeatureRequests, *what: Any) -> None:
        failed(requests, *what)
        noticed.set()

    def answer(body: dict[str, Any]) -> Any:
        both_there.wait(60)
        if number_of(body) == 0:
            return 403
        assert noticed.wait(60)
        return service.all_well(body)

    monkeypatch.setattr(FeatureRequests, "_failed", notice)
    service.answer = answer
    fields = collection(*(field(number) for number in range(4)))
    with pytest.raises(AirflowFailException, match="403"):
        run(features=fields, concurrency=2)
    assert sorted(service.asked) == [0, 1]
    service.answer = service.all_well
    run(features=fields)

    assert sorted(service.asked) == [0, 0, 1, 2, 3]
