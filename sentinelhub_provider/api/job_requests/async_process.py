"""Requests of the Async Process API: those of the Process API, larger, and delivered to an object storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Unpack

from sentinelhub_provider.api.arguments import ImageryArguments
from sentinelhub_provider.api.datasets import Checks
from sentinelhub_provider.api.job_requests.delivery import (
    ASYNC,
    Access,
    JobRequest,
    Location,
    Path,
    accesses_of,
    check_one_script,
    read_location,
    refuse_credentials,
)
from sentinelhub_provider.api.process import ProcessRequest, build_process_request, read_process_request, request_digest
from sentinelhub_provider.api.processing_units import Estimate, Service
from sentinelhub_provider.exceptions import SentinelHubRequestError

MAX_SIDE = 10_000  # Pixels: the largest width and height (API reference)
DELIVERY: Path = ("output", "delivery")
SCRIPT: Path = ("evalscriptReference",)  # Where in a request the storages stand


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncProcessRequest(JobRequest):
    """A checked request. ``picture``: the same for the Process API, without delivery."""

    picture: ProcessRequest

    @property
    def digest(self) -> str:
        """A SHA-256 of the request, as hexadecimal digits."""
        return request_digest(self.body)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Identifiers of the outputs that will be delivered."""
        return tuple(self.picture.formats)

    def tagged(self, tag: str) -> AsyncProcessRequest:
        """Return the request with a folder of its own for its outputs, by which they are found again."""
        return self.delivered_to(DELIVERY, tag)

    def estimate(self, *, samples: float = 1) -> Estimate | None:
        """Estimate the cost: see :meth:`~sentinelhub_provider.api.process.ProcessRequest.estimate`."""
        return self.picture.estimate(samples=samples, service=Service.ASYNC)


def build_async_process(
    wanted: ImageryArguments,
    *,
    delivery: Location,
    evalscript_reference: Location | None = None,
    **checks: Unpack[Checks],
) -> AsyncProcessRequest:
    """Build a request; ``outputs`` is TIFF by default. The cost of a script in a bucket cannot be told."""
    check_one_script(wanted.evalscript, evalscript_reference)
    deployment = checks.get("deployment")
    wanted = wanted if wanted.outputs is not None else replace(wanted, outputs="image/tiff")
    picture = build_process_request(wanted, max_side=None, is_script_elsewhere=True, **checks)
    _check_size(picture, "resolution" if wanted.resolution is not None else "width")
    delivery.check("delivery", template=ASYNC, outputs=len(picture.formats), deployment=deployment)
    body = {**picture.body, "output": {**picture.body["output"], "delivery": delivery.to_json()}}
    if evalscript_reference is not None:
        evalscript_reference.check("evalscript_url", deployment=deployment)
        body["evalscriptReference"] = evalscript_reference.to_json()
    return _request(picture, body, delivery, evalscript_reference)


def read_async_process(
    body: Any, *, delivery: Access | None = None, evalscript: Access | None = None, **checks: Unpack[Checks]
) -> AsyncProcessRequest:
    """Check a request's JSON, sent as it is. The credentials of ``delivery`` serve for the evalscript's bucket, too."""
    refuse_credentials(body)
    named = body.get("evalscriptReference") if isinstance(body, Mapping) else None
    if isinstance(body, Mapping):
        check_one_script(body.get("evalscript"), named, of_request="request")
    picture = read_process_request(body, max_side=None, is_script_elsewhere=True, **checks)
    _check_size(picture, "request")
    storage = (picture.body.get("output") or {}).get("delivery")
    at: dict[str, Any] = {"field": "request", "deployment": checks.get("deployment")}
    location = read_location(storage, delivery, path=DELIVERY, template=ASYNC, outputs=len(picture.formats), **at)
    script = None if named is None else read_location(named, evalscript or delivery, path=SCRIPT, **at)
    return _request(picture, picture.body, location, script)


def _request(
    picture: ProcessRequest, body: dict[str, Any], delivery: Location, script: Location | None
) -> AsyncProcessRequest:
    return AsyncProcessRequest(
        body=body,
        accesses=accesses_of({DELIVERY: delivery, SCRIPT: script}),
        delivery=delivery,
        setup=picture.setup,
        warnings=picture.warnings,
        picture=picture,
    )


def _check_size(picture: ProcessRequest, field: str) -> None:
    size = picture.size
    if max(size.width, size.height) > MAX_SIDE:
        raise SentinelHubRequestError(
            f"{field}: the picture would have {size.width:,} x {size.height:,} pixels; Async Process delivers at most "
            f"{MAX_SIDE:,} x {MAX_SIDE:,}. Take Batch Process, which cuts areas into tiles, or coarser pixels."
        )
