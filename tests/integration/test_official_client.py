"""The official client, ``sentinelhub``, and the operators ask the same in the same words, and get the same.

Each question is in the operators' words in ``questions.py``, and here in the client's. Their requests are compared as
the sandbox received them, and so are pixels and statistics.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from official_client import at, configuration
from PIL import Image
from questions import DAYS, ELEVATION, FLAT_RADAR, LONLAT, PICTURES, RADAR, TABLES, TRIANGLE, TWO_TIMES, UTM, execute
from sentinelhub import (
    CRS,
    BBox,
    DataCollection,
    Geometry,
    MimeType,
    MosaickingOrder,
    SentinelHubRequest,
    SentinelHubStatistical,
    SHConfig,
)
from sentinelhub.constants import ResamplingType

from sentinelhub_provider.api.evalscripts import named_evalscript
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

BOX = {"bbox": BBox(UTM["bbox"], CRS("32633"))}
FINE, COARSE = {"resolution": (20, 20)}, {"resolution": (40, 40)}
L2A, L1C = DataCollection.SENTINEL2_L2A, DataCollection.SENTINEL2_L1C
ASCENDING, HEIGHTS = DataCollection.SENTINEL1_IW_ASC, DataCollection.DEM_COPERNICUS_30

# In the client's words: (collection, arguments of input_data) of each dataset, and arguments of the request.
PICTURES_THEIRS: dict[str, tuple[list[tuple[DataCollection, dict[str, Any]]], dict[str, Any]]] = {
    "resolution": ([(L2A, {})], BOX | FINE),
    "size": ([(L2A, {})], BOX | {"size": (64, 48)}),
    "degrees": ([(L2A, {})], {"bbox": BBox(LONLAT, CRS.WGS84), "size": (64, 48)}),
    "geometry in UTM": ([(L2A, {})], {"geometry": Geometry(TRIANGLE, CRS("32633"))} | FINE),
    "mosaicking order": ([(L2A, {"mosaicking_order": MosaickingOrder.LEAST_CC})], BOX | FINE),
    "cloud limit": ([(L2A, {"maxcc": 0.3})], BOX | FINE),
    "resampling": (
        [(L2A, {"upsampling": ResamplingType.BICUBIC, "downsampling": ResamplingType.BILINEAR})],
        BOX | {"resolution": (7.5, 7.5)},
    ),
    "several outputs": ([(L2A, {})], BOX | FINE),
    "named script": ([(L2A, {})], BOX | FINE),
    "level 1": ([(L1C, {})], BOX | FINE),
    "fusion": (
        [
            (L2A, {"identifier": "optical"}),
            (ASCENDING, {"identifier": "radar", "other_args": {"processing": RADAR["processing"]}}),
        ],
        BOX | FINE,
    ),
    "fusion in time": (
        [
            (L2A, {"identifier": each["id"], "time_interval": tuple(each["dataFilter"]["timeRange"].values())})
            for each in TWO_TIMES
        ],
        BOX | FINE,
    ),
    "radar": ([(ASCENDING, {"other_args": {"processing": RADAR["processing"]}})], BOX | FINE),
    "flattened radar": ([(ASCENDING, {"other_args": {"processing": FLAT_RADAR["processing"]}})], BOX | FINE),
    "elevation": ([(HEIGHTS, {"time_interval": None})], BOX | FINE),
    "every orbit": ([(L2A, {})], BOX | FINE),
}

# The same, and arguments of the aggregation.
PERCENTILES = {"default": {"statistics": {"default": {"percentiles": {"k": [5, 50, 95]}}}}}
HISTOGRAM = {"default": {"histograms": {"default": {"nBins": 5, "lowEdge": 0.0, "highEdge": 1.0}}}}
TABLES_THEIRS: dict[str, tuple[list[tuple[DataCollection, dict[str, Any]]], dict[str, Any], dict[str, Any]]] = {
    "resolution": ([(L2A, {})], BOX, COARSE),
    "size": ([(L2A, {})], BOX, {"size": (40, 30)}),
    "degrees": ([(L2A, {})], {"bbox": BBox(LONLAT, CRS.WGS84)}, {"size": (64, 48)}),
    "geometry in UTM": ([(L2A, {})], {"geometry": Geometry(TRIANGLE, CRS("32633"))}, COARSE),
    "mosaicking order": ([(L2A, {"mosaicking_order": MosaickingOrder.LEAST_CC})], BOX, COARSE),
    "cloud limit": ([(L2A, {"mosaicking_order": MosaickingOrder.LEAST_RECENT, "maxcc": 0.3})], BOX, COARSE),
    "percentiles": ([(L2A, {})], BOX | {"calculations": PERCENTILES}, COARSE),
    "histogram": ([(L2A, {})], BOX | {"calculations": HISTOGRAM}, COARSE),
    "clear pixels": ([(L2A, {})], BOX, COARSE),
    "last interval": (
        [(L2A, {})],
        BOX,
        COARSE | {"other_args": {"aggregationInterval": {"of": "P15D", "lastIntervalBehavior": "SHORTEN"}}},
    ),
    "fusion": (
        [
            (L2A, {"identifier": "optical"}),
            (ASCENDING, {"identifier": "radar", "other_args": {"processing": RADAR["processing"]}}),
        ],
        BOX,
        COARSE,
    ),
    "radar": ([(ASCENDING, {"other_args": {"processing": RADAR["processing"]}})], BOX, COARSE),
    "elevation": ([(HEIGHTS, {})], BOX, COARSE),
    "every orbit": ([(L2A, {})], BOX, COARSE),
}


@pytest.fixture(name="config")
def fixture_config(sentinelhub_sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SHConfig:
    """The client's configuration for the sandbox."""
    return configuration(sentinelhub_sandbox, monkeypatch, tmp_path)


