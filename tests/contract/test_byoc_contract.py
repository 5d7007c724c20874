"""BYOC requests that the sandbox takes, and its answers, are what Sentinel Hub's descriptions allow."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from airflow.sdk.exceptions import AirflowFailException
from job_tasks import StateStore

from sentinelhub_provider.operators import byoc
from sentinelhub_provider.operators.byoc import ByocOperator
from sentinelhub_provider.sandbox.apis.byoc.state import ByocStore
from sentinelhub_provider.sandbox.server import SandboxServer
from tests.contract.openapi import check

COLLECTION: dict[str, Any] = {
    "name": "contract",
    "s3Bucket": "bucket",
    "additionalData": {"bands": {"B1": {"bitDepth": 16, "sampleFormat": "UINT", "bandIndex": 1}}},
}
POLYGON = {"type": "Polygon", "coordinates": [[[14.0, 46.0], [14.1, 46.0], [14.1, 46.1], [14.0, 46.0]]]}
TILE = {"path": "folder/(BAND).tif", "coverGeometry": POLYGON, "sensingTime": "2024-06-01T10:00:00Z"}
PLAN = {
    "waiting": 0,
    "ingesting": 0,
    "failures": [{"pattern": "bad*"}],
    "warnings": [{"pattern": "odd*", "warning": "It has no overviews."}],
}


@pytest.mark.parametrize("prefix", ["/byoc/v1", "/api/v1/byoc"])
def test_a_collection_and_its_tiles(server: SandboxServer, bearer: dict[str, str], prefix: str) -> None:
    """Every operation once, and its refusals."""
    requests.put(f"{server.url}/sandbox/control/byoc/ingestion", json=PLAN, timeout=60)

    def call(method: str, path: str, body: Any = None, *, status: int) -> Any:
        url = f"{server.url}{prefix}/collections{path}"
        answer = requests.request(method, url, json=body, headers=bearer, timeout=60)
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


@pytest.mark.parametrize("scheme", ["current", "legacy"])
def test_what_the_operators_send(server: SandboxServer, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """Every kind of request that they make, and the answers that they read."""
    requests.put(f"{server.url}/sandbox/control/byoc/ingestion", json=PLAN, timeout=60)
    auth = {"deployment": "custom", "auth_url": server.token_url(), "auth_cache": "memory", "path_scheme": scheme}
    connection = {"conn_type": "sentinelhub", "host": server.url, "extra": auth}
    account = {"login": server.client_id, "password": server.client_secret}
    monkeypatch.setenv("AIRFLOW_CONN_SENTINELHUB_DEFAULT", json.dumps(connection | account))

    def run(kind: type[ByocOperator], **arguments: Any) -> Any:
        operator = kind(task_id="t", **arguments)
        operator._sleep = lambda _: ByocStore.of(server.sandbox).step()
        try:
            ti: Any = SimpleNamespace(xcom_push=lambda key, value: None)
            return operator.execute({"ti": ti, "task_state_store": StateStore()})  # type: ignore[typeddict-item]
        finally:
            operator.hook.get_conn().close()

    bands = {
        "B1": "uint16",
        "B2": {"bitDepth": 32, "sampleFormat": "FLOAT", "bandIndex": 2, "source": "b", "noData": -1},
    }
    create, ingest = byoc.SentinelHubByocCreateCollectionOperator, byoc.SentinelHubByocIngestOperator
    collection = run(create, name="sent", s3_bucket="bucket", bands=bands)["collection_id"]
    run(create, name="of all", s3_bucket="bucket", no_data="0.5")
    utm = "SRID=32633;POLYGON ((500000 5000000, 510000 5000000, 510000 5010000, 500000 5000000))"
    tiles = [
        {**TILE, "sensingTime": "2024-06-01T10:00:00.123456+02:00"},
        {"path": "utm/(BAND).tif", "coverGeometry": utm, "sensingTime": "2024-06-01"},
        "odd/(BAND).tif",
    ]
    run(ingest, collection_id=collection, tiles=tiles)
    run(ingest, collection_id=collection, tiles=tiles, reingest="all")
    with pytest.raises(AirflowFailException):
        run(ingest, collection_id=collection, tiles=["bad"])
    requests.put(f"{server.url}/sandbox/control/byoc/ingestion", json={"waiting": None, "ingesting": None}, timeout=60)
    run(ingest, collection_id=collection, tiles=[f"{number}/(BAND).tif" for number in range(101)])
    run(ingest, collection_id=collection, tiles=["new/(BAND).tif"])
    run(byoc.SentinelHubByocDeleteTilesOperator, collection_id=collection, tiles=tiles)
    run(byoc.SentinelHubByocDeleteCollectionOperator, collection_id=collection)

    exchanges = server.control.exchanges()
    for exchange in exchanges:
        check(exchange)
    asked = {exchange.query.partition("=")[0] for exchange in exchanges}
    assert {exchange.method for exchange in exchanges} == {"GET", "POST", "DELETE"}
    assert any("viewtoken=" in exchange.query and "sort=" in exchange.query for exchange in exchanges)
    assert any(exchange.path.endswith("/reingest") for exchange in exchanges)
    assert {"", "count", "path"} <= asked
