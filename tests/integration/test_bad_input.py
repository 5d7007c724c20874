"""Bad input to each operator that takes it: an error that names the argument, before a request is sent."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubResponseError
from sentinelhub_provider.operators.base import SentinelHubOperator, without_vain_retries
from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

BOX = [14.0, 46.0, 14.01, 46.01]
FIELD = {"type": "Polygon", "coordinates": [[[14, 46], [14.01, 46], [14.01, 46.01], [14, 46.01], [14, 46]]]}
BOWTIE = "POLYGON ((14 46, 14.01 46.01, 14.01 46, 14 46.01, 14 46))"
NO_RING = {"type": "Polygon", "coordinates": []}
IN_UTM = "SRID=32633;POLYGON ((400000 5095000, 400100 5095000, 400100 5095100, 400000 5095000))"
PICTURE = {
    "collection": "sentinel-2-l2a",
    "evalscript": "ndvi-clear",
    "time_range": ["2024-06-01", "2024-06-20"],
    "resolution": 20,
}

OPERATORS: dict[str, tuple[type[SentinelHubOperator], dict[str, Any]]] = {
    "catalog": (
        SentinelHubCatalogSearchOperator,
        {"collection": "sentinel-2-l2a", "datetime": "2024-06-01/2024-06-20", "bbox": BOX},
    ),
    "process": (SentinelHubProcessOperator, {**PICTURE, "bbox": BOX, "output_path": "/nowhere/ndvi.tif"}),
    "statistics": (SentinelHubStatisticsOperator, {**PICTURE, "geometry": FIELD}),
    "statistics of features": (SentinelHubStatisticsOperator, {**PICTURE, "features": FIELD}),
}
"""Each operator with arguments that are good."""

JSON = dict.fromkeys(["collection", "evalscript", "time_range", "resolution", "bbox", "geometry"])
"""What gives way to a plain request."""

SCRIPT = "//VERSION=3\nfunction setup() { return made(); } function evaluatePixel(s) { /* dataMask */ }"


def process_json(bounds: dict[str, Any] | None = None, **output: Any) -> dict[str, Any]:
    """Return a Process request's JSON as an argument that replaces the others."""
    data = [{"type": "sentinel-2-l2a"}]
    asked = {"input": {"bounds": bounds or {"bbox": BOX}, "data": data}, "output": output, "evalscript": SCRIPT}
    return {**JSON, "request": asked}


def statistics_json(bounds: dict[str, Any] | None = None, **aggregation: Any) -> dict[str, Any]:
    """Return a Statistical request's JSON as an argument that replaces the others."""
    times = {"from": "2024-06-01T00:00:00Z", "to": "2024-06-20T00:00:00Z"}
    usual = {"timeRange": times, "aggregationInterval": {"of": "P1D"}, "evalscript": SCRIPT}
    data = [{"type": "sentinel-2-l2a"}]
    asked = {"input": {"bounds": bounds or {"bbox": BOX}, "data": data}, "aggregation": {**usual, **aggregation}}
    return {**JSON, "request": asked}


UPSIDE_DOWN = [14.01, 46.0, 14.0, 46.01]
SWAPPED = [46.0, 140.0, 46.01, 140.01]
REVERSED = ["2024-06-20", "2024-06-01"]
FUTURE = ["2124-06-01", "2124-06-20"]
METRES = [400_000, 5_095_000, 400_100, 5_095_100]
NO_AREA = {"geometry": None}

