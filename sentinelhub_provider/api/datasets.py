"""Builds and reads ``input.data`` of all requests, with collections, choice of scenes, and resampling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from sentinelhub_provider.api.arguments import RequestArguments
from sentinelhub_provider.api.collections import Collection, find_collections
from sentinelhub_provider.api.evalscripts import Setup
from sentinelhub_provider.api.geo.bounds import Bounds, Size
from sentinelhub_provider.api.processing_units import Estimate, Service, estimate
from sentinelhub_provider.api.time_range import as_sent, parse_time_range, span_of
from sentinelhub_provider.api.values import read_choice, read_flag, read_number
from sentinelhub_provider.exceptions import SentinelHubRequestError

INTERPOLATIONS = ("NEAREST", "BILINEAR", "BICUBIC")  # Of ``upsampling`` and ``downsampling`` (API reference)

FLAGS = ("orthorectify", "harmonizeValues", "egm", "clampNegative")
"""Members of ``processing`` that are true or false (API reference). The documentation also writes them as text."""


class Checks(TypedDict, total=False):
    """The facts to check requests against, which are the deployment (``None`` for any) and the present time."""

    deployment: str | None
    now: datetime | None


@dataclass(frozen=True, slots=True)
class Datasets:
    """Checked ``input.data``, its collections in the same order, and how many live at other deployments."""

    data: list[dict[str, Any]]
    collections: tuple[Collection, ...]
    remote: int = 0

    @property
    def time_range(self) -> dict[str, str] | None:
        """The span of all collections' time ranges, ``None`` if none of them has a time."""
        return span_of([entry.get("dataFilter", {}).get("timeRange") or {} for entry in self.data])

    def check_resolution(self, bounds: Bounds, size: Size, field: str) -> None:
        """Refuse pixels that are coarser than a collection serves."""
        metres = size.metres_per_pixel(bounds)
        for collection in self.collections:
            limit = collection.max_metres_per_pixel
            if limit is not None and metres > limit:
                width, height = (math.ceil(side * metres / limit) for side in (size.width, size.height))
                raise SentinelHubRequestError(
                    f"{field}: {metres:,.0f} metres per pixel are coarser than the {limit:,.0f} at which "
                    f"{collection.id} is served. Give at least {width} x {height} pixels, a finer resolution, or a "
                    "smaller area."
                )

    def __str__(self) -> str:
        names = ", ".join(collection.id for collection in self.collections)
        times = self.time_range
        return f"{names} of {times['from']} to {times['to']}" if times else names

    def estimate(
        self,
        size: Size,
        setup: Setup | None,
        service: Service,
        *,
        samples: float,
        times: int = 1,
        bits: int = 16,
        octet_stream: bool = False,
    ) -> Estimate | None:
        """Estimate the cost of so many ``times``. Return ``None`` if the evalscript's inputs are unknown."""
        if setup is None:
            return None
        processing = [entry.get("processing") or {} for entry in self.data]
        filters = [options.get("speckleFilter") for options in processing]
        speckle = [given.get("type") if isinstance(given, Mapping) else given for given in filters]
        return estimate(
            size.width,
            size.height,
            bands=setup.bands,
            samples=max(1, times) * (1 if setup.is_single_sample else samples),
            bits=bits,
            octet_stream=octet_stream,
            local_collections=len(self.data) - self.remote,
            remote_collections=self.remote,
            orthorectify=any(options.get("orthorectify") for options in processing),
            terrain_correction=any(options.get("backCoeff") == "GAMMA0_TERRAIN" for options in processing),
            speckle_filter=any(kind not in (None, "NONE") for kind in speckle),
            service=service,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RasterRequest:
    """A checked request for one raster, as sent and as read. ``setup`` is ``None`` if the evalscript is not plain."""

    body: dict[str, Any]
    bounds: Bounds
    size: Size
    datasets: Datasets
    setup: Setup | None
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.datasets}, {self.size.width} x {self.size.height} px of {area(self.bounds)}"


def area(bounds: Bounds) -> str:
    """Name an area by its box, for the log."""
    return f"{', '.join(f'{number:.6g}' for number in bounds.box)} (EPSG:{bounds.crs.epsg})"


def build_datasets(wanted: RequestArguments, *, deployment: str | None = None, now: datetime | None = None) -> Datasets:
    """Make ``input.data`` of a collection's id, an entry as the API has it, or a list of them, whose data are fused.

    The arguments hold where an entry does not say otherwise.
    """
    named = wanted.collection
    given = [named] if isinstance(named, str | Mapping) else named
    if not isinstance(given, Sequence) or not given:
        raise SentinelHubRequestError(
            f"collection is {named!r}. Give a collection's id, such as 'sentinel-2-l2a', or a list of them."
        )
    entries = [deepcopy(dict(item)) if isinstance(item, Mapping) else {"type": item} for item in given]
    found = find_collections([entry.get("type", "") for entry in entries], deployment)
    for entry, collection in zip(entries, found, strict=True):
        _fill(entry, collection, wanted, alone=len(entries) == 1, now=now)
    return _datasets(entries, found, deployment, "collection")


