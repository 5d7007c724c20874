"""The data collections, with their deployments and the options of their requests. ``None`` means unknown."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sentinelhub_provider.deployments import DEPLOYMENTS
from sentinelhub_provider.exceptions import SentinelHubRequestError

log = logging.getLogger(__name__)

MAIN = "sentinel-hub"
US_WEST = "sentinel-hub-us-west-2"
CDSE = "copernicus-data-space"
CREODIAS = "creodias"
BY_TIME = ("mostRecent", "leastRecent")
BY_CLOUD = (*BY_TIME, "leastCC")

SENTINEL_2_COARSEST = 1500.0
"""Metres per pixel, from the service's "exceeds the limit 1500.00 meters per pixel of the collection S2L2A"."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A data collection. Without ``deployments`` it may be anywhere.

    ``mosaicking_orders`` are its values of ``mosaickingOrder``. An ``is_timeless`` one has a single picture without a
    time, such as elevation. ``max_metres_per_pixel`` is the coarsest resolution that is served, if known.
    """

    id: str
    title: str
    short: str = ""
    deployments: tuple[str, ...] = ()
    mosaicking_orders: tuple[str, ...] = BY_TIME
    has_cloud_cover: bool = False
    is_timeless: bool = False
    max_metres_per_pixel: float | None = None

    def is_at(self, deployment: str) -> bool:
        """Tell whether a deployment has it. ``True`` if that is unknown."""
        return (
            deployment not in DEPLOYMENTS or deployment == "custom" or deployment in (self.deployments or DEPLOYMENTS)
        )


_SENTINEL_2 = (MAIN, CDSE, CREODIAS)
_EVERYWHERE = (MAIN, US_WEST, CDSE, CREODIAS)

_ALL = (
    Collection("sentinel-2-l1c", "Sentinel-2 L1C", "S2L1C", _SENTINEL_2, BY_CLOUD, True, False, SENTINEL_2_COARSEST),
    Collection("sentinel-2-l2a", "Sentinel-2 L2A", "S2L2A", _SENTINEL_2, BY_CLOUD, True, False, SENTINEL_2_COARSEST),
    Collection("sentinel-1-grd", "Sentinel-1 GRD", "S1GRD", _SENTINEL_2),
    Collection("dem", "Digital elevation model", "DEM", _EVERYWHERE, (), is_timeless=True),
    Collection("sentinel-3-olci", "Sentinel-3 OLCI L1B", "S3OLCI", (CDSE, CREODIAS)),
    Collection("sentinel-3-olci-l2", "Sentinel-3 OLCI L2", "S3OLCIL2", (CDSE,), BY_CLOUD, True),
    Collection("sentinel-3-slstr", "Sentinel-3 SLSTR L1B", "S3SLSTR", (CDSE, CREODIAS), BY_CLOUD, True),
    Collection("sentinel-3-slstr-l2", "Sentinel-3 SLSTR L2", "S3SLSTRL2", (CDSE,), BY_CLOUD, True),
    Collection("sentinel-3-synergy-l2", "Sentinel-3 SYNERGY L2", "S3SYNL2", (CDSE,)),
    Collection("sentinel-5p-l2", "Sentinel-5P L2", "S5PL2", (CDSE, CREODIAS)),
    Collection("landsat-ot-l1", "Landsat 8-9 L1", "LOTL1", (US_WEST, CDSE), BY_CLOUD, True),
    Collection("landsat-ot-l2", "Landsat 8-9 L2", "LOTL2", (US_WEST,), BY_CLOUD, True),
    Collection("landsat-8-l1c", "Landsat 8 L1 (Collection 1)", "L8L1C", (US_WEST,), BY_CLOUD, True),
    Collection("landsat-etm-l1", "Landsat 7 L1", "LETML1", (US_WEST,), BY_CLOUD, True),
    Collection("landsat-etm-l2", "Landsat 7 L2", "LETML2", (US_WEST,), BY_CLOUD, True),
    Collection("landsat-tm-l1", "Landsat 4-5 L1", "LTML1", (US_WEST,), BY_CLOUD, True),
    Collection("landsat-tm-l2", "Landsat 4-5 L2", "LTML2", (US_WEST,), BY_CLOUD, True),
    Collection("landsat-mss-l1", "Landsat 1-5 MSS L1", "LMSSL1", (US_WEST,), BY_CLOUD, True),
    Collection("modis", "MODIS MCD43A4", "MODIS", (US_WEST,)),
    Collection("hls", "Harmonized Landsat Sentinel", "HLS", (US_WEST,), BY_CLOUD, True),
)

COLLECTIONS = {collection.id: collection for collection in _ALL}  # All collections with a name of their own
SHORT_NAMES = {one.short: one.id for one in _ALL}  # Names that the documentation also writes for ``type``

_OWN = re.compile(r"(byoc|batch|zarr)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""Collections of users carry their id in the name."""