CASES: dict[str, list[tuple[str, dict[str, Any], str, str]]] = {
    "bounds upside down": [
        ("catalog", {"bbox": UPSIDE_DOWN}, "bbox", "upside down"),
        ("process", {"bbox": UPSIDE_DOWN}, "bbox", "upside down"),
        ("statistics", {**NO_AREA, "bbox": UPSIDE_DOWN}, "bbox", "upside down"),
    ],
    "longitude and latitude swapped": [
        ("catalog", {"bbox": SWAPPED}, "bbox", "swapped"),
        ("catalog", {"bbox": None, "intersects": "POINT (46 140)"}, "intersects", "swapped"),
        ("process", {"bbox": SWAPPED}, "bbox", "swapped"),
        ("statistics", {**NO_AREA, "bbox": SWAPPED}, "bbox", "swapped"),
    ],
    "a geometry that crosses itself": [
        ("catalog", {"bbox": None, "intersects": BOWTIE}, "intersects", "crosses or touches itself"),
        ("process", {"bbox": None, "geometry": BOWTIE}, "geometry", "crosses or touches itself"),
        ("statistics", {"geometry": BOWTIE}, "geometry", "crosses or touches itself"),
    ],
    "an empty geometry": [
        ("catalog", {"bbox": None, "intersects": NO_RING}, "intersects", "empty"),
        ("process", {"bbox": None, "geometry": NO_RING}, "geometry", "empty"),
        ("statistics", {"geometry": NO_RING}, "geometry", "empty"),
        ("process", process_json({"geometry": NO_RING}), "geometry", "empty"),
        ("statistics of features", {"features": []}, "features", "empty"),
    ],
    "a geometry in another CRS than said": [
        ("catalog", {"bbox": METRES}, "bbox", "Give degrees"),
        ("process", {"bbox": None, "geometry": IN_UTM, "crs": 3857}, "crs", "EPSG:32633"),
        ("process", {"crs": 32633}, "bbox", "looks like longitude and latitude"),
        ("process", {"bbox": METRES}, "bbox", "name their CRS in crs"),
        ("statistics", {"geometry": IN_UTM, "crs": 3857}, "crs", "EPSG:32633"),
        ("statistics", {"crs": 32633}, "geometry", "looks like longitude and latitude"),
        (
            "statistics of features",
            {
                "features": {
                    "type": "FeatureCollection",
                    "crs": {"type": "name", "properties": {"name": "EPSG:32633"}},
                    "features": [{"type": "Feature", "properties": {}, "geometry": FIELD}],
                },
                "crs": 3857,
            },
            "crs",
            "EPSG:32633",
        ),
    ],
    "a time that ends before it begins": [
        ("catalog", {"datetime": REVERSED}, "datetime", "reversed"),
        ("process", {"time_range": REVERSED}, "time_range", "reversed"),
        ("statistics", {"time_range": REVERSED}, "time_range", "reversed"),
        (
            "statistics",
            {**statistics_json(timeRange={"from": REVERSED[0], "to": REVERSED[1]}), "bbox": BOX},
            "request",
            "reversed",
        ),
    ],
    "a time in the future": [
        ("catalog", {"datetime": FUTURE}, "datetime", "in the future"),
        ("catalog", {"datetime": "2124-06-01/.."}, "datetime", "in the future"),
        ("process", {"time_range": FUTURE}, "time_range", "in the future"),
        ("statistics", {"time_range": FUTURE}, "time_range", "in the future"),
    ],
    "a resolution in degrees": [
        ("process", {"resolution": 0.0001}, "resolution", "looks like degrees"),
        ("statistics", {"resolution": 0.0001}, "resolution", "looks like degrees"),
    ],
    "a resolution in metres where the CRS counts degrees": [
        ("process", process_json(resx=10, resy=10), "request", "in degrees"),
        ("statistics", statistics_json(resx=10, resy=10), "request", "in degrees"),
    ],
    "a collection of one's own by a wrong id": [
        (kind, {"collection": "byoc-12"}, "collection", "no name of an own collection") for kind in OPERATORS
    ],
    "a collection of another deployment": [
        (
            kind,
            {"collection": "landsat-ot-l2"},
            "collection",
            "not available at Copernicus.*lives at deployment 'sentinel-hub-us-west-2'",
        )
        for kind in OPERATORS
    ],
    "a file that is not there": [
        ("catalog", {"bbox": None, "intersects": "/nowhere/a.geojson"}, "intersects", "cannot be read"),
        ("process", {"bbox": None, "geometry": "/nowhere/a.geojson"}, "geometry", "cannot be read"),
        ("statistics", {"geometry": "/nowhere/a.wkt"}, "geometry", "cannot be read"),
        ("statistics of features", {"features": "/nowhere/a.gpkg"}, "features", "cannot be read"),
        ("statistics of features", {"features": "file:///nowhere/a.parquet"}, "features", "cannot be read"),
    ],
}

FILES = {
    "cut.geojson": (b'{"type": "FeatureCollection", "features": [', "not JSON|not GeoJSON"),
    "empty.geojson": (b"", "neither GeoJSON nor WKT|not GeoJSON|empty"),
    "binary.geojson": (b"PK\x03\x04\xff\xfe", "cannot be read|not text"),
    "other.gpkg": (b"not a database, but some text " * 50, "cannot be read"),
    "other.parquet": (b"PAR1 and then nothing", "cannot be read"),
}
"""Field files that are none, and what is said of them."""


