"""Scenes that a test publishes in the Catalog, on time, days late, out of order, or processed again.

They are added to the synthetic world, whose own scenes appear as soon as they are sensed.
"""

from __future__ import annotations

import heapq
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sentinelhub_provider.sandbox.world.scenes.model import AS_STORED, CollectionInfo, Reading, Scene, SceneSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sentinelhub_provider.sandbox.world.grid import Bounds, Grid

MAX_PUBLISHED: Final = 100_000
"""Maximum number of published scenes."""

_ID: Final = re.compile(
    r"S2[ABC]_(?P<product>MSIL1C|MSIL2A)_\w{15}_N(?P<baseline>\d{4})_R\d{3}_T(?P<tile>\w{5})_\w{15}"
)
_PRODUCTS: Final = {"sentinel-2-l2a": "MSIL2A", "sentinel-2-l1c": "MSIL1C"}
_BASELINE: Final = "0510"


Moment = datetime
"""The type ``datetime``, for a class with a field of that name."""


@dataclass(frozen=True)
class Publication:
    """Scenes to publish.

    ``tile`` is the tile's name, such as ``33TVM``. ``bbox`` selects the tile at its middle instead. ``sensed`` is the
    time of the newest of ``count`` scenes, which are a second apart. ``published`` is the time at which the first scene
    appears. ``every`` is in seconds to the next. For both times ``None`` is now. ``cloud_cover`` is in per cent, or
    ``None`` for that of the weather. ``replaces`` is the ID of a scene to process again, with the next baseline.
    """

    collection: str = "sentinel-2-l2a"
    count: int = 1
    tile: str | None = None
    bbox: Bounds | None = None
    sensed: datetime | None = None
    published: datetime | None = None
    every: float = 0.0
    cloud_cover: float | None = None
    replaces: str | None = None


@dataclass(frozen=True)
class PublishedScene:
    """A scene with its own ID, times and cloud cover. Its pixels are those of the tile on that day."""

    id: str
    datetime: Moment
    published: Moment
    cloud_cover: float | None
    ground: Scene

    @property
    def collection(self) -> str:
        """Id of the collection."""
        return self.ground.collection

    @property
    def bbox(self) -> Bounds:
        """West, south, east, north in degrees."""
        return self.ground.bbox

    @property
    def geometry(self) -> dict[str, Any]:
        """GeoJSON polygon of the tile."""
        return self.ground.geometry

    @property
    def epsg(self) -> int:
        """EPSG code of the tile's UTM zone."""
        return self.ground.epsg

    @property
    def properties(self) -> dict[str, Any]:
        """Further STAC properties."""
        return self.ground.properties

    def read(self, bands: Sequence[str], grid: Grid, how: Reading = AS_STORED) -> dict[str, NDArray[np.float32]]:
        """Compute bands on a grid. See :class:`.model.Scene`."""
        return self.ground.read(bands, grid, how)


