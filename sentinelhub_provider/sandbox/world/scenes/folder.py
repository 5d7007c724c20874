"""Scenes from a folder of GeoTIFF files with STAC items, in place of the synthetic ones.

Every ``*.json`` file of the folder and its subfolders that is a STAC item is a scene. Its assets are raster files of
the folder. ``href`` is relative to the item. An asset names its bands in ``bands`` or ``eo:bands``. An asset that names
no bands has one band, with the name of the asset.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from sentinelhub_provider.sandbox.world.scenes.collections import COLLECTIONS
from sentinelhub_provider.sandbox.world.scenes.model import (
    AS_STORED,
    DATA_MASK,
    BandInfo,
    CollectionInfo,
    Reading,
    Scene,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sentinelhub_provider.sandbox.world.grid import Bounds, Grid

_KNOWN: Final = {info.id: info for info in COLLECTIONS}
_DEFAULT_MAX_METRES_PER_PIXEL: Final = 1500.0
_RASTERS: Final = (".tif", ".tiff", ".jp2", ".vrt")


class FolderError(ValueError):
    """The folder cannot be served. The message names the file and what is wrong with it."""


@dataclass(frozen=True)
class BandFile:
    """The file of a band. ``index`` counts from 1. A stored number times ``scale`` plus ``offset`` is in its unit."""

    path: Path
    index: int
    scale: float
    offset: float
    metres: float


@dataclass(frozen=True)
class FolderScene:
    """A scene from a STAC item."""

    id: str
    collection: str
    datetime: datetime
    bbox: Bounds
    geometry: dict[str, Any]
    cloud_cover: float | None
    epsg: int
    properties: dict[str, Any]
    files: Mapping[str, BandFile]

    def read(self, bands: Sequence[str], grid: Grid, how: Reading = AS_STORED) -> dict[str, NDArray[np.float32]]:
        """Warp bands to a grid. See :class:`.model.Scene`. ``dataMask`` is 1 where all bands that are read have data.

        Files are served as they are. ``options`` have no effect.
        """
        import numpy as np

        mask = np.ones(grid.shape, np.bool_)
        out: dict[str, NDArray[np.float32]] = {}
        named = [band for band in bands if band != DATA_MASK] or [next(iter(self.files))]
        for band in named:
            file = self.files.get(band)
            if file is None:
                # An item may lack a band that others of its collection have.
                mask[:] = False
                out[band] = np.zeros(grid.shape, np.float32)
                continue
            method = how.upsampling if grid.metres_per_pixel() < file.metres else how.downsampling
            values, valid = _warp(file, grid, method)
            out[band] = values * np.float32(file.scale) + np.float32(file.offset)
            mask &= valid
        for values in out.values():
            values[~mask] = 0.0
        out[DATA_MASK] = mask.astype(np.float32)
        return {band: out[band] for band in bands}


class FolderScenes:
    """Source of the scenes of a folder. It reads all items at once. A broken one raises :class:`FolderError`."""

    def __init__(self, path: str | Path) -> None:
        """Read the folder ``path``."""
        folder = Path(path)
        if not folder.is_dir():
            raise FolderError(f"{folder}: is no folder; give one with GeoTIFF files and STAC items (*.json)")
        self._scenes: dict[str, dict[str, FolderScene]] = {}
        described: dict[str, Mapping[str, Any]] = {}
        for file in sorted(folder.rglob("*.json")):
            document = _load(file)
            if document.get("type") == "Collection":
                described[str(document.get("id"))] = document
            elif document.get("type") == "Feature":
                scene = _scene(file, document)
                own = self._scenes.setdefault(scene.collection, {})
                if scene.id in own:
                    raise FolderError(f"{file}: the id '{scene.id}' occurs twice in collection '{scene.collection}'")
                own[scene.id] = scene
        if not self._scenes:
            raise FolderError(f"{folder}: has no STAC item; put one *.json of type Feature beside each scene's files")
        self._collections = tuple(
            _describe(name, tuple(scenes.values()), described.get(name, {})) for name, scenes in self._scenes.items()
        )

    def collections(self) -> Sequence[CollectionInfo]:
        """List the collections that the items name."""
        return self._collections

    def search(self, collection: str, *, bbox: Bounds | None, start: datetime, end: datetime) -> Iterator[Scene]:
        """Find scenes, newest first. See :class:`.model.SceneSource`."""
        scenes = self._scenes.get(collection, {}).values()
        for scene in sorted(scenes, key=lambda scene: (scene.datetime, scene.id), reverse=True):
            if start <= scene.datetime <= end and (bbox is None or _overlap(scene.bbox, bbox)):
                yield scene

    def get(self, collection: str, scene_id: str) -> Scene | None:
        """Find a scene by its id."""
        return self._scenes.get(collection, {}).get(scene_id)


def _load(file: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FolderError(f"{file}: cannot be read as JSON: {error}") from error
    return document if isinstance(document, Mapping) else {}


def _scene(file: Path, item: Mapping[str, Any]) -> FolderScene:
    properties = item.get("properties")
    if not isinstance(item.get("id"), str) or not isinstance(properties, Mapping):
        raise FolderError(f"{file}: a STAC item needs an id and properties")
    collection = item.get("collection")
    if not isinstance(collection, str):
        raise FolderError(f"{file}: has no collection; name one, such as sentinel-2-l2a")
    geometry = item.get("geometry")
    if not isinstance(geometry, Mapping) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
        raise FolderError(f"{file}: geometry must be a GeoJSON Polygon or MultiPolygon in longitude and latitude")
    assets = item.get("assets")
    if not isinstance(assets, Mapping) or not assets:
        raise FolderError(f"{file}: has no assets; each band needs a raster file")
    files: dict[str, BandFile] = {}
    epsg = 0
    for name, asset in assets.items():
        found, code = _asset(file, str(name), asset, collection)
        files |= found
        epsg = epsg or code
    if not files:
        raise FolderError(f"{file}: none of its assets is a raster file ({', '.join(_RASTERS)})")
    cover = properties.get("eo:cloud_cover")
    rest = {key: value for key, value in properties.items() if key not in ("datetime", "eo:cloud_cover")}
    return FolderScene(
        id=str(item["id"]),
        collection=collection,
        datetime=_time(file, properties),
        bbox=_bbox(geometry),
        geometry=dict(geometry),
        cloud_cover=None if cover is None else float(cover),
        epsg=epsg,
        properties={"proj:epsg": epsg} | rest,
        files=files,
    )


def _asset(item: Path, name: str, asset: Any, collection: str) -> tuple[dict[str, BandFile], int]:
    href = asset.get("href") if isinstance(asset, Mapping) else None
    if not isinstance(href, str):
        raise FolderError(f"{item}: asset '{name}' has no href")
    parts = urlsplit(href)
    if Path(parts.path).suffix.lower() not in _RASTERS:
        return {}, 0
    if parts.scheme not in ("", "file"):
        raise FolderError(
            f"{item}: asset '{name}' lies at {href}; only files of the folder are served, by relative path"
        )
    path = (item.parent / unquote(parts.path)).resolve()
    if not path.is_file():
        raise FolderError(f"{item}: asset '{name}' points to {href}, but there is no file {path}")
    count, epsg, metres, whole = _inspect(item, name, path)
    listed = asset.get("bands") or asset.get("eo:bands")
    names = [band.get("name") for band in listed] if isinstance(listed, list) else [name]
    if len(names) != count or not all(isinstance(band, str) and band for band in names):
        raise FolderError(
            f"{item}: asset '{name}' names {len(names)} band(s), but {path.name} has {count}; "
            "name each in eo:bands, in the file's order"
        )
    found = {}
    for index, band in enumerate(names, 1):
        scale, offset = _scaling(asset, index, band, collection, whole)
        found[band] = BandFile(path, index, scale, offset, metres)
    return found, epsg


def _scaling(asset: Mapping[str, Any], index: int, band: str, collection: str, whole: bool) -> tuple[float, float]:
    for key in ("raster:bands", "bands"):
        listed = asset.get(key)
        if isinstance(listed, list) and len(listed) >= index and isinstance(listed[index - 1], Mapping):
            entry = listed[index - 1]
            scale = entry.get("scale", entry.get("raster:scale"))
            if scale is not None:
                return float(scale), float(entry.get("offset", entry.get("raster:offset", 0.0)))
    info = _KNOWN[collection].band(band) if collection in _KNOWN else None
    # Whole numbers in a reflectance band are digital numbers.
    return (1.0 / info.dn_factor if info is not None and whole else 1.0), 0.0


def _inspect(item: Path, name: str, path: Path) -> tuple[int, int, float, bool]:
    """Return the number of bands, the EPSG code, metres per pixel, and whether values are whole numbers."""
    from sentinelhub_provider.sandbox.world.gdal import RasterioError, rasterio
    from sentinelhub_provider.sandbox.world.grid import Grid

    try:
        with rasterio.open(path) as source:
            epsg = source.crs.to_epsg() if source.crs is not None else None
            if epsg is None:
                raise FolderError(f"{item}: asset '{name}': {path.name} has no CRS with an EPSG code")
            grid = Grid.from_bounds(epsg, tuple(source.bounds), source.width, source.height)
            return source.count, epsg, grid.metres_per_pixel(), source.dtypes[0].startswith(("int", "uint"))
    except RasterioError as error:
        raise FolderError(f"{item}: asset '{name}': {path.name} is no raster file: {error}") from error


def _warp(file: BandFile, grid: Grid, method: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    import numpy as np

    from sentinelhub_provider.sandbox.world.gdal import Resampling, WarpedVRT, rasterio

    kernel = {"NEAREST": Resampling.nearest, "BILINEAR": Resampling.bilinear, "BICUBIC": Resampling.cubic}[method]
    with rasterio.open(file.path) as source:
        options: dict[str, Any] = {"crs": f"EPSG:{grid.epsg}", "transform": grid.transform, "resampling": kernel}
        options |= {"width": grid.width, "height": grid.height, "add_alpha": source.nodata is None}
        with WarpedVRT(source, **options) as warped:
            values = warped.read(file.index).astype(np.float32)
            valid = warped.read_masks(file.index) > 0
    return values, valid


def _time(file: Path, properties: Mapping[str, Any]) -> datetime:
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise FolderError(f"{file}: properties.datetime is {text!r}, which is no RFC 3339 time") from error
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)


def _bbox(geometry: Mapping[str, Any]) -> Bounds:
    def points(part: Any) -> Iterator[tuple[float, float]]:
        if part and isinstance(part[0], int | float):
            yield float(part[0]), float(part[1])
        else:
            for inner in part:
                yield from points(inner)

    lons, lats = zip(*points(geometry["coordinates"]), strict=True)
    return min(lons), min(lats), max(lons), max(lats)


def _overlap(a: Bounds, b: Bounds) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _describe(name: str, scenes: tuple[FolderScene, ...], document: Mapping[str, Any]) -> CollectionInfo:
    names = list(dict.fromkeys(band for scene in scenes for band in scene.files))
    known = _KNOWN.get(name)
    bands = []
    for band in names:
        info = known.band(band) if known else None
        metres = min(scene.files[band].metres for scene in scenes if band in scene.files)
        bands.append(info or BandInfo(band, band, metres, ("DN",)))
    bands.append(BandInfo(DATA_MASK, "Data mask: 0 no data, 1 data", None, ("DN",)))
    boxes = [scene.bbox for scene in scenes]
    extent = (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
    times = [scene.datetime for scene in scenes]
    base = known or CollectionInfo(
        id=name,
        short_name=name,
        title=name,
        description=name,
        bands=(),
        extent=extent,
        start=min(times),
        end=max(times),
        platforms=tuple(sorted({str(s.properties["platform"]) for s in scenes if "platform" in s.properties})),
        constellation=str(scenes[0].properties.get("constellation", name)),
        instruments=tuple(scenes[0].properties.get("instruments", ())),
        gsd=min(band.resolution for band in bands if band.resolution is not None),
        max_metres_per_pixel=_DEFAULT_MAX_METRES_PER_PIXEL,
    )
    return replace(
        base,
        title=str(document.get("title", base.title)),
        description=str(document.get("description", base.description)),
        bands=tuple(bands),
        extent=extent,
        start=min(times),
        end=max(times),
    )
