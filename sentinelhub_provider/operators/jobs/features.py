"""The features of a batch job, in a GeoPackage that is in a bucket or is uploaded there.

Features of any kind become one GeoPackage, which is named after its content. So a retry finds it and does not upload it
again.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinelhub_provider.api.geo.bounds import parse_bounds
from sentinelhub_provider.api.geo.crs import Crs, check_named_crs, parse_crs
from sentinelhub_provider.api.geo.geometry import BBox, Feature, Geometry
from sentinelhub_provider.api.processing_units import FeatureSizes
from sentinelhub_provider.exceptions import SentinelHubOutputError, SentinelHubRequestError
from sentinelhub_provider.features import open_features
from sentinelhub_provider.features.writing import write_geopackage
from sentinelhub_provider.hooks.output import store
from sentinelhub_provider.operators.jobs.buckets import BucketError, exists, open_path

log = logging.getLogger(__name__)

PROBLEMS = 20
"""Number of unusable features that an error names."""


@dataclass(frozen=True, slots=True)
class Raster:
    """The raster of each feature, for the cost of the job and the limit of its size.

    ``size``: width and height in pixels. ``resolution``: pixel sides in units of the features' CRS, instead of
    ``size``. ``max_side``: most pixels of a side.
    """

    size: tuple[int, int] | None = None
    resolution: tuple[float, float] | None = None
    max_side: int | None = None

    def pixels(self, box: BBox) -> tuple[int, int] | None:
        """Return width and height of a feature's raster, ``None`` if unknown."""
        size = self.size
        if size is None and self.resolution is not None:
            x, y = self.resolution
            size = max(1, round(box.width / x)), max(1, round(box.height / y))
        if size is not None and self.max_side is not None and max(size) > self.max_side:
            raise SentinelHubRequestError(
                f"would have {size[0]:,} x {size[1]:,} pixels, more than {self.max_side:,} a side", field="resolution"
            )
        return size


@dataclass(frozen=True, slots=True)
class PreparedFeatures:
    """A GeoPackage that is ready for upload.

    :param path: the local file, which exists as long as the context lasts.
    :param count: number of its features.
    :param digest: SHA-256 of its content, as hexadecimal digits.
    :param crs: CRS of all features.
    :param bbox: the box around them.
    :param sizes: their rasters, ``None`` if unknown.
    """

    path: Path
    count: int
    digest: str
    crs: Crs
    bbox: BBox
    sizes: FeatureSizes | None

    def url_in(self, folder: str) -> str:
        """Return its URL in a folder of a bucket."""
        return f"{folder.rstrip('/')}/features-{self.digest[:32]}.gpkg"

    def upload(self, folder: str, conn_id: str | None = None) -> str:
        """Upload it unless it is already there, and return its URL.

        ``folder``: ``s3://bucket/folder`` or another URL that Airflow's object storage knows. ``conn_id``: Airflow
        connection that may write there. Raises :class:`SentinelHubOutputError` if the bucket cannot be written.
        """
        url = self.url_in(folder)
        try:
            place = open_path(url, conn_id)
            if not exists(place):
                store(self.path, place, content_type="application/geopackage+sqlite3")
        except BucketError as error:
            raise SentinelHubOutputError(f"The features cannot be uploaded: {error}.", final=error.final) from error
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
    """Make a GeoPackage of features. It exists as long as the context lasts.

    :param value: see :func:`~sentinelhub_provider.features.open_features`, also for ``layer``.
    :param id_property: the property that becomes each feature's ``identifier``. Default: GeoJSON's ``id`` or the
        table's key, else its number.
    :param crs: CRS of features that do not name their own. Default: longitude and latitude.
    :param raster: the raster of each feature.
    :param folders: where a relative path is searched, after the working directory.
    :raises SentinelHubRequestError: names the features that cannot be read or used. All must be areas in one CRS with
        different identifiers.
    """
    with (
        open_features(value, id_property=id_property, layer=layer, folders=folders) as features,
        tempfile.TemporaryDirectory(prefix="sentinelhub-") as folder,
    ):
        system = features.crs if crs is None and features.crs is not None else parse_crs(crs)
        check_named_crs(features.crs, crs)
        sent = system.sent_as
        if raster is not None and raster.resolution is not None and sent.is_geographic and not system.is_geographic:
            raise SentinelHubRequestError(
                f"resolution counts units of {system}, which Sentinel Hub does not take, so the features are "
                "transformed to degrees. Transform them to a projection that it takes, or give width and height.",
                field="resolution",
            )
        if sent != system:
            log.warning("Sentinel Hub does not take %s, so the features are transformed to %s", system, sent)
        path = Path(folder) / "features.gpkg"
        sizes = FeatureSizes()
        written = write_geopackage(path, _checked(features, system, raster or Raster(), sizes), sent)
        known = sizes if sizes.count else None
        yield PreparedFeatures(path, written.count, written.digest, sent, written.bbox, known)


def _checked(
    features: Iterable[Feature], crs: Crs, raster: Raster, sizes: FeatureSizes
) -> Iterator[tuple[str, Geometry]]:
    """Yield identifier and polygon of each feature, and add its raster to ``sizes``.

    :raises SentinelHubRequestError: at the end, if some cannot be used, because a job would leave them out.
    """
    problems: list[str] = []
    number = 0
    for feature in features:
        try:
            if feature.problem is not None:
                raise SentinelHubRequestError(feature.problem, field="features")
            bounds = parse_bounds(geometry=feature.geometry, crs=crs)
            pixels = raster.pixels(bounds.box)
        except SentinelHubRequestError as error:
            number += 1
            if len(problems) < PROBLEMS:
                problems.append(f"feature {feature.id!r} {error}")
            continue
        if pixels is not None:
            sizes.add(*pixels)
        assert bounds.geometry is not None  # noqa: S101 - it was given
        yield str(feature.id), bounds.geometry
    if problems:
        more = f", and {number - len(problems):,} more" if number > len(problems) else ""
        raise SentinelHubRequestError(
            f"features: {number:,} cannot be used: {'; '.join(problems)}{more}. Repair or remove them.",
            field="features",
        )
