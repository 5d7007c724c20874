"""Answers a Process request. It checks the request, runs its evalscript, and writes the files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.apis.process.bodies import USER_DATA, ProcessRequest, Response, parse_request
from sentinelhub_provider.sandbox.apis.process.bounds import MAX_SIDE
from sentinelhub_provider.sandbox.apis.process.encode import File, check_encodable, encode, pack, to_samples
from sentinelhub_provider.sandbox.apis.process.formats import ARCHIVES, JSON, Format, accepted
from sentinelhub_provider.sandbox.apis.process.processing_units import processing_units
from sentinelhub_provider.sandbox.apis.process.raster import Raster, arrange, data_sources, find_scenes, run
from sentinelhub_provider.sandbox.errors import invalid
from sentinelhub_provider.sandbox.world.evalscripts.contract import Output, Setup
from sentinelhub_provider.sandbox.world.evalscripts.engine import Evalscript, Limits
from sentinelhub_provider.sandbox.world.evalscripts.errors import missing_output
from sentinelhub_provider.sandbox.world.grid import Grid
from sentinelhub_provider.sandbox.world.scenes.model import SceneSource


@dataclass(frozen=True)
class ProcessResult:
    """An answer. ``processing_units`` is what it costs."""

    content: bytes
    content_type: str
    processing_units: float


def process(
    body: Mapping[str, Any],
    *,
    accept: str | None,
    source: SceneSource,
    limits: Limits | None = None,
    max_side: int = MAX_SIDE,
) -> ProcessResult:
    """Answer a Process request. ``accept`` is the ``Accept`` header, ``max_side`` the largest side in pixels.

    Raises :class:`~..errors.ApiError`.
    """
    media_type = accepted(accept)
    request = parse_request(body, source, max_side=max_side)
    responses = _apply_accept(request.responses, media_type)
    with Evalscript(request.evalscript, limits=limits) as script:
        setup = script.setup(data_sources(request.datasets))
        check_responses(responses, setup.outputs)
        raster = _rasterize(request, setup, script, source, responses)
    mask = request.area.mask(request.grid)
    files = [_file(response, raster, request.grid, mask) for response in responses]
    if media_type in ARCHIVES:
        content, content_type = pack(files, media_type)
    else:
        content, content_type = files[0].content, files[0].content_type
    used = {response.identifier for response in responses}
    cost = processing_units(
        request.grid.width,
        request.grid.height,
        [band.name for band in setup.bands],
        samples=raster.samples,
        sample_types=[output.sample_type for output, _ in raster.outputs.values() if output.id in used],
        collections=len(request.datasets),
        options=[dataset.options for dataset in request.datasets],
    )
    return ProcessResult(content, content_type, cost)


def _rasterize(
    request: ProcessRequest, setup: Setup, script: Evalscript, source: SceneSource, responses: Sequence[Response]
) -> Raster:
    datasets = request.datasets
    plan = arrange(script, setup, datasets, find_scenes(source, datasets, setup, request.grid))
    outputs = script.begin(setup, plan.scenes)
    _check_formats(responses, outputs)
    return run(script, setup, outputs, plan, grid=request.grid, area=request.area, datasets=datasets)


def _apply_accept(responses: tuple[Response, ...], media_type: str | None) -> tuple[Response, ...]:
    if media_type in ARCHIVES:
        return responses
    if len(responses) > 1:
        raise invalid(
            "output->responses",
            f"{len(responses)} responses need the Accept header {', '.join(ARCHIVES[:-1])} or {ARCHIVES[-1]}",
        )
    response = responses[0]
    if media_type is None or media_type == response.format.media_type:
        return responses
    if (media_type == JSON) != (response.identifier == USER_DATA):
        raise invalid("Accept", f"{media_type} does not go with the response '{response.identifier}'", media_type)
    return (Response(response.identifier, Format(media_type, response.format.quality)),)


def check_responses(responses: Sequence[Response], outputs: Sequence[Output]) -> None:
    """Check that the evalscript makes what is asked for. Raises :class:`~..errors.ApiError`."""
    known = [output.id for output in outputs]
    for response in responses:
        if response.identifier not in (*known, USER_DATA):
            raise missing_output(response.identifier, known)


def _check_formats(responses: Sequence[Response], outputs: Sequence[Output]) -> None:
    by_id = {output.id: output for output in outputs}
    for response in responses:
        if response.identifier in by_id and not response.format.is_json:
            check_encodable(by_id[response.identifier], response.format)


def _file(response: Response, raster: Raster, grid: Grid, mask: NDArray[np.bool_] | None) -> File:
    name = f"{response.identifier}.{response.format.extension}"
    if response.format.is_json:
        return File(name, JSON, json.dumps(raster.user_data).encode())
    output, values = raster.outputs[response.identifier]
    if mask is not None:
        # Outside of the geometry a picture is empty, whatever the evalscript makes of no data.
        values = np.where(mask[..., np.newaxis], values, 0.0)
    pixels = np.moveaxis(to_samples(values, output.sample_type), -1, 0)
    content = encode(np.ascontiguousarray(pixels), grid, response.format, output.nodata)
    return File(name, response.format.media_type, content)
