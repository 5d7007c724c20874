"""A STAC Collection beside the items of a folder, which many tasks can update at the same time.

The Collection is one file with a link to each item. Links and extents are only added, under a lock, and the file is
replaced as a whole. Changes of users, such as a title and a licence, stay.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, cast

import pystac

from sentinelhub_provider.api.time_range import parse_time
from sentinelhub_provider.api.values import decode
from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubOutputError, SentinelHubRequestError
from sentinelhub_provider.hooks.output import folder_lock, forget_listings, place_of, store
from sentinelhub_provider.stac import COLLECTION_FILE, ITEM_SUFFIX
from sentinelhub_provider.transport.download import storing

LOCK_FILE = f".{COLLECTION_FILE}.lock"
WORLD = (-180.0, -90.0, 180.0, 90.0)

log = logging.getLogger(__name__)

Box = tuple[float, float, float, float]
Interval = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Member:
    """The Collection's facts about an item: its address, relative to the Collection, and its extent."""

    href: str
    bbox: Box | None
    interval: Interval

    @classmethod
    def of(cls, item: Mapping[str, Any], href: str) -> Member:
        """Read an item's JSON."""
        properties = item["properties"]
        start, end = (properties.get(which, properties.get("datetime")) for which in ("start_datetime", "end_datetime"))
        return cls(href, _flat(item.get("bbox")), (start, end))


class FolderCollection:
    """The Collection of a folder.

    :param folder: a local path, or a URL that Airflow's object storage knows.
    :param lock: keeps others from writing at the same time. For a local path, the default is a file in the folder. For
        an object storage you must give one, or only one task at a time may write.
    """

    def __init__(self, folder: Any, *, lock: Callable[[], AbstractContextManager[Any]] | None = None) -> None:
        self.path = f"{str(folder).rstrip('/')}/{COLLECTION_FILE}"
        self._folder = folder
        self._lock = lock

    def id(self) -> str:
        """Return the Collection's ID from its file, else the folder's name."""
        found = self._read()
        return str(found["id"]) if found is not None else self._own_id()

    def add(self, members: Iterable[Member]) -> None:
        """Add items. Known items stay, and nothing is written if nothing changes.

        :raises SentinelHubOutputError: if it cannot be read, written or locked, or the file is something else.
        """
        with self._locked():
            found = self._read()
            try:
                changed = with_members(new_collection(self._own_id()) if found is None else found, members)
            except (SentinelHubRequestError, AttributeError, LookupError, TypeError) as error:
                raise SentinelHubOutputError(
                    f"{self.path} has an extent or links that STAC does not allow ({error}). Correct them."
                ) from error
            if changed is not None:
                self._write(changed)

    def rebuild(self) -> int:
        """Rebuild the Collection from the items in the folder and return their number.

        Use it when items were removed or moved. Changes of users in the Collection stay. It raises the errors of
        :meth:`add`.
        """
        with self._locked():
            found = self._read() or new_collection(self._own_id())
            found["links"] = [link for link in found.get("links") or () if link.get("rel") != "item"]
            members = []
            with storing(self.path):
                folder: Any = place_of(self._folder)
                forget_listings(folder)
                for file in sorted(folder.glob(f"**/*{ITEM_SUFFIX}"), key=str):
                    name = PurePosixPath(file.relative_to(folder))
                    text = file.read_bytes()
                    try:
                        item = json.loads(text)
                        links = {link["rel"]: link["href"] for link in item["links"]}
                        if links.get("collection") == upwards(name):  # not that of a folder within this one
                            members.append(Member.of(item, f"./{name}"))
                    except (ValueError, TypeError, KeyError):
                        log.warning("%s is not a STAC Item and is left out", file)
            changed = with_members(found, members) or found | {"extent": new_collection("")["extent"]}
            self._write(changed)
        return len(members)

    def _write(self, collection: Mapping[str, Any]) -> None:
        store(to_bytes(collection), self.path, content_type="application/json")

    def _own_id(self) -> str:
        return str(place_of(self._folder)).rstrip("/").rpartition("/")[2].rpartition("@")[2] or "pictures"

    def _read(self) -> dict[str, Any] | None:
        """Return the file's JSON, ``None`` if there is no file."""
        with storing(self.path, "the STAC Collection"):
            place: Any = place_of(self.path)
            forget_listings(place)
            if not place.exists():
                return None
            text = place.read_bytes()
        try:
            found = json.loads(decode(text))
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("type") != "Collection" or not isinstance(found.get("id"), str):
            raise SentinelHubOutputError(f"{self.path} is not a STAC Collection and stays as it is. Move it away.")
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with folder_lock(place_of(self._folder), LOCK_FILE) if self._lock is None else self._lock():
                yield
        except SentinelHubError:
            raise
        except Exception as error:  # of filelock or of Redis
            raise SentinelHubOutputError(f"{self.path} cannot be locked ({type(error).__name__}).") from error


