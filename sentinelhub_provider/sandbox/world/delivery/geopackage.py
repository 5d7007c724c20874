"""GeoPackages with the features of a job, and with the manifest of the features that it processes."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from pyogrio import list_layers
from pyogrio.errors import DataLayerError, DataSourceError
from pyogrio.raw import read, write
from pyproj import CRS
from shapely.geometry import mapping, shape

MAX_FEATURES: Final = 700_000


@dataclass(frozen=True)
class Feature:
    """A polygon to process, in ``EPSG:epsg``. ``properties`` has the other columns, by their names in lower case."""

    id: int
    epsg: int
    geometry: Mapping[str, Any]
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identifier(self) -> str | None:
        """The column ``identifier``, if there is one."""
        value = self.properties.get("identifier")
        return None if value is None else str(value)


def read_features(content: bytes) -> list[Feature]:
    """Read the polygons of all feature tables. A :class:`ValueError` says what is wrong with the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.gpkg"
        path.write_bytes(content)
        try:
            layers = sorted(name for name, kind in list_layers(path) if kind is not None)
            features = [feature for layer in layers for feature in _read_layer(path, layer)]
        except (DataSourceError, DataLayerError) as error:
            raise ValueError("the file is no GeoPackage") from error
    if not features:
        raise ValueError("the GeoPackage has no features")
    if len(features) > MAX_FEATURES:
        raise ValueError(f"the GeoPackage has {len(features)} features, more than {MAX_FEATURES}")
    return features


def write_features(tables: Mapping[str, Sequence[Feature]], columns: Mapping[str, type]) -> bytes:
    """Write a GeoPackage of ``tables``, each with features of one CRS. ``columns`` has the types of the properties."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.gpkg"
        for name, features in tables.items():
            values = [[each.properties.get(column) for each in features] for column in columns]
            kinds = [object if kind is str else kind for kind in columns.values()]
            write(
                path,
                shapely.to_wkb(np.array([shape(each.geometry) for each in features], object)),
                [
                    np.array([kind() if value is None else value for value in column], kind)
                    for column, kind in zip(values, kinds, strict=True)
                ],
                list(columns),
                field_mask=[np.array([value is None for value in column]) for column in values],
                layer=name,
                driver="GPKG",
                geometry_type="Unknown",
                crs=f"EPSG:{features[0].epsg}",
            )
        return path.read_bytes()


def _read_layer(path: Path, layer: str) -> list[Feature]:
    meta, numbers, blobs, values = read(path, layer=layer, force_2d=True, return_fids=True)
    if not len(blobs):
        return []
    epsg = None if meta["crs"] is None else CRS.from_user_input(meta["crs"]).to_epsg()
    if epsg is None:
        raise ValueError(f"table {layer}: its CRS is not one of EPSG's")
    names = [name.lower() for name in meta["fields"]]
    features = []
    for row, (number, geometry) in enumerate(zip(numbers.tolist(), shapely.from_wkb(blobs), strict=True)):
        if geometry is None or geometry.is_empty:
            raise ValueError(f"table {layer}: the geometry of feature {number} is empty")
        if geometry.geom_type not in ("Polygon", "MultiPolygon"):
            raise ValueError(f"table {layer}: the geometry of feature {number} is neither a POLYGON nor a MULTIPOLYGON")
        properties = {name: _plain(column[row]) for name, column in zip(names, values, strict=True)}
        features.append(Feature(number, epsg, _lists(mapping(geometry)), properties))
    return features


def _plain(value: Any) -> Any:
    """Return a column's value as a Python type. An integer column with nulls arrives as floats."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    return value


def _lists(geometry: Mapping[str, Any]) -> dict[str, Any]:
    def listed(part: Any) -> Any:
        return [listed(each) for each in part] if isinstance(part, list | tuple) else part

    return {"type": geometry["type"], "coordinates": listed(geometry["coordinates"])}
