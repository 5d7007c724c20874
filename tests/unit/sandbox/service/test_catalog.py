"""The Catalog over HTTP: what a search finds, and how its pages hang together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from sentinelhub_provider.sandbox.server import SandboxServer

from .conftest import FakeClock

CATALOG = "/catalog/v1"
LEGACY = "/api/v1/catalog/1.0.0"
L2A = "sentinel-2-l2a"
BOX = [13.0, 45.0, 14.0, 46.0]
JUNE: dict[str, Any] = {
    "collections": [L2A],
    "bbox": BOX,
    "datetime": "2024-06-01T00:00:00Z/2024-06-30T23:59:59Z",
    "limit": 100,
}


def _search(server: SandboxServer, bearer: dict[str, str], **change: Any) -> dict[str, Any]:
    body = {name: value for name, value in {**JUNE, **change}.items() if value is not None}
    answer = requests.post(f"{server.url}{CATALOG}/search", json=body, headers=bearer, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/geo+json"
    result: dict[str, Any] = answer.json()
    return result


def _ids(page: dict[str, Any]) -> list[str]:
    return [feature["id"] for feature in page["features"]]


def test_a_search_finds_scenes_of_its_area_and_time_newest_first(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Every result lies in the interval and meets the box."""
    features = _search(server, bearer)["features"]
    moments = [feature["properties"]["datetime"] for feature in features]
    assert 12 <= len(features) < 100
    assert moments == sorted(moments, reverse=True)
    assert all("2024-06-01T00:00:00Z" <= moment <= "2024-06-30T23:59:59Z" for moment in moments)
    for west, south, east, north in (feature["bbox"] for feature in features):
        assert west <= BOX[2]
        assert east >= BOX[0]
        assert south <= BOX[3]
        assert north >= BOX[1]


def test_pages_add_up_to_the_whole(server: SandboxServer, bearer: dict[str, str]) -> None:
    """``next`` of one page gives the following; none is lost or repeated; the last has no ``next``."""
    whole = _ids(_search(server, bearer))
    found: list[str] = []
    following: int | None = None
    for _ in range(len(whole)):
        page = _search(server, bearer, limit=5, next=following)
        assert page["context"]["limit"] == 5
        assert page["context"]["returned"] == len(page["features"])
        found += _ids(page)
        following = page["context"].get("next")
        if following is None:
            break
    assert found == whole


def test_the_next_link_of_a_post_merges_into_the_body(server: SandboxServer, bearer: dict[str, str]) -> None:
    """STAC clients follow the link, with its body merged into the first one."""
    page = _search(server, bearer, limit=3)
    link = next(link for link in page["links"] if link["rel"] == "next")
    assert (link["method"], link["merge"], link["body"]) == ("POST", True, {"next": 3})
    followed = requests.post(link["href"], json={**JUNE, "limit": 3, **link["body"]}, headers=bearer, timeout=30)
    assert _ids(followed.json()) == _ids(_search(server, bearer))[3:6]


def test_the_next_link_of_a_get_is_a_whole_address(server: SandboxServer, bearer: dict[str, str]) -> None:
    """A GET page leads on by its address alone, in the current path scheme even for the legacy one."""
    params = {"collections": L2A, "bbox": "13,45,14,46", "datetime": JUNE["datetime"], "limit": "3"}
    first = requests.get(f"{server.url}{LEGACY}/search", params=params, headers=bearer, timeout=30).json()
    link = next(link for link in first["links"] if link["rel"] == "next")
    assert link["href"].startswith(f"{server.url}{CATALOG}/search?")
    second = requests.get(link["href"], headers=bearer, timeout=30).json()
    assert _ids(first) + _ids(second) == _ids(_search(server, bearer))[:6]


