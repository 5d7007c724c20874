"""A STAC Item of a picture, from its request and its files. This module is pure and reads and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pystac
import shapely
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from sentinelhub_provider import __version__
from sentinelhub_provider.api.datasets import RasterRequest
from sentinelhub_provider.api.evalscripts import DATA_MASK, EVALSCRIPTS, Output, named_evalscript
from sentinelhub_provider.api.geo.antimeridian import in_degrees, sides_of
from sentinelhub_provider.api.geo.bounds import Bounds
from sentinelhub_provider.api.geo.geometry import Geometry
from sentinelhub_provider.api.time_range import parse_time
from sentinelhub_provider.stac import COLLECTION_FILE

PREFIX = "sentinelhub:"
"""Prefix of this package's own properties."""

EO = "https://stac-extensions.github.io/eo/v2.0.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"

SOFTWARE = "airflow-provider-sentinelhub"
COG = pystac.MediaType.COG
MEDIA_TYPES = {"image/tiff": pystac.MediaType.GEOTIFF}
"""STAC's more exact names for formats of the service."""

COLOURS = ("red", "green", "blue")
_SHA256 = "1220"  # multihash prefix: the code of SHA-256 and its length of 32 bytes
_DATA_TYPES = {"AUTO": "uint8", "UINT8": "uint8", "UINT16": "uint16", "INT8": "int8", "INT16": "int16"} | {
    "FLOAT32": "float32"
}
_LINKS = (("root", pystac.MediaType.JSON), ("parent", pystac.MediaType.JSON), ("collection", pystac.MediaType.JSON))


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A file of a picture.

    :param href: address, absolute or relative to the item.
    :param size: bytes.
    :param sha256: hexadecimal digest of those bytes, ``None`` if it is not known.
    :param media_type: such as ``image/tiff``.
    :param statistics: ``minimum``, ``maximum``, ``mean`` and ``stddev`` of each band.
    """

    href: str
    size: int
    sha256: str | None
    media_type: str
    statistics: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class SourceScene:
    """A scene that may have gone into a picture. ``cloud_cover`` is in per cent, ``None`` if unknown."""

    id: str
    href: str
    cloud_cover: float | None = None


def picture_item(
    item_id: str,
    request: RasterRequest,
    files: Mapping[str, PictureFile],
    *,
    made: datetime,
    collection: str | None = None,
    collection_href: str = f"./{COLLECTION_FILE}",
    scenes: Iterable[SourceScene] = (),
    properties: Mapping[str, Any] | None = None,
) -> pystac.Item:
    """Return the Item of a picture.

    Its geometry is the area with data, in degrees, cut at the antimeridian. Its time is the requested range. Data
    without a time, such as elevation, get the time of rendering, because STAC needs one.

    :param item_id: its ID, unique within the collection.
    :param request: the request. For a tile, it is that of the tile.
    :param files: the files by the output's identifier. Each becomes an asset of that name.
    :param made: time of rendering, with a time zone.
    :param collection: ID of the item's Collection, ``None`` for no Collection and no links.
    :param collection_href: address of the Collection, relative to the item.
    :param scenes: the scenes of the picture, as far as they are known.
    :param properties: further properties. Names of this package begin with ``sentinelhub:``. ``None`` is left out.
    """
    geometry, bbox = footprint(request.bounds)
    item = pystac.Item(item_id, geometry, bbox, made, {}, collection=collection)
    if (times := request.datasets.time_range) is not None:
        start, end = parse_time(times["from"]), parse_time(times["to"])
        item.datetime = start if start == end else None
        item.common_metadata.start_datetime, item.common_metadata.end_datetime = start, end
    item.common_metadata.created = made
    _describe_grid(item, request)
    item.stac_extensions.append(PROCESSING)
    item.properties["processing:software"] = {SOFTWARE: __version__}
    item.properties["processing:datetime"] = pystac.utils.datetime_to_str(made)
    item.properties[f"{PREFIX}collections"] = [one.id for one in request.datasets.collections]
    item.properties.update({key: value for key, value in (properties or {}).items() if value is not None})
    outputs = {output.id: output for output in request.setup.outputs} if request.setup is not None else {}
    script = request.body.get("evalscript")
    for name, file in files.items():
        item.add_asset(name, _asset(name, file, outputs.get(name), script))
        FileExtension.ext(item.assets[name], add_if_missing=True).apply(
            checksum=None if file.sha256 is None else f"{_SHA256}{file.sha256}", size=file.size
        )
    _add_scenes(item, list(scenes))
    if EO not in item.stac_extensions and any(
        "eo:common_name" in band for asset in item.assets.values() for band in asset.extra_fields.get("bands", ())
    ):
        item.stac_extensions.append(EO)
    if collection is not None:
        item.add_links([pystac.Link(rel, collection_href, kind) for rel, kind in _LINKS])
    return item


def to_json(item: pystac.Item) -> dict[str, Any]:
    """Return an item as in its file, without a link to itself, so that it can be moved with its pictures."""
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def footprint(bounds: Bounds) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Return the GeoJSON geometry of an area and its bbox, in degrees.

    An area across the antimeridian is cut there, and its bbox has a west beyond its east, as in RFC 7946. An area
    around a pole becomes the box of its latitudes. Both are ``None`` if the area has no place in degrees.
    """
    box = shapely.box(*bounds.box)
    area = box if bounds.geometry is None else _polygons(shapely.intersection(bounds.geometry.shape, box)) or box
    area = in_degrees(area, bounds.crs)
    if area is None:
        return None, None
    sides = sides_of(Geometry(area))
    south, north = min(side.min_y for side in sides), max(side.max_y for side in sides)
    parts = [orient(part) for part in shapely.get_parts(area)]
    oriented = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    return shapely.geometry.mapping(oriented), [sides[0].min_x, south, sides[-1].max_x, north]


