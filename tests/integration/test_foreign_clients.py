"""Clients that nobody here wrote work against the sandbox unchanged."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pystac_client
import pytest
import requests
from oauthlib.oauth2 import BackendApplicationClient
from official_client import at, configuration
from requests_oauthlib import OAuth2Session
from sentinelhub import (
    CRS,
    BBox,
    DataCollection,
    MimeType,
    MosaickingOrder,
    SentinelHubCatalog,
    SentinelHubRequest,
    SHConfig,
)
from sentinelhub.exceptions import DownloadFailedException

from sentinelhub_provider.sandbox.server import SandboxServer

BOX = (13.80, 45.80, 13.90, 45.88)
JUNE = ("2024-06-01", "2024-06-30")
NDVI = """//VERSION=3
function setup() {
  return {input: ["B04", "B08", "dataMask"], output: {bands: 1, sampleType: "FLOAT32"}};
}
function evaluatePixel(s) {
  return [s.dataMask ? (s.B08 - s.B04) / (s.B08 + s.B04) : NaN];
}
"""


@pytest.fixture
def server(sentinelhub_sandbox_server: SandboxServer) -> SandboxServer:
    """The sandbox as it was at its start."""
    sentinelhub_sandbox_server.control.reset()
    return sentinelhub_sandbox_server


class TestSentinelhubPy:
    """The official Python client, ``sentinelhub``."""

    @pytest.fixture
    def config(self, server: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SHConfig:
        """The client's configuration for the sandbox."""
        return configuration(server, monkeypatch, tmp_path)

    @pytest.fixture
    def l2a(self, server: SandboxServer) -> DataCollection:
        """The collection at the sandbox."""
        return at(server.url, DataCollection.SENTINEL2_L2A)

    def test_it_pages_through_a_catalog_search(self, server: SandboxServer, config: SHConfig) -> None:
        """All pages are read, with a cloud filter, under one token."""
        catalog = SentinelHubCatalog(config=config)
        box = BBox(BOX, CRS.WGS84)
        everything = list(catalog.search(DataCollection.SENTINEL2_L2A, bbox=box, time=JUNE, limit=2))
        clear = list(
            catalog.search(DataCollection.SENTINEL2_L2A, bbox=box, time=JUNE, filter="eo:cloud_cover < 40", limit=2)
        )
        covers = {item["id"]: item["properties"]["eo:cloud_cover"] for item in everything}
        assert len(everything) > 4
        assert [item["id"] for item in clear] == [name for name, cover in covers.items() if cover < 40]
        assert server.control.counters().token_requests == 1

    def test_it_reads_collections_and_items(self, config: SHConfig) -> None:
        """Landing page, collections, one collection, one item, timestamps and geometries."""
        catalog = SentinelHubCatalog(config=config)
        assert catalog.get_info()["type"] == "Catalog"
        assert catalog.get_conformance()["conformsTo"]
        assert "sentinel-2-l2a" in [collection["id"] for collection in catalog.get_collections()]
        assert catalog.get_collection(DataCollection.SENTINEL2_L1C)["id"] == "sentinel-2-l1c"
        search = catalog.search(DataCollection.SENTINEL2_L2A, bbox=BBox(BOX, CRS.WGS84), time=JUNE)
        assert search.get_timestamps() == sorted(search.get_timestamps(), reverse=True)
        assert search.get_geometries()[0].crs is CRS.WGS84
        name = search.get_ids()[0]
        assert catalog.get_feature(DataCollection.SENTINEL2_L2A, name)["id"] == name

    def test_it_gets_distinct_dates_and_chosen_fields(self, config: SHConfig) -> None:
        """The extensions come through."""
        catalog = SentinelHubCatalog(config=config)
        box = BBox(BOX, CRS.WGS84)
        dates = list(catalog.search(DataCollection.SENTINEL2_L2A, bbox=box, time=JUNE, distinct="date"))
        fields = {"include": ["id", "properties.datetime"], "exclude": []}
        items = list(catalog.search(DataCollection.SENTINEL2_L2A, bbox=box, time=JUNE, fields=fields))
        assert dates
        assert set(dates) == {item["properties"]["datetime"][:10] for item in items}
        assert set(items[0]["properties"]) == {"datetime"}

    def test_it_renders_ndvi(self, server: SandboxServer, config: SHConfig, l2a: DataCollection) -> None:
        """A float image arrives as an array with values that an NDVI can have, at the processing units it costs."""
        request = SentinelHubRequest(
            evalscript=NDVI,
            input_data=[
                SentinelHubRequest.input_data(l2a, time_interval=JUNE, mosaicking_order=MosaickingOrder.LEAST_CC)
            ],
            responses=[SentinelHubRequest.output_response("default", MimeType.TIFF)],
            bbox=BBox(BOX, CRS.WGS84),
            size=(120, 96),
            config=config,
        )
        (image,) = request.get_data()
        assert image.shape == (96, 120)
        assert image.dtype == np.float32
        assert np.nanmin(image) >= -1
        assert np.nanmax(image) <= 1
        assert np.nanstd(image) > 0.01
        assert server.control.counters().processing_units > 0

    def test_it_waits_as_long_as_the_service_says(self, server: SandboxServer, config: SHConfig) -> None:
        """A 429 with milliseconds is obeyed: the client would wait for minutes if they were seconds."""
        server.control.add_fault(path="*/collections", action={"kind": "rate_limit", "retry_after": "100"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert SentinelHubCatalog(config=config).get_collections()
        assert server.control.counters().requests["/api/v1/catalog/1.0.0/collections"] == 2

    def test_it_understands_the_errors(self, config: SHConfig, l2a: DataCollection) -> None:
        """The JavaScript error reaches the user of the client."""
        request = SentinelHubRequest(
            evalscript="//VERSION=3\nfunction setup( {",
            input_data=[SentinelHubRequest.input_data(l2a, time_interval=JUNE)],
            responses=[SentinelHubRequest.output_response("default", MimeType.PNG)],
            bbox=BBox(BOX, CRS.WGS84),
            size=(16, 16),
            config=config,
        )
        with pytest.raises(DownloadFailedException, match="SyntaxError"):
            request.get_data()


class TestPystacClient:
    """The STAC community's client."""

    @pytest.fixture
    def client(self, server: SandboxServer) -> pystac_client.Client:
        """The client, opened with a bearer token."""
        token = _fetch_token(server)
        return pystac_client.Client.open(f"{server.url}/catalog/v1", headers={"Authorization": f"Bearer {token}"})

    @pytest.mark.parametrize("method", ["POST", "GET"])
    def test_it_pages_through_a_search(self, client: pystac_client.Client, method: str) -> None:
        """Pages are followed by their links, both ways."""
        options = {
            "collections": ["sentinel-2-l2a"],
            "bbox": list(BOX),
            "datetime": "2024-06-01/2024-06-30",
            "method": method,
        }
        whole = [item.id for item in client.search(**options, limit=100).items()]
        paged = [item.id for item in client.search(**options, limit=2).items()]
        assert len(whole) > 4
        assert paged == whole
        assert len([item.id for item in client.search(**options, limit=2, max_items=3).items()]) == 3

    @pytest.mark.parametrize(
        ("method", "language", "condition"),
        [
            ("GET", "cql2-text", "eo:cloud_cover < 40"),
            ("POST", "cql2-json", {"op": "<", "args": [{"property": "eo:cloud_cover"}, 40]}),
        ],
    )
    def test_it_filters(self, client: pystac_client.Client, method: str, language: Any, condition: Any) -> None:
        """CQL2 in both encodings."""
        search = client.search(
            collections=["sentinel-2-l2a"],
            bbox=list(BOX),
            datetime="2024-06",
            method=method,
            filter=condition,
            filter_lang=language,
            limit=50,
        )
        covers = [item.properties["eo:cloud_cover"] for item in search.items()]
        assert covers
        assert max(covers) < 40

    def test_it_finds_by_geometry(self, client: pystac_client.Client) -> None:
        """``intersects`` with a GeoJSON geometry."""
        point = {"type": "Point", "coordinates": [13.85, 45.85]}
        items = list(client.search(collections=["sentinel-2-l2a"], intersects=point, datetime="2024-06").items())
        assert items
        assert all(item.bbox[0] <= 13.85 <= item.bbox[2] for item in items if item.bbox)

    def test_it_walks_collections_and_items(self, client: pystac_client.Client) -> None:
        """Collections, one collection, its items, one item: each is valid for the library."""
        assert "sentinel-2-l1c" in [collection.id for collection in client.get_collections()]
        collection = client.get_collection("sentinel-2-l2a")
        assert collection is not None
        search = client.search(collections=["sentinel-2-l2a"], bbox=list(BOX), datetime="2024-06", max_items=1)
        found = next(search.items())
        item = collection.get_item(found.id)
        assert item is not None
        assert item.id == found.id
        assert item.datetime == found.datetime


class TestDocumentedWaysToATokenAndACall:
    """The four ways that Sentinel Hub's documentation shows, against the same endpoint."""

    def test_curl(self, server: SandboxServer) -> None:
        """A form post with the secret URL-encoded, then a call with the token."""
        curl = shutil.which("curl")
        if curl is None:
            pytest.skip("curl is not installed")
        token = subprocess.run(
            [
                *(curl, "--silent", "--fail-with-body", "--request", "POST", "--url", server.token_url()),
                *("--header", "content-type: application/x-www-form-urlencoded"),
                *("--data", f"grant_type=client_credentials&client_id={server.client_id}"),
                *("--data-urlencode", f"client_secret={server.client_secret}"),
            ],
            capture_output=True,
            check=True,
            timeout=60,
        )
        bearer = json.loads(token.stdout)["access_token"]
        answer = subprocess.run(
            [
                *(curl, "--silent", "--fail-with-body", f"{server.url}/configuration/v1/wms/instances"),
                *("--header", f"Authorization: Bearer {bearer}"),
            ],
            capture_output=True,
            check=True,
            timeout=60,
        )
        assert json.loads(answer.stdout) == []

    def test_postman(self, server: SandboxServer) -> None:
        """Client credentials in a Basic header."""
        answer = requests.post(
            server.token_url(),
            data={"grant_type": "client_credentials"},
            auth=(server.client_id, server.client_secret),
            timeout=60,
        )
        assert answer.json()["token_type"] == "Bearer"
        assert _instances(server, answer.json()["access_token"]) == []

    def test_requests_oauthlib(self, server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """The Python example: an OAuth2 session that fetches its token and authorizes every call."""
        monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
        session = OAuth2Session(client=BackendApplicationClient(client_id=server.client_id))
        token = session.fetch_token(
            token_url=server.token_url(), client_secret=server.client_secret, include_client_id=True
        )
        assert set(token) >= {"access_token", "expires_at", "expires_in", "token_type"}
        assert session.get(f"{server.url}/configuration/v1/wms/instances", timeout=60).json() == []
        assert session.get(f"{server.url}/oauth/tokeninfo", timeout=60).json()["azp"] == server.client_id

    def test_a_header_set_once(self, server: SandboxServer) -> None:
        """The JavaScript example: a client that gets the header once and sends it with all its calls."""
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {_fetch_token(server)}"
            for path in ("/configuration/v1/wms/instances", "/catalog/v1/collections", "/oauth/tokeninfo"):
                assert session.get(server.url + path, timeout=60).status_code == 200
        assert server.control.counters().token_requests == 1

    def test_the_token_endpoint_is_found_by_discovery(self, server: SandboxServer) -> None:
        """OpenID Connect discovery leads to the same endpoint."""
        answer = requests.get(f"{server.url}/auth/realms/CDSE/.well-known/openid-configuration", timeout=60)
        assert re.fullmatch(
            r"http://.*/auth/realms/CDSE/protocol/openid-connect/token", answer.json()["token_endpoint"]
        )


def _fetch_token(server: SandboxServer) -> str:
    form = {"grant_type": "client_credentials", "client_id": server.client_id, "client_secret": server.client_secret}
    return str(requests.post(server.token_url(), data=form, timeout=60).json()["access_token"])


def _instances(server: SandboxServer, token: str) -> object:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{server.url}/configuration/v1/wms/instances", headers=headers, timeout=60).json()
