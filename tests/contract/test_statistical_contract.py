"""Statistical requests that the sandbox takes, and its answers, are what Sentinel Hub's descriptions allow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import requests

from sentinelhub_provider.sandbox.server import SandboxServer
from tests.contract.openapi import ContractError, check

PATHS = ("/statistics/v1", "/api/v1/statistics")
PROCESS_PATHS = {"/statistics/v1": "/process/v1", "/api/v1/statistics": "/api/v1/process"}
EVALSCRIPT = """//VERSION=3
function setup() {
  return { input: ["B04", "SCL", "dataMask"], output: [
    { id: "red", bands: ["red"] }, { id: "classes", bands: 1, sampleType: "UINT8" }, { id: "dataMask", bands: 1 }] };
}
function evaluatePixel(s) { return { red: [s.B04], classes: [s.SCL], dataMask: [s.dataMask] }; }
"""
TRIANGLE = {"type": "Polygon", "coordinates": [[[14.02, 46.02], [14.03, 46.02], [14.025, 46.03], [14.02, 46.02]]]}
JUNE = {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T00:00:00Z"}
BODY: dict[str, Any] = {
    "input": {"bounds": {"bbox": [14.02, 46.02, 14.03, 46.03]}, "data": [{"type": "sentinel-2-l2a"}]},
    "aggregation": {
        "timeRange": JUNE,
        "aggregationInterval": {"of": "P10D", "lastIntervalBehavior": "SHORTEN"},
        "width": 16,
        "height": 16,
        "evalscript": EVALSCRIPT,
    },
}
CALCULATIONS = {
    "red": {
        "histograms": {"red": {"nBins": 5, "lowEdge": 0.0, "highEdge": 0.3}},
        "statistics": {"default": {"percentiles": {"k": [5, 50, 95]}}},
    },
    "default": {"histograms": {"default": {"bins": [0, 4, 8, 12]}}},
}
RADAR = {
    "type": "sentinel-1-grd",
    "dataFilter": {"acquisitionMode": "IW", "polarization": "DV", "orbitDirection": "ASCENDING", "resolution": "HIGH"},
    "processing": {
        "backCoeff": "GAMMA0_TERRAIN",
        "orthorectify": True,
        "demInstance": "COPERNICUS_30",
        "speckleFilter": {"type": "LEE", "windowSizeX": 3, "windowSizeY": 3},
    },
}
ELEVATION = {"type": "dem", "dataFilter": {"demInstance": "COPERNICUS_90"}, "processing": {"egm": True}}


FUSION = """//VERSION=3
function setup() {
  return {
    input: [{ datasource: "optical", bands: ["B04"] }, { datasource: "radar", bands: ["VV"] }],
    output: { bands: 2, sampleType: "FLOAT32" }
  };
}
function evaluatePixel(s) { return [s.optical[0].B04, s.radar[0].VV]; }
"""


def one_band(band: str) -> str:
    """An evalscript of one band."""
    return (
        f'//VERSION=3\nfunction setup() {{ return {{ input: ["{band}", "dataMask"], output: ['
        '{ id: "default", bands: 1 }, { id: "dataMask", bands: 1 }] }; }\n'
        f"function evaluatePixel(s) {{ return {{ default: [s.{band}], dataMask: [s.dataMask] }}; }}"
    )


def changed(**parts: Any) -> dict[str, Any]:
    """The request with parts replaced: ``bounds``, ``data``, ``calculations``; others are the aggregation's."""
    body: dict[str, Any] = {"input": dict(BODY["input"]), "aggregation": dict(BODY["aggregation"])}
    for name, value in parts.items():
        if name in ("bounds", "data"):
            body["input"][name] = value
        elif name == "calculations":
            body[name] = value
        else:
            body["aggregation"][name] = value
    return body


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"bounds": {"geometry": TRIANGLE}},
        {"calculations": CALCULATIONS},
        {"width": None, "height": None, "resx": 0.001, "resy": 0.001},
        {"evalscript": EVALSCRIPT.replace("[s.dataMask]", "[0]"), "calculations": CALCULATIONS},
        {"evalscript": EVALSCRIPT.replace("[s.B04]", "[s.B04.x.y]")},
        {"timeRange": {"from": "2010-01-01T00:00:00Z", "to": "2010-02-01T00:00:00Z"}},
        {"data": [RADAR], "evalscript": one_band("VV")},
        {"data": [ELEVATION], "evalscript": one_band("DEM")},
    ],
    ids=["plain", "geometry", "calculations", "resolution", "masked", "failed", "empty", "radar", "elevation"],
)
def test_statistics(server: SandboxServer, bearer: dict[str, str], path: str, parts: dict[str, Any]) -> None:
    """Requests of every kind and what is answered to them, in both path schemes."""
    body = changed(**parts)
    body["aggregation"] = {name: value for name, value in body["aggregation"].items() if value is not None}
    answer = requests.post(f"{server.url}{path}", json=body, headers=bearer, timeout=30)
    assert answer.status_code == 200, answer.text
    check(server.control.exchanges()[-1])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("parts", "status"),
    [({"timeRange": None}, 400), ({"evalscript": "//VERSION=3\nnothing"}, 400), ({"data": []}, 400)],
    ids=["field", "evalscript", "data"],
)
def test_refusals(server: SandboxServer, bearer: dict[str, str], path: str, parts: dict[str, Any], status: int) -> None:
    """Refused requests answer in the described shape."""
    answer = requests.post(f"{server.url}{path}", json=changed(**parts), headers=bearer, timeout=30)
    assert answer.status_code == status
    check(server.control.exchanges()[-1], request=False)


