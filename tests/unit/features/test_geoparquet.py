"""Scenes as tables."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from pyarrow import Schema, parquet

from sentinelhub_provider.features.writing import to_geoparquet

POINT = {"type": "Point", "coordinates": [13, 45]}


def schema_of(*properties: dict[str, Any]) -> Schema:
    """Return the schema of the table of items with these properties."""
    items = [{"id": str(number), "properties": some, "geometry": POINT} for number, some in enumerate(properties)]
    return parquet.read_table(io.BytesIO(to_geoparquet(items))).schema


@pytest.mark.parametrize(
    "properties",
    [
        [],
        [{}],
        [{"datetime": None, "eo:cloud_cover": None, "proj:epsg": None, "platform": None}],
        [{"datetime": "2024-06-01T10:00:00Z", "eo:cloud_cover": 3, "proj:epsg": 32633, "platform": "sentinel-2a"}],
        [{"datetime": "nonsense", "eo:cloud_cover": "3.5", "proj:epsg": 32633.0, "platform": 2}],
    ],
    ids=["no item", "no property", "all null", "usual", "odd"],
)
def test_types_do_not_depend_on_a_days_scenes(properties: list[dict[str, Any]]):
    """Tables of different days can be read as one."""
    schema, empty = schema_of(*properties), schema_of()

    assert schema.names == empty.names
    assert schema.types == empty.types
    assert str(schema.field("datetime").type) == "timestamp[us, tz=UTC]"


@pytest.mark.parametrize("value", [None, True, 7, 7.5, "seven", [7]])
def test_other_properties_are_text(value: Any):
    """Whatever they are that day."""
    assert str(schema_of({"own": value}).field("own").type) == "string"


def test_values_are_kept():
    """Times in UTC, numbers as such, anything else as text."""
    some = {"datetime": "2024-06-01T12:00:00.5+02:00", "eo:cloud_cover": "3.5", "proj:epsg": 32633.0, "own": {"a": 1}}
    (row,) = parquet.read_table(
        io.BytesIO(to_geoparquet([{"id": "a", "properties": some, "geometry": POINT}]))
    ).to_pylist()

    assert row["datetime"] == datetime(2024, 6, 1, 10, 0, 0, 500_000, UTC)
    assert (row["eo:cloud_cover"], row["proj:epsg"], row["own"]) == (3.5, 32633, '{"a":1}')
