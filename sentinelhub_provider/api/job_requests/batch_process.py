"""Builds requests of the Batch Process API (version 2) from arguments, or reads them from JSON, and checks them.

Evalscripts, collections, times and bounds are those of the Process API, read by the same code. Two things
differ. The area is split along a tiling grid or the features of a GeoPackage, which also decide the size. Results are
delivered to an object storage as rasters or as one Zarr group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Unpack

from sentinelhub_provider.api.arguments import ImageryArguments
from sentinelhub_provider.api.datasets import Checks, Datasets, area, build_datasets, member, read_datasets
from sentinelhub_provider.api.evalscripts import Setup, check_evalscript, parse_setup, read_evalscript
from sentinelhub_provider.api.geo.bounds import Bounds, Size, parse_bounds, read_bounds
from sentinelhub_provider.api.job_requests.batch_input import (
    FEATURES,
    Features,
    Tiles,
    count_tiles,
    parse_cut,
    read_cut,
)
from sentinelhub_provider.api.job_requests.batch_output import ZARR_ARRAY, build_output, read_output
from sentinelhub_provider.api.job_requests.delivery import JobRequest, Keyring, Location, refuse_credentials
from sentinelhub_provider.api.jobs.job import full_tag, tagged
from sentinelhub_provider.api.process import (
    FORMATS,
    bits_of,
    build_responses,
    check_outputs,
    formats_of,
    read_responses,
    request_digest,
)
from sentinelhub_provider.api.processing_units import Estimate, FeatureSizes, Service
from sentinelhub_provider.exceptions import SentinelHubRequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProcessRequest(JobRequest):
    """A checked request, with its split and media types by output. Without ``bounds``, it is for all features."""

    input: Tiles | Features
    datasets: Datasets
    formats: dict[str, str]
    bounds: Bounds | None

    def __str__(self) -> str:
        return str(self.datasets) if self.bounds is None else f"{self.datasets}, {area(self.bounds)}"

    def tagged(self, tag: str) -> BatchProcessRequest:
        """Return the request with a tag at the end of its description, by which its job is found again."""
        description = tagged(self.body.get("description"), full_tag(tag, self.digest))
        return replace(self, body={**self.body, "description": description})

    def estimate(self, *, samples: float = 1, sizes: FeatureSizes | None = None) -> Estimate | None:
        """Estimate the cost in processing units. Return ``None`` if it is unknown.

        Tiles and features that an area meets are paid for whole. Of a grid's tiles, an average number counts. For a
        GeoPackage, the cost needs ``sizes``. All its features count, even if bounds choose among them. Zarr costs as
        much as TIFF of the same depth.
        """
        formats = {name: FORMATS["tiff"] if kind == ZARR_ARRAY else kind for name, kind in self.formats.items()}
        bits = bits_of(self.setup, formats)

        def of(size: Size, service: Service) -> Estimate | None:
            return self.datasets.estimate(size, self.setup, service, samples=samples, bits=bits)

        if isinstance(self.input, Features):
            one = of(Size(512, 512), Service.PROCESS)
            return None if one is None or sizes is None else sizes.estimate(one, Service.BATCH)
        number = None if self.bounds is None else count_tiles(self.bounds, self.input.grid)
        tile = of(self.input.size, Service.BATCH)
        return None if tile is None or number is None else tile.times(number, "tiles")


def build_batch_process(
    wanted: ImageryArguments,
    *,
    delivery: Location,
    tiling_grid: Any = None,
    buffer: Any = None,
    features: Location | None = None,
    zarr: Any = None,
    description: str | None = None,
    deployment: str | None = None,
    now: datetime | None = None,
    **members: Any,
) -> BatchProcessRequest:
    """Build a request.

    A tiling grid needs ``bbox`` or ``geometry``, and one of its own resolutions in its unit. With ``features``, an area
    chooses those that meet it. ``resolution`` (in units of their CRS) or ``width`` and ``height`` (at most 3,500) are
    for features without their own. ``outputs`` is ``"tiff"`` by default, or formats by identifier. With ``zarr`` (the
    API's ``arrayParameters``, ``arrayOverrides`` and ``group``), it is a list of identifiers, by default of all.
    ``buffer`` enlarges a tile by so many pixels at both ends, and is one number or two. For ``members``, see
    :data:`~sentinelhub_provider.api.job_requests.batch_output.RASTER_MEMBERS`.
    """
    script = read_evalscript(wanted.evalscript)
    setup = parse_setup(script)
    bounds = None
    if wanted.bbox is not None or wanted.geometry is not None or features is None:
        bounds = parse_bounds(bbox=wanted.bbox, geometry=wanted.geometry, crs=wanted.crs, across=True)
    cut = parse_cut(wanted, tiling_grid, buffer, features, deployment=deployment)
    datasets = build_datasets(wanted, deployment=deployment, now=now)
    outputs = "image/tiff" if wanted.outputs is None else wanted.outputs
    responses = build_responses(outputs) if zarr is None else _zarr_responses(wanted.outputs, setup)
    _check_formats(responses, setup, "outputs", is_zarr=zarr is not None)
    request_input: dict[str, Any] = {"data": datasets.data}
    if bounds is not None:
        request_input = {"bounds": bounds.to_json(), **request_input}
    formats = formats_of(responses)
    output, warnings = build_output(delivery, cut, formats, setup, zarr=zarr, deployment=deployment, **members)
    body: dict[str, Any] = {
        "processRequest": {"input": request_input, "output": {"responses": responses}, "evalscript": script},
        "input": cut.to_json(),
        "output": output,
    }
    if description:
        body["description"] = str(description)
    return _request(body, delivery, warnings, input=cut, datasets=datasets, formats=formats, bounds=bounds, setup=setup)


def read_batch_process(
    body: Any, *, delivery: Keyring, features: Keyring | None = None, **checks: Unpack[Checks]
) -> BatchProcessRequest:
    """Check a request's JSON, sent as it is. The credentials of ``delivery`` serve for the GeoPackage's bucket, too."""
    refuse_credentials(body)
    deployment = checks.get("deployment")
    process, cut_along, output = (member(body, name) for name in ("processRequest", "input", "output"))
    script = process.get("evalscript")
    check_evalscript(script)
    setup = parse_setup(str(script))
    request_input = member(process, "input", "processRequest.input")
    cut = read_cut(cut_along, features or delivery, deployment)
    bounds = None
    if isinstance(cut, Tiles) or request_input.get("bounds") is not None:
        bounds = read_bounds(request_input.get("bounds"), across=True)
    datasets = read_datasets(request_input.get("data"), **checks)
    responses = read_responses(member(process, "output", "processRequest.output"), "processRequest.output")
    _check_formats(responses, setup, "request", is_zarr=output.get("type") == "zarr")
    formats = formats_of(responses)
    output, location, warnings = read_output(output, delivery, formats, setup, cut=cut, deployment=deployment)
    if not isinstance(body.get("description") or "", str):
        raise SentinelHubRequestError(f"request: description is {body['description']!r}. Give text.")
    process = {**process, "input": {**request_input, "data": datasets.data}}
    body = {**body, "processRequest": process, "output": output}
    return _request(body, location, warnings, input=cut, datasets=datasets, formats=formats, bounds=bounds, setup=setup)


def _request(body: dict[str, Any], delivery: Location, warnings: Sequence[str], **found: Any) -> BatchProcessRequest:
    bounds, cut = found["bounds"], found["input"]
    places = {JobRequest.DELIVERY: delivery} | ({FEATURES: cut.location} if isinstance(cut, Features) else {})
    warned = (*(() if bounds is None else bounds.warnings), *warnings)
    digest = request_digest({name: value for name, value in body.items() if name != "description"})
    return BatchProcessRequest(body=body, places=places, digest=digest, warnings=warned, **found)


def _zarr_responses(outputs: Any, setup: Setup | None) -> list[dict[str, Any]]:
    names: Any = outputs
    if outputs is None:
        if setup is None:
            raise SentinelHubRequestError(
                "outputs is missing, and the evalscript's setup() does not plainly say which there are. Give their "
                "identifiers as a list."
            )
        names = [output.id for output in setup.outputs]
    if isinstance(names, str) or not isinstance(names, Sequence | Mapping) or not names:
        raise SentinelHubRequestError(f"outputs is {outputs!r}. With zarr, give a list of the outputs' identifiers.")
    return [{"identifier": str(name), "format": {"type": ZARR_ARRAY}} for name in names]


def _check_formats(responses: Sequence[Mapping[str, Any]], setup: Setup | None, field: str, *, is_zarr: bool) -> None:
    allowed = {ZARR_ARRAY} if is_zarr else {FORMATS["tiff"], FORMATS["json"]}
    for name, kind in formats_of(responses).items():
        if kind not in allowed:
            advice = f"With Zarr, all are {ZARR_ARRAY}" if is_zarr else "Batch delivers TIFF, and JSON of userdata"
            raise SentinelHubRequestError(f"{field}: format of {name!r} is {kind}. {advice}.")
    # Zarr can hold everything that TIFF can.
    as_tiff = [{**one, "format": {"type": FORMATS["tiff"]}} for one in responses]
    check_outputs(as_tiff if is_zarr else responses, setup, field)
    if is_zarr and setup is not None:
        for output in setup.outputs:
            if output.bands != 1 and output.id in formats_of(responses):
                raise SentinelHubRequestError(
                    f"{field}: output {output.id!r} has {output.bands} bands; an array of Zarr holds one. Make each "
                    "band an output of its own."
                )