@pytest.fixture(name="refused")
def fixture_refused(connect, sentinelhub_sandbox) -> Iterator[Callable[..., SentinelHubRequestError]]:
    """Execute an operator that must refuse its arguments, and return the error; nothing may have been sent."""
    connect(extra={"deployment": "copernicus-data-space"})

    def refused(kind: str, arguments: dict[str, Any], message: str) -> SentinelHubRequestError:
        operator_class, good = OPERATORS[kind]
        with DAG("d", schedule=None):
            operator = operator_class(task_id="t", **{**good, **arguments})
        with pytest.raises(AirflowFailException, match=message) as failed:
            operator.execute({"ti": None})
        error = failed.value.__context__
        assert isinstance(error, SentinelHubRequestError)
        return error

    yield refused
    assert sentinelhub_sandbox.control.counters().total_requests == 0


@pytest.mark.parametrize(
    ("kind", "arguments", "field", "message"),
    [
        pytest.param(*case, id=f"{what}-{case[0]}{number}")
        for what, cases in CASES.items()
        for number, case in enumerate(cases)
    ],
)
def test_refused_before_anything_is_sent(refused, kind: str, arguments: dict[str, Any], field: str, message: str):
    """The error carries the argument's name, and its text says it too."""
    error = refused(kind, arguments, message)

    assert error.field == field
    assert field in str(error)


@pytest.mark.parametrize(
    ("kind", "field", "name"),
    [
        *(("catalog", "intersects", name) for name in FILES if name.endswith(".geojson")),
        *(("process", "geometry", name) for name in FILES if name.endswith(".geojson")),
        *(("statistics", "geometry", name) for name in FILES if name.endswith(".geojson")),
        *(("statistics of features", "features", name) for name in FILES),
    ],
)
def test_unreadable_file_is_refused(refused, tmp_path: Path, kind: str, field: str, name: str):
    """Whatever is wrong with it."""
    content, message = FILES[name]
    (tmp_path / name).write_bytes(content)
    area = {} if kind.startswith("statistics") else {"bbox": None}

    assert refused(kind, {**area, field: str(tmp_path / name)}, message).field == field


@pytest.mark.parametrize("kind", ["process", "statistics"])
def test_easting_and_northing_swapped_are_warned_of(connect, tmp_path: Path, capsys, kind: str):
    """Where they fall outside of the area that the CRS is made for; it may be meant, and is sent."""
    connect()
    operator_class, good = OPERATORS[kind]
    swapped = [5_095_000, 400_000, 5_095_200, 400_200]
    path = {"output_path": str(tmp_path / "ndvi.tif")} if kind == "process" else {"geometry": None}
    operator = operator_class(task_id="t", **{**good, **path, "bbox": swapped, "crs": 32633})

    operator.execute({"ti": SimpleNamespace(xcom_push=lambda key, value: None)})

    assert "It fits with easting and northing swapped" in "".join(capsys.readouterr())


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_one_bad_feature_of_many(connect, sentinelhub_sandbox, on_error: str):
    """Fails the task before anything is sent, or is reported and costs the others nothing."""
    connect()
    features = [{"type": "Feature", "id": number, "properties": {}, "geometry": FIELD} for number in range(3)]
    features[1]["geometry"] = {"type": "Polygon", "coordinates": [[[14, 46], [15, 47], [15, 46], [14, 47], [14, 46]]]}
    operator = SentinelHubStatisticsOperator(
        task_id="t",
        **{**PICTURE, "aggregation_interval": "P20D"},
        features={"type": "FeatureCollection", "features": features},
        on_error=on_error,
    )
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda key, value: None)}

    if on_error == "fail":
        with pytest.raises(AirflowFailException, match="feature 1: geometry crosses or touches itself"):
            operator.execute(context)
        assert sentinelhub_sandbox.control.counters().total_requests == 0
        return
    result = operator.execute(context)
    assert {row["feature_id"] for row in result["table"]} == {"0", "2"}
    assert [problem["feature_id"] for problem in result["failed_features"]] == [1]


@pytest.mark.parametrize("is_final", [True, False])
def test_a_failure_is_told_without_the_chain_that_led_to_it(is_final: bool):
    """Airflow prints all chained exceptions whole; the message is what a person needs."""
    error = SentinelHubResponseError("what went wrong, and what to do")
    error.final = is_final

    def fail() -> None:
        with without_vain_retries():
            try:
                raise KeyError("the library's own")
            except KeyError as cause:
                raise error from cause

    with pytest.raises(AirflowFailException if is_final else SentinelHubResponseError) as failed:
        fail()

    printed = "".join(traceback.format_exception(failed.value))
    assert printed.count("Traceback") == 1
    assert "the library's own" not in printed
    assert str(failed.value) == "what went wrong, and what to do"
