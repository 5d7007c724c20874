"""What the sandbox takes and answers is what Sentinel Hub's own descriptions allow, in both path schemes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest
import requests

from sentinelhub_provider.sandbox.gateway.ledger import Exchange
from sentinelhub_provider.sandbox.not_imitated import SERVICES
from sentinelhub_provider.sandbox.server import SandboxServer
from tests.contract.openapi import ContractError, check, described, operations

SCHEMES = {"current": ("/catalog/v1", "/process/v1"), "legacy": ("/api/v1/catalog/1.0.0", "/api/v1/process")}
EVALSCRIPT = """//VERSION=3
function setup() { return {input: ["B04", "B08"], output: {bands: 1, sampleType: "UINT8"}}; }
function evaluatePixel(s) { return [255 * (s.B08 - s.B04) / (s.B08 + s.B04)]; }
"""
SEARCH: dict[str, Any] = {
    "collections": ["sentinel-2-l2a"],
    "bbox": [13, 45, 14, 46],
    "datetime": "2024-06-01T00:00:00Z/2024-06-30T23:59:59Z",
    "limit": 3,
}
CLOUD = {"property": "eo:cloud_cover"}
UNKNOWN = ("unknown", "sentinel-2-l2a/items?limit=1000", "sentinel-2-l2a/items/unknown")
REFUSED_SEARCHES = ({}, {**SEARCH, "filter": "eo:cloud_cover <"}, {**SEARCH, "collections": ["unknown"]})
GEOMETRY = {"type": "Polygon", "coordinates": [[[13, 45], [14, 45], [14, 46], [13, 45]]]}
PROCESS: dict[str, Any] = {
    "input": {
        "bounds": {
            "bbox": [13.8, 45.8, 13.9, 45.9],
            "properties": {"crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"},
        },
        "data": [
            {
                "type": "sentinel-2-l2a",
                "dataFilter": {
                    "timeRange": {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T00:00:00Z"},
                    "maxCloudCoverage": 80,
                    "mosaickingOrder": "leastCC",
                },
            }
        ],
    },
    "output": {"width": 32, "height": 32, "responses": [{"identifier": "default", "format": {"type": "image/png"}}]},
    "evalscript": EVALSCRIPT,
}


@pytest.fixture(params=SCHEMES, ids=SCHEMES.keys())
def scheme(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Prefixes of the Catalog and of Process."""
    return SCHEMES[request.param]


def _last(server: SandboxServer) -> Exchange:
    return server.control.exchanges()[-1]


@pytest.mark.parametrize("path", ["", "/conformance"])
def test_open_documents(server: SandboxServer, scheme: tuple[str, str], path: str) -> None:
    """The landing page and the conformance list, without a token."""
    assert requests.get(f"{server.url}{scheme[0]}{path}", timeout=60).status_code == 200
    check(_last(server))


@pytest.mark.parametrize(
    "path",
    [
        "/collections",
        "/collections/sentinel-2-l2a",
        "/collections/sentinel-2-l1c",
        "/collections/sentinel-2-l2a/queryables",
        "/collections/sentinel-2-l2a/items?limit=2&bbox=13,45,14,46&datetime=2024-06-01T00:00:00Z/..",
        "/search?collections=sentinel-2-l2a&datetime=2024-06-01T00:00:00Z/..&bbox=13,45,14,46&limit=2",
        "/search?collections=sentinel-2-l2a&datetime=2024-06-01T00:00:00Z/..&bbox=13,45,14,46&filter=eo:cloud_cover%3C50",
        "/search?collections=sentinel-2-l2a&datetime=2024-06-01T00:00:00Z/..&bbox=13,45,14,46&distinct=date",
        "/search?collections=sentinel-2-l2a&datetime=2024-06-01T00:00:00Z/..&bbox=13,45,14,46&fields=id,-geometry",
    ],
)
def test_catalog_documents(server: SandboxServer, bearer: dict[str, str], scheme: tuple[str, str], path: str) -> None:
    """Collections, queryables, items and GET searches."""
    assert requests.get(f"{server.url}{scheme[0]}{path}", headers=bearer, timeout=60).status_code == 200
    check(_last(server))


def test_a_single_item(server: SandboxServer, bearer: dict[str, str], scheme: tuple[str, str]) -> None:
    """An item on its own."""
    url = f"{server.url}{scheme[0]}"
    found = requests.post(f"{url}/search", json=SEARCH, headers=bearer, timeout=60).json()["features"][0]
    requests.get(f"{url}/collections/sentinel-2-l2a/items/{found['id']}", headers=bearer, timeout=60)
    check(_last(server))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"next": 3},
        {"bbox": None, "intersects": GEOMETRY},
        {"filter": {"op": "<", "args": [CLOUD, 50]}, "filter-lang": "cql2-json"},
        {"filter": {"op": "between", "args": [CLOUD, 0, 50]}, "filter-lang": "cql2-json"},
        {"filter": {"op": "not", "args": [{"op": ">", "args": [CLOUD, 50]}]}, "filter-lang": "cql2-json"},
        {"filter": "eo:cloud_cover < 50", "filter-lang": "cql2-text"},
        {"fields": {"include": ["properties.eo:cloud_cover"]}},
        {"fields": {"include": ["id"], "exclude": ["links"]}},
        {"distinct": "date"},
        {"ids": ["unknown"]},
    ],
    ids=lambda change: ",".join(change) or "plain",
)
def test_searches(
    server: SandboxServer, bearer: dict[str, str], scheme: tuple[str, str], change: dict[str, Any]
) -> None:
    """POST searches with every parameter."""
    body = {name: value for name, value in {**SEARCH, **change}.items() if value is not None}
    answer = requests.post(f"{server.url}{scheme[0]}/search", json=body, headers=bearer, timeout=60)
    assert answer.status_code == 200, answer.text
    check(_last(server))


