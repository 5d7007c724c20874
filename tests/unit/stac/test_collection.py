"""The Collection of a folder: valid, whole, and kept by many at a time."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import pytest
from stac_checks import check_stac
from together import start_together

from sentinelhub_provider.exceptions import SentinelHubOutputError
from sentinelhub_provider.stac.collection import FolderCollection, Member, joined, new_collection, with_members

MAY = ("2025-05-01T00:00:00Z", "2025-05-31T23:59:59Z")
JUNE = ("2025-06-01T00:00:00.5Z", "2025-06-30T23:59:59Z")


def member(name: Any, bbox: Any = (14.0, 46.0, 15.0, 47.0), interval: Any = JUNE) -> Member:
    """Return what a Collection knows of an item."""
    return Member(f"./{name}.stac.json", bbox, interval)


def items(folder: Path) -> list[str]:
    """Return the items of a valid Collection."""
    found = check_stac((folder / "collection.json").read_text())
    return [link["href"] for link in found["links"] if link["rel"] == "item"]


def extent(folder: Path) -> tuple[Any, Any]:
    """Return the box and the interval of a Collection as pystac reads them."""
    found = pystac.Collection.from_file(str(folder / "collection.json")).extent
    return found.spatial.bboxes[0], [found and found.isoformat() for found in found.temporal.intervals[0]]


def test_it_grows_with_its_items(tmp_path: Path):
    """In number and in extent; one that is added again is there once."""
    folder = tmp_path / "fields"
    collection = FolderCollection(folder)
    collection.add([member("a"), member("b", (13.0, 46.5, 13.5, 48.0), MAY)])
    collection.add([member("a"), member("c", None), member("c", None)])

    assert items(folder) == ["./a.stac.json", "./b.stac.json", "./c.stac.json"]
    assert extent(folder) == (
        [13.0, 46.0, 15.0, 48.0],
        ["2025-05-01T00:00:00+00:00", "2025-06-30T23:59:59+00:00"],
    )
    assert collection.id() == "fields"


def test_nothing_is_written_where_nothing_is_new(tmp_path: Path):
    """As where all pictures of a task are skipped."""
    FolderCollection(tmp_path).add([member("a")])
    before = (tmp_path / "collection.json").stat()
    FolderCollection(tmp_path).add([member("a")])

    after = (tmp_path / "collection.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_users_wrote_stays(tmp_path: Path):
    """The id, the title, the licence, further links and boxes of their own."""
    FolderCollection(tmp_path).add([member("a")])
    file = tmp_path / "collection.json"
    own = {"id": "tisza", "title": "Fields along the Tisza", "license": "CC-BY-4.0"}
    told = json.loads(file.read_text()) | own
    told["links"].append({"rel": "license", "href": "https://example.com/licence"})
    boxes = [[14.0, 46.0, 14.1, 46.1], [14.5, 46.5, 15.0, 47.0]]
    told["extent"]["spatial"]["bbox"] = [[14.0, 46.0, 15.0, 47.0], *boxes]
    file.write_text(json.dumps(told))
    FolderCollection(tmp_path).add([member("b", (14.0, 46.0, 16.0, 47.0))])

    found = check_stac(file.read_text())
    assert found["extent"]["spatial"]["bbox"] == [[14.0, 46.0, 16.0, 47.0], *boxes]
    assert {name: found[name] for name in own} == own
    assert FolderCollection(tmp_path).id() == "tisza"
    assert [link["rel"] for link in found["links"]] == ["root", "item", "license", "item"]


@pytest.mark.parametrize("there", ["not JSON", "[]", '{"type": "FeatureCollection"}', '{"type": "Catalog", "id": "a"}'])
def test_what_is_no_collection_is_left_alone(tmp_path: Path, there: str):
    """Whoever wrote it."""
    (tmp_path / "collection.json").write_text(there)
    with pytest.raises(SentinelHubOutputError, match="is not a STAC Collection and stays as it is"):
        FolderCollection(tmp_path).add([member("a")])

    assert (tmp_path / "collection.json").read_text() == there


def test_items_without_a_place_or_a_time_make_a_valid_collection():
    """The world, and all times."""
    found = with_members(new_collection("a"), [member("a", None, (None, None))])
    assert found is not None
    assert check_stac(found)["extent"] == {
        "spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]},
        "temporal": {"interval": [[None, None]]},
    }
    again = with_members(found, [member("b")])
    assert again is not None
    assert check_stac(again)["extent"]["temporal"]["interval"] == [[None, None]], "it was open, and stays so"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((10, 0, 20, 5), (15, -5, 30, 1), (10, -5, 30, 5)),
        ((170, 0, 179, 5), (-179, 0, -170, 5), (-179, 0, 179, 5)),
        ((170, 0, -170, 5), (-175, 0, -160, 5), (170, 0, -160, 5)),
        ((170, 0, -170, 5), (150, 0, 160, 5), (150, 0, -170, 5)),
        ((170, 0, -170, 5), (-180, 0, 180, 5), (-180, 0, 180, 5)),
        ((-180, -90, 180, 90), (170, 0, -170, 5), (-180, -90, 180, 90)),
        ((100, 0, -80, 5), (-90, 0, 110, 5), (-180, 0, 180, 5)),
    ],
    ids=["plain", "on both sides", "across", "across, from the west", "all around", "within all", "together around"],
)
def test_boxes_across_the_antimeridian_are_joined(one: Any, other: Any, expected: Any):
    """A west beyond its east means across."""
    assert joined(one, other) == joined(other, one) == expected


def test_joined_boxes_hold_both():
    """Whatever they are."""
    chance = random.Random(0)

    def holds(box: Any, x: float) -> bool:
        return box[0] - 1e-9 <= x <= box[2] + 1e-9 if box[0] <= box[2] else x >= box[0] - 1e-9 or x <= box[2] + 1e-9

    for _ in range(2_000):
        boxes = [(chance.uniform(-180, 180), 0.0, chance.uniform(-180, 180), 1.0) for _ in range(2)]
        whole = joined(*boxes)
        assert -180 <= whole[0] <= 180
        assert -180 <= whole[2] <= 180
        for box in boxes:
            across = (box[2] - box[0]) % 360
            for part in (0.0, 0.3, 0.7, 1.0):
                x = box[0] + part * across
                assert holds(whole, x - 360 if x > 180 else x), (boxes, whole)


def _add(folder: Path, writer: int, together: Any = None) -> None:
    if together is not None:
        together.wait()
    for number in range(40):
        FolderCollection(folder).add([member(f"{writer}-{number}", (writer, number, writer + 1, number + 1))])


def test_processes_that_write_at_once_lose_nothing_and_a_reader_sees_no_half(tmp_path: Path):
    """Also where one of them is killed in the middle; its retry completes it."""
    FolderCollection(tmp_path).add([member("first")])
    # Who reads while the others load would only keep them from it.
    writers = start_together(_add, *((tmp_path, number) for number in range(3)))
    seen = 0
    while any(writer.is_alive() for writer in writers):
        found = len(items(tmp_path))
        assert found >= seen
        seen = found
        if seen >= 20 and writers[2].is_alive():
            writers[2].kill()  # which may have ended meanwhile
    for writer in writers:
        writer.join()
    _add(tmp_path, 2)  # its retry

    assert [writer.exitcode for writer in writers[:2]] == [0, 0]
    expected = {f"./{writer}-{number}.stac.json" for writer in range(3) for number in range(40)}
    assert sorted(items(tmp_path)) == sorted({"./first.stac.json", *expected})
    assert extent(tmp_path)[0] == [0, 0, 15, 47]


def test_a_collection_of_many_items_is_small_and_quick(tmp_path: Path):
    """Ten thousand of them: a line each, and nothing that grows with each batch but the file."""
    collection = FolderCollection(tmp_path)
    for batch in range(5):
        collection.add([member(f"2026-11-27-field {batch * 2_000 + number}.tif") for number in range(2_000)])

    assert len(items(tmp_path)) == 10_000
    assert (tmp_path / "collection.json").stat().st_size < 1_500_000
    assert len(pystac.Collection.from_file(str(tmp_path / "collection.json")).get_item_links()) == 10_000


def test_it_is_made_anew_of_the_items_that_are_left(tmp_path: Path):
    """After some were removed; those of a folder within with a Collection of its own are not its."""

    def put(name: str, bbox: list[float], collection: str) -> None:
        geometry = {"type": "Point", "coordinates": bbox[:2]}
        made = pystac.Item(name, geometry, bbox, datetime(2025, 6, 1, tzinfo=UTC), {})
        made.add_link(pystac.Link("collection", collection))
        path = tmp_path / f"{name}.stac.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(made.to_dict(include_self_link=False, transform_hrefs=False)))

    FolderCollection(tmp_path).add([member("gone", (0, 0, 50, 50)), member("a")])
    put("a", [14, 46, 15, 47], "./collection.json")
    put("in/b", [14, 45, 15, 47], "../collection.json")
    put("in/c", [10, 10, 11, 11], "./collection.json")
    for number, broken in enumerate(["", "[]", '{"links": 1}', "\xff"]):
        (tmp_path / f"broken-{number}.stac.json").write_bytes(broken.encode("latin-1"))

    assert FolderCollection(tmp_path).rebuild() == 2
    assert items(tmp_path) == ["./a.stac.json", "./in/b.stac.json"]
    assert extent(tmp_path)[0] == [14, 45, 15, 47]
    for path in tmp_path.rglob("*.stac.json"):
        path.unlink()
    assert FolderCollection(tmp_path).rebuild() == 0
    assert items(tmp_path) == []


@pytest.mark.parametrize("start", ["2020-01-01", "2020-01-01T00:00:00", "2020-01-01t00:00:00z"])
def test_times_that_others_wrote_are_read(tmp_path: Path, start: str):
    """A date, a time without a zone, and small letters; and Windows editors write a byte order mark."""
    FolderCollection(tmp_path).add([member("a")])
    file = tmp_path / "collection.json"
    found = json.loads(file.read_text())
    found["extent"]["temporal"]["interval"] = [[start, None]]
    file.write_text(json.dumps(found), encoding="utf-8-sig")

    FolderCollection(tmp_path).add([member("b")])
    found = json.loads(file.read_text())
    assert found["extent"]["temporal"]["interval"] == [[start, None]]
    assert [link["href"] for link in found["links"] if link["rel"] == "item"] == [member("a").href, member("b").href]


@pytest.mark.parametrize(
    "change",
    [
        {"links": [None]},
        {"extent": {"spatial": {"bbox": [["1", "2", "3", "4"]]}, "temporal": {"interval": [[None, None]]}}},
    ],
)
def test_what_stac_does_not_allow_is_named(tmp_path: Path, change: dict[str, Any]):
    """It is not the lock that is wrong."""
    FolderCollection(tmp_path).add([member("a")])
    file = tmp_path / "collection.json"
    found = json.loads(file.read_text())
    file.write_text(json.dumps(found | change | {"links": found["links"] + change.get("links", [])}))
    with pytest.raises(SentinelHubOutputError, match="extent or links that STAC does not allow"):
        FolderCollection(tmp_path).add([member("b")])
