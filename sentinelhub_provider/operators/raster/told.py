"""Facts of an item that identify its picture. This module is pure and reads and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentinelhub_provider.transport.download import Download

OWN = "sentinelhub:"
DIGEST = f"{OWN}request_sha256"
TASK = f"{OWN}task"
SERVICE = f"{OWN}service"
TILES = f"{OWN}tiles"


@dataclass(frozen=True, slots=True)
class Made:
    """An existing picture, with the files that match its item and the item's other facts.

    :param outputs: ``path``, ``size`` in bytes, ``sha256`` and ``content_type`` of each file, by output.
    :param properties: of the item.
    :param item: path of the item, ``None`` without one.
    """

    outputs: dict[str, dict[str, Any]]
    properties: Mapping[str, Any]
    item: str | None = None

    @property
    def coverage(self) -> float | None:
        """Share of the area with data, 0 to 1, ``None`` if unknown."""
        return self.properties.get(f"{OWN}coverage")

    @property
    def tiles(self) -> str | None:
        """Name of the folder with a mosaic's tiles, within ``<output>.tiles``."""
        return self.properties.get(TILES)


def read_item(text: str) -> dict[str, Any] | None:
    """Read an item's JSON, ``None`` for anything else."""
    try:
        found: dict[str, Any] = json.loads(text)
        return found if all(isinstance(found[name], dict) for name in ("assets", "properties")) else None
    except (ValueError, TypeError, KeyError):
        return None


def is_as_told(asset: Mapping[str, Any], size: int, changed: float | None, told: float | None) -> bool | None:
    """Tell whether a file matches its asset. ``None`` means that it is newer than its item, so only its bytes tell.

    :param size: size of the file in bytes.
    :param changed: time of the file's last change. ``told``: time of the item's last change. If one is unknown, so is
        the answer.
    """
    names = [asset.get(field) for field in ("type", "file:checksum")]
    if not all(isinstance(one, str) for one in names) or size != asset.get("file:size"):
        return False
    return (
        True if type(changed) is type(told) and changed is not None and told is not None and changed <= told else None
    )


def sha256_of(asset: Mapping[str, Any]) -> str:
    """Return the digest in an asset's multihash, hexadecimal."""
    return str(asset["file:checksum"])[-64:]


def told_output(path: Any, asset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task's result for a file that matches its asset."""
    kind = asset["type"].partition(";")[0]
    return {"path": str(path), "size": asset["file:size"], "sha256": sha256_of(asset), "content_type": kind}


def stored_output(one: Download) -> dict[str, Any]:
    """Return the same for a file that was stored now."""
    return {
        "path": one.path,
        "size": one.size,
        "sha256": one.sha256,
        "content_type": one.content_type.partition(";")[0],
    }


def without_request(item: Mapping[str, Any], *, is_there: bool) -> dict[str, Any]:
    """Return an item without its request. Its task stays named while the picture ``is_there``."""
    gone = (DIGEST, TILES) if is_there else (DIGEST, TILES, TASK)
    return {**item, "properties": {name: value for name, value in item["properties"].items() if name not in gone}}
