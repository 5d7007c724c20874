"""The body of a Process request, checked field by field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sentinelhub_provider.sandbox.grid import Grid
from sentinelhub_provider.sandbox.scenes.model import CollectionInfo, SceneSource, find_collection

from .bounds import Area, parse_area, parse_grid
from .formats import Format, parse_format
from .problems import invalid

MOSAICKING_ORDERS: Final = ("mostRecent", "leastRecent", "leastCC")
INTERPOLATIONS: Final = ("NEAREST", "BILINEAR", "BICUBIC")
USER_DATA: Final = "userdata"
"""Identifier of the response that carries ``outputMetadata.userData`` instead of a raster."""

_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d)")
_DATA: Final = "input->data[0]"


@dataclass(frozen=True)
class Dataset:
    """``input.data[0]``. ``start`` and ``end`` are both included; ``max_cloud_cover`` is in percent."""

    collection: CollectionInfo
    id: str | None
    start: datetime
    end: datetime
    mosaicking_order: str
    max_cloud_cover: float
    upsampling: str
    downsampling: str


@dataclass(frozen=True)
class Response:
    """``output.responses[n]``."""

    identifier: str
    format: Format


@dataclass(frozen=True)
class ProcessRequest:
    """A checked request."""

    area: Area
    grid: Grid
    dataset: Dataset
    responses: tuple[Response, ...]
    evalscript: str


def parse_request(body: Any, source: SceneSource) -> ProcessRequest:
    """Check the body of a request. Raises :class:`~..errors.ApiError` 400 that names the first field at fault."""
    if not isinstance(body, Mapping):
        raise invalid("request", "must be a JSON object with input, output and evalscript")
    evalscript = body.get("evalscript")
    if not isinstance(evalscript, str) or not evalscript.strip():
        raise invalid("evalscript", "is required and must be a string that is not empty", evalscript)
    request_input = body.get("input")
    if not isinstance(request_input, Mapping):
        raise invalid("input", "is required and must be an object with bounds and data", request_input)
    area = parse_area(request_input.get("bounds"))
    dataset = parse_dataset(request_input.get("data"), source)
    output = body.get("output")
    if output is None:
        output = {}
    if not isinstance(output, Mapping):
        raise invalid("output", "must be an object", output)
    grid = parse_grid(area, output, dataset.collection)
    return ProcessRequest(area, grid, dataset, parse_responses(output.get("responses")), evalscript)


def parse_dataset(data: Any, source: SceneSource) -> Dataset:
    """Check ``input.data``, of which the sandbox takes exactly one entry."""
    if not isinstance(data, list) or not data:
        raise invalid("input->data", "is required and must be an array with one dataset", data)
    if len(data) > 1:
        raise invalid("input->data", f"has {len(data)} datasets; the sandbox does not fuse data, give one")
    entry = data[0]
    if not isinstance(entry, Mapping):
        raise invalid(_DATA, "must be an object with a type", entry)
    kind = entry.get("type")
    if not isinstance(kind, str):
        raise invalid(f"{_DATA}->type", "is required and must be a string", kind)
    collection = find_collection(source, kind)
    if collection is None:
        known = ", ".join(info.id for info in source.collections())
        raise invalid(f"{_DATA}->type", f"'{kind}' is not a collection of this sandbox; it has {known}", kind)
    identifier = entry.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise invalid(f"{_DATA}->id", "must be a string", identifier)
    chosen = _object(entry, "dataFilter")
    processing = _object(entry, "processing")
    harmonize = processing.get("harmonizeValues")
    if harmonize is not None and not isinstance(harmonize, bool):
        raise invalid(f"{_DATA}->processing->harmonizeValues", "must be true or false", harmonize)
    start, end = _time_range(chosen.get("timeRange"), collection)
    return Dataset(
        collection=collection,
        id=identifier,
        start=start,
        end=end,
        mosaicking_order=_one_of(chosen, f"{_DATA}->dataFilter", "mosaickingOrder", MOSAICKING_ORDERS, "mostRecent"),
        max_cloud_cover=_cloud_cover(chosen.get("maxCloudCoverage")),
        upsampling=_one_of(processing, f"{_DATA}->processing", "upsampling", INTERPOLATIONS, "NEAREST"),
        downsampling=_one_of(processing, f"{_DATA}->processing", "downsampling", INTERPOLATIONS, "NEAREST"),
    )


def parse_responses(value: Any) -> tuple[Response, ...]:
    """Check ``output.responses``; without one, the output ``default`` is wanted as PNG."""
    if value is None:
        return (Response("default", Format()),)
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise invalid("output->responses", "must be an array of one or more responses", value)
    responses: list[Response] = []
    for number, item in enumerate(value):
        path = f"output->responses[{number}]"
        if not isinstance(item, Mapping):
            raise invalid(path, "must be an object with identifier and format", item)
        identifier = item.get("identifier", "default")
        if not isinstance(identifier, str) or not identifier:
            raise invalid(f"{path}->identifier", "must be a string that is not empty", identifier)
        if any(response.identifier == identifier for response in responses):
            raise invalid(
                f"{path}->identifier", "occurs twice; give each response an identifier of its own", identifier
            )
        form = parse_format(item.get("format"), f"{path}->format", json_by_default=identifier == USER_DATA)
        if (identifier == USER_DATA) != form.is_json:
            raise invalid(
                f"{path}->format->type",
                "application/json goes with the identifier userdata, and only with it",
                form.media_type,
            )
        responses.append(Response(identifier, form))
    return tuple(responses)


def _object(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = entry.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise invalid(f"{_DATA}->{name}", "must be an object", value)
    return value


def _one_of(entry: Mapping[str, Any], path: str, name: str, allowed: tuple[str, ...], default: str) -> str:
    value = entry.get(name)
    if value is None:
        return default
    if value not in allowed:
        raise invalid(f"{path}->{name}", f"must be one of {', '.join(allowed)}", value)
    return str(value)


def _cloud_cover(value: Any) -> float:
    if value is None:
        return 100.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise invalid(f"{_DATA}->dataFilter->maxCloudCoverage", "must be a number from 0 to 100, in percent", value)
    return float(value)


def _time_range(value: Any, collection: CollectionInfo) -> tuple[datetime, datetime]:
    path = f"{_DATA}->dataFilter->timeRange"
    latest = datetime.max.replace(tzinfo=UTC)
    if value is None:
        return collection.start, latest
    if not isinstance(value, Mapping):
        raise invalid(path, "must be an object with from and to", value)
    start = _time(value.get("from"), f"{path}->from", collection.start)
    end = _time(value.get("to"), f"{path}->to", latest)
    if start > end:
        raise invalid(path, "from must not be later than to", dict(value))
    return start, end


def _time(value: Any, path: str, default: datetime) -> datetime:
    if value is None:
        return default
    wanted = "must be a date and time with a time zone, such as 2024-06-01T00:00:00Z"
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        raise invalid(path, wanted, value)
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(path, wanted, value) from error
