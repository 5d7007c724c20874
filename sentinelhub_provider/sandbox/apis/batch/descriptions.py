"""The documentation's table of the tiling grids ("Batch V2 API"), without numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

LAEA: Final = 3035
"""EPSG code of Europe's equal-area projection."""


@dataclass(frozen=True)
class TilingGrid:
    """A grid of square tiles. ``size`` is their side, and ``step`` is their distance. Both are in its unit."""

    id: int
    name: str
    size: float
    step: float
    resolutions: tuple[float, ...]
    scheme: Literal["utm", "wgs84", "laea"]

    def show(self) -> dict[str, Any]:
        """Write it as the API does."""
        return {
            "id": self.id,
            "name": self.name,
            "properties": {
                "tileWidth": self.size,
                "tileHeight": self.size,
                "resolutions": list(self.resolutions),
                "unit": "DEGREE" if self.scheme == "wgs84" else "METRE",
            },
        }


GRIDS: Final = {
    grid.id: grid
    for grid in (
        TilingGrid(0, "UTM 20km grid", 20_040.0, 20_000.0, (10.0, 20.0, 30.0, 60.0), "utm"),
        TilingGrid(1, "UTM 10km grid", 10_000.0, 10_000.0, (10.0, 20.0), "utm"),
        TilingGrid(2, "UTM 100km grid", 100_080.0, 100_000.0, (30.0, 60.0, 120.0, 240.0, 360.0), "utm"),
        TilingGrid(3, "WGS84 1 degree grid", 1.0, 1.0, (0.0001, 0.0002), "wgs84"),
        TilingGrid(6, "LAEA 100km grid", 100_000.0, 100_000.0, (40.0, 50.0, 100.0), "laea"),
        TilingGrid(7, "LAEA 20km grid", 20_000.0, 20_000.0, (10.0, 20.0), "laea"),
    )
}