@pytest.fixture(name="sent")
def fixture_sent(connect, sentinelhub_sandbox) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The bodies of the requests that come from now on, alike where that makes no difference."""
    connect()
    control = sentinelhub_sandbox.control
    control.record_exchanges()
    paths = ("/process", "/process/v1", "/statistics", "/statistics/v1")
    yield lambda: [alike(json.loads(one.request_body)) for one in control.exchanges() if one.path.endswith(paths)]
    control.record_exchanges(False)


def alike(body: dict[str, Any]) -> dict[str, Any]:
    """Return a request in one of the spellings that mean the same to the service."""
    bounds = body["input"]["bounds"]
    # To this API, both names of WGS 84 mean longitude before latitude.
    bounds["properties"]["crs"] = bounds["properties"]["crs"].replace("OGC/1.3/CRS84", "EPSG/0/4326")
    for data in body["input"]["data"]:
        # No filter is no different from an empty one.
        for name in ("dataFilter", "processing"):
            if not data.get(name):
                data.pop(name, None)
    if not body.get("calculations"):
        body.pop("calculations", None)
    return body


def input_data(builder: Any, datasets: list[Any], url: str, times: dict[str, Any]) -> list[Any]:
    """Return the client's datasets, of collections at the sandbox: the client's own have the cloud's address."""
    return [builder.input_data(at(url, collection), **{**times, **arguments}) for collection, arguments in datasets]


def pixels(path: Path) -> np.ndarray:
    """Return a stored picture as the client does: rows, columns, bands where there are several."""
    if path.suffix == ".png":
        return np.asarray(Image.open(path))
    with rasterio.open(path) as picture:
        bands = np.moveaxis(picture.read(), 0, -1)
    return bands[..., 0] if bands.shape[-1] == 1 else bands


def script_of(question: dict[str, Any]) -> str:
    """Return the text of a question's evalscript, which may be one of ours with a name."""
    script = str(question["evalscript"])
    return script if script.startswith("//VERSION") else named_evalscript(script)