def test_cloud_cover_filters_select(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Text and JSON filters find the same, and all that is below the limit."""
    everything = _search(server, bearer)["features"]
    clear = [f["id"] for f in everything if f["properties"]["eo:cloud_cover"] < 30]
    tree = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 30]}
    assert 0 < len(clear) < len(everything)
    assert _ids(_search(server, bearer, filter="eo:cloud_cover < 30")) == clear
    assert _ids(_search(server, bearer, filter=tree, **{"filter-lang": "cql2-json"})) == clear


def test_distinct_dates_are_plain_strings(server: SandboxServer, bearer: dict[str, str]) -> None:
    """``distinct`` answers with values, each once, in pages as well."""
    dates = sorted({feature["properties"]["datetime"][:10] for feature in _search(server, bearer)["features"]})
    page = _search(server, bearer, distinct="date")
    assert sorted(page["features"]) == dates
    first = _search(server, bearer, distinct="date", limit=4)
    rest = _search(server, bearer, distinct="date", next=first["context"]["next"])
    assert first["features"] + rest["features"] == page["features"]


def test_intersects_is_exact_where_a_bbox_is_not(server: SandboxServer, bearer: dict[str, str]) -> None:
    """A line along the diagonal finds no more than its box, and only what it touches."""
    point = {"type": "Point", "coordinates": [13.5, 45.5]}
    found = _search(server, bearer, bbox=None, intersects=point)["features"]
    assert 0 < len(found) < len(_search(server, bearer)["features"])
    for feature in found:
        west, south, east, north = feature["bbox"]
        assert west <= 13.5 <= east
        assert south <= 45.5 <= north


def test_a_box_over_the_antimeridian_finds_both_sides(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Scenes on either side of 180 degrees are found, each once, newest first."""
    features = _search(server, bearer, bbox=[179.5, -17.5, -179.5, -17.0])["features"]
    ids = [feature["id"] for feature in features]
    moments = [feature["properties"]["datetime"] for feature in features]
    middles = [(feature["bbox"][0] + feature["bbox"][2]) / 2 for feature in features]
    assert len(ids) == len(set(ids))
    assert moments == sorted(moments, reverse=True)
    assert any(middle > 170 for middle in middles)
    assert any(middle < -170 for middle in middles)


def test_an_instant_finds_the_scene_of_that_moment(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Both ends of an interval are included, so that an instant is one too."""
    moment = _search(server, bearer)["features"][0]["properties"]["datetime"]
    found = _search(server, bearer, datetime=moment)["features"]
    assert found
    assert {feature["properties"]["datetime"] for feature in found} == {moment}


def test_ids_find_exactly_those(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Unknown ids are left out, and so are known ones out of the interval."""
    first, second = _ids(_search(server, bearer))[:2]
    found = _search(server, bearer, ids=[second, "unknown", first])
    assert sorted(_ids(found)) == sorted([first, second])
    assert not _ids(_search(server, bearer, ids=[first], datetime="2020-01-01T00:00:00Z/2020-02-01T00:00:00Z"))


def test_open_intervals_end_now_and_start_with_the_collection(
    server: SandboxServer, bearer: dict[str, str], clock: FakeClock
) -> None:
    """No scene is younger than the present, none older than the collection."""
    now = datetime.fromtimestamp(clock.now, UTC)
    newest = _search(server, bearer, datetime="2025-01-01T00:00:00Z/..", limit=1)["features"][0]
    assert now.strftime("%Y-%m") <= newest["properties"]["datetime"] <= now.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert not _search(server, bearer, datetime="../2015-12-31T00:00:00Z")["features"]
    assert not _search(server, bearer, datetime="2090-01-01T00:00:00Z/..")["features"]


def test_an_item_is_the_same_alone_as_in_a_search(server: SandboxServer, bearer: dict[str, str]) -> None:
    """The self link of a result leads to the same item."""
    item = _search(server, bearer, limit=1)["features"][0]
    self_link = next(link["href"] for link in item["links"] if link["rel"] == "self")
    answer = requests.get(self_link, headers=bearer, timeout=60)
    assert answer.headers["content-type"] == "application/geo+json"
    assert answer.json() == item


def test_items_of_a_collection_are_paged(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Listing items takes a box, a time and a limit."""
    params = {"bbox": "13,45,14,46", "datetime": JUNE["datetime"], "limit": "4"}
    url = f"{server.url}{CATALOG}/collections/{L2A}/items"
    page = requests.get(url, params=params, headers=bearer, timeout=60).json()
    assert _ids(page) == _ids(_search(server, bearer))[:4]
    link = next(link for link in page["links"] if link["rel"] == "next")
    following = requests.get(link["href"], headers=bearer, timeout=60).json()
    assert _ids(following) == _ids(_search(server, bearer))[4:8]


def test_items_without_any_condition_are_one_page(server: SandboxServer, bearer: dict[str, str]) -> None:
    """The whole world since 2016 is never listed: the first page is enough."""
    page = requests.get(f"{server.url}{CATALOG}/collections/{L2A}/items", headers=bearer, timeout=120).json()
    assert len(page["features"]) == 10


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/collections/landsat-ot-l1", 404),
        ("/collections/landsat-ot-l1/queryables", 404),
        ("/collections/landsat-ot-l1/items", 404),
        (f"/collections/{L2A}/items/unknown", 404),
        (f"/collections/{L2A}/items?limit=1000", 400),
        (f"/search?collections={L2A}", 400),
        ("/search?collections=unknown&datetime=2024-06-01T00:00:00Z", 400),
        ("/nothing", 404),
    ],
)
def test_errors_have_the_catalogs_shape(server: SandboxServer, bearer: dict[str, str], path: str, status: int) -> None:
    """``code`` and ``description``, without a wrapper."""
    answer = requests.get(f"{server.url}{CATALOG}{path}", headers=bearer, timeout=60)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "description"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filter": "platform = 'sentinel-2a'"}, "cannot be filtered by"),
        ({"distinct": "eo:snow"}, "distinct: 'eo:snow' is not possible"),
    ],
)
def test_what_a_collection_cannot_do_is_said(
    server: SandboxServer, bearer: dict[str, str], change: dict[str, Any], message: str
) -> None:
    """Filters and distinct are bound to the collection's own properties."""
    answer = requests.post(f"{server.url}{CATALOG}/search", json={**JUNE, **change}, headers=bearer, timeout=60)
    assert answer.status_code == 400
    assert message in answer.json()["description"]


def test_a_search_without_end_is_stopped(
    server: SandboxServer, bearer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that nothing passes would go through all scenes of the world; it is refused with advice."""
    monkeypatch.setattr("sentinelhub_provider.sandbox.apis.catalog.search.MAX_SCANNED", 50)
    body = {**JUNE, "filter": "eo:cloud_cover < 0", "datetime": "../2025-01-01T00:00:00Z"}
    answer = requests.post(f"{server.url}{CATALOG}/search", json=body, headers=bearer, timeout=30)
    assert answer.status_code == 400
    assert "narrow it" in answer.json()["description"]


def test_queryables_are_a_json_schema(server: SandboxServer, bearer: dict[str, str]) -> None:
    """The names there are those that a filter takes."""
    answer = requests.get(f"{server.url}{CATALOG}/collections/{L2A}/queryables", headers=bearer, timeout=60)
    assert answer.headers["content-type"] == "application/schema+json"
    assert set(answer.json()["properties"]) == {"eo:cloud_cover"}


def test_links_follow_the_address_that_was_called(server: SandboxServer) -> None:
    """Behind another name the links lead back to that name."""
    answer = requests.get(f"{server.url}{CATALOG}", headers={"Host": "sandbox.test:1234"}, timeout=60)
    assert {link["href"].split("/catalog")[0] for link in answer.json()["links"] if link["rel"] != "service-doc"} == {
        "http://sandbox.test:1234"
    }


@pytest.mark.parametrize(
    ("query", "description"),
    [
        ("collections=nothing&datetime=2024-06-01T00:00:00Z", "Illegal collection"),
        (f"collections={L2A}&datetime=2024-07-01T00:00:00Z/2024-06-01T00:00:00Z", "Cannot parse parameter `datetime`."),
    ],
)
def test_errors_are_worded_as_the_service_does(
    server: SandboxServer, bearer: dict[str, str], query: str, description: str
) -> None:
    """Seen on the wire: a number as code, and these words."""
    answer = requests.get(f"{server.url}{CATALOG}/search?{query}", headers=bearer, timeout=60)
    assert (answer.status_code, answer.json()) == (400, {"code": 400, "description": description})


def test_links_of_the_landing_page_lead_somewhere(server: SandboxServer, bearer: dict[str, str]) -> None:
    """The description of the API and the queryables of all collections."""
    page = requests.get(f"{server.url}{CATALOG}", timeout=60).json()
    links = {link["rel"].rpartition("/")[2]: link for link in page["links"]}
    described = requests.get(links["service-desc"]["href"], timeout=60)
    assert described.headers["content-type"] == links["service-desc"]["type"]
    assert f"{CATALOG}/search" in described.json()["paths"]
    queryables = requests.get(links["queryables"]["href"], headers=bearer, timeout=60).json()
    assert {"eo:cloud_cover", "sar:instrument_mode"} <= set(queryables["properties"])
    assert links["service-doc"]["type"] == "text/html"


@pytest.mark.parametrize("path", [f"/collections/{L2A}/", "/collections/", "/conformance/", "/queryables/"])
def test_a_slash_at_the_end_changes_nothing(server: SandboxServer, bearer: dict[str, str], path: str) -> None:
    """The documentation writes such paths."""
    with_slash, without = (
        requests.get(f"{server.url}{CATALOG}{each}", headers=bearer, timeout=120) for each in (path, path.rstrip("/"))
    )
    assert (with_slash.status_code, with_slash.json()) == (200, without.json())
