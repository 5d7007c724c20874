"""Scenes published over time, over a socket, with a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from sentinelhub_provider.sandbox.server import SandboxServer
from sentinelhub_provider.sandbox.world.scenes.publication import Publication, PublishedScenes
from tests.unit.sandbox.service.conftest import FakeClock

TILE = "33TVL"
BOX = [14.0, 45.9, 14.1, 46.0]

Search = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def now(clock: FakeClock, server: SandboxServer) -> datetime:
    """The sandbox's present, with the synthetic world at a standstill."""
    server.control.freeze_scenes()
    return datetime.fromtimestamp(clock.now, UTC).replace(microsecond=0)


@pytest.fixture
def search(server: SandboxServer, new_token: Callable[..., str], now: datetime) -> Search:
    """Search the last ten days over a box; returns the features that were published, newest first."""

    def run(**more: Any) -> list[dict[str, Any]]:
        interval = f"{now - timedelta(days=10):%Y-%m-%dT%H:%M:%SZ}/.."
        body = {"collections": ["sentinel-2-l2a"], "bbox": BOX, "datetime": interval, "limit": 100, **more}
        bearer = {"Authorization": f"Bearer {new_token()}"}
        answer = requests.post(f"{server.url}/catalog/v1/search", json=body, headers=bearer, timeout=60)
        assert answer.status_code == 200, answer.text
        ids = {scene.id for scene in server.control.published_scenes()}
        return [feature for feature in answer.json()["features"] if feature["id"] in ids]

    return run


def control(server: SandboxServer, method: str, path: str = "", body: Any = None) -> requests.Response:
    """Call the control surface."""
    return requests.request(method, f"{server.url}/sandbox/control/scenes{path}", json=body, timeout=60)


def test_a_scene_appears_at_its_moment(server: SandboxServer, clock: FakeClock, search: Search, now: datetime) -> None:
    """Before its publication the Catalog knows nothing of it, neither by search nor by id."""
    [scene] = server.control.publish_scenes(tile=TILE, sensed=now, published=now + timedelta(hours=3), cloud_cover=12.5)
    assert search() == []
    clock.advance(3 * 3600 + 1)
    [feature] = search()
    assert feature["id"] == scene.id
    assert feature["properties"]["eo:cloud_cover"] == 12.5
    assert feature["properties"]["datetime"] == f"{now:%Y-%m-%dT%H:%M:%SZ}"


def test_late_scenes_appear_among_older_ones(server: SandboxServer, search: Search, now: datetime) -> None:
    """A scene that was sensed days ago and is published today takes its place by sensing time."""
    new = server.control.publish_scenes(tile=TILE, sensed=now)
    late = server.control.publish_scenes(tile=TILE, sensed=now - timedelta(days=4))
    middle = server.control.publish_scenes(tile=TILE, sensed=now - timedelta(days=1))
    assert [feature["id"] for feature in search()] == [new[0].id, middle[0].id, late[0].id]


def test_a_new_processing_has_the_tile_and_time_of_the_old(
    server: SandboxServer, clock: FakeClock, search: Search
) -> None:
    """Id and baseline are new; the old one stays."""
    [old] = server.control.publish_scenes(tile=TILE)
    clock.advance(60)
    [new] = server.control.publish_scenes(replaces=old.id, cloud_cover=1)
    assert (new.datetime, new.bbox) == (old.datetime, old.bbox)
    assert "_N0510_" in old.id
    assert "_N0511_" in new.id
    assert {feature["id"] for feature in search()} == {old.id, new.id}


def test_scenes_appear_one_after_another(
    server: SandboxServer, clock: FakeClock, search: Search, now: datetime
) -> None:
    """``every`` spreads them over time; hundreds at once come over several pages."""
    server.control.publish_scenes(tile=TILE, count=3, every=60)
    assert len(search()) == 1
    clock.advance(60)
    assert len(search()) == 2
    clock.advance(600)
    assert len(search()) == 3
    server.control.publish_scenes(tile=TILE, count=300, sensed=now - timedelta(days=2))
    assert len(search()) == 100
    assert len(search(next=100)) == 100


def test_a_published_scene_can_be_rendered(
    server: SandboxServer, bearer: dict[str, str], search: Search, now: datetime
) -> None:
    """Statistics see it in its interval, where without it there would be nothing."""
    quiet = next(
        day
        for day in (now - timedelta(days=back) for back in range(1, 10))
        if _statistics(server, bearer, day.date().isoformat()) == []
    )
    server.control.publish_scenes(tile=TILE, sensed=quiet, cloud_cover=0)
    [interval] = _statistics(server, bearer, quiet.date().isoformat())
    assert interval["outputs"]["data"]["bands"]["B0"]["stats"]["sampleCount"] > 0


