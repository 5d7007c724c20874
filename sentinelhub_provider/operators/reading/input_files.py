"""Files that arguments name: beside the DAG, on a disk, in a bucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator

from sentinelhub_provider.exceptions import SentinelHubRequestError


def template_folders(operator: BaseOperator) -> list[str]:
    """Return where an operator's templates lie, its DAG's folder among them; files that it names may lie there, too."""
    loader = operator.get_template_env().loader
    return [str(folder) for folder in getattr(loader, "searchpath", ())]


def read_text(path: Any, folders: Iterable[str]) -> str:
    """
    Read a text in UTF-8.

    :param path: see :func:`local_file`.
    :param folders: see there.
    """
    file = remote(path) if is_remote(path) else local_file(path, folders)
    return str(file.read_bytes().decode("utf-8"))


def is_remote(path: Any) -> bool:
    """Tell whether a path is a URL, or an ``ObjectStoragePath``."""
    return not isinstance(path, Path) and (hasattr(path, "fs") or "://" in path)


def remote(path: Any) -> Any:
    """Return an ``ObjectStoragePath``."""
    from airflow.sdk import ObjectStoragePath

    return path if hasattr(path, "fs") else ObjectStoragePath(path)


def local_file(path: str | Path, folders: Iterable[str]) -> Path:
    """
    Find a file of this machine.

    :param path: absolute or relative; ``~`` is the user's home.
    :param folders: where a relative path is looked for, after the working directory.
    :raises FileNotFoundError: where there is none.
    """
    path = Path(path).expanduser()
    places = [path] if path.is_absolute() else [path, *(Path(folder) / path for folder in folders)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"there is no file {path}")
    return found


@contextmanager
def reading(path: Any, field: str, *, what: str) -> Iterator[None]:
    """
    Turn what goes wrong with a file into an error that names argument and file.

    :param field: name of the argument.
    :param what: what the argument takes, such as ``GeoJSON``.
    :raises SentinelHubRequestError: for whatever is raised.
    """
    try:
        yield
    except SentinelHubRequestError:
        raise
    except UnicodeDecodeError as error:
        raise SentinelHubRequestError(
            f"{field} names the file {path}, which is no {what}: it is not text in UTF-8. Convert it, for example "
            "with ogr2ogr fields.geojson and its name.",
            field=field,
        ) from error
    except Exception as error:
        raise SentinelHubRequestError(
            f"{field} names the file {path}, which cannot be read: {str(error).rstrip('.')}. Give {what}, the path "
            "of a file that the worker can read or that lies beside the DAG, or a URL such as "
            "s3://my_conn@my-bucket/fields.geojson.",
            field=field,
        ) from error
