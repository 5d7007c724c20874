"""The features that a batch job runs over: a GeoPackage that is in a bucket already, or one that is brought there.

Features of any kind become one GeoPackage, named after what it holds: a retry finds it, and uploads it no second time.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubOutputError, SentinelHubRequestError
from sentinelhub_provider.operators.jobs.buckets import BucketError, exists, open_path

if TYPE_CHECKING:
    from sentinelhub_provider.api.geo.crs import Crs
    from sentinelhub_provider.api.geo.geometry import BBox, Feature, Geometry
    from sentinelhub_provider.api.processing_units import FeatureSizes

log = logging.getLogger(__name__)

PROBLEMS = 20
"""Unusable features that an error names."""


@dataclass(frozen=True, slots=True)
class Raster:
    """What each feature's raster will be, to work out what a job costs and that none is too large.

    ``size``: width and height in pixels; or ``resolution``: pixel sides in units of the features' CRS. ``max_side``:
    pixels that a side may have.
    """

    size: tuple[int, int] | None = None
    resolution: tuple[float, float] | None = None
    max_side: int | None = None


@dataclass(frozen=True, slots=True)
class PreparedFeatures:
    """A GeoPackage that is ready to be uploaded.

    :param path: the local file, which is there as long as the context lasts.
    :param count: how many features it has.
    :param digest: SHA-256 of what it holds, as hexadecimal digits.
    :param crs: CRS of all of them.
    :param bbox: the box around them.
    :param sizes: their rasters; ``None`` where these are not known.
    """

    path: Path
    count: int
    digest: str
    crs: Crs
    bbox: BBox
    sizes: FeatureSizes | None

    def url_in(self, folder: str) -> str:
        """Return the URL that it gets in a folder of a bucket."""
        return f"{folder.rstrip('/')}/features-{self.digest[:32]}.gpkg"

    def upload(self, folder: str, conn_id: str | None = None) -> str:
        """Upload it, unless it is there already, and return its URL.

        ``folder``: ``s3://bucket/folder`` or any other URL that Airflow's object storage knows. ``conn_id``: Airflow
        connection that may write there. Raises :class:`SentinelHubOutputError` where the bucket cannot be written.
        """
        from sentinelhub_provider.hooks.output import store

        url = self.url_in(folder)
        try:
            place = open_path(url, conn_id)
            if not exists(place):
                store(self.path, place, content_type="application/geopackage+sqlite3")
        except BucketError as error:
            raise SentinelHubOutputError(
                f"The features cannot be uploaded: {error}.", final=not error.passes
            ) from error
        return url


@contextmanager
def prepare_features(
    value: Any,
    *,
    id_property: str | None = None,
    layer: str | None = None,
    crs: Any = None,
    raster: Raster | None = None,
    folders: Iterable[str] = (),
) -> Iterator[PreparedFeatures]:
    """Make a GeoPackage of features; it is there as long as the context lasts.

    :param value: see :func:`~sentinelhub_provider.features.open_features`, also for ``layer``.
    :param id_property: the property that becomes each feature's ``identifier``; by default GeoJSON's ``id`` or the
        table's key, else its number.
    :param crs: CRS of features that do not name their own; longitude and latitude by default.
    :param raster: what each feature's raster will be.
    :param folders: where a relative path is searched for, after the working directory.
    :raises SentinelHubRequestError: where features cannot be read or used, and which; all must be areas in one CRS,
        with different identifiers.
    """
    from sentinelhub_provider.api.geo.crs import check_named_crs, parse_crs
    from sentinelhub_provider.features import open_features
    from sentinelhub_provider.features.writing import write_geopackage

    with (
        open_features(value, id_property=id_property, layer=layer, folders=folders) as features,
        tempfile.TemporaryDirectory(prefix="sentinelhub-") as folder,
    ):
        system = features.crs if crs is None and features.crs is not None else parse_crs(crs)
        check_named_crs(features.crs, crs)
        sent = system.sent_as
        if raster is not None and raster.resolution is not None and sent.is_geographic and not system.is_geographic:
            raise SentinelHubRequestError(
                f"resolution counts units of {system}, which Sentinel Hub does not take, and the features are "
                "transformed to degrees. Transform them to a projection that it takes, or give width and height.",
                field="resolution",
            )
        if sent != system:
            log.warning("Sentinel Hub does not take %s: the features are transformed to %s", system, sent)
        path = Path(folder) / "features.gpkg"
        survey = _Survey(system, raster)
        written = write_geopackage(path, survey.good(features), sent)
        yield PreparedFeatures(path, written.count, written.digest, sent, written.bbox, survey.sizes)


class _Survey:
    """Checks features as they pass, and adds up their rasters."""

    def __init__(self, crs: Crs, raster: Raster | None) -> None:
        from sentinelhub_provider.api.processing_units import FeatureSizes

        self._crs, self._raster = crs, raster or Raster()
        is_known = self._raster.size is not None or self._raster.resolution is not None
        self.sizes = FeatureSizes() if is_known else None

    def good(self, features: Iterable[Feature]) -> Iterator[tuple[str, Geometry]]:
        """Yield identifier and polygon of each.

        :raises SentinelHubRequestError: at the end, where some cannot be used: a job would leave them out.
        """
        problems: list[str] = []
        number = 0
        for feature in features:
            try:
                geometry = self._checked(feature)
            except SentinelHubRequestError as error:
                number += 1
                if len(problems) < PROBLEMS:
                    problems.append(f"feature {feature.id!r} {error}")
            else:
                yield str(feature.id), geometry
        if problems:
            more = f", and {number - len(problems):,} more" if number > len(problems) else ""
            raise SentinelHubRequestError(
                f"features: {number:,} cannot be used: {'; '.join(problems)}{more}. Repair or remove them.",
                field="features",
            )

    def _checked(self, feature: Feature) -> Geometry:
        from sentinelhub_provider.api.geo.bounds import parse_bounds

        if feature.problem is not None:
            raise SentinelHubRequestError(feature.problem, field="features")
        bounds = parse_bounds(geometry=feature.geometry, crs=self._crs)
        assert bounds.geometry is not None  # noqa: S101 - it was given
        if self.sizes is not None:
            self.sizes.add(*self._pixels(bounds.box))
        return bounds.geometry

    def _pixels(self, box: BBox) -> tuple[int, int]:
        if self._raster.size is not None:
            width, height = self._raster.size
        else:
            assert self._raster.resolution is not None  # noqa: S101 - one of the two is known
            x, y = self._raster.resolution
            width, height = max(1, round(box.width / x)), max(1, round(box.height / y))
        if self._raster.max_side is not None and max(width, height) > self._raster.max_side:
            raise SentinelHubRequestError(
                f"would have {width:,} x {height:,} pixels, more than {self._raster.max_side:,} a side",
                field="resolution",
            )
        return width, height
