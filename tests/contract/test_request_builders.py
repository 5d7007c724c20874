"""What the builders make of users' arguments is what Sentinel Hub's own descriptions take, in both path schemes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from request_builders import build_with

from sentinelhub_provider.api.catalog import build_search
from sentinelhub_provider.api.evalscripts import EVALSCRIPTS
from sentinelhub_provider.api.process import build_process_request
from sentinelhub_provider.api.statistical.request import build_statistical_request
from sentinelhub_provider.api.tiling import tiles_of
from tests.contract.openapi import ContractError, check

PATHS = {
    "process": ("/process/v1", "/api/v1/process"),
    "search": ("/catalog/v1/search", "/api/v1/catalog/1.0.0/search"),
    "statistics": ("/statistics/v1", "/api/v1/statistics"),
}
ANSWERS = {
    "process": ("image/png", b"\x89PNG\r\n\x1a\n"),
    "search": ("application/geo+json", b'{"type": "FeatureCollection", "features": []}'),
    "statistics": ("application/json", b'{"status": "OK", "data": []}'),
}
FIELD = "MULTIPOLYGON (((13 45, 13.1 45, 13.1 45.1, 13 45)), ((13.2 45, 13.3 45, 13.3 45.1, 13.2 45)))"
RADAR = {
    "type": "sentinel-1-grd",
    "id": "s1",
    "dataFilter": {"polarization": "DV"},
    "processing": {"orthorectify": True, "speckleFilter": {"type": "LEE", "windowSizeX": 3, "windowSizeY": 3}},
}
COMMON: dict[str, Any] = {"collection": "sentinel-2-l2a", "time_range": "2024-06-01/2024-06-30", "evalscript": "ndvi"}


@dataclass
class Sent:
    """A request, with an answer that is good."""

    path: str
    request_body: bytes
    response_body: bytes
    response_headers: Mapping[str, str]
    method: str = "POST"
    query: str = ""
    request_headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    status: int = 200


def sent(api: str, scheme: int, body: Mapping[str, Any]) -> Sent:
    """Make the exchange that a body belongs to."""
    kind, content = ANSWERS[api]
    return Sent(PATHS[api][scheme], json.dumps(body).encode(), content, {"content-type": kind})


@pytest.fixture(params=[0, 1], ids=["current", "legacy"])
def scheme(request: pytest.FixtureRequest) -> int:
    """Which spelling of the paths."""
    return int(request.param)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"bbox": [13, 45, 13.1, 45.1], "resolution": 10}, id="metres"),
        pytest.param({"bbox": [13, 45, 13.1, 45.1], "width": 100}, id="pixels"),
        pytest.param({"bbox": [500000, 5000000, 501000, 5001000], "crs": 32633, "resolution": 10}, id="utm"),
        pytest.param({"geometry": FIELD, "resolution": 100}, id="geometry"),
        pytest.param({"geometry": FIELD, "bbox": [13, 45, 13.3, 45.1], "resolution": 100}, id="both"),
        pytest.param({"bbox": [13, 45, 13.1, 45.1], "width": 9, "mosaicking_order": "leastCC"}, id="order"),
        pytest.param({"bbox": [13, 45, 13.1, 45.1], "width": 9, "max_cloud_cover": 12.5}, id="cloud"),
        pytest.param({"bbox": [13, 45, 13.1, 45.1], "width": 9, "upsampling": "BICUBIC"}, id="resampling"),
        pytest.param({"bbox": [13, 45, 13.1, 45.1], "width": 9, "collection": ["sentinel-2-l1c", RADAR]}, id="fusion"),
        pytest.param({"bbox": [13, 45, 13.1, 45.1], "width": 9, "collection": "dem"}, id="elevation"),
    ],
)
def test_process(scheme: int, arguments: dict[str, Any]) -> None:
    """Each way to say where, how fine and of what."""
    request = build_with(build_process_request, **{**COMMON, "outputs": "tiff", **arguments})

    check(sent("process", scheme, request.body))


@pytest.mark.parametrize("name", EVALSCRIPTS)
def test_named_evalscripts(scheme: int, name: str) -> None:
    """Each as a picture and as statistics."""
    where = {"bbox": [13, 45, 13.1, 45.1], "width": 9}
    arguments = {**COMMON, **where, "evalscript": name}

    check(sent("process", scheme, build_with(build_process_request, **arguments, outputs="tiff").body))
    check(sent("statistics", scheme, build_with(build_statistical_request, **arguments).body))


def test_tiles(scheme: int) -> None:
    """The requests that a large picture is split into."""
    whole = build_with(build_process_request, **COMMON, outputs="tiff", geometry=FIELD, resolution=20, max_side=None)
    for tile in tiles_of(whole.grid, whole.bounds.geometry and whole.bounds.geometry.shape, max_size=500):
        check(sent("process", scheme, whole.of_tile(tile).body))


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({}, id="default"),
        pytest.param({"aggregation_interval": "P7D", "last_interval": "SHORTEN"}, id="weeks"),
        pytest.param({"percentiles": [5, 50, 97.5]}, id="percentiles"),
        pytest.param({"histogram": 10}, id="histogram"),
        pytest.param({"histogram": [0, 0.5, 1]}, id="edges"),
        pytest.param({"max_cloud_cover": 50, "mosaicking_order": "leastCC"}, id="clear"),
    ],
)
def test_statistics(scheme: int, arguments: dict[str, Any]) -> None:
    """Intervals and what is computed; also the request for one interval alone."""
    request = build_with(build_statistical_request, **COMMON, geometry=FIELD, resolution=100, **arguments)

    check(sent("statistics", scheme, request.body))
    check(sent("statistics", scheme, request.of_interval(request.intervals[0]).body))


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"bbox": [13, 45, 14, 46], "limit": 500}, id="box"),
        pytest.param({"intersects": FIELD}, id="geometry"),
        pytest.param({"intersects": "POINT (13 45)", "max_cloud_cover": 20}, id="cloud"),
        pytest.param({"filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 5]}}, id="json-filter"),
        pytest.param({"fields": {"include": ["id"], "exclude": ["assets"]}}, id="fields"),
        pytest.param({"distinct": "date"}, id="distinct"),
    ],
)
def test_search(scheme: int, arguments: dict[str, Any]) -> None:
    """Areas, filters and extensions of the Catalog."""
    request = build_search(collection="sentinel-2-l2a", datetime="2024-06-01/2024-06-30", **arguments)

    check(sent("search", scheme, request.body))


def test_the_check_finds_faults(scheme: int) -> None:
    """A body that is not as described fails."""
    body = build_with(build_process_request, **COMMON, outputs="tiff", bbox=[13, 45, 13.1, 45.1], width=9).body
    with pytest.raises(ContractError, match="width"):
        check(sent("process", scheme, {**body, "output": {"width": 2501, "height": 9}}))
