"""Reads ``input.data`` of a request, which has its collections, the choice of their scenes, and their processing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.process.options import choice, dem_options, radar_filter, radar_options, switch
from sentinelhub_provider.sandbox.errors import invalid
from sentinelhub_provider.sandbox.world.scenes.model import CollectionInfo, Reading, Scene, SceneSource, find_collection

MOSAICKING_ORDERS: Final = ("mostRecent", "leastRecent", "leastCC")
MOSAICKING_ORDERS_WITHOUT_CLOUDS: Final = ("mostRecent", "leastRecent")
INTERPOLATIONS: Final = ("NEAREST", "BILINEAR", "BICUBIC")
SENTINEL_1: Final = "sentinel-1-grd"
DEM: Final = "dem"

_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d)")


@dataclass(frozen=True)
class Dataset:
    """One entry of ``input.data``. ``start`` and ``end`` are both included. ``max_cloud_cover`` is in percent.

    ``wanted`` are values that a scene's STAC properties must have. ``options`` are the collection's own ways of
    processing.
    """

    collection: CollectionInfo
    id: str | None
    start: datetime
    end: datetime
    mosaicking_order: str
    max_cloud_cover: float
    upsampling: str
    downsampling: str
    wanted: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reading(self) -> Reading:
        """How its scenes are read."""
        return Reading(self.upsampling, self.downsampling, self.options)

    def accepts(self, scene: Scene) -> bool:
        """Say whether a scene passes the filter, whatever its place and time."""
        if (scene.cloud_cover or 0.0) > self.max_cloud_cover:
            return False
        properties = scene.properties if self.wanted else {}
        return all(str(properties.get(name, "")).upper() == value.upper() for name, value in self.wanted.items())

    def within(self, start: datetime, end: datetime) -> Dataset:
        """Return the same with another time range, both ends included."""
        return replace(self, start=start, end=end)


def parse_datasets(data: Any, source: SceneSource) -> tuple[Dataset, ...]:
    """Check ``input.data``, which is one entry, or several to fuse. Raises :class:`~..errors.ApiError` 400."""
    if not isinstance(data, list) or not data:
        raise invalid("input->data", "is required and must be an array with one or more datasets", data)
    datasets = tuple(parse_dataset(entry, f"input->data[{number}]", source) for number, entry in enumerate(data))
    ids = [dataset.id for dataset in datasets if dataset.id is not None]
    for number, dataset in enumerate(datasets):
        if dataset.id is not None and ids.count(dataset.id) > 1:
            raise invalid(f"input->data[{number}]->id", "occurs twice; give each dataset an id of its own", dataset.id)
    return datasets


def parse_dataset(entry: Any, path: str, source: SceneSource) -> Dataset:
    """Check one entry of ``input.data``. ``path`` is its name in messages."""
    if not isinstance(entry, Mapping):
        raise invalid(path, "must be an object with a type", entry)
    kind = entry.get("type")
    if not isinstance(kind, str):
        raise invalid(f"{path}->type", "is required and must be a string", kind)
    collection = find_collection(source, kind)
    if collection is None:
        known = ", ".join(info.id for info in source.collections())
        raise invalid(f"{path}->type", f"'{kind}' is not a collection of this sandbox; it has {known}", kind)
    identifier = entry.get("id")
    if identifier is not None and (not isinstance(identifier, str) or not identifier):
        raise invalid(f"{path}->id", "must be a string that is not empty", identifier)
    chosen, processing = _object(entry, path, "dataFilter"), _object(entry, path, "processing")
    filter_path, processing_path = f"{path}->dataFilter", f"{path}->processing"
    start, end = time_range(chosen.get("timeRange"), f"{filter_path}->timeRange", collection.start)
    dataset = Dataset(
        collection=collection,
        id=identifier,
        start=start,
        end=end,
        mosaicking_order="mostRecent",
        max_cloud_cover=100.0,
        upsampling=choice(processing, processing_path, "upsampling", INTERPOLATIONS, "NEAREST"),
        downsampling=choice(processing, processing_path, "downsampling", INTERPOLATIONS, "NEAREST"),
    )
    if collection.id == DEM:
        return replace(dataset, options=dem_options(chosen, filter_path, processing, processing_path))
    if collection.id == SENTINEL_1:
        orders = MOSAICKING_ORDERS_WITHOUT_CLOUDS
        return replace(
            dataset,
            mosaicking_order=choice(chosen, filter_path, "mosaickingOrder", orders, "mostRecent"),
            wanted=radar_filter(chosen, filter_path),
            options=radar_options(processing, processing_path),
        )
    switch(processing, processing_path, "harmonizeValues")
    return replace(
        dataset,
        mosaicking_order=choice(chosen, filter_path, "mosaickingOrder", MOSAICKING_ORDERS, "mostRecent"),
        max_cloud_cover=_cloud_cover(chosen.get("maxCloudCoverage"), f"{filter_path}->maxCloudCoverage"),
    )


def time_range(value: Any, path: str, earliest: datetime) -> tuple[datetime, datetime]:
    """Check a time range. A missing end is open."""
    latest = datetime.max.replace(tzinfo=UTC)
    if value is None:
        return earliest, latest
    if not isinstance(value, Mapping):
        raise invalid(path, "must be an object with from and to", value)
    start, end = value.get("from"), value.get("to")
    begin = earliest if start is None else moment(start, f"{path}->from")
    stop = latest if end is None else moment(end, f"{path}->to")
    if begin > stop:
        raise invalid(path, "from must not be later than to", dict(value))
    return begin, stop


def moment(value: Any, path: str) -> datetime:
    """Check a date and time, which needs a time zone, and return it in UTC."""
    wanted = "must be a date and time with a time zone, such as 2024-06-01T00:00:00Z"
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        raise invalid(path, wanted, value)
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(path, wanted, value) from error


def _object(entry: Mapping[str, Any], path: str, name: str) -> Mapping[str, Any]:
    value = entry.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise invalid(f"{path}->{name}", "must be an object", value)
    return value


def _cloud_cover(value: Any, path: str) -> float:
    if value is None:
        return 100.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise invalid(path, "must be a number from 0 to 100, in percent", value)
    return float(value)
