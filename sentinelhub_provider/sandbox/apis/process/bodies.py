"""The body of a Process request, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.process.bounds import MAX_SIDE, Area, parse_area, parse_grid
from sentinelhub_provider.sandbox.apis.process.datasets import Dataset, parse_datasets
from sentinelhub_provider.sandbox.apis.process.formats import Format, parse_format
from sentinelhub_provider.sandbox.errors import invalid
from sentinelhub_provider.sandbox.world.grid import Grid
from sentinelhub_provider.sandbox.world.scenes.model import SceneSource

USER_DATA: Final = "userdata"
"""Identifier of the response that carries ``outputMetadata.userData`` instead of a raster."""


@dataclass(frozen=True)
class Response:
    """``output.responses[n]``."""

    identifier: str
    format: Format


@dataclass(frozen=True)
class EvalscriptRequest:
    """The part of a checked request that Process and Statistics share."""

    area: Area
    grid: Grid
    datasets: tuple[Dataset, ...]
    evalscript: str


@dataclass(frozen=True)
class ProcessRequest(EvalscriptRequest):
    """A checked Process request."""

    responses: tuple[Response, ...]


def parse_request(body: Any, source: SceneSource, *, max_side: int = MAX_SIDE) -> ProcessRequest:
    """Check the body of a request. Raises :class:`~..errors.ApiError` 400 that names the first field at fault.

    ``max_side`` is the largest width and height in pixels.
    """
    if not isinstance(body, Mapping):
        raise invalid("request", "must be a JSON object with input, output and evalscript")
    evalscript = parse_evalscript(body.get("evalscript"), "evalscript")
    area, datasets = parse_input(body.get("input"), source)
    output = body.get("output")
    if output is None:
        output = {}
    if not isinstance(output, Mapping):
        raise invalid("output", "must be an object", output)
    grid = parse_grid(area, output, [dataset.collection for dataset in datasets], max_side=max_side)
    return ProcessRequest(area, grid, datasets, evalscript, parse_responses(output.get("responses")))


def parse_evalscript(value: Any, path: str) -> str:
    """Check that there is an evalscript."""
    if not isinstance(value, str) or not value.strip():
        raise invalid(path, "is required and must be a string that is not empty", value)
    return value


def parse_input(value: Any, source: SceneSource) -> tuple[Area, tuple[Dataset, ...]]:
    """Check ``input``."""
    if not isinstance(value, Mapping):
        raise invalid("input", "is required and must be an object with bounds and data", value)
    return parse_area(value.get("bounds")), parse_datasets(value.get("data"), source)


def parse_responses(value: Any) -> tuple[Response, ...]:
    """Check ``output.responses``. Without one, it is the output ``default`` as PNG."""
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
