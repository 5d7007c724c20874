"""The Process API's work: a request in, an image out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentinelhub_provider.sandbox.apis.process.render import ProcessResult, process

__all__ = ["ProcessResult", "process"]


def __getattr__(name: str) -> Any:
    """Load numpy, rasterio and V8 only when something is to be rendered: the sandbox starts faster."""
    if name in __all__:
        from sentinelhub_provider.sandbox.apis.process import render

        return getattr(render, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
