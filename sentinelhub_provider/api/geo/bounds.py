"""A request's bounds and the size of its raster, checked before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sentinelhub_provider.api.geo.antimeridian import on_one_side, sides_of
from sentinelhub_provider.api.geo.crs import DEGREES, Crs, check_named_crs, parse_crs
from sentinelhub_provider.api.geo.geometry import (
    BBox,
    Geometry,
    check_degrees,
    described_area,
    parse_bbox,
    parse_geometry,
    transform,
)
from sentinelhub_provider.api.values import as_pair, read_positive, read_whole_number
from sentinelhub_provider.exceptions import SentinelHubRequestError

SIZES = ("width", "height", "resx", "resy")  # Members of a request that say how large its raster is
MAX_SIDE = 2500  # Pixels: the largest width and height of Process and Statistical requests (API reference)

FINEST_RESOLUTION = 0.01
"""Metres. A smaller resolution is probably meant in degrees, because no satellite and no drone sees finer."""

TILING_HINT = (
    "Cover it with tiles: tile=True, or sentinelhub_provider.api.tiling.split_bbox or split_geometry with .expand()"
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The area of a request, which is the raster's box. If there is a geometry, only its inside has data.

    ``has_bbox`` tells whether the box is part of the request. ``warnings`` name things that are probably wrong.
    """

    box: BBox
    crs: Crs
    geometry: Geometry | None = None
    has_bbox: bool = True
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return ``input.bounds`` of a request."""
        body: dict[str, Any] = {}
        if self.has_bbox:
            body["bbox"] = list(self.box)
        if self.geometry is not None:
            body["geometry"] = self.geometry.to_geojson()
        body["properties"] = {"crs": self.crs.uri}
        return body

    @property
    def key(self) -> bytes:
        """A key that differs for different bounds."""
        shape = b"" if self.geometry is None else self.geometry.shape.wkb
        return f"{self.crs.uri} {tuple(self.box) if self.has_bbox else ''} ".encode() + bytes(shape)

    @property
    def sides(self) -> tuple[BBox, ...]:
        """The boxes that it covers. They are two if a geometry lies on both sides of the antimeridian."""
        return sides_of(self.geometry) if self.geometry is not None and not self.has_bbox else (self.box,)

    @property
    def latitude(self) -> float:
        """Latitude of the centre in degrees, which scales degrees to metres. It is 0 if the CRS is in metres."""
        return (self.box.min_y + self.box.max_y) / 2 if self.crs.is_geographic else 0.0

    @property
    def metres(self) -> tuple[float, float]:
        """Width and height in metres, which are those of the CRS if it is projected."""
        return self.crs.metres(self.box.width, self.box.height, self.latitude)


@dataclass(frozen=True, slots=True)
class Size:
    """The raster of a request in pixels, with pixel sides in units of the CRS if ``resx`` and ``resy`` are given."""

    width: int
    height: int
    resolution: tuple[float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the members of ``output`` (Process) or ``aggregation`` (Statistical)."""
        if self.resolution is not None:
            return {"resx": self.resolution[0], "resy": self.resolution[1]}
        return {"width": self.width, "height": self.height}

    def metres_per_pixel(self, bounds: Bounds) -> float:
        """Length of the coarser pixel side in metres."""
        width, height = bounds.metres
        return max(width / self.width, height / self.height)


def parse_bounds(
    *, bbox: Any = None, geometry: Any = None, crs: Any = None, across: bool = False, as_it_is: bool = False
) -> Bounds:
    """Read and check an area, and transform it if the service does not take its CRS.

    With ``bbox`` and ``geometry``, the picture is that of the box, and has data only inside of the geometry. ``crs`` is
    that of both. By default, it is the geometry's own, else longitude and latitude. With ``across``, a geometry may lie
    on both sides of the antimeridian. With ``as_it_is``, a CRS that the documentation does not list stays, with a
    warning.
    """
    if bbox is None and geometry is None:
        raise SentinelHubRequestError("bbox and geometry are both missing. Give one of them, or both.")
    shape = None if geometry is None else parse_geometry(geometry)
    named = shape.crs if shape is not None else None
    system = named if crs is None and named is not None else parse_crs(crs)
    box = parse_bbox(bbox, in_degrees=system.is_geographic) if bbox is not None else None
    check_named_crs(named, crs, "geometry says of itself that it is")
    warnings: list[str] = []
    if system.is_geographic:
        box, shape = on_one_side(box, shape, across=across)
    for field, checked in (("bbox", box), ("geometry", shape.bbox if shape is not None else None)):
        if checked is not None:
            warnings += _check_area(checked, system, field)
    if box is not None and shape is not None and not box.meets(shape.bbox):
        raise SentinelHubRequestError(
            f"geometry lies outside of bbox: {described_area(shape.bbox, system)} and {described_area(box, system)}. "
            "The picture would be empty."
        )
    if not system.is_listed and as_it_is:
        warnings.append(f"{system} is not among the CRSs that the documentation lists; it may be refused.")
    elif not system.is_listed:
        box, shape = _transformed(box, shape, system)
        warnings.append(
            f"Sentinel Hub does not take {system}: coordinates are transformed to {system.sent_as}, "
            "where a box becomes the box around it."
        )
        system = system.sent_as
    whole = box if box is not None else shape.bbox if shape is not None else None
    assert whole is not None  # noqa: S101 - one of the two is there
    return Bounds(whole, system, shape, has_bbox=box is not None, warnings=tuple(dict.fromkeys(warnings)))


