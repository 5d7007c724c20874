"""The list of features that the sandbox does not imitate, collected from its parts."""

from __future__ import annotations

import pkgutil
import textwrap
from collections.abc import Iterator
from importlib import import_module
from typing import Final

from sentinelhub_provider.sandbox import apis, gateway, world
from sentinelhub_provider.sandbox.world.scenes.collections import COLLECTIONS

SERVICES: Final = {
    "/ogc/*": "OGC services",
    "/accounting/*": "accounting",
    "/configuration/v1/*": "configurations other than their list",
    "/api/v1/dataimport/*": "third-party data import",
    "/api/v1/batch/*": "Batch Process of version 1",
    "/zarr/v1/*": "collections of Zarr arrays",
    "/api/v1/zarr/*": "collections of Zarr arrays",
    "/api/v1/metadata/*": "metadata of locations and own collections",
    "/byoc/v1/collections/*/tiles/*/files*": "files of BYOC tiles",
}
"""The service's APIs that the sandbox lacks, by patterns of paths."""

COLLECTIONS_OF_THE_SERVICE: Final = (
    *("dem", "hls", "landsat-8-l1c", "landsat-etm-l1", "landsat-etm-l2", "landsat-mss-l1", "landsat-ot-l1"),
    *("landsat-ot-l2", "landsat-tm-l1", "landsat-tm-l2", "modis", "sentinel-1-grd", "sentinel-2-l1c", "sentinel-2-l2a"),
    *("sentinel-3-olci", "sentinel-3-olci-l2", "sentinel-3-slstr", "sentinel-3-slstr-l2", "sentinel-3-synergy-l2"),
    *("sentinel-5p-l2", "byoc", "batch", "zarr"),
)
"""The service's values of ``type`` in requests."""

BANDS_OF_THE_SERVICE: Final = {
    "sentinel-1-grd": ("HH", "HV", "VH", "VV", "localIncidenceAngle", "scatteringArea", "shadowMask", "dataMask"),
    "sentinel-2-l2a": ("AOT", "SCL", "SNW", "CLD", "CLP", "CLM", "sunAzimuthAngles", "viewZenithMean", "dataMask"),
    "dem": ("DEM", "dataMask"),
}
"""The service's bands of collections that the sandbox has."""


def not_imitated() -> Iterator[str]:
    """Yield a statement for each missing or different feature, first from the code, then from each part."""
    yield f"Services: {', '.join(dict.fromkeys(SERVICES.values()))} are not there: 404."
    there = {collection.id: collection for collection in COLLECTIONS}
    lacking = [name for name in COLLECTIONS_OF_THE_SERVICE if name not in there]
    yield f"Collections: {', '.join(lacking)} are not there, unless you bring a folder of scenes."
    for name, bands in BANDS_OF_THE_SERVICE.items():
        absent = [band for band in bands if there[name].band(band) is None]
        if absent:
            yield f"Bands of {name}: {' and '.join(absent)} are not there."
    for package in (apis, gateway, world):
        yield from getattr(package, "NOT_IMITATED", ())
        for module in pkgutil.iter_modules(package.__path__):
            if module.ispkg:
                yield from getattr(import_module(f"{package.__name__}.{module.name}"), "NOT_IMITATED", ())


def as_markdown() -> str:
    """Write the list for the documentation."""
    return "\n".join(
        textwrap.fill(f"- {_bold(item)}", 125, subsequent_indent="  ", break_on_hyphens=False)
        for item in not_imitated()
    )


def _bold(item: str) -> str:
    topic, _, text = item.partition(":")
    return f"**{topic}:**{text}"
