"""Requests of the Async Process API: those of the Process API, larger, and delivered to an object storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sentinelhub_provider.api.arguments import ImageryArguments
from sentinelhub_provider.api.job_requests.delivery import (
    ASYNC,
    Access,
    Location,
    Path,
    check_one_script,
    parse_location,
    parse_script_location,
    read_location,
    refuse_credentials,
    with_credentials,
)
from sentinelhub_provider.api.process import (
    ProcessRequest,
    build_process_request,
    read_process_request,
    request_digest,
)
from sentinelhub_provider.api.processing_units import Estimate, Service
from sentinelhub_provider.exceptions import SentinelHubRequestError

MAX_SIDE = 10_000
"""Pixels: the largest width and height (API reference)."""

DELIVERY: Path = ("output", "delivery")
SCRIPT: Path = ("evalscriptReference",)
"""Where in a request the storages stand."""


@dataclass(frozen=True, slots=True)
class AsyncProcessRequest:
    """
    A checked request.

    :param body: the request without credentials: may be logged, compared, recorded.
    :param accesses: credentials and roles by where in the request they belong.
    :param picture: the same request for the Process API, without delivery.
    :param delivery: where outputs go.
    :param warnings: what looks wrong, but may be meant.
    """

    body: dict[str, Any]
    accesses: Mapping[Path, Access] = field(repr=False)
    picture: ProcessRequest
    delivery: Location
    warnings: tuple[str, ...] = ()

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
        delivery = self.delivery.tagged(tag)
        storage = {delivery.scheme: {**self.body["output"]["delivery"][delivery.scheme], "url": delivery.url}}
        return replace(
            self, body={**self.body, "output": {**self.body["output"], "delivery": storage}}, delivery=delivery
        )

    def payload(self) -> dict[str, Any]:
        """Return what is sent, credentials included: not to be logged or kept."""
        return with_credentials(self.body, self.accesses)

    def estimate(self, *, samples: float = 1) -> Estimate | None:
        """
        Estimate the cost in processing units; ``None`` where the evalscript does not say plainly what it reads.

        :param samples: see :meth:`~sentinelhub_provider.api.process.ProcessRequest.estimate`.
        """
        return self.picture.estimate(samples=samples, service=Service.ASYNC)


def build_async_process(
    wanted: ImageryArguments,
    *,
    delivery: Location,
    evalscript_reference: Location | None = None,
    deployment: str | None = None,
    now: datetime | None = None,
) -> AsyncProcessRequest:
    """
    Build a request.

    :param wanted: see :func:`~sentinelhub_provider.api.process.build_process_request`; ``outputs`` is TIFF by default.
    :param delivery: folder or template where outputs go; see
        :func:`~sentinelhub_provider.api.job_requests.delivery.parse_location`, whose checks are made here again for the
        outputs.
    :param evalscript_reference: a file with the evalscript, instead of ``evalscript``. Its cost cannot be told.
    """
    check_one_script(wanted.evalscript, evalscript_reference)
    picture = build_process_request(
        wanted if wanted.outputs is not None else replace(wanted, outputs="image/tiff"),
        deployment=deployment,
        now=now,
        max_side=None,
        is_script_elsewhere=True,
    )
    _check_size(picture, "resolution" if wanted.resolution is not None else "width")
    parse_location(
        delivery.url,
        delivery.access,
        field="delivery",
        template=ASYNC,
        outputs=len(picture.formats),
        deployment=deployment,
    )
    body = {**picture.body, "output": {**picture.body["output"], "delivery": delivery.to_json()}}
    if evalscript_reference is not None:
        parse_script_location(evalscript_reference, deployment)
        body["evalscriptReference"] = evalscript_reference.to_json()
    accesses = _accesses(delivery, evalscript_reference)
    return AsyncProcessRequest(body, accesses, picture, delivery, picture.warnings)


def read_async_process(
    body: Any,
    *,
    delivery: Access | None = None,
    evalscript: Access | None = None,
    deployment: str | None = None,
    now: datetime | None = None,
) -> AsyncProcessRequest:
    """
    Check a request's JSON as the documentation and other clients write it; it is sent as it is.

    :param delivery: credentials or role for the bucket that outputs go to; the request itself must hold none.
    :param evalscript: the same for that of ``evalscriptReference``; that of ``delivery`` by default.
    """
    refuse_credentials(body)
    named = body.get("evalscriptReference") if isinstance(body, Mapping) else None
    if isinstance(body, Mapping) and (named is None) == (body.get("evalscript") is None):
        raise SentinelHubRequestError("request: give evalscript or evalscriptReference, and not both.")
    picture = read_process_request(body, deployment=deployment, now=now, max_side=None, is_script_elsewhere=True)
    _check_size(picture, "request")
    location = read_location(
        picture.body.get("output", {}).get("delivery"),
        delivery,
        field="request",
        path=DELIVERY,
        template=ASYNC,
        outputs=len(picture.formats),
        deployment=deployment,
    )
    script = None
    if named is not None:
        access = delivery if evalscript is None else evalscript
        script = read_location(named, access, field="request", path=SCRIPT, deployment=deployment)
    return AsyncProcessRequest(picture.body, _accesses(location, script), picture, location, picture.warnings)


def _check_size(picture: ProcessRequest, field: str) -> None:
    size = picture.size
    if max(size.width, size.height) > MAX_SIDE:
        raise SentinelHubRequestError(
            f"{field}: the picture would have {size.width:,} x {size.height:,} pixels; Async Process delivers at most "
            f"{MAX_SIDE:,} x {MAX_SIDE:,}. Take Batch Process, which cuts areas into tiles, or coarser pixels."
        )


def _accesses(delivery: Location, script: Location | None) -> dict[Path, Access]:
    accesses = {} if delivery.access is None else {DELIVERY: delivery.access}
    if script is not None and script.access is not None:
        accesses[SCRIPT] = script.access
    return accesses
