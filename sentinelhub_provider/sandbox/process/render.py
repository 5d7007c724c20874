"""Render a Process request: scenes in, the evalscript's outputs out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.evalscript.contract import Output, Setup
from sentinelhub_provider.sandbox.evalscript.engine import Evalscript, Limits
from sentinelhub_provider.sandbox.evalscript.errors import script_error
from sentinelhub_provider.sandbox.grid import Grid
from sentinelhub_provider.sandbox.scenes.model import Scene, SceneSource

from .encode import File, check_encodable, encode, pack, to_samples
from .formats import ARCHIVES, JSON, Format, accepted
from .mosaic import Orbit, Scenes, mosaic
from .problems import invalid
from .processing_units import processing_units
from .request import USER_DATA, ProcessRequest, Response, parse_request

CHUNK_VALUES: Final = 4_000_000
"""Band values handed to V8 at a time: bounds the memory of a request with many dates."""

MAX_SAMPLES: Final = 150_000_000
"""Pixels times samples of one request: a guard of the sandbox's own, some minutes of work."""


@dataclass(frozen=True)
class ProcessResult:
    """An answer. ``processing_units`` is what it costs."""

    content: bytes
    content_type: str
    processing_units: float


@dataclass(frozen=True)
class Rendered:
    """What the evalscript made: for each output its pixels, shape ``(height, width, bands)``, as it returned them."""

    outputs: Mapping[str, tuple[Output, NDArray[np.float64]]]
    user_data: Any
    samples: int
    setup: Setup


def process(
    body: Mapping[str, Any], *, accept: str | None, source: SceneSource, limits: Limits | None = None
) -> ProcessResult:
    """Answer a Process request. ``accept``: the ``Accept`` header. Raises :class:`~..errors.ApiError`."""
    media_type = accepted(accept)
    request = parse_request(body, source)
    responses = _apply_accept(request.responses, media_type)
    with Evalscript(request.evalscript, limits=limits) as script:
        setup = script.setup(request.dataset.collection, request.dataset.id)
        _check_responses(responses, setup.outputs)
        rendered = render(request, setup, script, source, responses)
    files = [_file(response, rendered, request.grid) for response in responses]
    if media_type in ARCHIVES:
        content, content_type = pack(files, media_type)
    else:
        content, content_type = files[0].content, files[0].content_type
    used = {response.identifier for response in responses}
    cost = processing_units(
        request.grid.width,
        request.grid.height,
        [band.name for band in setup.bands],
        samples=rendered.samples,
        sample_types=[output.sample_type for output, _ in rendered.outputs.values() if output.id in used],
    )
    return ProcessResult(content, content_type, cost)