@pytest.mark.parametrize("path", PATHS)
def test_refusals_of_the_gateway(server: SandboxServer, bearer: dict[str, str], path: str) -> None:
    """No permission."""
    server.control.update_client(server.client_id, permissions=["process"])
    assert requests.post(f"{server.url}{path}", json=BODY, headers=bearer, timeout=30).status_code == 403
    check(server.control.exchanges()[-1], request=False)


@pytest.mark.parametrize("path", PROCESS_PATHS.values())
@pytest.mark.parametrize(
    ("data", "evalscript"),
    [
        ([RADAR], one_band("VH")),
        ([ELEVATION], one_band("DEM")),
        (
            [{"type": "sentinel-2-l2a", "id": "optical"}, {**RADAR, "id": "radar"}],
            FUSION,
        ),
    ],
    ids=["radar", "elevation", "fusion"],
)
def test_pictures_of_further_collections(
    server: SandboxServer, bearer: dict[str, str], path: str, data: list[Any], evalscript: str
) -> None:
    """Process requests of radar, heights and several datasets at once."""
    body = {
        "input": {"bounds": {"bbox": [14.02, 46.02, 14.03, 46.03]}, "data": data},
        "output": {
            "width": 16,
            "height": 16,
            "responses": [{"identifier": "default", "format": {"type": "image/tiff"}}],
        },
        "evalscript": evalscript,
    }
    answer = requests.post(f"{server.url}{path}", json=body, headers=bearer, timeout=30)
    assert answer.status_code == 200, answer.text
    check(server.control.exchanges()[-1])


def test_the_check_finds_faults(server: SandboxServer, bearer: dict[str, str]) -> None:
    """A contract test that cannot fail would be worth nothing."""
    requests.post(f"{server.url}{PATHS[0]}", json=BODY, headers=bearer, timeout=30)
    good = server.control.exchanges()[-1]
    check(good)
    for broken in (
        replace(good, request_body=b'{"input": {}}'),
        replace(good, response_body=b'{"status": "DONE"}'),
        replace(good, response_body=b'{"status": "OK", "geometryPixelCount": "many"}'),
    ):
        with pytest.raises(ContractError):
            check(broken)
