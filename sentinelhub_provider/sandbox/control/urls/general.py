"""Routes of the control surface. They are mounted on request only, and need no token, so keep them on loopback."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from sentinelhub_provider.sandbox.control.handlers import Control
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.access import authenticated
from sentinelhub_provider.sandbox.gateway.faults.model import Fault, InjectedFault
from sentinelhub_provider.sandbox.gateway.middleware import CONTROL_PREFIX
from sentinelhub_provider.sandbox.gateway.responses import json_response
from sentinelhub_provider.sandbox.settings import ALL_APIS, AccountState, Api

router = APIRouter(prefix=CONTROL_PREFIX)
_PIECE = bytes(range(256)) * 1024  # 256 KiB


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Revocation(_Body):
    """The token to revoke, ``None`` for all."""

    token: str | None = None


class TokenLifetime(_Body):
    """Lifetime of new tokens in seconds, of one client or of all."""

    seconds: float = Field(gt=0)
    client_id: str | None = None


class LimitsBody(_Body):
    """Limits per minute. A missing one sets no limit."""

    requests_per_minute: float | None = Field(None, gt=0)
    processing_units_per_minute: float | None = Field(None, gt=0)
    token_requests_per_minute: float | None = Field(None, gt=0)


class Latency(_Body):
    """Seconds to wait before every answer."""

    seconds: float = Field(ge=0)


class ClientBody(_Body):
    """An OAuth client to add or replace."""

    client_secret: str = Field(min_length=1)
    permissions: set[Api] = set(ALL_APIS)
    account: AccountState = "ok"
    token_lifetime: float | None = Field(None, gt=0)


async def get_control(request: Request) -> Control:
    """Return the control over the sandbox that serves this request."""
    return Control(request.app.state.sandbox)


ControlDep = Annotated[Control, Depends(get_control)]


@router.get("/counters")
def counters(control: ControlDep) -> Response:
    """Return the figures since the start or the last reset."""
    return json_response(dataclasses.asdict(control.counters()))


@router.get("/requests")
def requests(control: ControlDep) -> Response:
    """Return the last requests."""
    return json_response([dataclasses.asdict(record) for record in control.requests()])


@router.post("/reset")
def reset(control: ControlDep) -> Response:
    """Reset everything to the settings."""
    control.reset()
    return json_response({"reset": True})


@router.get("/tokens")
def tokens(control: ControlDep) -> Response:
    """Return every token issued since the last reset."""
    return json_response([dataclasses.asdict(token) for token in control.issued_tokens()])


@router.post("/tokens/revoke")
def revoke(body: Revocation, control: ControlDep) -> Response:
    """Revoke one token or all."""
    count = control.revoke_tokens() if body.token is None else int(control.revoke_token(body.token))
    return json_response({"revoked": count})


@router.post("/key/rotate")
def rotate_key(control: ControlDep) -> Response:
    """Sign with a new key from now on."""
    control.rotate_key()
    return json_response({"rotated": True})


@router.put("/token-lifetime")
def set_token_lifetime(body: TokenLifetime, control: ControlDep) -> Response:
    """Set the lifetime of new tokens."""
    try:
        control.set_token_lifetime(body.seconds, client_id=body.client_id)
    except KeyError as error:
        raise ApiError(404, "COMMON_NOT_FOUND", f"Client {body.client_id} is not known") from error
    return json_response(body.model_dump())


@router.put("/limits")
def set_limits(body: LimitsBody, control: ControlDep) -> Response:
    """Put limits in force."""
    control.set_limits(**body.model_dump())
    return json_response(body.model_dump())


@router.put("/latency")
def set_latency(body: Latency, control: ControlDep) -> Response:
    """Set the latency."""
    control.set_latency(body.seconds)
    return json_response(body.model_dump())


@router.put("/clients/{client_id}")
def put_client(client_id: str, body: ClientBody, control: ControlDep) -> Response:
    """Add or replace an OAuth client."""
    client = control.add_client(client_id, **body.model_dump())
    return json_response({"client_id": client.client_id, "account": client.account})


@router.post("/faults")
def add_fault(fault: Fault, control: ControlDep) -> Response:
    """Inject a fault."""
    return json_response({"id": control.add_fault(fault)}, status=201)


@router.get("/faults")
def list_faults(control: ControlDep) -> Response:
    """Return the injected faults."""
    return json_response([_shape(injected) for injected in control.faults()])


@router.delete("/faults")
def clear_faults(control: ControlDep) -> Response:
    """Remove all faults."""
    control.clear_faults()
    return Response(status_code=204)


@router.delete("/faults/{fault_id}")
def remove_fault(fault_id: int, control: ControlDep) -> Response:
    """Remove one fault."""
    if not control.remove_fault(fault_id):
        raise ApiError(404, "COMMON_NOT_FOUND", f"There is no fault {fault_id}")
    return Response(status_code=204)


@router.get("/payload", dependencies=[Depends(authenticated)])
def payload(size: Annotated[int, Query(ge=0, le=64 * 1024**3)]) -> Response:
    """Stream ``size`` deterministic bytes (0, 1, ... 255, 0, ...) for measuring downloads. Needs a token."""
    headers = {"content-length": str(size)}
    return StreamingResponse(payload_pieces(size), media_type="application/octet-stream", headers=headers)


def payload_pieces(size: int) -> Iterator[bytes]:
    """Yield the bytes of a payload in pieces."""
    whole, rest = divmod(size, len(_PIECE))
    for _ in range(whole):
        yield _PIECE
    if rest:
        yield _PIECE[:rest]


def _shape(injected: InjectedFault) -> dict[str, Any]:
    return {
        "id": injected.id,
        "seen": injected.seen,
        "applied": injected.applied,
        "fault": injected.fault.model_dump(mode="json"),
    }
