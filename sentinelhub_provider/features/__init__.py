"""Reads features, such as fields, parcels and districts, from many kinds of files, one at a time.

Any task may use :func:`open_features`. GeoJSON and WKT need nothing more. GDAL's formats (Shapefile, GeoPackage,
FlatGeobuf, KML) need the extra ``vector``, and GeoParquet needs the extra ``parquet``.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sentinelhub_provider.api.geo.crs import Crs, parse_crs
from sentinelhub_provider.api.geo.geometry import Feature, feature_id, parse_geometry
from sentinelhub_provider.api.values import decode, encoding_fault, without_bom
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.features.files import ABSENT, ParquetTable, Row, VectorTable, naming_file, open_file
from sentinelhub_provider.features.geojson import GeoJson

__all__ = ["Feature", "Features", "open_features"]

TEXTS = (".geojson", ".geojsonl", ".geojsons", ".json", ".jsonl", ".ndjson", ".wkt")
"""Endings of files that are text, so that a broken one is not taken for what GDAL may read."""

FORMATS = "GeoJSON, WKT, GeoParquet, or what GDAL reads (Shapefile, GeoPackage, FlatGeobuf, KML)"
_JSON = re.compile(r"[\ufeff\s\x1e]*[{\[]")
_WKT = re.compile(
    r"\s*(?:SRID\s*=\s*\d+\s*;\s*)?(?:MULTI)?(?:POINT|LINESTRING|POLYGON)\s*(?:Z|M|ZM)?\s*\(", re.IGNORECASE
)
_NEXT_WKT = re.compile(r"\n(?=\s*[A-Z])", re.IGNORECASE)


class _Source(Protocol):
    count: int
    crs: Crs | None

    @property
    def columns(self) -> Iterable[str]: ...

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]: ...


class Features:
    """Features of a source, read one at a time. You can iterate over them more than once."""

    def __init__(
        self, source: _Source, name: str, *, id_property: str | None = None, properties: Sequence[str] = ()
    ) -> None:
        self._source, self._name, self._id_property = source, name, id_property
        self.properties = tuple(properties)
        """Names of the properties that features bring along."""
        self._wanted = list(dict.fromkeys([*self.properties, *([] if id_property is None else [id_property])]))
        self.crs = source.crs
        """The CRS that the source names, ``None`` if it names none."""
        if not source.count:
            raise SentinelHubRequestError(f"features: {name} is empty: it has no feature.")
        unknown = next((one for one in self._wanted if one not in source.columns), None)
        if unknown is not None:
            field = "properties" if unknown in self.properties else "id_property"
            known = ", ".join(list(source.columns)[:50]) or "none"
            raise SentinelHubRequestError(
                f"{field}: no feature of {name} has the property {unknown!r}. There are: {known}."
            )

    def __len__(self) -> int:
        return self._source.count

    def __iter__(self) -> Iterator[Feature]:
        # Only what is raised here: what goes wrong with a feature where it is used says nothing of the file.
        with naming_file(self._name, field="features", what=FORMATS):
            for number, (own, geometry, cells) in enumerate(self._source.rows(self._wanted)):
                yield self._feature(number, own, geometry, cells)

    def _feature(self, number: int, own: Any, geometry: Any, cells: Mapping[str, Any]) -> Feature:
        properties = {name: cells.get(name) for name in self.properties}
        given = own if self._id_property is None else cells.get(self._id_property)
        identifier = number if given is ABSENT else feature_id(given)
        problem = None
        if identifier is None:
            what = "the id" if self._id_property is None else f"the property {self._id_property!r}:"
            problem = f"has {what} {given!r}, where a text or a whole number belongs"
            if given is None:
                problem = f"has no value for the property {self._id_property!r}, which names features"
        elif geometry is None:
            problem = "has no geometry"
        elif isinstance(geometry, str):
            problem = geometry
        name = number if identifier is None else identifier
        return Feature(number, name, None if problem else geometry, properties=properties, problem=problem)


class _WktRows:
    """WKT as rows, one geometry in each line. All are in the CRS of the first one."""

    columns: Sequence[str] = ()

    def __init__(self, text: str) -> None:
        self._texts = [one for one in _NEXT_WKT.split(without_bom(text).strip()) if one.strip()]
        self.count = len(self._texts)
        self.crs = parse_geometry(self._texts[0], "features", areas_only=False).crs

    def rows(self, _wanted: Sequence[str]) -> Iterator[Row]:
        for text in self._texts:
            try:
                geometry: Any = parse_geometry(text, "it", areas_only=False)
            except SentinelHubRequestError as error:
                geometry = str(error)
            yield ABSENT, geometry, {}


@contextmanager
def open_features(
    value: Any,
    *,
    id_property: str | None = None,
    properties: Sequence[str] | str = (),
    layer: str | None = None,
    folders: Iterable[str] = (),
) -> Iterator[Features]:
    """Read features. They exist for as long as the context lasts.

    :param value: GeoJSON as mapping, list or text, WKT, or anything with ``__geo_interface__``, such as a GeoDataFrame.
        Or the path of a file with GeoJSON (also as text sequence or newline delimited), WKT (one geometry per line) or
        GeoParquet. GDAL's formats work, too, such as Shapefile (also zipped), GeoPackage, FlatGeobuf and KML. A path is
        local, or a URL that Airflow's object storage knows, or an ``ObjectStoragePath``.
    :param id_property: the property that names features. By default, these are the file's own ids, else numbers.
    :param properties: names of properties that features bring along.
    :param layer: which layer of a file that has several.
    :param folders: where a relative path is searched, after the working directory.
    :raises SentinelHubTransportError: if an object storage fails in a way that may pass.
    """
    properties = (properties,) if isinstance(properties, str) else tuple(properties)
    is_text = isinstance(value, str) and (_JSON.match(value) or _WKT.match(without_bom(value)))
    if is_text or not (isinstance(value, str | Path) or hasattr(value, "fs")):
        try:
            source: _Source = _WktRows(value) if is_text and not _JSON.match(value) else _of_value(value)
        except SentinelHubRequestError:
            raise
        except ValueError as error:
            raise SentinelHubRequestError(f"features: {error}.") from error
        _refuse_layer(layer, "features")
        yield Features(source, "features", id_property=id_property, properties=properties)
        return
    with (
        open_file(value, field="features", what=FORMATS, folders=folders) as path,
        tempfile.TemporaryDirectory(prefix="sentinelhub-") as folder,
    ):
        with naming_file(value, field="features", what=FORMATS):
            source = _of_file(path, str(value), layer, Path(folder))
        yield Features(source, str(value), id_property=id_property, properties=properties)


def _of_value(value: Any) -> _Source:
    source = GeoJson(getattr(value, "__geo_interface__", value))
    system = getattr(value, "crs", None)
    if hasattr(system, "to_wkt"):
        source.crs = parse_crs(system, "features' crs")
    return source


def _of_file(path: Path, name: str, layer: str | None, folder: Path) -> _Source:
    """Open a file by what it begins with, whatever its name says."""
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(512)
        if not head:
            raise ValueError("it is empty")
        if fault := encoding_fault(head):
            raise ValueError(f"it is text in {fault}. Save it as UTF-8")
    text = without_bom(head.decode(errors="replace"))
    if _JSON.match(text) or _WKT.match(text) or head.startswith(b"PAR1"):
        _refuse_layer(layer, name)
    if _JSON.match(text):
        return GeoJson(path)
    if path.suffix.lower() in TEXTS and not _WKT.match(text):
        decode(path.read_bytes())
        raise ValueError("it is neither GeoJSON nor WKT")
    if _WKT.match(text):
        return _WktRows(decode(path.read_bytes()))
    return ParquetTable(path, name) if head.startswith(b"PAR1") else VectorTable(path, name, layer=layer, folder=folder)


def _refuse_layer(layer: str | None, name: str) -> None:
    if layer is not None:
        raise SentinelHubRequestError(f"layer is {layer!r}, but {name} has no layers. Leave layer out.")