def find_collection(name: Any, deployment: str | None = None) -> Collection:
    """Look up a collection by its id, its short name (``S2L2A``), or the prefixed id of a user's own one.

    An unknown collection may be new. So it is left to the service, with a warning that names the nearest known one. A
    collection that the deployment is known to lack is refused, and the error names its deployments.
    """
    if not isinstance(name, str) or not name.strip():
        raise SentinelHubRequestError(f"collection is {name!r}. Give a collection's id, such as 'sentinel-2-l2a'.")
    name = name.strip()
    if _OWN.fullmatch(name):
        return Collection(name.lower(), f"own collection {name.lower()}")
    if name.partition("-")[0].lower() in ("byoc", "batch", "zarr"):
        raise SentinelHubRequestError(
            f"collection {name!r} is no name of an own collection. Give its prefix and id, such as "
            "'byoc-12345678-1234-1234-1234-123456789abc'."
        )
    collection = COLLECTIONS.get(SHORT_NAMES.get(name.upper(), name.lower().replace("_", "-")))
    if collection is None:
        if deployment != "custom":
            log.warning("%s", _unknown(name, deployment))
        return Collection(name, name, mosaicking_orders=BY_CLOUD, has_cloud_cover=True)
    if deployment is not None and not collection.is_at(deployment):
        raise SentinelHubRequestError(
            f"collection {name!r} is not available at {DEPLOYMENTS[deployment].title}. It lives at "
            f"deployment {_titles(collection.deployments)}: use a connection to it."
        )
    return collection


def find_collections(names: Iterable[str], deployment: str | None = None) -> list[Collection]:
    """Look up the collections of one request. If the deployment has one of them, others may live elsewhere."""
    names = list(names)
    found = [find_collection(name) if deployment != "custom" else find_collection(name, deployment) for name in names]
    if deployment is not None and not any(collection.is_at(deployment) for collection in found):
        for name in names:
            find_collection(name, deployment)
    return found


def _unknown(name: str, deployment: str | None) -> str:
    squeezed = name.lower().replace("_", "-").replace(" ", "-")
    near = get_close_matches(squeezed, COLLECTIONS, n=8, cutoff=0.5)
    near += [known for known in COLLECTIONS if known not in near and squeezed in known]
    nearest = sorted(near, key=lambda known: deployment is not None and not COLLECTIONS[known].is_at(deployment))[:3]
    hints = []
    for known in map(COLLECTIONS.__getitem__, nearest):
        is_there = deployment is None or known.is_at(deployment)
        hints.append(repr(known.id) if is_there else f"{known.id!r} (elsewhere: {_titles(known.deployments)})")
    there = [known.id for known in _ALL if deployment is None or known.is_at(deployment)]
    advice = f"Nearest: {', '.join(hints)}." if hints else f"There are {', '.join(there)}."
    return f"collection {name!r} is not known here, and sent as it is. {advice}"


def _titles(deployments: Iterable[str]) -> str:
    return " and ".join(f"{name!r} ({DEPLOYMENTS[name].base_url})" for name in deployments)
