from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from sentinelhub_provider.sandbox.world.scenes import SyntheticScenes

NOW = datetime(2025, 1, 1, tzinfo=UTC)
UTM_BOX = (424_000.0, 5_096_000.0, 426_560.0, 5_098_560.0)
"""Metres in EPSG:32633, within the same tile: 256 x 256 pixels of 10 m."""

UTM_33N = "http://www.opengis.net/def/crs/EPSG/0/32633"

NDVI_FLOAT = """//VERSION=3
function setup() {
  return {
    input: ["B04", "B08", "dataMask"],
    output: { bands: 1, sampleType: "FLOAT32" }
  };
}
function evaluatePixel(sample) {
  return [index(sample.B08, sample.B04)];
}
"""


@pytest.fixture(scope="session")
def source() -> SyntheticScenes:
    """Return a synthetic world whose present is the first of January 2025."""
    return SyntheticScenes(clock=lambda: NOW)


@pytest.fixture
def body() -> Callable[..., dict[str, Any]]:
    """Return a maker of request bodies over a small box in UTM; keywords replace parts."""

    def make(
        evalscript: str = NDVI_FLOAT,
        media_type: str | None = "image/tiff",
        *,
        bounds: Mapping[str, Any] | None = None,
        data_filter: Mapping[str, Any] | None = None,
        output: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        made: dict[str, Any] = {
            "input": {
                "bounds": dict(bounds or {"bbox": list(UTM_BOX), "properties": {"crs": UTM_33N}}),
                "data": [
                    {
                        "type": "sentinel-2-l2a",
                        "dataFilter": {
                            "timeRange": {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T23:59:59Z"},
                            "mosaickingOrder": "leastCC",
                            **(data_filter or {}),
                        },
                    }
                ],
            },
            "output": {"width": 64, "height": 64} if output is None else dict(output),
            "evalscript": evalscript,
        }
        if media_type is not None:
            made["output"].setdefault("responses", [{"identifier": "default", "format": {"type": media_type}}])
        return made

    return make
