"""The files that arguments name, brought to this machine from a disk or a bucket; packages that some formats need."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.values import decode
from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubRequestError, SentinelHubTransportError
from sentinelhub_provider.transport.storage_faults import is_final

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator


def template_folders(operator: BaseOperator) -> list[str]:
    """Return where an operator's templates lie, its DAG's folder among them; files that it names may lie there, too."""
    loader = operator.get_template_env().loader
    return [str(folder) for folder in getattr(loader, "searchpath", ())]


def is_remote(path: Any) -> bool:
    """Tell whether a path is a URL, or an ``ObjectStoragePath``, which on Airflow 3.1 is a ``pathlib.Path``, too."""
    return hasattr(type(path), "fs") or (isinstance(path, str) and "://" in path)


@contextmanager
def open_file(path: Any, *, field: str, what: str, folders: Iterable[str] = ()) -> Iterator[Path]:
    """Give a file of this machine: the path itself, or a copy of the object for as long as the context lasts.

    What is wrong with its content is for :func:`naming_file`.

    :param path: absolute or relative, ``~`` being the user's home; or a URL that Airflow's object storage knows, or its
        ``ObjectStoragePath``.
    :param field: name of the argument, for errors.
    :param what: what it takes, such as ``GeoJSON``.
    :param folders: where a relative path is looked for, after the working directory.
    :raises SentinelHubTransportError: where the object storage fails in a way that may pass.
    """
    with tempfile.TemporaryDirectory(prefix="sentinelhub-") as folder:
        try:
            file = _fetch(path, Path(folder)) if is_remote(path) else _find(path, folders)
        except Exception as error:
            raise _unreadable(path, error, field, what, is_remote=is_remote(path)) from error
        yield file


@contextmanager
def naming_file(path: Any, *, field: str, what: str) -> Iterator[None]:
    """Turn what libraries raise over a broken file into an error that names it; parameters as :func:`open_file`."""
    try:
        yield
    except SentinelHubError:
        raise
    except (OSError, ValueError, LookupError, RuntimeError) as error:
        raise _unreadable(path, error, field, what, is_remote=False) from error


def read_text(path: Any, *, field: str, what: str, folders: Iterable[str] = ()) -> str:
    """Read a text in UTF-8, with or without byte order mark; see :func:`open_file`."""
    with (
        open_file(path, field=field, what=what, folders=folders) as file,
        naming_file(path, field=field, what=what),
    ):
        return decode(file.read_bytes())


def _find(path: str | Path, folders: Iterable[str]) -> Path:
    path = Path(path).expanduser()
    places = [path] if path.is_absolute() else [path, *(Path(folder) / path for folder in folders)]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise FileNotFoundError(f"there is no file {path}")
    return found


def _fetch(path: Any, folder: Path) -> Path:
    """Copy an object; of a Shapefile all its parts."""
    from airflow.sdk import ObjectStoragePath

    location: Any = path if hasattr(type(path), "fs") else ObjectStoragePath(path)
    keys = [str(location.path)]
    if keys[0].lower().endswith(".shp"):
        beside = location.fs.ls(keys[0].rpartition("/")[0], detail=False)
        stem = PurePosixPath(keys[0]).stem
        keys += [key for key in beside if PurePosixPath(key).stem == stem and PurePosixPath(key).suffix != ".shp"]
    for key in keys:
        location.fs.get_file(key, str(folder / PurePosixPath(key).name))
    return folder / PurePosixPath(keys[0]).name


def _unreadable(path: Any, error: Exception, field: str, what: str, *, is_remote: bool) -> SentinelHubError:
    said = f"{field} names the file {path}, which cannot be read: {str(error).rstrip('.') or type(error).__name__}."
    if is_remote and not is_final(error):
        return SentinelHubTransportError(f"{said} The object storage may do it later.")
    return SentinelHubRequestError(
        f"{said} Give {what}, the path of a file that the worker can read or that lies beside the DAG, or a URL such "
        "as s3://my_conn@my-bucket/fields.geojson.",
        field=field,
    )


def require_pyarrow(*, field: str, otherwise: str, what: str = "Parquet") -> Any:
    """Return pyarrow, which ``what`` needs; ``field`` asks for it, and ``otherwise`` says what to do without."""
    return _require("pyarrow", "parquet", what, field, otherwise)


def require_pyogrio(what: str, *, otherwise: str) -> Any:
    """Return pyogrio; parameters and errors as those of :func:`require_pyarrow`, of the argument ``features``."""
    return _require("pyogrio", "vector", what, "features", otherwise)


def _require(module: str, extra: str, what: str, field: str, otherwise: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise SentinelHubRequestError(
            f"{field}: {what} needs {module}, which is not installed. Install it where the worker runs: pip install "
            f"'airflow-provider-sentinelhub[{extra}]'; or {otherwise}."
        ) from error
