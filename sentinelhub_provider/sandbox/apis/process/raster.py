"""Runs an evalscript over the pixels of an area and its scenes, and returns the values of its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import box, mapping, shape

from sentinelhub_provider.sandbox.apis.process.bounds import Area
from sentinelhub_provider.sandbox.apis.process.datasets import SENTINEL_1, Dataset
from sentinelhub_provider.sandbox.apis.process.mosaic import Orbit, Scenes, mosaic
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.evalscripts.contract import DataSource, Input, Output, Setup
from sentinelhub_provider.sandbox.world.evalscripts.engine import Evalscript, Offer, SceneList
from sentinelhub_provider.sandbox.world.grid import Grid
from sentinelhub_provider.sandbox.world.scenes.collections import SENTINEL_2
from sentinelhub_provider.sandbox.world.scenes.model import Scene, SceneSource

CHUNK_VALUES: Final = 4_000_000
"""Band values handed to V8 at a time, which limits the memory of a request with many dates."""

MAX_SAMPLES: Final = 150_000_000
"""Pixels times samples of one request. It is the sandbox's own limit, at some minutes of work."""


@dataclass(frozen=True)
class Raster:
    """The unchanged pixels of each output of an evalscript, in the shape ``(height, width, bands)``.

    ``samples`` are data samples per pixel. With fused datasets, it is the largest number of any of them.
    """

    outputs: Mapping[str, tuple[Output, NDArray[np.float64]]]
    user_data: Any
    samples: int


@dataclass(frozen=True)
class Plan:
    """The scenes of each sample. ``layers[input][sample]`` are scenes, to be laid over one another."""

    layers: Sequence[Sequence[Iterable[Scene]]]
    scenes: Sequence[SceneList]


def data_sources(datasets: Sequence[Dataset]) -> list[DataSource]:
    """Name the datasets for ``setup()``."""
    return [DataSource(dataset.collection, dataset.id) for dataset in datasets]


def find_scenes(source: SceneSource, datasets: Sequence[Dataset], setup: Setup, grid: Grid) -> list[Scenes]:
    """Find the scenes of each input. They are fetched as they are needed."""
    bbox = grid.lonlat_bounds()
    return [Scenes(source, datasets[each.dataset], bbox) for each in setup.inputs]


def arrange(script: Evalscript, setup: Setup, datasets: Sequence[Dataset], found: Sequence[Scenes]) -> Plan:
    """Divide the scenes into samples, as ``preProcessScenes()`` chooses."""
    parts = [_Part(each, datasets[each.dataset], scenes) for each, scenes in zip(setup.inputs, found, strict=True)]
    chosen = script.choose_scenes([part.offer() for part in parts])
    return Plan(
        [part.layers(numbers) for part, numbers in zip(parts, chosen, strict=True)],
        [part.scenes(numbers) for part, numbers in zip(parts, chosen, strict=True)],
    )


def run(
    script: Evalscript,
    setup: Setup,
    outputs: Sequence[Output],
    plan: Plan,
    *,
    grid: Grid,
    area: Area,
    datasets: Sequence[Dataset],
) -> Raster:
    """Evaluate every pixel of the box. ``outputs`` is the result of :meth:`Evalscript.begin` for this plan.

    Input bands are 0 outside of the area's geometry, ``dataMask`` too. Raises :class:`~..errors.ApiError` when the
    evalscript fails, or for more samples than the sandbox computes.
    """
    total = sum(len(layers) for layers in plan.layers)
    if grid.width * grid.height * total > MAX_SAMPLES:
        raise ApiError(
            400,
            "COMMON_BAD_PAYLOAD",
            f"The request reads {total} samples for each of {grid.width} x {grid.height} pixels, more than the "
            f"sandbox computes in one request ({MAX_SAMPLES}); ask for a shorter time range or fewer pixels.",
        )
    values = sum(len(each.bands) * len(layers) for each, layers in zip(setup.inputs, plan.layers, strict=True))
    pixels = {output.id: np.zeros((grid.height, grid.width, output.bands)) for output in outputs}
    rows = max(1, min(grid.height, CHUNK_VALUES // (grid.width * max(1, values))))
    # Once for the whole grid: every window must draw the same line.
    mask = area.mask(grid)
    for top in range(0, grid.height, rows):
        window = grid.window(top, 0, min(rows, grid.height - top), grid.width)
        wanted = None if mask is None else mask[top : top + window.height]
        samples = [
            [mosaic(scenes, each.bands, window, wanted, datasets[each.dataset]) for scenes in layers]
            for each, layers in zip(setup.inputs, plan.layers, strict=True)
        ]
        for identifier, result in script.evaluate(samples, window.width * window.height).items():
            pixels[identifier][top : top + window.height] = result.reshape(window.height, window.width, -1)
    made = {output.id: (output, pixels[output.id]) for output in outputs}
    return Raster(made, script.user_data(), max(len(layers) for layers in plan.layers))


class _Part:
    """The scenes of one input, divided as its mosaicking says."""

    def __init__(self, described: Input, dataset: Dataset, scenes: Scenes) -> None:
        self.input = described
        self._dataset = dataset
        self._scenes = scenes
        self._field = {"ORBIT": "orbits", "TILE": "tiles"}.get(described.mosaicking)
        self._orbits: list[Orbit] = scenes.orbits() if self._field == "orbits" else []
        self._tiles: list[Scene] = list(scenes) if self._field == "tiles" else []
        self._entries: list[dict[str, Any]] = [_orbit_entry(orbit, described.has_bounds) for orbit in self._orbits]
        self._entries += [_tile_entry(scene, described.has_bounds) for scene in self._tiles]

    def offer(self) -> Offer:
        end = min(self._dataset.end, datetime.max.replace(tzinfo=UTC))
        return Offer(self.input.key, self._field, self._entries, _iso(self._dataset.start), _iso(end))

    def layers(self, chosen: Sequence[int]) -> list[Iterable[Scene]]:
        if self._field == "orbits":
            return [self._orbits[number].scenes for number in chosen]
        if self._field == "tiles":
            return [(self._tiles[number],) for number in chosen]
        # Alone, an evalscript gets its one sample whether there are data or not; fused, an array that may be empty.
        return [self._scenes] if self.input.key is None or self._scenes.any() else []

    def scenes(self, chosen: Sequence[int]) -> SceneList:
        return SceneList(self._field, [self._entries[number] for number in chosen])


def _orbit_entry(orbit: Orbit, has_bounds: bool) -> dict[str, Any]:
    return {
        "dateFrom": _iso(orbit.start),
        "dateTo": _iso(orbit.end),
        "tiles": [_tile_entry(scene, has_bounds) for scene in orbit.scenes],
    }


def _tile_entry(scene: Scene, has_bounds: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "date": _iso(scene.datetime),
        "dataPath": f"sandbox://{scene.collection}/{scene.id}",
        # The service has numbers of its own; here it is one that a scene always gets.
        "shId": int.from_bytes(scene.id.encode()[-12:], "big") % 100_000_000,
    }
    if scene.collection == SENTINEL_1:
        entry["sentinel1ProductId"] = scene.id
    if scene.collection in (each.id for each in SENTINEL_2):
        entry |= dict.fromkeys(("productId", "sentinel2ProductId", "tileOriginalId"), scene.id)
    if has_bounds:
        entry |= {"dataGeometry": scene.geometry, "dataEnvelope": mapping(box(*shape(scene.geometry).bounds))}
    return entry if scene.cloud_cover is None else entry | {"cloudCoverage": scene.cloud_cover}


def _iso(when: datetime) -> str:
    return f"{when.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"
