"""The features that a batch job runs over: a GeoPackage that is in a bucket already, or one that is brought there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubRequestError

if TYPE_CHECKING:
    from sentinelhub_provider.api.geo.crs import Crs
    from sentinelhub_provider.api.job_requests.delivery import Location
    from sentinelhub_provider.api.job_requests.feature_sizes import FeatureSizes
    from sentinelhub_provider.operators.jobs.base import SentinelHubJobOperator
    from sentinelhub_provider.operators.jobs.feature_upload import Raster

FOLDER = "features"
"""Where GeoPackages go that are made: below the fixed part of the delivery."""


@dataclass(frozen=True, slots=True)
class JobFeatures:
    """
    A GeoPackage that a job reads.

    :param location: where it is, or will be.
    :param upload: brings it there.
    :param count: how many features it has, ``None`` where that is not known.
    :param sizes: their rasters, the same.
    :param crs: their CRS, the same.
    """

    location: Location
    upload: Callable[[], None]
    count: int | None = None
    sizes: FeatureSizes | None = None
    crs: Crs | None = None


def job_features(
    operator: SentinelHubJobOperator, stack: ExitStack, features: Any, *, delivery: str, raster: Raster
) -> JobFeatures:
    """
    Return the features of a job.

    :param operator: says how the bucket is reached: ``features_conn_id``, else as the delivery's.
    :param stack: keeps a GeoPackage that was made until the task is through with it.
    :param features: URL of a GeoPackage in a bucket that Sentinel Hub reads; or features of any kind.
    :param delivery: URL of the delivery, near which a GeoPackage is brought that is made.
    :raises SentinelHubRequestError: where features cannot be used.
    """
    from sentinelhub_provider.api.job_requests.delivery import Location, fixed_folder
    from sentinelhub_provider.operators.jobs.feature_upload import prepare_features

    conn_id = getattr(operator, "features_conn_id", None)

    def place(url: str) -> Location:
        from sentinelhub_provider.hooks.delivery import access_of

        return Location(url, operator.access(url) if conn_id is None else access_of(conn_id, url))

    if isinstance(features, str) and features.startswith(("s3://", "gs://")) and features.lower().endswith(".gpkg"):
        return JobFeatures(place(features), upload=lambda: None)
    folder = getattr(operator, "features_folder", None) or f"{fixed_folder(delivery)}/{FOLDER}"
    if not folder.startswith(("s3://", "gs://")):
        raise SentinelHubRequestError(
            f"features_folder is {folder!r}. Give a folder of a bucket that Sentinel Hub can read, such as "
            "s3://my-bucket/features.",
            field="features_folder",
        )
    loader = operator.get_template_env().loader
    prepared = stack.enter_context(
        prepare_features(
            features,
            id_property=getattr(operator, "id_property", None),
            layer=getattr(operator, "layer", None),
            crs=getattr(operator, "features_crs", None),
            raster=raster,
            folders=[str(path) for path in getattr(loader, "searchpath", ())],
        )
    )

    def upload() -> None:
        url = prepared.upload(folder, conn_id if conn_id is not None else operator.delivery_conn_id)
        operator.log.info("%d features are at %s", prepared.count, url)

    return JobFeatures(place(prepared.url_in(folder)), upload, prepared.count, prepared.sizes, prepared.crs)