def test_scenes_of_another_place_are_not_found(server: SandboxServer, search: Search) -> None:
    """A box finds the tile that it lies in, and the tile is found in its box only."""
    server.control.publish_scenes(bbox=(100.0, 10.0, 100.1, 10.1))
    [here] = server.control.publish_scenes(bbox=tuple(BOX), collection="sentinel-2-l2a")
    assert [feature["id"] for feature in search()] == [here.id]


def test_a_frozen_world_shows_nothing_new_of_its_own(
    server: SandboxServer, clock: FakeClock, new_token: Callable[..., str], now: datetime
) -> None:
    """While frozen, days go by without a pass; afterwards the passes of those days are there."""
    clock.advance(12 * 86400)
    body = {
        "collections": ["sentinel-2-l2a"],
        "bbox": BOX,
        "datetime": f"{now:%Y-%m-%dT%H:%M:%SZ}/..",
        "limit": 10,
    }

    bearer = {"Authorization": f"Bearer {new_token()}"}

    def found() -> int:
        answer = requests.post(f"{server.url}/catalog/v1/search", json=body, headers=bearer, timeout=60)
        return len(answer.json()["features"])

    assert found() == 0
    server.control.freeze_scenes(False)
    assert found() > 0


def test_the_control_surface_publishes(server: SandboxServer, now: datetime) -> None:
    """What Python can do, HTTP can: publish, list, freeze, clear."""
    body = {"tile": TILE, "count": 2, "sensed": (now - timedelta(days=3)).isoformat(), "cloud_cover": 5}
    made = control(server, "POST", body=body)
    assert made.status_code == 201, made.text
    assert [scene["cloud_cover"] for scene in made.json()] == [5, 5]
    assert {scene["id"] for scene in control(server, "GET").json()} == {scene["id"] for scene in made.json()}
    assert control(server, "PUT", "/freeze", {"frozen": True}).json() == {"frozen": True}
    assert control(server, "DELETE").status_code == 204
    assert control(server, "GET").json() == []


def test_a_reset_forgets_what_was_published(server: SandboxServer) -> None:
    """The next test starts with the synthetic world alone."""
    server.control.publish_scenes(tile=TILE)
    server.control.reset()
    assert server.control.published_scenes() == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "tile, bbox"),
        ({"tile": "99XXX"}, "tile"),
        ({"tile": TILE, "collection": "sentinel-1-grd"}, "collection"),
        ({"tile": TILE, "cloud_cover": 101}, "cloud_cover"),
        ({"tile": TILE, "count": 0}, "count"),
        ({"tile": TILE, "sensed": datetime(2025, 1, 1)}, "sensed"),  # noqa: DTZ001 - that is what is wrong
        ({"tile": TILE, "sensed": datetime(2090, 1, 1, tzinfo=UTC)}, "published"),
        ({"replaces": "S2A_nothing"}, "replaces"),
    ],
    ids=["no place", "no such tile", "collection", "cloud cover", "count", "naive time", "future", "unknown"],
)
def test_what_cannot_be_published_is_refused(server: SandboxServer, fields: dict[str, Any], named: str) -> None:
    """The error names the field."""
    with pytest.raises(ValueError, match=f"^{named}"):
        server.control.publish_scenes(**fields)


def test_the_scenes_of_a_folder_cannot_be_added_to() -> None:
    """What they look like on another day, nobody knows."""

    class Folder:
        """A world of its own."""

    scenes = PublishedScenes(Folder(), clock=lambda: datetime(2025, 6, 1, tzinfo=UTC))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^collection: only the synthetic scenes"):
        scenes.publish(Publication(tile=TILE))


def test_a_scene_is_published_once(server: SandboxServer) -> None:
    """Two scenes of one tile, sensed and published in the same seconds, would be one."""
    server.control.publish_scenes(tile=TILE)
    with pytest.raises(ValueError, match="published already"):
        server.control.publish_scenes(tile=TILE)


def _statistics(server: SandboxServer, bearer: dict[str, str], day: str) -> list[dict[str, Any]]:
    body = {
        "input": {
            "bounds": {"bbox": BOX, "properties": {"crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}},
            "data": [{"type": "sentinel-2-l2a"}],
        },
        "aggregation": {
            "timeRange": {"from": f"{day}T00:00:00Z", "to": f"{day}T23:59:59Z"},
            "aggregationInterval": {"of": "P1D", "lastIntervalBehavior": "SHORTEN"},
            "width": 8,
            "height": 8,
            "evalscript": "//VERSION=3\nfunction setup(){return {input:['B04','dataMask'],output:[{id:'data',bands:1},"
            "{id:'dataMask',bands:1}]}}\nfunction evaluatePixel(s){return {data:[s.B04],dataMask:[s.dataMask]}}",
        },
    }
    answer = requests.post(f"{server.url}/statistics/v1", json=body, headers=bearer, timeout=30)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data
