"""Bodies of Batch Process requests, checked field by field. The analysis checks the evalscript, as documented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.batch.descriptions import GRIDS, TilingGrid
from sentinelhub_provider.sandbox.apis.process.bodies import USER_DATA, Response, parse_evalscript, parse_responses
from sentinelhub_provider.sandbox.apis.process.bounds import Area, parse_area
from sentinelhub_provider.sandbox.apis.process.datasets import Dataset, parse_datasets
from sentinelhub_provider.sandbox.apis.process.formats import JSON, TIFF, Format
from sentinelhub_provider.sandbox.apis.process.options import switch
from sentinelhub_provider.sandbox.errors import invalid
from sentinelhub_provider.sandbox.world.delivery.locations import Location, parse_location
from sentinelhub_provider.sandbox.world.delivery.templates import Template
from sentinelhub_provider.sandbox.world.scenes.model import SceneSource

MAX_SIDE: Final = 3500
"""Largest width and height in pixels of a feature of a GeoPackage."""

ZARR: Final = "zarr/array"
PLACEHOLDERS: Final = ("requestId", "tileName", "outputId", "format")
DEFAULT_TEMPLATE: Final = "<requestId>/<tileName>/<outputId>.<format>"
ZARR_SCHEMES: Final = ("wgs84", "laea")


@dataclass(frozen=True)
class GridInput:
    """``input`` of type ``tiling-grid``."""

    grid: TilingGrid
    resolution: float
    buffer_x: int
    buffer_y: int


@dataclass(frozen=True)
class FeaturesInput:
    """``input`` of type ``geopackage``, with the defaults for features without a size."""

    features: Location
    width: int | None
    height: int | None
    resolution: float | None


@dataclass(frozen=True)
class RasterOutput:
    """``output`` of type ``raster``, or of type ``zarr`` if ``zarr`` is true."""

    template: Template
    overwrite: bool
    skip_existing: bool
    cog: bool
    cog_parameters: Mapping[str, Any]
    zarr: bool


@dataclass(frozen=True)
class BatchRequest:
    """A checked request. ``process`` is its ``processRequest`` as sent. ``area`` is ``None`` for all features."""

    process: Mapping[str, Any]
    area: Area | None
    datasets: tuple[Dataset, ...]
    responses: tuple[Response, ...]
    evalscript: str
    input: GridInput | FeaturesInput
    output: RasterOutput


def parse_request(body: Mapping[str, Any], source: SceneSource) -> BatchRequest:
    """Check the body of a request. Raises ``ApiError`` (400) that names the first field at fault."""
    process = _object(body, "processRequest", "is required and must be an object with input, output and evalscript")
    where = _object(process, "input", "is required and must be an object with bounds and data", "processRequest->")
    made = _object(process, "output", "is required and must be an object with responses", "processRequest->")
    evalscript = parse_evalscript(process.get("evalscript"), "processRequest->evalscript")
    for name in ("width", "height", "resx", "resy"):
        if made.get(name) is not None:
            raise invalid(f"processRequest->output->{name}", "cannot be given: the size follows from input")
    given = _input(body.get("input"))
    area = None
    if where.get("bounds") is not None or isinstance(given, GridInput):
        area = parse_area(where.get("bounds"))
    output = _output(body.get("output"))
    responses = _responses(made.get("responses"), output)
    _check_template(output, responses)
    if output.zarr and isinstance(given, GridInput) and given.grid.scheme not in ZARR_SCHEMES:
        raise invalid("input->id", "zarr output goes with WGS84 and LAEA grids only", given.grid.id)
    description = body.get("description")
    if description is not None and not isinstance(description, str):
        raise invalid("description", "must be a string", description)
    datasets = parse_datasets(where.get("data"), source)
    return BatchRequest(process, area, datasets, responses, evalscript, given, output)


def parse_description(body: Any) -> str | None:
    """Check the body of an update, which may only change the description. Raises ``ApiError`` (400)."""
    if not isinstance(body, Mapping):
        raise invalid("request", "must be a JSON object with description")
    for name in body:
        if name != "description":
            raise invalid(str(name), "cannot be changed: only description can")
    description = body.get("description")
    if description is not None and not isinstance(description, str):
        raise invalid("description", "must be a string", description)
    return description


def _input(value: Any) -> GridInput | FeaturesInput:
    if not isinstance(value, Mapping):
        raise invalid("input", "is required and must be an object with a type")
    match value.get("type"):
        case "tiling-grid":
            return _grid_input(value)
        case "geopackage":
            return _features_input(value)
    raise invalid("input->type", "must be tiling-grid or geopackage", value.get("type"))


def _grid_input(value: Mapping[str, Any]) -> GridInput:
    grid_id = value.get("id")
    grid = GRIDS.get(grid_id) if isinstance(grid_id, int) and not isinstance(grid_id, bool) else None
    if grid is None:
        raise invalid("input->id", f"must be the id of a tiling grid: {', '.join(map(str, GRIDS))}", grid_id)
    resolution = value.get("resolution")
    if isinstance(resolution, bool) or resolution not in grid.resolutions:
        known = ", ".join(f"{each:g}" for each in grid.resolutions)
        raise invalid("input->resolution", f"must be one of the resolutions of the {grid.name}: {known}", resolution)
    buffers = [_whole(value, name, "input", minimum=0) or 0 for name in ("bufferX", "bufferY")]
    return GridInput(grid, float(resolution), *buffers)


def _features_input(value: Mapping[str, Any]) -> FeaturesInput:
    features = parse_location(value.get("features"), "input->features")
    defaults = value.get("defaults")
    if defaults is not None and not isinstance(defaults, Mapping):
        raise invalid("input->defaults", "must be an object", defaults)
    path = "input->defaults"
    sizes = [_whole(defaults or {}, name, path, minimum=1, maximum=MAX_SIDE) for name in ("width", "height")]
    resolution = (defaults or {}).get("resolution")
    if resolution is not None:
        if isinstance(resolution, bool) or not isinstance(resolution, int | float) or resolution <= 0:
            raise invalid(f"{path}->resolution", "must be a number greater than 0", resolution)
        if sizes != [None, None]:
            raise invalid(path, "Only width and height or resolution can be set at the same time.")
    if (sizes[0] is None) != (sizes[1] is None):
        raise invalid(path, "needs width and height together")
    return FeaturesInput(features, sizes[0], sizes[1], resolution)


def _output(value: Any) -> RasterOutput:
    if not isinstance(value, Mapping):
        raise invalid("output", "is required and must be an object with type and delivery")
    kind = value.get("type")
    if kind not in ("raster", "zarr"):
        raise invalid("output->type", "must be raster or zarr", kind)
    location = parse_location(value.get("delivery"), "output->delivery")
    if kind == "zarr":
        group = value.get("group")
        if not isinstance(group, Mapping) or group.get("zarr_format") != 2:
            raise invalid("output->group", "is required and must be an object with zarr_format 2")
        template = Template.of(location, ("requestId",), "<requestId>/<outputId>")
        return RasterOutput(template, False, False, False, {}, zarr=True)
    names = ("overwrite", "skipExisting", "cogOutput", "createCollection")
    flags = {name: switch(value, "output", name) for name in names}
    parameters = value.get("cogParameters")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise invalid("output->cogParameters", "must be an object", parameters)
    if (flags["createCollection"] or value.get("collectionId") is not None) and not flags["cogOutput"]:
        raise invalid("output->cogOutput", "must be true where the results go into a collection")
    template = Template.of(location, PLACEHOLDERS, DEFAULT_TEMPLATE)
    return RasterOutput(
        template, flags["overwrite"], flags["skipExisting"], flags["cogOutput"], parameters or {}, zarr=False
    )


def _responses(value: Any, output: RasterOutput) -> tuple[Response, ...]:
    path = "processRequest->output->responses"
    if not isinstance(value, list) or not value:
        raise invalid(path, "is required and must be an array of one or more responses")
    kinds = [
        item["format"].get("type") if isinstance(item, Mapping) and isinstance(item.get("format"), Mapping) else None
        for item in value
    ]
    allowed = (ZARR,) if output.zarr else (TIFF, JSON)
    for number, kind in enumerate(kinds):
        if kind not in allowed:
            raise invalid(f"{path}[{number}]->format->type", f"must be {' or '.join(allowed)} here", kind)
    if output.zarr:
        return tuple(Response(str(item.get("identifier", "default")), Format(TIFF)) for item in value)
    return parse_responses(value)


def _check_template(output: RasterOutput, responses: tuple[Response, ...]) -> None:
    if output.zarr:
        return
    names = output.template.names
    if "tileName" not in names:
        raise invalid("output->delivery", "a URL template must contain <tileName>, so that no file replaces another")
    if len(responses) > 1 and "outputId" not in names:
        raise invalid("output->delivery", "a URL template must contain <outputId> where there are several outputs")


def _whole(value: Mapping[str, Any], name: str, path: str, *, minimum: int, maximum: int | None = None) -> int | None:
    number = value.get(name)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int) or number < minimum or number > (maximum or number):
        upper = "" if maximum is None else f" to {maximum}"
        raise invalid(f"{path}->{name}", f"must be a whole number from {minimum}{upper}", number)
    return number


def _object(body: Mapping[str, Any], name: str, violation: str, prefix: str = "") -> Mapping[str, Any]:
    value = body.get(name)
    if not isinstance(value, Mapping):
        raise invalid(f"{prefix}{name}", violation)
    return value


__all__ = ["USER_DATA", "BatchRequest", "FeaturesInput", "GridInput", "parse_description", "parse_request"]
