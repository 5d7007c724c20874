"""STAC items as GeoParquet 1.1, one row to an item; properties are columns."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import shapely
from shapely.geometry import shape as shape_of

from sentinelhub_provider.features.packages import require_pyarrow

CONTENT_TYPE = "application/vnd.apache.parquet"


def require_geoparquet() -> Any:
    """
    Return pyarrow.

    :raises SentinelHubRequestError: where it is not installed.
    """
    return require_pyarrow(field="output_path", otherwise="let output_path end with .json")


def to_geoparquet(items: Sequence[Mapping[str, Any]]) -> bytes:
    """
    Write items as GeoParquet.

    Columns: ``id``, ``collection``, ``bbox`` (four numbers, degrees), each property under its own name (numbers,
    booleans and texts as such, anything else as JSON), ``assets`` and ``links`` as JSON, and ``geometry`` (WKB,
    longitude and latitude). Texts of time are kept as RFC 3339.

    :raises SentinelHubRequestError: where ``pyarrow`` is not installed.
    """
    pyarrow = require_geoparquet()
    # It carries no type information.
    parquet = import_module("pyarrow.parquet")
    names = list(dict.fromkeys(name for item in items for name in item.get("properties") or {}))
    columns: dict[str, Any] = {
        "id": pyarrow.array([item.get("id") for item in items], pyarrow.string()),
        "collection": pyarrow.array([item.get("collection") for item in items], pyarrow.string()),
        "bbox": pyarrow.array([item.get("bbox") for item in items], pyarrow.list_(pyarrow.float64())),
    }
    for name in names:
        if name not in columns and name != "geometry":
            columns[name] = _column([(item.get("properties") or {}).get(name) for item in items], pyarrow)
    for name in ("assets", "links"):
        columns[name] = pyarrow.array([_json(item.get(name)) for item in items], pyarrow.string())
    shapes = [item.get("geometry") for item in items]
    columns["geometry"] = pyarrow.array(
        [None if shape is None else shapely.to_wkb(shapely.force_2d(shape_of(shape))) for shape in shapes],
        pyarrow.binary(),
    )
    table = pyarrow.table(columns)
    table = table.replace_schema_metadata({"geo": json.dumps(_metadata(shapes))})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _column(values: list[Any], pyarrow: Any) -> Any:
    """Return a column of one type: what all values are, else JSON."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in present):
        return pyarrow.array(values, pyarrow.bool_())
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return pyarrow.array([None if value is None else float(value) for value in values], pyarrow.float64())
    if all(isinstance(value, str) for value in present):
        return pyarrow.array(values, pyarrow.string())
    return pyarrow.array([_json(value) for value in values], pyarrow.string())


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"))


def _metadata(shapes: Sequence[Any]) -> dict[str, Any]:
    """Return what the specification wants under ``geo``; without ``crs``, coordinates are longitude and latitude."""
    kinds = sorted({str(shape["type"]) for shape in shapes if shape is not None})
    return {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB", "geometry_types": kinds}},
    }