def _polygons(shape: BaseGeometry) -> BaseGeometry | None:
    """Return the parts of a geometry that have an area, ``None`` if there are none."""
    parts = [part for part in shapely.get_parts(shape) if shapely.get_dimensions(part) == 2 and not part.is_empty]
    return None if not parts else parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def _describe_grid(item: pystac.Item, request: RasterRequest) -> None:
    box, size, crs = request.bounds.box, request.size, request.bounds.crs
    x, y = box.width / size.width, box.height / size.height
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=f"EPSG:{crs.epsg}" if crs.epsg else None,
        wkt2=None if crs.epsg else crs.proj.to_wkt(),
        bbox=list(box),
        shape=[size.height, size.width],
        transform=[x, 0.0, box.min_x, 0.0, -y, box.max_y],
    )


def _asset(name: str, file: PictureFile, output: Output | None, script: Any) -> pystac.Asset:
    is_picture = file.media_type.startswith("image/") or "vrt" in file.media_type
    roles = ["metadata"] if not is_picture else ["data-mask"] if name == DATA_MASK else ["data"]
    if file.media_type in ("image/png", "image/jpeg") and roles == ["data"]:
        roles.append("visual")
    bands = _bands(output, file, script) if output is not None and is_picture else []
    media_type = MEDIA_TYPES.get(file.media_type, file.media_type)
    return pystac.Asset(file.href, None, None, media_type, roles, {"bands": bands} if bands else None)


def _bands(output: Output, file: PictureFile, script: Any) -> list[dict[str, Any]]:
    """Describe the bands of an output. Bands without a better name are named as in the Statistical API."""
    named = next((name for name in EVALSCRIPTS if named_evalscript(name) == script), None)
    names = [f"B{number}" for number in range(output.bands)]
    if named == "true-colour" and output.id == "default":
        names = [*COLOURS, "alpha"]
    elif output.id == DATA_MASK or named is not None:
        names = [DATA_MASK if output.id == DATA_MASK else named or ""]
    count = 3 if file.media_type == "image/jpeg" and output.bands == 4 else output.bands  # JPEG has no transparency
    bands: list[dict[str, Any]] = []
    for number, name in enumerate(names[:count]):
        band: dict[str, Any] = {"name": name, "data_type": _DATA_TYPES.get(output.sample_type, "other")}
        if named == "true-colour" and name in COLOURS:
            band["eo:common_name"] = name
        if number < len(file.statistics):
            band["statistics"] = dict(file.statistics[number])
        bands.append(band)
    return bands


def _add_scenes(item: pystac.Item, scenes: list[SourceScene]) -> None:
    item.add_links(
        [pystac.Link(pystac.RelType.DERIVED_FROM, one.href, pystac.MediaType.GEOJSON, one.id) for one in scenes]
    )
    if len(scenes) == 1 and scenes[0].cloud_cover is not None:  # with several scenes, only the pixels tell
        item.stac_extensions.append(EO)
        item.properties["eo:cloud_cover"] = scenes[0].cloud_cover
