"""Whether there are data in a picture: told by the Catalog before it is paid for, and by its pixels when it is there.

The service delivers a picture without any scene as one of nothing but zeros, and charges it like any other.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.hooks.output import is_object_path, place_of

if TYPE_CHECKING:
    from sentinelhub_provider.api.catalog import SearchRequest
    from sentinelhub_provider.api.process import ProcessRequest
    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.operators.request_arguments import RequestOperator

MOST_PIXELS = 16_000_000
"""Pixels of a picture that are read without need."""

ON_EMPTY = ("succeed", "skip", "fail")

MOST_SIDE = 1024
"""Pixels a side that are read of a picture; larger ones are thinned out."""


def judge_coverage(coverage: float | None, on_empty: str, what: str) -> None:
    """End the task where its picture is empty and ``on_empty`` says so.

    :param coverage: share of the area that has data, 0 to 1; ``None`` where that is not known.
    :param on_empty: one of :data:`ON_EMPTY`.
    :param what: what is empty, for the message.
    :raises AirflowSkipException: for ``skip``.
    :raises AirflowFailException: for ``fail``; a retry would pay for the same.
    """
    if coverage != 0 or on_empty == "succeed":
        return
    from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

    kind = AirflowSkipException if on_empty == "skip" else AirflowFailException
    raise kind(f"{what}, and on_empty is {on_empty!r}. Take a longer time, or allow more clouds with max_cloud_cover.")


def has_scenes(operator: RequestOperator, request: ProcessRequest, estimate: Estimate | None) -> bool:
    """Look in the Catalog whether a request has any scene, where that is known to be cheaper than the picture.

    ``estimate``: of the picture. Returns ``False`` only where there is certainly none.
    """
    searches = searches_of(request)
    costs = [search.estimate() for search in searches or ()]
    units = [cost.processing_units for cost in costs if cost is not None]
    if searches is None or estimate is None or len(units) < len(costs) or sum(units) >= estimate.processing_units:
        return True
    from sentinelhub_provider.hooks.scenes import search_scenes

    limits = operator.call_arguments
    try:
        return any(search_scenes(operator.hook, search.body, enough=1, **limits) for search in searches)
    except SentinelHubError as error:
        operator.log.warning("whether there are scenes is not known: %s", error)
        return True


def searches_of(request: ProcessRequest) -> list[SearchRequest] | None:
    """Return searches that find all scenes of a request, and perhaps more; ``None`` where the Catalog cannot tell."""
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
                fields={"include": ["id"], "exclude": ["geometry", "assets", "links"]},
                limit=1,
            )
        )
    return searches


def coverage_of(operator: RequestOperator, request: ProcessRequest, paths: Mapping[str, Any], on_empty: str) -> Any:
    """Return the share of a picture's area that has data, 0 to 1, thinned out to at most 1024 pixels a side.

    A pixel has none where it is transparent or the no-data value, and where all of its bands are 0 or NaN. Several
    outputs have the coverage of the first that is a picture. Returns ``None`` where that is not known: without
    ``rasterio``; and unless ``on_empty`` needs it, for a picture in an object storage or of more than 16 million
    pixels.
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
    except Exception as error:  # the picture is paid for and stored: nothing here may fail the task
        operator.log.warning("whether the picture is empty is not known: %s", error)
    return None


@contextmanager
def local_copy(place: Any) -> Iterator[Path]:
    """Give the path of a file of this machine; of one in an object storage, that of a copy."""
    if not is_object_path(place):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="sentinelhub-") as folder:
        copy = Path(folder) / place.name
        with place.open("rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        yield copy


def _share(path: Path, request: ProcessRequest) -> float:
    import numpy as np
    import rasterio.errors
    from rasterio.features import geometry_mask
    from rasterio.transform import from_bounds

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # PNG and JPEG
        picture = rasterio.open(path)
    with picture:
        shape = (min(picture.height, MOST_SIDE), min(picture.width, MOST_SIDE))
        pixels = picture.read(out_shape=(picture.count, *shape))
        has_data = (picture.dataset_mask(out_shape=shape) > 0) & ((pixels != 0) & ~np.isnan(pixels)).any(axis=0)
    geometry = request.bounds.geometry
    if geometry is None:
        return float(has_data.mean())
    transform = from_bounds(*request.bounds.box, shape[1], shape[0])
    inside = geometry_mask([geometry.shape], shape, transform, all_touched=True, invert=True)
    return float((has_data & inside).sum() / max(1, inside.sum()))
