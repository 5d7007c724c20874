"""The interface of a source of scenes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sentinelhub_provider.sandbox.world.grid import Bounds, Grid

DATA_MASK: Final = "dataMask"
"""The band that every collection has. It is 1 where there is data, and 0 elsewhere."""


@dataclass(frozen=True)
class BandInfo:
    """A band. ``units`` are the names that an evalscript may use, the default first.

    ``resolution`` is in metres per pixel of the source, or ``None`` for a computed band. A value in the default unit
    times ``dn_factor`` is a digital number. ``common_name`` and ``wavelength`` (micrometres) are STAC's.
    """

    name: str
    description: str
    resolution: float | None
    units: tuple[str, ...]
    dn_factor: float = 1.0
    common_name: str | None = None
    wavelength: float | None = None


@dataclass(frozen=True)
class CollectionInfo:
    """A collection. ``short_name`` is its name in Sentinel Hub's error messages.

    ``extent`` is west, south, east, north in degrees. ``start`` is the time of the oldest scene. ``end`` is that of the
    newest, or ``None`` while it grows. ``max_metres_per_pixel`` is the coarsest that the Process API renders.
    """

    id: str
    short_name: str
    title: str
    description: str
    bands: tuple[BandInfo, ...]
    extent: tuple[float, float, float, float]
    start: datetime
    end: datetime | None
    platforms: tuple[str, ...]
    constellation: str
    instruments: tuple[str, ...]
    gsd: float
    max_metres_per_pixel: float
    license: str = "proprietary"
    properties: Mapping[str, Any] = field(default_factory=dict)
    mosaickings: tuple[str, ...] = ("SIMPLE", "ORBIT", "TILE")
    """The values of ``mosaicking`` that an evalscript may choose."""
    cataloged: bool = True
    """Whether the Catalog has it. The elevation model has no scenes to search for."""

    def band(self, name: str) -> BandInfo | None:
        """Look a band up by its name."""
        return next((band for band in self.bands if band.name == name), None)


@dataclass(frozen=True)
class Reading:
    """How a scene is read.

    ``upsampling`` and ``downsampling`` are ``NEAREST``, ``BILINEAR`` or ``BICUBIC``. ``options`` are the collection's
    own processing options, by their names in the API (``backCoeff``, ``egm``, ...).
    """

    upsampling: str = "NEAREST"
    downsampling: str = "NEAREST"
    options: Mapping[str, Any] = field(default_factory=dict)


AS_STORED: Final = Reading()


class Scene(Protocol):
    """One acquisition over one tile."""

    @property
    def id(self) -> str:
        """Product id, unique in the collection."""

    @property
    def collection(self) -> str:
        """Id of the collection."""

    @property
    def datetime(self) -> datetime:
        """UTC time of sensing."""

    @property
    def bbox(self) -> Bounds:
        """West, south, east, north in degrees."""

    @property
    def geometry(self) -> dict[str, Any]:
        """GeoJSON geometry of the data in longitude and latitude."""

    @property
    def cloud_cover(self) -> float | None:
        """Percent of the scene's pixels under cloud, or ``None`` if unknown."""

    @property
    def epsg(self) -> int:
        """EPSG code of the CRS in which the data are stored."""

    @property
    def properties(self) -> dict[str, Any]:
        """Further STAC properties, without ``datetime`` and ``eo:cloud_cover``."""

    def read(self, bands: Sequence[str], grid: Grid, how: Reading = AS_STORED) -> dict[str, NDArray[np.float32]]:
        """Read bands on a grid, each an array of shape ``grid.shape`` in the band's default unit.

        ``dataMask`` is 1 where the scene has data. Elsewhere every band is 0. Raises :class:`KeyError` for a band that
        the collection lacks.
        """


class SceneSource(Protocol):
    """A source of scenes."""

    def collections(self) -> Sequence[CollectionInfo]:
        """List the collections."""

    def search(self, collection: str, *, bbox: Bounds | None, start: datetime, end: datetime) -> Iterator[Scene]:
        """Find scenes that touch ``bbox`` from ``start`` to ``end``, both included, newest first.

        ``None`` for ``bbox`` means anywhere. The search is lazy and makes each scene when you take it. An unknown
        collection has no scenes.
        """

    def get(self, collection: str, scene_id: str) -> Scene | None:
        """Find a scene by its id."""


def find_collection(source: SceneSource, collection_id: str) -> CollectionInfo | None:
    """Look a collection up by its id, or by its short name (``S2L2A``), which requests in the documentation use."""
    return next((info for info in source.collections() if collection_id in (info.id, info.short_name)), None)