def read_datasets(data: Any, *, deployment: str | None = None, now: datetime | None = None) -> Datasets:
    """Check ``input.data`` of a request's JSON."""
    if not isinstance(data, list) or not data or not all(isinstance(entry, Mapping) for entry in data):
        raise SentinelHubRequestError("request: input.data must be a list of one or more datasets with a type.")
    entries = [dict(entry) for entry in data]
    found = find_collections([entry.get("type", "") for entry in entries], deployment)
    for number, entry in enumerate(entries):
        chosen = _mapping(entry, "dataFilter")
        _mapping(entry, "processing")
        given = chosen.get("timeRange")
        if given is not None and not (isinstance(given, Mapping) and None in (given.get("from"), given.get("to"))):
            times = parse_time_range(given, f"request: input.data[{number}].dataFilter.timeRange", now=now)
            entry["dataFilter"] = {**chosen, "timeRange": as_sent(given, times.to_json())}
    return _datasets(entries, found, deployment, "request")


def _datasets(entries: list[dict[str, Any]], found: list[Collection], deployment: str | None, field: str) -> Datasets:
    for entry in entries:
        processing = entry.get("processing") or {}
        flags = {name: read_flag(processing[name], field, name) for name in FLAGS if processing.get(name) is not None}
        if flags:
            entry["processing"] = {**processing, **flags}
    remote = 0 if deployment is None else sum(1 for collection in found if not collection.is_at(deployment))
    return Datasets(entries, tuple(found), remote)


def _fill(
    entry: dict[str, Any], collection: Collection, wanted: RequestArguments, *, alone: bool, now: datetime | None
) -> None:
    chosen = dict(_mapping(entry, "dataFilter"))
    processing = dict(_mapping(entry, "processing"))
    times = chosen.pop("timeRange", None)
    times = wanted.time_range if times is None else times
    if times is not None and not collection.is_timeless:
        chosen = {"timeRange": parse_time_range(times, now=now).to_json()} | chosen
    if wanted.mosaicking_order is not None and (alone or wanted.mosaicking_order in collection.mosaicking_orders):
        chosen.setdefault("mosaickingOrder", wanted.mosaicking_order)
    if wanted.max_cloud_cover is not None and (alone or collection.has_cloud_cover):
        chosen.setdefault("maxCloudCoverage", wanted.max_cloud_cover)
    _check_filter(chosen, collection)
    for name in ("upsampling", "downsampling"):
        value = processing.get(name, getattr(wanted, name))
        if value is not None:
            processing[name] = read_choice(value, INTERPOLATIONS, name)
    for name, members in (("dataFilter", chosen), ("processing", processing)):
        entry.pop(name, None)
        if members:
            entry[name] = members


def _check_filter(chosen: dict[str, Any], collection: Collection) -> None:
    order = chosen.get("mosaickingOrder")
    if order is not None:
        if not collection.mosaicking_orders:
            raise SentinelHubRequestError(
                f"mosaicking_order {order!r} makes no sense for {collection.id}, which is one picture. Leave it out."
            )
        chosen["mosaickingOrder"] = read_choice(
            order, collection.mosaicking_orders, "mosaicking_order", of=collection.id
        )
    cover = chosen.get("maxCloudCoverage")
    if cover is not None:
        chosen["maxCloudCoverage"] = check_cloud_cover(cover, collection)


def check_cloud_cover(value: Any, collection: Collection) -> float:
    """Return a limit of cloud cover in per cent."""
    if not collection.has_cloud_cover:
        raise SentinelHubRequestError(
            f"max_cloud_cover is {value!r}, but scenes of {collection.id} have no cloud cover. Leave it out."
        )
    what = "per cent, a number from 0 to 100"
    return read_number(value, "max_cloud_cover", least=0, most=100, what=what)


def member(body: Any, name: str, path: str = "") -> Mapping[str, Any]:
    """Return an object that a request's JSON must have. ``path`` is its place in the request, by default its name."""
    if not isinstance(body, Mapping):
        raise SentinelHubRequestError(f"request is a {type(body).__name__}. Give a mapping with {name}.")
    value = body.get(name)
    if not isinstance(value, Mapping):
        raise SentinelHubRequestError(f"request: {path or name} is missing. Give a mapping.")
    return value


def _mapping(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = entry.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SentinelHubRequestError(f"collection: {name} is {value!r}. Give a mapping.")
    return value
