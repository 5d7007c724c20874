"""Cloud optimized GeoTIFFs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_RESAMPLING: Final = {
    "nearest": "NEAREST",
    "average": "AVERAGE",
    "gauss": "GAUSS",
    "cubic": "CUBIC",
    "cubicspline": "CUBICSPLINE",
    "lanczos": "LANCZOS",
    "mode": "MODE",
}


def to_cog(content: bytes, parameters: Mapping[str, Any]) -> bytes:
    """Rewrite a GeoTIFF as a cloud optimized one.

    ``parameters`` are ``cogParameters``. Only ``blockxsize``, ``resamplingAlgorithm`` and ``usePredictor`` are used.
    Blocks are square.
    """
    from sentinelhub_provider.sandbox.world.gdal import MemoryFile, copy

    options = {
        "COMPRESS": "DEFLATE",
        "BLOCKSIZE": int(parameters.get("blockxsize") or 256),
        "OVERVIEW_RESAMPLING": _RESAMPLING.get(str(parameters.get("resamplingAlgorithm")), "AVERAGE"),
        "PREDICTOR": "YES" if parameters.get("usePredictor", True) else "NO",
    }
    with MemoryFile(content) as plain, MemoryFile() as made:
        with plain.open() as source:
            copy(source, made.name, driver="COG", **options)
        return bytes(made.read())
