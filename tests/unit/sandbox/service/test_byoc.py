"""The BYOC API over a socket: collections, tiles, and their ingestion by a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from sentinelhub_provider.sandbox.server import SandboxServer
from tests.unit.sandbox.service.conftest import FakeClock

BANDS = {"B1": {"bitDepth": 16, "sampleFormat": "UINT"}, "B2": {"bitDepth": 8, "sampleFormat": "UINT", "bandIndex": 2}}
UNKNOWN = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Byoc:
    """Calls of the API."""

    server: SandboxServer
    headers: dict[str, str]
    prefix: str = "/byoc/v1"

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> requests.Response:
        """Call a path below the collections."""
        url = f"{self.server.url}{self.prefix}/collections{path}"
        return requests.request(method, url, json=body, params=params, headers=self.headers, timeout=60)

    def create(self, name: str = "mine", **more: Any) -> str:
        """Create a collection and return its id."""
        answer = self.call("POST", "", {"name": name, "s3Bucket": "bucket", **more})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["data"]["id"])

    def add(self, collection: str, path: str = "folder/(BAND).tif", **more: Any) -> str:
        """Add a tile and return its id."""
        answer = self.call("POST", f"/{collection}/tiles", {"path": path, **more})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["data"]["id"])

    def tile(self, collection: str, tile: str) -> dict[str, Any]:
        """Return a tile."""
        data: dict[str, Any] = self.call("GET", f"/{collection}/tiles/{tile}").json()["data"]
        return data


@pytest.fixture(params=["/byoc/v1", "/api/v1/byoc"])
def byoc(request: pytest.FixtureRequest, server: SandboxServer, bearer: dict[str, str]) -> Byoc:
    """Either path scheme."""
    return Byoc(server, bearer, request.param)


def control(server: SandboxServer, method: str, path: str, body: Any = None) -> requests.Response:
    """Call the control surface."""
    return requests.request(method, f"{server.url}/sandbox/control/byoc/{path}", json=body, timeout=60)


def test_a_collection_is_made_changed_and_removed(byoc: Byoc) -> None:
    """What was sent comes back; after its removal there is nothing."""
    collection = byoc.create(additionalData={"bands": BANDS})
    data = byoc.call("GET", f"/{collection}").json()["data"]
    assert (data["name"], data["s3Bucket"], data["isConfigured"]) == ("mine", "bucket", True)
    assert data["additionalData"]["bands"] == BANDS
    assert byoc.call("PUT", f"/{collection}", {"name": "other", "s3Bucket": "another"}).status_code == 204
    data = byoc.call("GET", f"/{collection}").json()["data"]
    assert (data["name"], data["s3Bucket"], data["additionalData"]["bands"]) == ("other", "another", BANDS)
    assert byoc.call("DELETE", f"/{collection}").status_code == 204
    assert byoc.call("GET", f"/{collection}").json()["error"]["code"] == "COMMON_NOT_FOUND"


def test_a_tile_waits_is_ingested_and_then_there(byoc: Byoc, clock: FakeClock) -> None:
    """WAITING, INGESTING, INGESTED, as the clock goes; 201 did not mean that it was done."""
    collection = byoc.create()
    tile = byoc.add(collection, sensingTime="2024-06-01T10:00:00Z")
    seen = [byoc.tile(collection, tile)["status"]]
    for seconds in (1, 1, 1):
        clock.advance(seconds)
        seen.append(byoc.tile(collection, tile)["status"])
    assert seen == ["WAITING", "INGESTING", "INGESTING", "INGESTED"]
    additional = byoc.call("GET", f"/{collection}").json()["data"]["additionalData"]
    assert (additional["hasSensingTimes"], additional["fromSensingTime"]) == ("YES", "2024-06-01T10:00:00.000Z")


def test_tiles_go_on_step_by_step_if_told_so(byoc: Byoc, server: SandboxServer, clock: FakeClock) -> None:
    """Without a pace of their own they wait for ever; a step moves each on by one state."""
    assert control(server, "PUT", "ingestion", {"waiting": None, "ingesting": None}).status_code == 200
    collection = byoc.create()
    tile = byoc.add(collection)
    clock.advance(3_000)
    seen = []
    for _ in range(4):
        seen.append(byoc.tile(collection, tile)["status"])
        control(server, "POST", "step")
    assert seen == ["WAITING", "INGESTING", "INGESTED", "INGESTED"]
    assert control(server, "POST", "step").json() == {"moved": 0}


def test_a_tile_fails_for_the_cause_that_was_planned(byoc: Byoc, server: SandboxServer) -> None:
    """Only paths that match; the cause shows when it has failed; ingested anew without the plan, it is well."""
    plan = {"waiting": 0, "ingesting": 0, "failures": [{"pattern": "bad/*", "cause": "The file is no GeoTIFF."}]}
    control(server, "PUT", "ingestion", plan)
    collection = byoc.create()
    good, bad = byoc.add(collection, "good/(BAND).tif"), byoc.add(collection, "bad/(BAND).tif")
    assert byoc.tile(collection, good)["status"] == "INGESTED"
    failed = byoc.tile(collection, bad)
    assert failed["status"] == "FAILED"
    assert failed["additionalData"]["failedIngestionCause"] == "The file is no GeoTIFF."
    control(server, "PUT", "ingestion", {"waiting": 0, "ingesting": 0})
    assert byoc.call("POST", f"/{collection}/tiles/{bad}/reingest").status_code == 204
    assert byoc.tile(collection, bad)["status"] == "INGESTED"


def test_a_tile_is_ingested_with_the_warning_that_was_planned(byoc: Byoc, server: SandboxServer) -> None:
    """Only once it is ingested, and only for paths that match."""
    plan = {"waiting": None, "ingesting": None, "warnings": [{"pattern": "odd/*", "warning": "It has no overviews."}]}
    assert control(server, "PUT", "ingestion", plan).status_code == 200
    collection = byoc.create()
    odd, other = byoc.add(collection, "odd/(BAND).tif"), byoc.add(collection, "even/(BAND).tif")
    assert byoc.tile(collection, odd)["additionalData"] == {}
    for _ in range(2):
        control(server, "POST", "step")
    assert byoc.tile(collection, odd)["additionalData"] == {"warnings": "It has no overviews."}
    assert byoc.tile(collection, other)["additionalData"] == {}


def test_ingestion_is_ruled_in_the_same_process(byoc: Byoc, server: SandboxServer) -> None:
    """As over the control surface, which may be closed."""
    server.control.byoc.set_ingestion(
        waiting=None, ingesting=None, failures={"bad*": "Too old."}, warnings={"odd*": "Too small."}
    )
    collection = byoc.create()
    tiles = [byoc.add(collection, path) for path in ("bad", "odd", "good")]
    assert [server.control.byoc.step() for _ in range(3)] == [3, 3, 0]
    assert [
        (byoc.tile(collection, tile)["status"], byoc.tile(collection, tile)["additionalData"]) for tile in tiles
    ] == [
        ("FAILED", {"failedIngestionCause": "Too old."}),
        ("INGESTED", {"warnings": "Too small."}),
        ("INGESTED", {}),
    ]


def test_duplicates_are_a_conflict(byoc: Byoc) -> None:
    """A name among the client's collections, a path among a collection's tiles."""
    collection = byoc.create()
    byoc.add(collection)
    for answer in (
        byoc.call("POST", "", {"name": "mine", "s3Bucket": "bucket"}),
        byoc.call("POST", f"/{collection}/tiles", {"path": "folder/(BAND).tif"}),
        byoc.call("PUT", f"/{byoc.create('second')}", {"name": "mine", "s3Bucket": "bucket"}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "COMMON_UNIQUE_KEY_VIOLATION")


def test_lists_come_in_pages(byoc: Byoc) -> None:
    """Following the tokens, or the links, gives every tile once; the last page has no next."""
    collection = byoc.create()
    ids = [byoc.add(collection, f"tile-{number}") for number in range(5)]
    found, params = [], {"count": 2}
    while True:
        page = byoc.call("GET", f"/{collection}/tiles", **params).json()
        found += [tile["id"] for tile in page["data"]]
        if "nextToken" not in page["links"]:
            break
        params = {"count": 2, "viewtoken": page["links"]["nextToken"]}
    assert found == ids
    first = byoc.call("GET", f"/{collection}/tiles", count=2, sort="created:desc").json()
    assert [tile["id"] for tile in first["data"]] == ids[:-3:-1]
    assert "/byoc/v1/collections/" in first["links"]["next"]
    second = requests.get(first["links"]["next"], headers=byoc.headers, timeout=60).json()
    assert [tile["id"] for tile in second["data"]] == ids[2:0:-1]
    assert byoc.call("GET", f"/{collection}/tiles?path=tile-3").json()["data"][0]["id"] == ids[3]
    assert byoc.call("GET", f"/{collection}/tiles", status="INGESTED").json()["data"] == []
    assert len(byoc.call("GET", f"/{collection}/tiles", status='"WAITING"').json()["data"]) == 5


def test_everything_but_a_get_costs_a_unit(byoc: Byoc) -> None:
    """Six changes, any number of looks; what is refused is free."""
    collection = byoc.create()
    tile = byoc.add(collection)
    byoc.call("PUT", f"/{collection}/tiles/{tile}", {"sensingTime": "2024-06-01T10:00:00Z"})
    byoc.call("POST", f"/{collection}/tiles/{tile}/reingest")
    byoc.call("DELETE", f"/{collection}/tiles/{tile}")
    byoc.call("DELETE", f"/{collection}")
    byoc.call("GET", "")
    byoc.call("POST", "", {})
    assert byoc.server.control.counters().processing_units == 6


def test_ingested_tiles_are_copied(byoc: Byoc, clock: FakeClock) -> None:
    """Those that the other collection lacks; one that is not ingested stays behind."""
    source, target = byoc.create("source"), byoc.create("target")
    byoc.add(source, "ready")
    clock.advance(10)
    byoc.add(source, "fresh")
    for _ in range(2):
        assert byoc.call("POST", f"/{source}/copyTiles", toCollection=target).status_code == 204
    tiles = byoc.call("GET", f"/{target}/tiles").json()["data"]
    assert [(tile["path"], tile["status"]) for tile in tiles] == [("ready", "INGESTED")]


def test_a_collection_with_tiles_is_settled(byoc: Byoc) -> None:
    """Its bucket stays; bands may be renamed and left out, not added or changed."""
    collection = byoc.create(additionalData={"bands": BANDS})
    byoc.add(collection)

    def put(bands: Any, bucket: str = "bucket") -> int:
        body = {"name": "mine", "s3Bucket": bucket, "additionalData": {"bands": bands}}
        return byoc.call("PUT", f"/{collection}", body).status_code

    assert put(BANDS, bucket="another") == 400
    assert put({**BANDS, "B3": {"bitDepth": 32, "sampleFormat": "FLOAT"}}) == 400
    assert put({"B1": {"bitDepth": 8, "sampleFormat": "UINT"}}) == 400
    assert put({"red": BANDS["B1"], "B2": BANDS["B2"]}) == 204
    assert put({"red": BANDS["B1"]}) == 204


def test_clients_do_not_see_each_other(byoc: Byoc, new_token: Callable[..., str]) -> None:
    """A collection of another client is not there; the same name is free."""
    collection = byoc.create()
    byoc.server.control.add_client("other", "other-secret")
    other = Byoc(byoc.server, {"Authorization": f"Bearer {new_token('other', 'other-secret')}"}, byoc.prefix)
    assert other.call("GET", f"/{collection}").status_code == 404
    assert other.call("GET", "").json()["data"] == []
    other.create()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({"s3Bucket": "bucket"}, "name"),
        ({"name": "x"}, "s3Bucket"),
        ({"name": "x", "s3Bucket": "b", "noData": "0"}, "noData"),
        ({"name": "x", "s3Bucket": "b", "additionalData": []}, "additionalData"),
        ({"name": "x", "s3Bucket": "b", "additionalData": {"bands": {"B1": {}}}}, "additionalData.bands.B1.bitDepth"),
        (
            {"name": "x", "s3Bucket": "b", "additionalData": {"bands": {"B1": {"bitDepth": 8, "sampleFormat": "U"}}}},
            "additionalData.bands.B1.sampleFormat",
        ),
        (
            {"name": "x", "s3Bucket": "b", "additionalData": {"bands": {str(n): BANDS["B1"] for n in range(101)}}},
            "additionalData.bands",
        ),
        (
            {
                "name": "x",
                "s3Bucket": "b",
                "noData": 0,
                "additionalData": {"bands": {"B": {**BANDS["B1"], "noData": 1}}},
            },
            "noData",
        ),
    ],
)
def test_a_malformed_collection_is_refused(byoc: Byoc, body: Any, field: str) -> None:
    """400 with the field as key of ``errors``."""
    error = byoc.call("POST", "", body).json()["error"]
    assert (error["status"], error["code"], list(error["errors"])) == (400, "COMMON_BAD_PAYLOAD", [field])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "path"),
        ({"path": "/a"}, "path"),
        ({"path": "a//b"}, "path"),
        ({"path": "a/"}, "path"),
        ({"path": "a", "coverGeometry": {"type": "Point"}}, "coverGeometry"),
        ({"path": "a", "sensingTime": "2024-06-01"}, "sensingTime"),
        ({"path": "a", "sensingTime": 5}, "sensingTime"),
    ],
)
def test_a_malformed_tile_is_refused(byoc: Byoc, body: Any, field: str) -> None:
    """400 with the field as key of ``errors``."""
    error = byoc.call("POST", f"/{byoc.create()}/tiles", body).json()["error"]
    assert (error["status"], list(error["errors"])) == (400, [field])


@pytest.mark.parametrize(
    "params",
    [{"count": "0"}, {"count": "101"}, {"count": "x"}, {"viewtoken": "x"}, {"status": "DONE"}, {"sort": "path"}],
)
def test_a_malformed_query_is_refused(byoc: Byoc, params: dict[str, str]) -> None:
    """400 that names the parameter."""
    answer = byoc.call("GET", f"/{byoc.create()}/tiles", **params)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(next(iter(params)))


def test_what_is_not_there_is_404(byoc: Byoc) -> None:
    """Collections and tiles, by every method."""
    collection = byoc.create()
    for method, path in (
        ("GET", f"/{UNKNOWN}"),
        ("DELETE", f"/{UNKNOWN}"),
        ("GET", f"/{UNKNOWN}/tiles"),
        ("GET", f"/{collection}/tiles/{UNKNOWN}"),
        ("POST", f"/{collection}/tiles/{UNKNOWN}/reingest"),
        ("POST", f"/{collection}/copyTiles?toCollection={UNKNOWN}"),
    ):
        assert byoc.call(method, path).status_code == 404


def test_permission_is_needed_and_a_reset_forgets(byoc: Byoc, new_token: Callable[..., str]) -> None:
    """403 without; nothing left after a reset."""
    byoc.create()
    byoc.server.control.update_client(byoc.server.client_id, permissions=["process"])
    assert byoc.call("GET", "").status_code == 403
    byoc.server.control.reset()
    again = Byoc(byoc.server, {"Authorization": f"Bearer {new_token()}"}, byoc.prefix)
    assert again.call("GET", "").json()["data"] == []
