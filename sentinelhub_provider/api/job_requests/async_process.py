"""Requests of the Async Process API. They are larger ones of the Process API, with delivery to an object storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Unpack

from sentinelhub_provider.api.arguments import ImageryArguments
from sentinelhub_provider.api.datasets import Checks
from sentinelhub_provider.api.geo.bounds import check_side
from sentinelhub_provider.api.job_requests.delivery import (
    ASYNC,
    JobRequest,
    Keyring,
    Location,
    Path,
    check_one_script,
    read_location,
    refuse_credentials,
)
from sentinelhub_provider.api.process import ProcessRequest, build_process_request, read_process_request, request_digest
from sentinelhub_provider.api.processing_units import Estimate, Service

MAX_SIDE = 10_000  # The largest width and height in pixels (API reference)
ADVICE = "Take Batch Process, which cuts areas into tiles"
SCRIPT: Path = ("evalscriptReference",)  # Path of the evalscript's storage in a request


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncProcessRequest(JobRequest):
    """A checked request. ``picture`` is the same request for the Process API, without delivery."""

    picture: ProcessRequest

    def __str__(self) -> str:
        return str(self.picture)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Identifiers of the outputs that will be delivered."""
        return tuple(self.picture.formats)

    def estimate(self, *, samples: float = 1) -> Estimate | None:
        """Estimate the cost. See :meth:`~sentinelhub_provider.api.process.ProcessRequest.estimate`."""
        return self.picture.estimate(samples=samples, service=Service.ASYNC)


def build_async_process(
    wanted: ImageryArguments,
    *,
    delivery: Location,
    evalscript_reference: Location | None = None,
    **checks: Unpack[Checks],
) -> AsyncProcessRequest:
    """Build a request. ``outputs`` is TIFF by default. The cost of a script in a bucket is unknown."""
    check_one_script(wanted.evalscript, evalscript_reference)
    deployment = checks.get("deployment")
    wanted = wanted if wanted.outputs is not None else replace(wanted, outputs="image/tiff")
    picture = build_process_request(wanted, max_side=None, is_script_elsewhere=True, **checks)
    check_side(picture.size, MAX_SIDE, field="resolution" if wanted.resolution is not None else "width", advice=ADVICE)
    delivery.check("delivery", template=ASYNC, outputs=len(picture.formats), deployment=deployment)
    body = {**picture.body, "output": {**picture.body["output"], "delivery": delivery.to_json()}}
    places = {JobRequest.DELIVERY: delivery}
    if evalscript_reference is not None:
        evalscript_reference.check("evalscript_url", deployment=deployment)
        body["evalscriptReference"] = evalscript_reference.to_json()
        places[SCRIPT] = evalscript_reference
    return _request(picture, body, places)


def read_async_process(body: Any, *, delivery: Keyring, **checks: Unpack[Checks]) -> AsyncProcessRequest:
    """Check a request's JSON, sent as it is. The credentials of ``delivery`` serve for the evalscript's bucket, too."""
    refuse_credentials(body)
    named = body.get("evalscriptReference") if isinstance(body, Mapping) else None
    if isinstance(body, Mapping):
        check_one_script(body.get("evalscript"), named, of_request="request")
    picture = read_process_request(body, max_side=None, is_script_elsewhere=True, **checks)
    check_side(picture.size, MAX_SIDE, field="request", advice=ADVICE)
    storage = (picture.body.get("output") or {}).get("delivery")
    at: dict[str, Any] = {"field": "request", "deployment": checks.get("deployment")}
    path = JobRequest.DELIVERY
    places = {path: read_location(storage, delivery, path=path, template=ASYNC, outputs=len(picture.formats), **at)}
    if named is not None:
        places[SCRIPT] = read_location(named, delivery, path=SCRIPT, **at)
    return _request(picture, picture.body, places)


def _request(picture: ProcessRequest, body: dict[str, Any], places: Mapping[Path, Location]) -> AsyncProcessRequest:
    common: dict[str, Any] = {"digest": request_digest(body), "setup": picture.setup, "warnings": picture.warnings}
    return AsyncProcessRequest(body=body, places=places, picture=picture, **common)
