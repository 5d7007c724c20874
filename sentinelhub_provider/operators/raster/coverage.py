"""Tells whether a picture has data, from the Catalog before it is paid for, and from its pixels afterwards.

The service delivers a picture without any scene as zeros only, and charges it like any other.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.hooks.output import is_object_path, local_copy, place_of

if TYPE_CHECKING:
    from sentinelhub_provider.api.catalog import SearchRequest
    from sentinelhub_provider.api.process import ProcessRequest
    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.operators.request_arguments import RequestOperator
    from sentinelhub_provider.stac.item import SourceScene

MOST_PIXELS = 16_000_000
"""Most pixels of a picture that are read without need."""

ON_EMPTY = ("succeed", "skip", "fail")

MOST_SIDE = 1024
"""Most pixels of a side that are read. Larger pictures are thinned out."""


def judge_coverage(coverage: float | None, on_empty: str, what: str) -> None:
    """End the task if its picture is empty and ``on_empty`` says so.

    :param coverage: share of the area with data, 0 to 1, ``None`` if unknown.
    :param on_empty: one of :data:`ON_EMPTY`.
    :param what: the empty thing, for the message.
    :raises AirflowSkipException: for ``skip``.
    :raises AirflowFailException: for ``fail``, because a retry would pay for the same.
    """
    if coverage != 0 or on_empty == "succeed":
        return
    from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

    kind = AirflowSkipException if on_empty == "skip" else AirflowFailException
    raise kind(f"{what}, and on_empty is {on_empty!r}. Take a longer time, or allow more clouds with max_cloud_cover.")


def scenes_of(
    operator: RequestOperator, request: ProcessRequest, estimate: Estimate | None
) -> list[SourceScene] | None:
    """Look for a request's scenes in the Catalog, if that is known to be cheaper than the picture.

    ``estimate``: of the picture. Returns the first page of each collection, ``None`` if unknown.
    """
    searches = searches_of(request)
    costs = [search.estimate() for search in searches or ()]
    units = [cost.processing_units for cost in costs if cost is not None]
    if searches is None or estimate is None or len(units) < len(costs) or sum(units) >= estimate.processing_units:
        return None
    from sentinelhub_provider.api.catalog import MAX_PAGE
    from sentinelhub_provider.hooks.scenes import search_scenes
    from sentinelhub_provider.stac.item import SourceScene

    scenes = []
    try:
        for search in searches:
            of_collection = f"/catalog/v1/collections/{search.body['collections'][0]}/items"
            for one in search_scenes(operator.hook, search.body, enough=MAX_PAGE, **operator.call_arguments):
                url = operator.hook.url_of(f"{of_collection}/{one['id']}")
                scenes.append(SourceScene(one["id"], url, one["cloud_cover"]))
    except SentinelHubError as error:
        operator.log.warning("it is unknown whether there are scenes: %s", error)
        return None
    return scenes


def searches_of(request: ProcessRequest) -> list[SearchRequest] | None:
    """Return searches that find at least all scenes of a request, ``None`` if the Catalog cannot tell."""
    import shapely

    from sentinelhub_provider.api.catalog import build_search
    from sentinelhub_provider.api.collections import COLLECTIONS
    from sentinelhub_provider.api.geo.crs import CRS84
    from sentinelhub_provider.api.geo.geometry import transform

    bounds = request.bounds
    area = shapely.box(*bounds.box) if bounds.geometry is None else bounds.geometry.shape
    degrees = shapely.geometry.mapping(transform(area, bounds.crs, CRS84))
    searches = []
    for entry, collection in zip(request.datasets.data, request.datasets.collections, strict=True):
        chosen = entry.get("dataFilter") or {}
        times = chosen.get("timeRange") or {}
        if collection.id not in COLLECTIONS or collection.is_timeless or not (times.get("from") and times.get("to")):
            return None
        searches.append(
            build_search(
                collection=collection.id,
                datetime=(times["from"], times["to"]),
                intersects=degrees,
                max_cloud_cover=chosen.get("maxCloudCoverage") if collection.has_cloud_cover else None,
                fields={"include": ["id", "properties.eo:cloud_cover"], "exclude": ["geometry", "assets", "links"]},
            )
        )
    return searches


def coverage_of(operator: RequestOperator, request: ProcessRequest, paths: Mapping[str, Any], on_empty: str) -> Any:
    """Return the share of a picture's area with data, 0 to 1. Large pictures are thinned out to 1024 pixels a side.

    A pixel has no data if it is transparent, has the no-data value, or is 0 or NaN in all bands. With several outputs,
    the first picture counts. Returns ``None`` if unknown, which is without ``rasterio``. It also returns ``None`` for a
    picture in an object storage or of more than 16 million pixels, unless ``on_empty`` needs the share.
    """
    is_needed = on_empty != "succeed"
    name = next((name for name, kind in request.formats.items() if kind.startswith("image/")), None)
    if name is None or (not is_needed and request.size.width * request.size.height > MOST_PIXELS):
        return None
    try:
        place = place_of(paths[name])
        if is_object_path(place) and not is_needed:
            return None
        with local_copy(place) as path:
            return _share(path, request)
    except ImportError:
        if is_needed:
            operator.log.warning("whether the picture is empty is not known: pip install 'airflow-provider-sentinelhub"
                                 "[raster]'")  # fmt: skip
    except Exception as error:  # the picture is paid for and stored, so this must not fail the task
        operator.log.warning("it is unknown whether the picture is empty: %s", error)
    return None


def statistics_of(path: Any, request: ProcessRequest) -> list[dict[str, float]]:
    """Return ``minimum``, ``maximum``, ``mean`` and ``stddev`` of each band, over all pixels with data.

    GDAL reads the picture block by block. Returns nothing if a band has no data, or if reading is not cheap as for
    :func:`coverage_of`.
    """
    place: Any = place_of(path)
    if is_object_path(place) or request.size.width * request.size.height > MOST_PIXELS:
        return []
    with suppress(Exception):  # the picture is paid for and stored, so this must not fail the task
        import rasterio

        with rasterio.Env(GDAL_PAM_ENABLED=False), _opened(place) as picture:
            found = [(one.min, one.max, one.mean, one.std) for one in picture.stats()]
        names = ("minimum", "maximum", "mean", "stddev")
        return [dict(zip(names, map(float, one), strict=True)) for one in found if all(map(math.isfinite, one))]
    return []


def _opened(path: Path) -> Any:
    import rasterio.errors

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # PNG and JPEG
        return rasterio.open(path)


def _share(path: Path, request: ProcessRequest) -> float:
    import numpy as np
    from rasterio.features import geometry_mask
    from rasterio.transform import from_bounds

    with _opened(path) as picture:
        shape = (min(picture.height, MOST_SIDE), min(picture.width, MOST_SIDE))
        pixels = picture.read(out_shape=(picture.count, *shape))
        has_data = (picture.dataset_mask(out_shape=shape) > 0) & ((pixels != 0) & ~np.isnan(pixels)).any(axis=0)
    geometry = request.bounds.geometry
    if geometry is None:
        return float(has_data.mean())
    transform = from_bounds(*request.bounds.box, shape[1], shape[0])
    inside = geometry_mask([geometry.shape], shape, transform, all_touched=True, invert=True)
    return float((has_data & inside).sum() / max(1, inside.sum()))