def upwards(name: PurePosixPath) -> str:
    """Return the Collection's address relative to an item. ``name`` is the item's, relative to the Collection."""
    return ("../" * (len(name.parts) - 1) or "./") + COLLECTION_FILE


def to_bytes(document: Mapping[str, Any]) -> bytes:
    """Return JSON in UTF-8. Lone surrogates, which identifiers may have, become escapes."""
    return json.dumps(document, ensure_ascii=False).encode(errors="backslashreplace")


def new_collection(collection_id: str) -> dict[str, Any]:
    """Return a Collection without items."""
    always: list[datetime | None] = [None, None]
    extent = pystac.Extent(pystac.SpatialExtent([list(WORLD)]), pystac.TemporalExtent([always]))
    made = pystac.Collection(
        collection_id,
        "Pictures that Sentinel Hub made, stored by airflow-provider-sentinelhub.",
        extent,
        license="other",
        providers=[
            pystac.Provider("Sentinel Hub", roles=[pystac.ProviderRole.PROCESSOR], url="https://www.sentinel-hub.com/")
        ],
    ).to_dict(include_self_link=False, transform_hrefs=False)
    made["links"] = [{"rel": "root", "href": f"./{COLLECTION_FILE}", "type": pystac.MediaType.JSON.value}]
    return made


def with_members(collection: Mapping[str, Any], members: Iterable[Member]) -> dict[str, Any] | None:
    """Return a Collection with more items and a wider extent, ``None`` if it already has them."""
    links = list(collection.get("links") or [])
    known = {link.get("href") for link in links if link.get("rel") == "item"}
    extent = collection.get("extent") if known else None  # a Collection without items has the extent of the world
    bbox, interval = _extent_of(extent)
    before = bbox, interval
    for member in members:
        if member.href not in known:
            known.add(member.href)
            links.append({"rel": "item", "href": member.href, "type": pystac.MediaType.GEOJSON.value})
        if member.bbox is not None:
            bbox = member.bbox if bbox is None else joined(bbox, member.bbox)
        interval = _longer(interval, member.interval)
    if (bbox, interval) == before and len(links) == len(collection.get("links") or []):
        return None
    spatial, temporal = {"bbox": [list(bbox or WORLD)]}, {"interval": [list(interval or (None, None))]}
    if extent is not None and before != (None, None):  # the first ones are of all items, the others are the users' own
        spatial["bbox"] += extent["spatial"]["bbox"][1:]
        temporal["interval"] += extent["temporal"]["interval"][1:]
    return {**collection, "links": links, "extent": {**(extent or {}), "spatial": spatial, "temporal": temporal}}


def joined(one: Box, other: Box) -> Box:
    """Return the box around two boxes. If one crosses the antimeridian the result does, unless it spans the world."""
    south, north = min(one[1], other[1]), max(one[3], other[3])
    if one[0] <= one[2] and other[0] <= other[2]:
        return min(one[0], other[0]), south, max(one[2], other[2]), north
    best = (-180.0, 360.0)  # west, and the degrees from there to the east
    for first, second in ((one, other), (other, one)):
        width = max(_width(first), (second[0] - first[0]) % 360 + _width(second))
        if width < best[1]:
            best = first[0], width
    east = best[0] + best[1]
    return best[0], south, east - 360 if east > 180 else east, north


def _width(box: Box) -> float:
    return box[2] - box[0] + (360 if box[0] > box[2] else 0)


def _extent_of(extent: Any) -> tuple[Box | None, Interval | None]:
    """Return the first box and interval of an extent, which are those of all items, ``None`` if it has none."""
    try:
        bbox, (start, end) = extent["spatial"]["bbox"][0], extent["temporal"]["interval"][0]
    except (TypeError, KeyError, IndexError, ValueError):
        return None, None
    return _flat(bbox), (start, end)


def _flat(bbox: Any) -> Box | None:
    """Return a box without heights."""
    if bbox is None:
        return None
    return (bbox[0], bbox[1], bbox[3], bbox[4]) if len(bbox) == 6 else cast("Box", tuple(bbox))


def _moment(text: str) -> datetime:
    """Read a time, which others may have written without a zone, or as a date."""
    return parse_time(text, "extent")


def _longer(interval: Interval | None, other: Interval) -> Interval:
    if interval is None:
        return other
    starts, ends = ((interval[which], other[which]) for which in (0, 1))
    return (
        None if None in starts else min(filter(None, starts), key=_moment),  # an open end stays open
        None if None in ends else max(filter(None, ends), key=_moment),
    )
