"""Which scenes a request uses, and how they are laid over one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.apis.process.datasets import Dataset
from sentinelhub_provider.sandbox.world.evalscripts.contract import InputBand
from sentinelhub_provider.sandbox.world.grid import Bounds, Grid
from sentinelhub_provider.sandbox.world.scenes.model import DATA_MASK, Scene, SceneSource

Layers = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Orbit:
    """All scenes of one day (UTC). Their mosaic is one sample."""

    scenes: tuple[Scene, ...]

    @property
    def start(self) -> datetime:
        """Midnight at which the day begins."""
        return datetime.combine(self.scenes[0].datetime.astimezone(UTC).date(), time(), UTC)

    @property
    def end(self) -> datetime:
        """Last second of the day."""
        return self.start + timedelta(days=1, seconds=-1)


class Scenes:
    """The scenes of a dataset over an area in the order in which they are laid, fetched as far as they are needed."""

    def __init__(self, source: SceneSource, dataset: Dataset, bbox: Bounds) -> None:
        """Look for the scenes that touch ``bbox`` (west, south, east, north) under the dataset's filter."""
        found = source.search(dataset.collection.id, bbox=bbox, start=dataset.start, end=dataset.end)
        usable: Iterable[Scene] = (scene for scene in found if dataset.accepts(scene))
        if dataset.mosaicking_order == "leastRecent":
            usable = reversed(list(usable))
        elif dataset.mosaicking_order == "leastCC":
            usable = sorted(usable, key=lambda scene: 0.0 if scene.cloud_cover is None else scene.cloud_cover)
        self._rest = iter(usable)
        self._taken: list[Scene] = []

    def __iter__(self) -> Iterator[Scene]:
        """Go through the scenes from the uppermost down."""
        number = 0
        while True:
            if number == len(self._taken):
                scene = next(self._rest, None)
                if scene is None:
                    return
                self._taken.append(scene)
            yield self._taken[number]
            number += 1

    def any(self) -> bool:
        """Whether there is a scene at all."""
        return next(iter(self), None) is not None

    def orbits(self) -> list[Orbit]:
        """Group the scenes by day, in their order."""
        days: dict[Any, list[Scene]] = {}
        for scene in self:
            days.setdefault(scene.datetime.astimezone(UTC).date(), []).append(scene)
        return [Orbit(tuple(scenes)) for scenes in days.values()]


def mosaic(
    scenes: Iterable[Scene], bands: Sequence[InputBand], grid: Grid, wanted: NDArray[np.bool_] | None, dataset: Dataset
) -> Layers:
    """Lay scenes over one another. Each pixel shows the first scene that has data there, or else 0.

    ``wanted`` are pixels to fill, ``None`` for all. The others stay 0, and so does their data mask. Returns one array
    of shape ``grid.shape`` for each band, in the requested unit.
    """
    layers: Layers = [np.zeros(grid.shape, np.float32) for _ in bands]
    open_pixels = np.ones(grid.shape, np.bool_) if wanted is None else wanted.copy()
    if not open_pixels.any():
        return layers
    box = grid.lonlat_bounds()
    names = list(dict.fromkeys([*(band.name for band in bands), DATA_MASK]))
    for scene in scenes:
        if not _overlap(scene.bbox, box):
            continue
        values = scene.read(names, grid, dataset.reading)
        fill = open_pixels & (values[DATA_MASK] > 0)
        for layer, band in zip(layers, bands, strict=True):
            if band.factor == 1.0:
                layer[fill] = values[band.name][fill]
            else:
                layer[fill] = np.rint(values[band.name][fill] * np.float32(band.factor))
        open_pixels &= ~fill
        if not open_pixels.any():
            break
    return layers


def _overlap(a: Bounds, b: Bounds) -> bool:
    # A request in a projected CRS may bulge a little beyond the points of its outline that were looked at.
    slack = 0.01
    return a[0] <= b[2] + slack and b[0] <= a[2] + slack and a[1] <= b[3] + slack and b[1] <= a[3] + slack
