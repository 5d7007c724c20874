"""Whether documents are STAC: by the schemas of STAC itself, which pystac brings along, and by what extensions say.

The schemas of extensions lie on a web server, and tests use no network: their rules for the fields that are written
here are written down once more.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache
from typing import Any

from jsonschema import Draft7Validator, FormatChecker
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

CORE = "https://schemas.stacspec.org/v1.1.0/{0}-spec/json-schema/{0}.json"
EXTENSIONS = {
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "eo": "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
}
NUMBER = (int, float)


@cache
def _validator(kind: str) -> Draft7Validator:
    schemas = get_local_schema_cache()
    registry: Any = Registry().with_resources([(uri, Resource.from_contents(one)) for uri, one in schemas.items()])
    return Draft7Validator(schemas[CORE.format(kind)], registry=registry, format_checker=FormatChecker())


def check_stac(document: Any, *, has_checksums: bool = True) -> dict[str, Any]:
    """Check an Item or a Collection, a dict or its text; return it as JSON has it."""
    found: dict[str, Any] = json.loads(document if isinstance(document, str) else json.dumps(document, allow_nan=False))
    kind = "item" if found["type"] == "Feature" else "collection"
    problems = [f"{'/'.join(map(str, one.path))}: {one.message}" for one in _validator(kind).iter_errors(found)]
    assert problems == []
    if kind == "item":
        _check_item(found, has_checksums=has_checksums)
    return found


def _check_item(item: dict[str, Any], *, has_checksums: bool) -> None:
    properties, assets = item["properties"], item["assets"].values()
    places = [properties, *assets, *(band for asset in assets for band in asset.get("bands", ()))]
    used = {name.partition(":")[0] for place in places for name in place if ":" in name} - {"sentinelhub"}
    assert sorted(EXTENSIONS[name] for name in used) == sorted(item["stac_extensions"])
    if properties["datetime"] is None:
        assert properties["start_datetime"] < properties["end_datetime"]
    height, width = properties["proj:shape"]
    x, turn, left, other_turn, y, top = properties["proj:transform"]
    west, south, east, north = properties["proj:bbox"]
    assert (turn, other_turn, left, top) == (0, 0, west, north)
    assert (isinstance(height, int), isinstance(width, int)) == (True, True)
    assert abs(left + x * width - east) + abs(top + y * height - south) < 1e-6 * (abs(x) + abs(y))
    assert re.fullmatch(r"EPSG:\d{4,5}", properties["proj:code"])
    datetime.fromisoformat(properties["processing:datetime"])
    assert all(isinstance(version, str) for version in properties["processing:software"].values())
    assert 0 <= properties.get("eo:cloud_cover", 0) <= 100
    for asset in assets:
        assert ("file:checksum" in asset) == has_checksums
        assert re.fullmatch("1220[0-9a-f]{64}|", asset.get("file:checksum", "")), "a multihash of SHA-256"
        assert asset["file:size"] > 0
        for band in asset.get("bands", ()):
            assert band.get("eo:common_name") in (None, "red", "green", "blue")
            assert all(isinstance(value, NUMBER) for value in band.get("statistics", {}).values())