def render(
    request: ProcessRequest,
    setup: Setup,
    script: Evalscript,
    source: SceneSource,
    responses: Sequence[Response] = (),
) -> Rendered:
    """Run a loaded evalscript over a request's pixels. ``responses``: whose formats the outputs must fit."""
    grid, dataset = request.grid, request.dataset
    scenes = Scenes(source, dataset, grid.lonlat_bounds())
    layers: list[Iterable[Scene]] = [scenes]
    metadata: dict[str, Any] = {}
    dates: list[str] = []
    if setup.mosaicking != "SIMPLE":
        layers, metadata, dates = _samples(setup.mosaicking, scenes, script, request)
    outputs = script.begin(setup, metadata, dates)
    _check_formats(responses, outputs)
    if grid.width * grid.height * len(layers) > MAX_SAMPLES:
        raise ApiError(
            400,
            "COMMON_BAD_PAYLOAD",
            f"The request reads {len(layers)} samples for each of {grid.width} x {grid.height} pixels, more than the "
            f"sandbox computes in one request ({MAX_SAMPLES}); ask for a shorter time range or fewer pixels.",
        )
    pixels = {output.id: np.zeros((grid.height, grid.width, output.bands)) for output in outputs}
    rows = max(1, min(grid.height, CHUNK_VALUES // (grid.width * max(1, len(setup.bands) * len(layers)))))
    for top in range(0, grid.height, rows):
        window = grid.window(top, 0, min(rows, grid.height - top), grid.width)
        wanted = request.area.mask(window)
        samples = [[layer.ravel() for layer in mosaic(part, setup.bands, window, wanted, dataset)] for part in layers]
        results = script.evaluate(samples) if samples else script.evaluate_empty(window.width * window.height)
        for identifier, values in results.items():
            part_of_image = values.reshape(window.height, window.width, -1)
            if wanted is not None:
                part_of_image = np.where(wanted[..., np.newaxis], part_of_image, 0.0)
            pixels[identifier][top : top + window.height] = part_of_image
    made = {output.id: (output, pixels[output.id]) for output in outputs}
    return Rendered(made, script.user_data(), len(layers), setup)


def _samples(
    mosaicking: str, scenes: Scenes, script: Evalscript, request: ProcessRequest
) -> tuple[list[Iterable[Scene]], dict[str, Any], list[str]]:
    """Divide the scenes into samples, as ``preProcessScenes()`` chooses: scenes, metadata and time of each."""
    start = _iso(request.dataset.start)
    end = _iso(min(request.dataset.end, datetime.max.replace(tzinfo=UTC)))
    if mosaicking == "ORBIT":
        orbits = scenes.orbits()
        entries = [_orbit_entry(orbit) for orbit in orbits]
        chosen = script.choose_scenes("orbits", entries, start, end)
        whole = [
            entries[number] | {"tiles": [_tile_entry(scene) for scene in orbits[number].scenes]} for number in chosen
        ]
        layers: list[Iterable[Scene]] = [orbits[number].scenes for number in chosen]
        return layers, {"orbits": whole}, [entries[number]["dateFrom"] for number in chosen]
    tiles = list(scenes)
    entries = [_tile_entry(scene) for scene in tiles]
    chosen = script.choose_scenes("tiles", entries, start, end)
    kept = [entries[number] for number in chosen]
    return [(tiles[number],) for number in chosen], {"tiles": kept}, [entry["date"] for entry in kept]


def _orbit_entry(orbit: Orbit) -> dict[str, Any]:
    return {"dateFrom": _iso(orbit.start), "dateTo": _iso(orbit.end)}


def _tile_entry(scene: Scene) -> dict[str, Any]:
    entry = {
        "date": _iso(scene.datetime),
        "dataPath": f"sandbox://{scene.collection}/{scene.id}",
        # The service has numbers of its own; here it is one that a scene always gets.
        "shId": int.from_bytes(scene.id.encode()[-12:], "big") % 100_000_000,
    }
    return entry if scene.cloud_cover is None else entry | {"cloudCoverage": scene.cloud_cover}


def _iso(when: datetime) -> str:
    return f"{when.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"


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


def _check_responses(responses: Sequence[Response], outputs: Sequence[Output]) -> None:
    known = [output.id for output in outputs]
    for response in responses:
        if response.identifier not in (*known, USER_DATA):
            raise script_error(
                f"Output {response.identifier} requested but missing from function setup(); it has {', '.join(known)}."
            )


def _check_formats(responses: Sequence[Response], outputs: Sequence[Output]) -> None:
    by_id = {output.id: output for output in outputs}
    for response in responses:
        if response.identifier in by_id and not response.format.is_json:
            check_encodable(by_id[response.identifier], response.format)


def _file(response: Response, rendered: Rendered, grid: Grid) -> File:
    name = f"{response.identifier}.{response.format.extension}"
    if response.format.is_json:
        return File(name, JSON, json.dumps(rendered.user_data).encode())
    output, values = rendered.outputs[response.identifier]
    pixels = np.moveaxis(to_samples(values, output.sample_type), -1, 0)
    content = encode(np.ascontiguousarray(pixels), grid, response.format, output.nodata)
    return File(name, response.format.media_type, content)
