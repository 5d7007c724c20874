"""Packages that only some formats need, each with the extra that brings it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubRequestError


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
