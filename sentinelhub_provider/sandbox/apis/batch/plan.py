"""The plan of a Batch Process job, with the size and the cost of each feature."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from shapely import transform
from shapely.geometry import Polygon, box, shape
from shapely.geometry.base import BaseGeometry

from sentinelhub_provider.sandbox.apis.batch.bodies import MAX_SIDE, BatchRequest, FeaturesInput, GridInput
from sentinelhub_provider.sandbox.apis.batch.grids import TooManyTilesError, tiles_of
from sentinelhub_provider.sandbox.apis.jobs.costs import BATCH_FACTOR, discounted
from sentinelhub_provider.sandbox.apis.jobs.model import JobError, Part
from sentinelhub_provider.sandbox.apis.process.bounds import Area
from sentinelhub_provider.sandbox.apis.process.processing_units import processing_units
from sentinelhub_provider.sandbox.apis.process.raster import data_sources
from sentinelhub_provider.sandbox.apis.process.render import check_responses
from sentinelhub_provider.sandbox.world.delivery.geopackage import Feature
from sentinelhub_provider.sandbox.world.evalscripts.contract import Setup
from sentinelhub_provider.sandbox.world.evalscripts.engine import Evalscript
from sentinelhub_provider.sandbox.world.grid import WGS84, Bounds, Grid, to_lonlat

CRS_URI: Final = "http://www.opengis.net/def/crs/EPSG/0/{}"


@dataclass(frozen=True)
class Target:
    """One feature to render, with its outline in ``EPSG:epsg`` and its size in pixels.

    ``geometry`` is the polygon of a GeoPackage's feature. It is ``None`` for a tile, which fills its ``bounds``.
    """

    epsg: int
    bounds: Bounds
    geometry: Mapping[str, Any] | None
    width: int
    height: int

    @property
    def outline(self) -> Mapping[str, Any]:
        """The outline as a GeoJSON polygon."""
        if self.geometry is not None:
            return self.geometry
        left, bottom, right, top = self.bounds
        ring = [[left, bottom], [right, bottom], [right, top], [left, top], [left, bottom]]
        return {"type": "Polygon", "coordinates": [ring]}

    @property
    def request_bounds(self) -> dict[str, Any]:
        """``input.bounds`` of the Process request that renders it."""
        where = {"bbox": list(self.bounds)} if self.geometry is None else {"geometry": self.geometry}
        return {**where, "properties": {"crs": CRS_URI.format(self.epsg)}}


def check_script(request: BatchRequest) -> Setup:
    """Load the evalscript and check it against the request. Raises ``ApiError``."""
    with Evalscript(request.evalscript) as script:
        setup = script.setup(data_sources(request.datasets))
    check_responses(request.responses, setup.outputs)
    return setup


def divide(request: BatchRequest, setup: Setup, features: Sequence[Feature] | int) -> list[Part]:
    """List the parts of a job. Raises :class:`JobError`.

    :param features: the features of its GeoPackage, or their assumed number if the file is not read.
    """
    if isinstance(request.input, GridInput):
        targets = _tiles(request, request.input)
    elif isinstance(features, int):
        width, height = request.input.width or 256, request.input.height or 256
        unknown = Target(WGS84, (0.0, 0.0, 1.0, 1.0), None, width, height)
        targets = [(f"feature-{number}", unknown) for number in range(1, features + 1)]
    else:
        targets = _features(request, request.input, features)
    return [
        Part(number, name, cost(request, setup, target.width, target.height), target)
        for number, (name, target) in enumerate(targets, 1)
    ]


def cost(request: BatchRequest, setup: Setup, width: int, height: int) -> float:
    """Return the PU of a feature with one sample per pixel."""
    used = {response.identifier for response in request.responses}
    units = processing_units(
        width,
        height,
        [band.name for band in setup.bands],
        sample_types=[output.sample_type for output in setup.outputs if output.id in used],
        collections=len(request.datasets),
        options=[dataset.options for dataset in request.datasets],
        minimum=0.0,
    )
    return discounted(units, width * height, BATCH_FACTOR)


def _tiles(request: BatchRequest, where: GridInput) -> list[tuple[str, Target]]:
    assert request.area is not None  # noqa: S101 - bounds are required with a grid
    try:
        tiles = tiles_of(
            where.grid, shape_of(request.area), where.resolution, buffer_x=where.buffer_x, buffer_y=where.buffer_y
        )
    except TooManyTilesError as error:
        raise JobError(str(error)) from error
    return [(each.name, Target(each.epsg, each.bounds, None, each.width, each.height)) for each in tiles]


def _features(request: BatchRequest, where: FeaturesInput, features: Sequence[Feature]) -> list[tuple[str, Target]]:
    area = None if request.area is None else shape_of(request.area)
    seen: set[str] = set()
    targets = []
    for feature in features:
        name = feature.identifier
        if not name:
            raise JobError(f"The GeoPackage's feature {feature.id} has no identifier")
        if name in seen:
            raise JobError(f"The GeoPackage has more than one feature with the identifier {name}")
        seen.add(name)
        if area is None or area.intersects(_in_degrees(feature.geometry, feature.epsg)):
            targets.append((name, _target(feature, where)))
    return targets


def _target(feature: Feature, where: FeaturesInput) -> Target:
    left, bottom, right, top = shape(feature.geometry).bounds
    width, height, resolution = (feature.properties.get(name) for name in ("width", "height", "resolution"))
    if not (width and height):
        if not resolution:
            width, height, resolution = where.width, where.height, where.resolution
        if resolution:
            width = max(1, math.floor((right - left) / resolution + 0.5))
            height = max(1, math.floor((top - bottom) / resolution + 0.5))
    if not (width and height):
        raise JobError(f"The GeoPackage's feature {feature.identifier} has neither width and height nor a resolution")
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise JobError(
            f"The GeoPackage's feature {feature.identifier} would become {width} x {height} pixels; the largest side "
            f"is {MAX_SIDE}"
        )
    return Target(feature.epsg, (left, bottom, right, top), feature.geometry, int(width), int(height))


def shape_of(area: Area) -> BaseGeometry:
    """Return an area of interest in longitude and latitude."""
    if area.geometry is not None:
        return _in_degrees(area.geometry, area.epsg)
    if area.epsg == WGS84:
        return box(*area.box)
    lon, lat = Grid.from_bounds(area.epsg, area.box, 1, 1).outline()
    return Polygon(np.column_stack([lon, lat]))


def _in_degrees(geometry: Mapping[str, Any], epsg: int) -> BaseGeometry:
    return transform(shape(geometry), lambda points: np.column_stack(to_lonlat(epsg, points[:, 0], points[:, 1])))