@pytest.mark.parametrize("accept", ["image/png", "image/jpeg", "image/tiff"])
def test_pictures(server: SandboxServer, bearer: dict[str, str], scheme: tuple[str, str], accept: str) -> None:
    """A picture in each format."""
    headers = {**bearer, "Accept": accept}
    answer = requests.post(f"{server.url}{scheme[1]}", json=PROCESS, headers=headers, timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (200, accept)
    check(_last(server))


def test_a_multipart_process_request(server: SandboxServer, bearer: dict[str, str], scheme: tuple[str, str]) -> None:
    """Request and evalscript as two parts of a form."""
    parts = {
        "request": (None, json.dumps({k: v for k, v in PROCESS.items() if k != "evalscript"}), "application/json"),
        "evalscript": (None, EVALSCRIPT),
    }
    answer = requests.post(f"{server.url}{scheme[1]}", files=parts, headers=bearer, timeout=30)
    assert answer.status_code == 200, answer.text
    # The library cannot take such a form apart by the description's types, so only the answer is checked.
    check(_last(server), request=False)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        *(("GET", f"/collections/{path}", None) for path in UNKNOWN),
        *((method, "/search", None) for method in ("GET", "DELETE")),
        *(("POST", "/search", body) for body in REFUSED_SEARCHES),
    ],
)
def test_catalog_errors(
    server: SandboxServer, bearer: dict[str, str], scheme: tuple[str, str], method: str, path: str, body: Any
) -> None:
    """Errors have the described shape."""
    answer = requests.request(method, f"{server.url}{scheme[0]}{path}", json=body, headers=bearer, timeout=60)
    assert answer.status_code >= 400
    if method != "DELETE":
        check(_last(server), request=False)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"input": None}, 400),
        ({"evalscript": "function"}, 400),
        ({"output": {"width": 5000, "height": 5000}}, 400),
    ],
)
def test_process_errors(
    server: SandboxServer, bearer: dict[str, str], scheme: tuple[str, str], change: dict[str, Any], status: int
) -> None:
    """Refused requests answer in the described shape."""
    answer = requests.post(f"{server.url}{scheme[1]}", json={**PROCESS, **change}, headers=bearer, timeout=30)
    assert answer.status_code == status
    check(_last(server), request=False)


def test_refusals_of_the_gateway(server: SandboxServer, bearer: dict[str, str], scheme: tuple[str, str]) -> None:
    """401, 403 and 429 of both services."""
    urls = [f"{server.url}{scheme[0]}/collections", f"{server.url}{scheme[0]}/search", f"{server.url}{scheme[1]}"]
    statuses = []

    def call(headers: dict[str, str]) -> None:
        for url, method, body in zip(urls, ("GET", "POST", "POST"), (None, SEARCH, PROCESS), strict=True):
            statuses.append(requests.request(method, url, json=body, headers=headers, timeout=30).status_code)
            check(_last(server), request=False)

    call({})
    server.control.update_client(server.client_id, account="empty")
    call(bearer)
    server.control.update_client(server.client_id, account="ok", permissions=["configuration"])
    call(bearer)
    server.control.update_client(server.client_id, permissions=["catalog", "process"])
    server.control.set_limits(requests_per_minute=0.001)
    requests.get(urls[0], headers=bearer, timeout=60)
    call(bearer)
    assert statuses == [401] * 3 + [403] * 6 + [429] * 3


def test_the_check_finds_faults(server: SandboxServer, bearer: dict[str, str]) -> None:
    """A contract test that cannot fail would be worth nothing."""
    requests.post(f"{server.url}/catalog/v1/search", json=SEARCH, headers=bearer, timeout=60)
    good = _last(server)
    check(good)
    broken = [
        replace(good, request_body=b'{"collections": []}'),
        replace(good, response_body=b'{"type": "FeatureCollection"}'),
        replace(good, response_headers={"content-type": "text/html"}),
        replace(good, status=418),
    ]
    for exchange in broken:
        with pytest.raises(ContractError):
            check(exchange)
    assert not described("/oauth/token")
    assert described("/batch/v2/process")


def test_every_described_operation_is_there_or_named_as_missing(server: SandboxServer) -> None:
    """The list of what is not imitated leaves out no path of either description."""
    unnamed = []
    for template, methods in operations():
        known = any(fnmatchcase(template, pattern) for pattern in SERVICES)
        for method in methods:
            url = server.url + re.sub(r"\{[^}]*\}", "1", template)
            status = requests.request(method, url, json={}, timeout=30).status_code
            # A route that is there asks for a token first.
            if status in (404, 405) and not known:
                unnamed.append(f"{method} {template}")
    assert unnamed == []
