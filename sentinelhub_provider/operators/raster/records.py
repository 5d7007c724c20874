"""
What is written beside an output: by which request it was made, so that no other picture is mistaken for it.

The record of ``ndvi.tif`` is ``ndvi.tif.request.json``. It goes before a new picture comes and comes after it, so that
a record always describes the file beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubOutputError

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

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


def place_of(path: Any) -> Path | ObjectStoragePath:
    """
    Return a path that can be looked at and read.

    :param path: a local path, a URL that Airflow's object storage knows, or an ``ObjectStoragePath``.
    """
    if isinstance(path, Path) or (isinstance(path, str) and "://" not in path):
        return Path(path).expanduser().absolute()
    from airflow.sdk import ObjectStoragePath

    location = path if isinstance(path, ObjectStoragePath) else ObjectStoragePath(path)
    return Path(location.path) if location.protocol in ("", "file", "local") else location


def beside(path: Any, suffix: str) -> Any:
    """Return the path that has ``suffix`` behind the name of ``path``."""
    return f"{path}{suffix}" if isinstance(path, str) else path.with_name(f"{path.name}{suffix}")


def exists(path: Any) -> bool:
    """Tell whether there is a file."""
    with _worded(path):
        return bool(place_of(path).exists())


def read_record(path: Any) -> Record | None:
    """Return the record of an output that is there as the record says; ``None`` for any other."""
    with _worded(path):
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
    with _worded(path):
        record = place_of(beside(path, SUFFIX))
        if record.exists():
            record.unlink()


@contextmanager
def _worded(path: Any) -> Iterator[None]:
    """Turn what a storage says into an error that names the path."""
    try:
        yield
    except SentinelHubOutputError:
        raise
    except Exception as error:
        raise SentinelHubOutputError(
            f"output_path {path} cannot be looked at: {error}. Check that the folder or bucket exists and may be read, "
            "and that its provider package and connection are there."
        ) from error
