"""The feature manifest and the execution database that a Batch Process job writes about itself."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

from sentinelhub_provider.sandbox.apis.batch.plan import Target
from sentinelhub_provider.sandbox.apis.jobs.model import Part
from sentinelhub_provider.sandbox.world.delivery.geopackage import Feature, write_features

MANIFEST_COLUMNS: Final = {
    "outputId": str,
    "identifier": str,
    "path": str,
    "width": int,
    "height": int,
}


def write_manifest(parts: Sequence[Part], outputs: Sequence[str], path_of: Callable[[Part, str], str]) -> bytes:
    """Write the GeoPackage with one row per feature and output, and one table per CRS."""
    tables: dict[str, list[Feature]] = defaultdict(list)
    for part in parts:
        target: Target = part.what
        for output in outputs:
            values = (output, part.name, path_of(part, output), target.width, target.height)
            properties = dict(zip(MANIFEST_COLUMNS, values, strict=True))
            tables[f"feature_{target.epsg}"].append(Feature(0, target.epsg, target.outline, properties))
    return write_features(tables, MANIFEST_COLUMNS)


def write_execution(parts: Sequence[Part]) -> bytes:
    """Write the SQLite database with the status of each feature."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(
            "CREATE TABLE features (id INTEGER PRIMARY KEY, name TEXT, status TEXT, error TEXT, delivered BOOLEAN)"
        )
        database.executemany(
            "INSERT INTO features VALUES (?, ?, ?, ?, ?)",
            [(part.id, part.name, part.status, part.error, part.delivered) for part in parts],
        )
        database.commit()
        return bytes(database.serialize())
