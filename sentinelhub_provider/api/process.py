"""Builds requests of the Process API from arguments, or reads them from JSON, and checks them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

from sentinelhub_provider.api.arguments import ImageryArguments
from sentinelhub_provider.api.datasets import Checks, RasterRequest, build_datasets, member, read_datasets
from sentinelhub_provider.api.evalscripts import Setup, check_evalscript, parse_setup, read_evalscript
from sentinelhub_provider.api.geo.bounds import (
    MAX_SIDE,
    SIZES,
    Bounds,
    Size,
    check_side,
    parse_bounds,
    parse_size,
    read_bounds,
    read_size,
)
from sentinelhub_provider.api.geo.geometry import BBox
from sentinelhub_provider.api.processing_units import Estimate, Service
from sentinelhub_provider.api.tiling import PixelGrid, Tile
from sentinelhub_provider.exceptions import SentinelHubRequestError

FORMATS = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "tiff": "image/tiff",
    "tif": "image/tiff",
    "json": "application/json",
}
"""Short names of the formats that an output can have."""

SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/tiff": ".tif", "application/json": ".json"}
"""The usual ending of a file of each format."""

USER_DATA = "userdata"  # Identifier of the response that carries the evalscript's own JSON instead of a picture
TAR = "application/tar"
OCTET_STREAM = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRequest(RasterRequest):
    """A checked request, with the media types of its outputs in their order."""

    formats: dict[str, str]

    @property
    def accept(self) -> str:
        """The ``Accept`` header, which is the format of the one output, or that of an archive of several."""
        return next(iter(self.formats.values())) if len(self.formats) == 1 else TAR

    @property
    def digest(self) -> str:
        """A SHA-256 of what the picture depends on, as hexadecimal digits."""
        return request_digest(self.body)

    @property
    def grid(self) -> PixelGrid:
        """The pixels of the picture."""
        return PixelGrid.of(self.bounds, self.size)

    def estimate(
        self, *, samples: float = 1, service: Service = Service.PROCESS, accept: str | None = None
    ) -> Estimate | None:
        """Estimate the cost. Return ``None`` if the evalscript does not plainly name its inputs.

        ``samples`` is the number of orbits or tiles per pixel, which only the Catalog knows.
        """
        bits, is_raw = bits_of(self.setup, self.formats), (accept or self.accept) == OCTET_STREAM
        return self.datasets.estimate(self.size, self.setup, service, samples=samples, bits=bits, octet_stream=is_raw)

    def of_tile(self, tile: Tile) -> ProcessRequest:
        """Return the request of one tile of this picture. It has the tile's size, and the geometry still masks it."""
        bounds = replace(self.bounds, box=BBox(*tile.bbox), has_bbox=True)
        return self.of_area(bounds, Size(tile.width, tile.height))

    def of_area(self, bounds: Bounds, size: Size) -> ProcessRequest:
        """Return the same request for another area."""
        output = {key: value for key, value in (self.body.get("output") or {}).items() if key not in SIZES}
        body = {
            **self.body,
            "input": {**self.body["input"], "bounds": bounds.to_json()},
            "output": {**size.to_json(), **output},
        }
        return replace(self, body=body, bounds=bounds, size=size)


def build_process_request(
    wanted: ImageryArguments,
    *,
    max_side: int | None = MAX_SIDE,
    is_script_elsewhere: bool = False,
    **checks: Unpack[Checks],
) -> ProcessRequest:
    """Build a request.

    ``outputs`` is PNG by default. A mapping with ``type`` is the API's ``format``. Any other mapping has formats by
    output. A time range that begins after ``now`` is refused. ``max_side`` is in pixels, ``None`` for a picture that
    will be split into tiles. With ``is_script_elsewhere``, the request names a file with the evalscript.
    """
    script = None if is_script_elsewhere and wanted.evalscript is None else read_evalscript(wanted.evalscript)
    bounds = parse_bounds(bbox=wanted.bbox, geometry=wanted.geometry, crs=wanted.crs)
    size = parse_size(bounds, width=wanted.width, height=wanted.height, resolution=wanted.resolution, max_side=max_side)
    datasets = build_datasets(wanted, **checks)
    datasets.check_resolution(bounds, size, "resolution" if wanted.resolution is not None else "width")
    responses = build_responses(wanted.outputs)
    setup = None if script is None else parse_setup(script)
    check_outputs(responses, setup, "outputs")
    body: dict[str, Any] = {
        "input": {"bounds": bounds.to_json(), "data": datasets.data},
        "output": {**size.to_json(), "responses": responses},
    }
    if script is not None:
        body["evalscript"] = script
    return _request(body, bounds, responses, size=size, datasets=datasets, setup=setup)


