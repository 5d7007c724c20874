"""The libraries of the extra ``sandbox`` (numpy, rasterio and V8), loaded when a request first needs them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

from sentinelhub_provider.sandbox.errors import ApiError

MODULES: Final = ("cql2", "numpy", "PIL", "py_mini_racer", "pyogrio", "rasterio")
"""What the extra installs."""

INSTALL: Final = "pip install 'airflow-provider-sentinelhub[sandbox]'"


def missing() -> list[str]:
    """Return the modules of the extra that are not installed. Loads none of them."""
    return [name for name in MODULES if find_spec(name) is None]


@contextlib.contextmanager
def needed() -> Iterator[None]:
    """Raise ``ApiError`` 500 with the cure if a module of the extra is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"This sandbox cannot render pictures: {error.name} is not installed. Install it with: {INSTALL}"
        raise ApiError(500, "COMMON_EXCEPTION", message) from error
