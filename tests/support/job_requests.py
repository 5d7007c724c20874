"""Requests of jobs for the sandbox's tests, and GeoPackages for them to read."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import requests

from sentinelhub_provider.sandbox.server import SandboxServer
from sentinelhub_provider.sandbox.world.delivery.geopackage import Feature, write_features

ACCESS_KEY = "AKIA-delivery-key"
SECRET = "delivery-secret-not-to-be-shown"
S3 = {"accessKey": ACCESS_KEY, "secretAccessKey": SECRET}
EVALSCRIPT = """//VERSION=3
function setup() { return {input: ["B04", "B08"], output: {bands: 1, sampleType: "UINT8"}}; }
function evaluatePixel(s) { return [255 * (s.B08 - s.B04) / (s.B08 + s.B04)]; }
"""
STATISTICS_EVALSCRIPT = """//VERSION=3
function setup() {
  return {input: ["B04", "B08", "dataMask"], output: [{id: "ndvi", bands: 1, sampleType: "FLOAT32"},
    {id: "dataMask", bands: 1}]};
}
function evaluatePixel(s) { return {ndvi: [(s.B08 - s.B04) / (s.B08 + s.B04)], dataMask: [s.dataMask]}; }
"""
DATA = [
    {
        "type": "sentinel-2-l2a",
        "dataFilter": {"timeRange": {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T00:00:00Z"}},
    }
]
BOX = [13.8, 45.8, 13.9, 45.9]
JUNE = ["2024-06-01", "2024-06-30"]
JUNE_TILES = {
    "collection": "sentinel-2-l2a",
    "evalscript": EVALSCRIPT,
    "time_range": JUNE,
    "bbox": BOX,
    "tiling_grid": 0,
    "resolution": 60,
}
"""Arguments of the Batch Process operator, but for the delivery."""

JUNE_PICTURE = {
    "collection": "sentinel-2-l2a",
    "evalscript": EVALSCRIPT,
    "time_range": JUNE,
    "bbox": BOX,
    "width": 64,
    "height": 64,
}
"""Arguments of the Async Process operator, but for the delivery."""


def batch_request(**more: Any) -> dict[str, Any]:
    """A Batch Process request over two tiles of the 20 km grid at 60 m."""
    return {
        "processRequest": {
            "input": {"bounds": {"bbox": BOX}, "data": copy.deepcopy(DATA)},
            "output": {"responses": [{"identifier": "default", "format": {"type": "image/tiff"}}]},
            "evalscript": EVALSCRIPT,
        },
        "input": {"type": "tiling-grid", "id": 0, "resolution": 60.0},
        "output": {"type": "raster", "delivery": {"s3": {"url": "s3://bucket/out", **S3}}},
        "description": "two tiles",
        **more,
    }


def polygons_request(**more: Any) -> dict[str, Any]:
    """A Batch Process request over the polygons of a GeoPackage."""
    request = batch_request(
        input={"type": "geopackage", "features": {"s3": {"url": "s3://bucket/fields.gpkg", **S3}}}, **more
    )
    del request["processRequest"]["input"]["bounds"]
    return request


def ten_days(until: int, **more: Any) -> dict[str, Any]:
    """Return an aggregation by ten days, from the first of June to one of its days; 31 is the first of July."""
    to = f"2024-06-{until}T00:00:00Z" if until < 31 else "2024-07-01T00:00:00Z"
    return {"timeRange": {"from": "2024-06-01T00:00:00Z", "to": to}, "aggregationInterval": {"of": "P10D"}, **more}


def statistical_request(**more: Any) -> dict[str, Any]:
    """A Batch Statistical request over the polygons of a GeoPackage."""
    return {
        "input": {"features": {"s3": {"url": "s3://bucket/fields.gpkg", **S3}}, "data": copy.deepcopy(DATA)},
        "aggregation": ten_days(21, evalscript=STATISTICS_EVALSCRIPT, resx=0.001, resy=0.001),
        "output": {"s3": {"url": "s3://bucket/stats", **S3}},
        **more,
    }


def with_member(body: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return a request's body with another value at a path."""
    if len(path) > 1:
        value = with_member(body[path[0]], path[1:], value)
    return {**body, path[0]: value}


def lasting_jobs(server: Any, new_token: Any, **durations: float) -> Jobs:
    """Return calls of Batch Process, with a token that outlives all jobs."""
    server.control.set_token_lifetime(1e9)
    server.control.jobs.set_durations(**durations)
    return Jobs(server, {"Authorization": f"Bearer {new_token()}"})


def async_request(**more: Any) -> dict[str, Any]:
    """An Async Process request of a small picture."""
    return {
        "input": {"bounds": {"bbox": BOX}, "data": copy.deepcopy(DATA)},
        "output": {
            "width": 120,
            "height": 100,
            "responses": [{"identifier": "default", "format": {"type": "image/tiff"}}],
            "delivery": {"s3": {"url": "s3://bucket/async", **S3}},
        },
        "evalscript": EVALSCRIPT,
        **more,
    }


def geopackage(names: list[str | None], *, epsg: int = 4326, size: int | None = 40) -> bytes:
    """A GeoPackage with a small square for each name, side by side."""
    features = []
    for number, name in enumerate(names):
        west, south = (13.80 + 0.02 * number, 45.80) if epsg == 4326 else (400_000.0 + 2000 * number, 5_070_000.0)
        side = 0.01 if epsg == 4326 else 1000.0
        ring = [[west, south], [west + side, south], [west + side, south + side], [west, south + side], [west, south]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        properties = {"identifier": name, "width": size, "height": size}
        features.append(Feature(number + 1, epsg, geometry, properties))
    return write_features({"fields": features}, {"identifier": str, "width": int, "height": int})


@dataclass
class Jobs:
    """Calls of an API that runs jobs; ``prefix`` is where its jobs are created."""

    server: SandboxServer
    headers: dict[str, str]
    prefix: str = "/batch/v2/process"

    def call(self, method: str, path: str = "", body: Any = None, **params: Any) -> requests.Response:
        """Call a path below the jobs."""
        url = f"{self.server.url}{self.prefix}{path}"
        return requests.request(method, url, json=body, params=params, headers=self.headers, timeout=30)

    def create(self, body: dict[str, Any]) -> str:
        """Create a job and return its id."""
        answer = self.call("POST", body=body)
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["id"])

    def act(self, job: str, action: str, *, status: int = 204) -> requests.Response:
        """Tell a job to analyse, start or stop."""
        answer = self.call("POST", f"/{job}/{action}")
        assert answer.status_code == status, answer.text
        return answer

    def get(self, job: str) -> dict[str, Any]:
        """Return a job."""
        answer = self.call("GET", f"/{job}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def status(self, job: str) -> str:
        """Return a job's status."""
        return str(self.get(job)["status"])


def run_to_its_end(jobs: Jobs, job: str) -> dict[str, Any]:
    """Start a job and step it to its end, whatever the clock says."""
    jobs.act(job, "start")
    for _ in range(5):
        if not jobs.server.control.jobs.step(job):
            break
    return jobs.get(job)