def _transformed(box: BBox | None, shape: Geometry | None, system: Crs) -> tuple[BBox | None, Geometry | None]:
    target = system.sent_as
    if box is not None:
        box = BBox(*system.to(target).transform_bounds(*box, densify_pts=21))
    if shape is not None:
        shape = Geometry(transform(shape.shape, system, target), target)
    for field, numbers in (("bbox", box), ("geometry", shape.bbox if shape is not None else None)):
        if numbers is not None and not all(map(math.isfinite, numbers)):
            raise SentinelHubRequestError(
                f"{field} has coordinates that cannot be of {system}: they have no place in {target}. Check crs."
            )
    return box, shape


def parse_size(
    bounds: Bounds, *, width: Any = None, height: Any = None, resolution: Any = None, max_side: int | None = MAX_SIDE
) -> Size:
    """Read and check the raster's size, which is in pixels **or** by resolution.

    One of ``width`` and ``height`` is enough. ``resolution`` is metres per pixel, one number or two. In a CRS of
    degrees it becomes a size at the central latitude.
    """
    sized = width is not None or height is not None
    if sized == (resolution is not None):
        raise SentinelHubRequestError(
            "resolution and width/height are both given. Give one: the other follows from the bounds."
            if sized
            else "the size is missing. Give resolution in metres per pixel, or width and height in pixels.",
            field="resolution",
        )
    size = _from_pixels(bounds, width, height) if sized else _from_resolution(bounds, resolution)
    if max_side is not None:
        check_side(size, max_side, field="width" if sized else "resolution")
    return size


def check_side(size: Size, max_side: int = MAX_SIDE, *, field: str, advice: str = "") -> None:
    """Refuse a raster that one request cannot deliver. ``advice`` names a way that can, by default tiles."""
    if max(size.width, size.height) > max_side:
        columns, rows = math.ceil(size.width / max_side), math.ceil(size.height / max_side)
        advice = advice or f"{TILING_HINT} ({columns} x {rows} = {columns * rows} tiles)"
        raise SentinelHubRequestError(
            f"{field}: the picture would have {size.width} x {size.height} pixels; a request delivers at most "
            f"{max_side} x {max_side}. {advice}; or take a coarser resolution."
        )


def read_bounds(bounds: Any, *, across: bool = False) -> Bounds:
    """Check ``input.bounds`` of a request's JSON. As at the service, opposite corners may have any order."""
    if not isinstance(bounds, Mapping):
        raise SentinelHubRequestError("request: input.bounds is missing. Give bbox or geometry.")
    properties = bounds.get("properties")
    crs = properties.get("crs") if isinstance(properties, Mapping) else None
    if crs is not None and not str(crs).startswith(("http://www.opengis.net/def/crs/", "https://www.opengis.net/def/")):
        raise SentinelHubRequestError(
            f"request: input.bounds.properties.crs is {crs!r}; the service takes only the URI "
            f"{parse_crs(crs, 'request: input.bounds.properties.crs').uri!r}."
        )
    bbox = bounds.get("bbox")
    if isinstance(bbox, list | tuple) and len(bbox) == 4 and all(isinstance(part, int | float) for part in bbox):
        west, south, east, north = bbox
        bbox = [min(west, east), min(south, north), max(west, east), max(south, north)]
    return parse_bounds(bbox=bbox, geometry=bounds.get("geometry"), crs=crs, across=across, as_it_is=True)