class PublishedScenes:
    """A source of the scenes of ``world`` and of the published ones. ``clock`` returns the time. Thread-safe."""

    def __init__(self, world: SceneSource, *, clock: Callable[[], datetime]) -> None:
        self._world = world
        self._clock = clock
        self._lock = threading.Lock()
        self._scenes: dict[str, PublishedScene] = {}
        self._frozen: datetime | None = None

    def publish(self, publication: Publication) -> list[PublishedScene]:
        """Publish scenes, now or later. See :class:`Publication`. A ``ValueError`` names the wrong field."""
        made = list(self._make(publication))
        with self._lock:
            if len(self._scenes) + len(made) > MAX_PUBLISHED:
                raise ValueError(f"count: more than {MAX_PUBLISHED} scenes would be published in all")
            for scene in made:
                if scene.id in self._scenes:
                    raise ValueError(f"sensed, published: {scene.id} is published already; move a time by a second")
            self._scenes |= {scene.id: scene for scene in made}
        return made

    def published(self) -> list[PublishedScene]:
        """List the published scenes and those to come, in the order of their appearance."""
        with self._lock:
            return sorted(self._scenes.values(), key=lambda scene: (scene.published, scene.datetime, scene.id))

    def freeze(self, frozen: bool = True) -> None:
        """Stop or resume the world's own scenes. While they are stopped, only published scenes are new."""
        self._frozen = self._clock() if frozen else None

    def clear(self) -> None:
        """Remove all published scenes, and resume the world's own scenes."""
        with self._lock:
            self._scenes.clear()
        self._frozen = None

    def collections(self) -> Sequence[CollectionInfo]:
        """List the collections."""
        return self._world.collections()

    def search(self, collection: str, *, bbox: Bounds | None, start: datetime, end: datetime) -> Iterator[Scene]:
        """Find scenes, newest first. See :class:`.model.SceneSource`."""
        own = self._search_published(collection, bbox, start, end)
        frozen = self._frozen
        world = self._world.search(collection, bbox=bbox, start=start, end=end if frozen is None else min(end, frozen))
        return heapq.merge(own, world, key=lambda scene: -scene.datetime.timestamp()) if own else world

    def get(self, collection: str, scene_id: str) -> Scene | None:
        """Find a scene by its ID."""
        with self._lock:
            scene = self._scenes.get(scene_id)
        if scene is not None:
            return scene if scene.collection == collection and scene.published <= self._clock() else None
        found = self._world.get(collection, scene_id)
        return found if found is None or self._frozen is None or found.datetime <= self._frozen else None

    def _search_published(
        self, collection: str, bbox: Bounds | None, start: datetime, end: datetime
    ) -> list[PublishedScene]:
        now = self._clock()
        with self._lock:
            scenes = [
                scene
                for scene in self._scenes.values()
                if scene.collection == collection and scene.published <= now and start <= scene.datetime <= end
            ]
        if bbox is not None:
            scenes = [scene for scene in scenes if _overlap(scene.bbox, bbox)]
        return sorted(scenes, key=lambda scene: (scene.datetime, scene.id), reverse=True)

    def _make(self, wanted: Publication) -> Iterator[PublishedScene]:
        from sentinelhub_provider.sandbox.world.scenes import orbits, tiles
        from sentinelhub_provider.sandbox.world.scenes.synthetic import SyntheticScenes

        if not isinstance(self._world, SyntheticScenes):
            raise ValueError("collection: only the synthetic scenes can be added to, not those of a folder")
        if wanted.collection not in _PRODUCTS:
            raise ValueError(f"collection: {wanted.collection!r} is none of {', '.join(_PRODUCTS)}")
        if wanted.count < 1 or wanted.every < 0:
            raise ValueError(f"count, every: at least 1 and 0, not {wanted.count} and {wanted.every}")
        if wanted.cloud_cover is not None and not 0 <= wanted.cloud_cover <= 100:
            raise ValueError(f"cloud_cover: 0 to 100 per cent, not {wanted.cloud_cover}")
        now = self._clock().replace(microsecond=0)
        tile_name, sensed, baseline = wanted.tile, _utc("sensed", wanted.sensed) or now, _BASELINE
        if wanted.replaces is not None:
            tile_name, sensed, baseline = self._next_processing(wanted)
        first = _utc("published", wanted.published) or now
        tile = tiles.find(tile_name) if tile_name is not None else _tile_at(wanted.bbox)
        if tile is None:
            raise ValueError(f"tile: there is no tile {tile_name!r}")
        swath = orbits.swath_of(tile.centre[0])
        for number in range(wanted.count):
            moment = sensed - timedelta(seconds=number)
            published = first + timedelta(seconds=number * wanted.every)
            if moment > published:
                raise ValueError(f"published: {published.isoformat()} is before the sensing at {moment.isoformat()}")
            day = orbits.solar_day(moment, swath)
            ground = self._world.ground(wanted.collection, tile, day)
            scene_id = (
                f"S2{orbits.platform(swath, day)}_{_PRODUCTS[wanted.collection]}_{moment:%Y%m%dT%H%M%S}_N{baseline}"
                f"_R{orbits.relative_orbit(swath):03d}_T{tile.name}_{published:%Y%m%dT%H%M%S}"
            )
            cover = ground.cloud_cover if wanted.cloud_cover is None else wanted.cloud_cover
            yield PublishedScene(scene_id, moment, published, cover, ground)

    def _next_processing(self, wanted: Publication) -> tuple[str, datetime, str]:
        replaced = wanted.replaces or ""
        with self._lock:
            scene: Scene | None = self._scenes.get(replaced)
        scene = scene or self._world.get(wanted.collection, replaced)
        match = _ID.fullmatch(replaced)
        if scene is None or scene.collection != wanted.collection or match is None:
            raise ValueError(f"replaces: there is no scene {replaced!r} in {wanted.collection}")
        if wanted.count != 1:
            raise ValueError("count: one scene at a time is processed anew")
        return match["tile"], scene.datetime, f"{int(match['baseline']) + 1:04d}"


def _tile_at(bbox: Bounds | None) -> Any:
    from sentinelhub_provider.sandbox.world.scenes import tiles

    if bbox is None:
        raise ValueError("tile, bbox: give one of them")
    lon, lat = (bbox[0] + bbox[2]) / 2, (bbox[1] + bbox[3]) / 2
    found = tiles.tiles_in((lon, lat, lon, lat))
    if not found:
        raise ValueError(f"bbox: there is no tile at {lon}, {lat}")
    return found[0]


def _utc(field: str, value: datetime | None) -> datetime | None:
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError(f"{field}: {value.isoformat()} needs a time zone")
    return value.astimezone(UTC).replace(microsecond=0)


def _overlap(a: Bounds, b: Bounds) -> bool:
    if b[0] > b[2]:  # across the date line
        return _overlap(a, (b[0], b[1], 180.0, b[3])) or _overlap(a, (-180.0, b[1], b[2], b[3]))
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
