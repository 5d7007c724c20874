"""BYOC requests that the sandbox takes, and its answers, are what Sentinel Hub's descriptions allow."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from sentinelhub_provider.sandbox.server import SandboxServer
from tests.contract.openapi import check

COLLECTION: dict[str, Any] = {
    "name": "contract",
    "s3Bucket": "bucket",
    "additionalData": {"bands": {"B1": {"bitDepth": 16, "sampleFormat": "UINT", "bandIndex": 1}}},
}
POLYGON = {"type": "Polygon", "coordinates": [[[14.0, 46.0], [14.1, 46.0], [14.1, 46.1], [14.0, 46.0]]]}
TILE = {"path": "folder/(BAND).tif", "coverGeometry": POLYGON, "sensingTime": "2024-06-01T10:00:00Z"}
PLAN = {"waiting": 0, "ingesting": 0, "failures": [{"pattern": "bad*"}]}


@pytest.mark.parametrize("prefix", ["/byoc/v1", "/api/v1/byoc"])
def test_a_collection_and_its_tiles(server: SandboxServer, bearer: dict[str, str], prefix: str) -> None:
    """Every operation once, and its refusals."""
    requests.put(f"{server.url}/sandbox/control/byoc/ingestion", json=PLAN, timeout=10)

    def call(method: str, path: str, body: Any = None, *, status: int) -> Any:
        url = f"{server.url}{prefix}/collections{path}"
        answer = requests.request(method, url, json=body, headers=bearer, timeout=10)
        assert answer.status_code == status, answer.text
        check(server.control.exchanges()[-1], request=status < 400)
        return answer.json() if answer.content else None

    collection = call("POST", "", COLLECTION, status=201)["data"]["id"]
    call("POST", "", COLLECTION, status=409)
    call("POST", "", {}, status=400)
    call("GET", "?count=1", status=200)
    tile = call("POST", f"/{collection}/tiles", TILE, status=201)["data"]["id"]
    call("POST", f"/{collection}/tiles", {"path": "bad"}, status=201)
    call("POST", f"/{collection}/tiles", TILE, status=409)
    call("GET", f"/{collection}/tiles?count=1", status=200)
    call("GET", f"/{collection}/tiles", status=200)
    call("GET", f"/{collection}/tiles/{tile}", status=200)
    call("GET", f"/{collection}", status=200)
    call("PUT", f"/{collection}", {**COLLECTION, "name": "renamed"}, status=204)
    call("PUT", f"/{collection}/tiles/{tile}", {"sensingTime": None}, status=204)
    call("POST", f"/{collection}/tiles/{tile}/reingest", status=204)
    other = call("POST", "", {"name": "other", "s3Bucket": "bucket", "noData": 0}, status=201)["data"]["id"]
    call("POST", f"/{collection}/copyTiles?toCollection={other}", status=204)
    call("DELETE", f"/{collection}/tiles/{tile}", status=204)
    call("GET", f"/{collection}/tiles/{tile}", status=404)
    call("DELETE", f"/{collection}", status=204)
    call("GET", f"/{collection}", status=404)