def read_process_request(
    body: Any, *, max_side: int | None = MAX_SIDE, is_script_elsewhere: bool = False, **checks: Unpack[Checks]
) -> ProcessRequest:
    """Check a request's JSON in the spellings of the documentation and other clients. It is sent unchanged."""
    request_input = member(body, "input")
    output = {} if body.get("output") is None else member(body, "output")
    script = body.get("evalscript")
    if script is not None or not is_script_elsewhere:
        check_evalscript(script)
    bounds = read_bounds(request_input.get("bounds"))
    size = read_size(output, bounds)
    if max_side is not None:
        check_side(size, max_side, field="request")
    datasets = read_datasets(request_input.get("data"), **checks)
    datasets.check_resolution(bounds, size, "request")
    responses = read_responses(output)
    setup = None if script is None else parse_setup(str(script))
    check_outputs(responses, setup, "request")
    body = {**body, "input": {**request_input, "data": datasets.data}}
    return _request(body, bounds, responses, size=size, datasets=datasets, setup=setup)


def _request(body: dict[str, Any], bounds: Bounds, responses: Sequence[Any], **found: Any) -> ProcessRequest:
    formats = formats_of(responses)
    return ProcessRequest(body=body, bounds=bounds, formats=formats, warnings=bounds.warnings, **found)


def build_responses(outputs: Any) -> list[dict[str, Any]]:
    """Make ``output.responses``. ``outputs``: see :func:`build_process_request`."""
    if outputs is None:
        outputs = "image/png"
    named = outputs if isinstance(outputs, Mapping) and "type" not in outputs else {"default": outputs}
    if not named:
        raise SentinelHubRequestError("outputs is empty. Give a format, such as 'tiff'.")
    return [{"identifier": str(name), "format": _format(form, str(name))} for name, form in named.items()]


def read_responses(output: Mapping[str, Any], path: str = "output") -> list[Mapping[str, Any]]:
    """Check ``output.responses`` of a request's JSON. ``path`` is the place of ``output`` in the request."""
    responses = output.get("responses")
    if responses in (None, []):
        return [{}]
    if not isinstance(responses, list) or not all(isinstance(response, Mapping) for response in responses):
        raise SentinelHubRequestError(f"request: {path}.responses must be a list of mappings.")
    return responses


def request_digest(body: Mapping[str, Any]) -> str:
    """Return the hexadecimal SHA-256 of a request, which does not depend on the order of its members."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _format(form: Any, name: str) -> dict[str, Any]:
    members = dict(form) if isinstance(form, Mapping) else {"type": form}
    wanted = str(members.get("type")).lower().partition(";")[0].strip()
    kind = FORMATS.get(wanted, wanted)
    if kind not in SUFFIXES:
        raise SentinelHubRequestError(
            f"outputs: format of {name!r} is {members.get('type')!r}. Give one of png, jpeg, tiff, json."
        )
    if (kind == "application/json") != (name == USER_DATA):
        raise SentinelHubRequestError(
            f"outputs: {name!r} has format {kind}. JSON goes with the output {USER_DATA!r}, and only with it."
        )
    return {**members, "type": kind}


def formats_of(responses: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the media type of each output by its identifier, in their order."""
    formats: dict[str, str] = {}
    for response in responses:
        form = response.get("format")
        kind = form.get("type") if isinstance(form, Mapping) else None
        formats[str(response.get("identifier") or "default")] = str(kind or "image/png").partition(";")[0]
    return formats


def bits_of(setup: Setup | None, formats: Mapping[str, str]) -> int:
    """Return the paid bits of a sample, which are 32 if a TIFF has that many, else 16."""
    deep = setup is not None and any(
        output.sample_type.endswith("32") and formats.get(output.id) == "image/tiff" for output in setup.outputs
    )
    return 32 if deep else 16


def check_outputs(responses: Sequence[Mapping[str, Any]], setup: Setup | None, field: str) -> None:
    """Refuse outputs that the evalscript does not have, and pictures that a format cannot hold."""
    if setup is None:
        return
    declared = {output.id: output for output in setup.outputs}
    for name, kind in formats_of(responses).items():
        if name == USER_DATA:
            continue
        output = declared.get(name)
        if output is None:
            raise SentinelHubRequestError(
                f"{field}: there is no output {name!r} in the evalscript; it has {', '.join(declared)}."
            )
        if kind != "image/tiff" and output.sample_type.endswith("32"):
            raise SentinelHubRequestError(
                f"{field}: output {name!r} has samples of {output.sample_type}, which only TIFF can hold, not {kind}. "
                "Request 'tiff', or let output_path end with .tif."
            )
        # The fourth is transparency, which JPEG leaves out: the documentation asks for such.
        if output.bands not in {"image/jpeg": (1, 3, 4), "image/png": (1, 2, 3, 4)}.get(kind, (output.bands,)):
            raise SentinelHubRequestError(
                f"{field}: output {name!r} has {output.bands} bands, which {kind} cannot hold. Request 'tiff', "
                "or let output_path end with .tif."
            )