def read_size(output: Mapping[str, Any], bounds: Bounds, *, path: str = "output") -> Size:
    """Check the size in a request's JSON. ``resx`` and ``resy`` are in units of the CRS. The default is 256 pixels."""
    given = read_raster(output, path)
    if "width" in given:
        return Size(int(given["width"]), int(given["height"]))
    x, y = given["resx"], given["resy"]
    if bounds.crs.is_geographic and (x > bounds.box.width or y > bounds.box.height):
        raise SentinelHubRequestError(
            f"request: {path}.resx {x:g} and resy {y:g} are in degrees, the unit of {bounds.crs}, and a pixel would be "
            f"larger than the area. For metres, give bounds in a projected CRS such as UTM; {x:g} m are about "
            f"{x / bounds.crs.metres(1, 1, 0)[1]:.6f} degrees."
        )
    return Size(_pixels(bounds.box.width, x), _pixels(bounds.box.height, y), (x, y))


def read_raster(output: Mapping[str, Any], path: str, *, max_side: float = math.inf) -> dict[str, float]:
    """Return ``width`` and ``height``, by default 256 pixels, or ``resx`` and ``resy`` in units of the CRS."""
    sized, resolved = ([name for name in names if output.get(name) is not None] for names in (SIZES[:2], SIZES[2:]))
    if sized and resolved:
        raise SentinelHubRequestError(
            f"request: {path} has {', '.join(sized)} and {', '.join(resolved)}. Give one pair."
        )
    if len(resolved) == 1:
        raise SentinelHubRequestError(f"request: {path} has {resolved[0]} alone. Give resx and resy.")
    if resolved:
        return {name: read_positive(output[name], "request", f"request: {path}.{name}") for name in resolved}
    sides = {name: 256 if output.get(name) is None else output[name] for name in SIZES[:2]}
    return {
        name: read_whole_number(side, "request", most=max_side, of="pixels", name=f"request: {path}.{name}")
        for name, side in sides.items()
    }


def _from_pixels(bounds: Bounds, width: Any, height: Any) -> Size:
    wide = None if width is None else read_whole_number(width, "width", of="pixels")
    high = None if height is None else read_whole_number(height, "height", of="pixels")
    across, down = bounds.metres
    if wide is None:
        assert high is not None  # noqa: S101 - one of the two is there
        wide = max(1, round(high * across / down))
    if high is None:
        high = max(1, round(wide * down / across))
    return Size(wide, high)


def _from_resolution(bounds: Bounds, resolution: Any) -> Size:
    pair = as_pair(resolution, "resolution", "metres per pixel: one number, or two for x and y")
    x, y = (read_positive(part, "resolution") for part in pair)
    if min(x, y) < FINEST_RESOLUTION:
        raise SentinelHubRequestError(
            f"resolution {min(x, y):g} is in metres per pixel, but looks like degrees. Give metres, such as 10; "
            f"{min(x, y):g} degrees of latitude are {min(x, y) * 111_320:.3g} m."
        )
    across, down = bounds.metres
    size = Size(_pixels(across, x), _pixels(down, y))
    return size if bounds.crs.is_geographic else Size(size.width, size.height, (x, y))


def _pixels(extent: float, side: float) -> int:
    """Pixels that the service makes of an extent, rounded and at least one."""
    return max(1, math.floor(extent / side + 0.5))


def _check_area(box: BBox, crs: Crs, field: str) -> list[str]:
    """Refuse coordinates that the CRS cannot have, and return warnings about unlikely ones."""
    if crs.is_geographic:
        metres = "If they are metres, name their CRS in crs, such as 'EPSG:32633'."
        check_degrees(box, field, crs, otherwise=metres)
        return []
    if box.is_within(DEGREES):
        raise SentinelHubRequestError(
            f"{field} {described_area(box, crs)} looks like longitude and latitude, but crs is {crs}, which counts "
            "metres. Leave crs out, or transform the coordinates."
        )
    area = crs.area
    if area is None or box.is_within(area):
        return []
    swapped = BBox(box.min_y, box.min_x, box.max_y, box.max_x).is_within(area)
    advice = "It fits with easting and northing swapped." if swapped else "Is it in another CRS?"
    warning = f"{field} {described_area(box, crs)} lies outside of the area of {crs}. {advice}"
    if not crs.is_listed:  # nothing good comes of transforming it
        raise SentinelHubRequestError(warning, field=field)
    return [warning]