@pytest.mark.parametrize("name", PICTURES_THEIRS)
def test_pictures_are_asked_for_alike_and_are_the_same(config: SHConfig, sent, tmp_path: Path, name: str) -> None:
    """Equal requests, and equal pixels of each output."""
    question, (datasets, arguments) = PICTURES[name], PICTURES_THEIRS[name]
    formats = question["outputs"] if isinstance(question["outputs"], dict) else {"default": question["outputs"]}
    paths = {output: tmp_path / f"{output}.{kind}" for output, kind in formats.items()}
    execute(SentinelHubProcessOperator(task_id="t", output_path={k: str(v) for k, v in paths.items()}, **question))
    client = SentinelHubRequest(
        evalscript=script_of(question),
        input_data=input_data(SentinelHubRequest, datasets, config.sh_base_url, {"time_interval": tuple(DAYS)}),
        responses=[SentinelHubRequest.output_response(output, MimeType(kind)) for output, kind in formats.items()],
        config=config,
        **arguments,
    )
    (answer,) = client.get_data()
    mine, theirs = sent()

    assert mine == theirs
    pictures = answer if isinstance(answer, dict) else {f"{next(iter(paths))}.{next(iter(formats.values()))}": answer}
    assert len(pictures) == len(paths)
    for output, path in paths.items():
        (picture,) = (value for file, value in pictures.items() if Path(file).stem == output)
        np.testing.assert_array_equal(pixels(path), picture)
        assert picture.any()


@pytest.mark.parametrize("name", TABLES_THEIRS)
def test_statistics_are_asked_for_alike_and_are_the_same(config: SHConfig, sent, tmp_path: Path, name: str) -> None:
    """Equal requests, and in the table every number of the answer."""
    question, (datasets, arguments, aggregation) = TABLES[name], TABLES_THEIRS[name]
    done = execute(SentinelHubStatisticsOperator(task_id="t", part_folder=str(tmp_path), **question))
    client = SentinelHubStatistical(
        aggregation=SentinelHubStatistical.aggregation(
            evalscript=script_of(question),
            time_interval=tuple(DAYS),
            aggregation_interval=question["aggregation_interval"],
            **aggregation,
        ),
        input_data=input_data(SentinelHubStatistical, datasets, config.sh_base_url, {}),
        config=config,
        **arguments,
    )
    (answer,) = client.get_data()
    mine, theirs = sent()

    assert mine == theirs
    assert answer["data"]
    assert numbers_of_table(done["result"]["table"]) == numbers_of_answer(answer)


NUMBERS = {
    "min": "min", "max": "max", "mean": "mean", "stdev": "stDev", "sample_count": "sampleCount",
    "no_data_count": "noDataCount",
}  # fmt: skip
"""Columns of the table by what the API calls them."""

Numbers = dict[tuple[Any, ...], dict[str, Any]]


def numbers_of_table(table: list[dict[str, Any]]) -> Numbers:
    """Return the table's numbers by interval, output and band."""
    return {
        (datetime.fromisoformat(str(row["interval_from"])), row["output"], row["band"]): {
            **{name: row[name] for name in NUMBERS},
            **{name: value for name, value in row.items() if name.startswith("p") and name[1:].isdigit()},
            "histogram": [(each["low"], each["high"], each["count"]) for each in row.get("histogram") or []],
        }
        for row in table
    }


def numbers_of_answer(answer: dict[str, Any]) -> Numbers:
    """Return the same from the API's answer."""
    return {
        (datetime.fromisoformat(entry["interval"]["from"]).astimezone(UTC), output, band): {
            **{name: number(found["stats"][theirs]) for name, theirs in NUMBERS.items()},
            **{f"p{float(k):g}": number(v) for k, v in found["stats"].get("percentiles", {}).items()},
            "histogram": [
                (each["lowEdge"], each["highEdge"], each["count"])
                for each in found.get("histogram", {}).get("bins", [])
            ],
        }
        for entry in answer["data"]
        for output, made in entry["outputs"].items()
        for band, found in made["bands"].items()
    }


def number(value: Any) -> Any:
    """Return a number of the answer as the table has it: nothing where it is none."""
    return None if value == "NaN" else value


def test_enough_is_compared() -> None:
    """A dozen questions and more, of both APIs."""
    assert len(PICTURES_THEIRS) >= 12
    assert len(TABLES_THEIRS) >= 12
    assert ELEVATION["dataFilter"]["demInstance"] == HEIGHTS.dem_instance
