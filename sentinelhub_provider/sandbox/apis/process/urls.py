"""Routes of the Process API, in both path schemes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sentinelhub_provider.sandbox.gateway import extra
from sentinelhub_provider.sandbox.gateway.access import CallerDep, SandboxDep, allowed, charged
from sentinelhub_provider.sandbox.gateway.bodies import read_request_with_evalscript
from sentinelhub_provider.sandbox.gateway.state import Sandbox

PATHS = ("/process/v1", "/api/v1/process")

router = APIRouter(dependencies=[Depends(allowed("process"))])


@router.post(PATHS[0])
@router.post(PATHS[1])
async def process(request: Request, sandbox: SandboxDep, caller: CallerDep) -> Response:
    """Run an evalscript over scenes and return what it draws."""
    body = await read_request_with_evalscript(request)
    content, media_type, units = await run_in_threadpool(_process, body, request.headers.get("accept"), sandbox)
    return Response(content, headers={"content-type": media_type, **charged(sandbox, caller, units)})


def _process(body: dict[str, Any], accept: str | None, sandbox: Sandbox) -> tuple[bytes, str, float]:
    with extra.needed():
        from .render import process as render

        result = render(body, accept=accept, source=sandbox.scenes)
    return result.content, result.content_type, result.processing_units
