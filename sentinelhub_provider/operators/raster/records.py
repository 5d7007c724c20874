"""
What is written beside an output: by which request it was made, so that no other picture is mistaken for it.

The record of ``ndvi.tif`` is ``ndvi.tif.request.json``. It goes before a new picture comes and comes after it, so that
a record always describes the file beside it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from sentinelhub_provider.hooks.output import beside, place_of
from sentinelhub_provider.transport.download import storing

SUFFIX = ".request.json"


@dataclass(frozen=True, slots=True)
class Record:
    """
    How an output came to be.

    :param request_sha256: digest of the request, as hexadecimal digits.
    :param size: bytes of the output.
    :param sha256: of the output, hexadecimal.
    :param content_type: media type.
    :param tiles: name of the folder with the tiles that a mosaic was made of, within ``<output>.tiles``.
    """

    request_sha256: str
    size: int
    sha256: str
    content_type: str
    tiles: str | None = None


def exists(path: Any) -> bool:
    """Tell whether there is a file."""
    with storing(path):
        return bool(place_of(path).exists())


def read_record(path: Any) -> Record | None:
    """Return the record of an output that is there as the record says; ``None`` for any other."""
    with storing(path):
        output, record = place_of(path), place_of(beside(path, SUFFIX))
        if not output.exists() or not record.exists():
            return None
        try:
            found = Record(**json.loads(record.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            return None
        return found if output.stat().st_size == found.size else None


def write_record(path: Any, record: Record) -> None:
    """Write the record of an output that is complete."""
    from sentinelhub_provider.hooks.output import store

    text = json.dumps(asdict(record), indent=2)
    store(text.encode(), beside(path, SUFFIX), content_type="application/json")


def drop_record(path: Any) -> None:
    """Forget how an output came to be, for it is about to change."""
    with storing(path):
        record = place_of(beside(path, SUFFIX))
        if record.exists():
            record.unlink()
