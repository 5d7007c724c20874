"""Routes of the Process API, in both path schemes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.gateway.access import SandboxDep, allowed, spend
from sentinelhub_provider.sandbox.gateway.bodies import read_request_with_evalscript
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.settings import ClientSettings

PATHS = ("/process/v1", "/api/v1/process")
SPENT_HEADER = "x-processingunits-spent"
MISSING_EXTRA = (
    "This sandbox cannot render pictures: {name} is not installed. "
    "Install it with: pip install 'airflow-provider-sentinelhub[sandbox]'"
)

router = APIRouter()
Caller = Annotated[ClientSettings, Depends(allowed("process"))]


@router.post(PATHS[0])
@router.post(PATHS[1])
async def process(request: Request, sandbox: SandboxDep, caller: Caller) -> Response:
    """Run an evalscript over scenes and return what it draws."""
    body = await read_request_with_evalscript(request)
    content, media_type, units = await run_in_threadpool(_process, body, request.headers.get("accept"), sandbox)
    spend(sandbox, caller, units)
    return Response(content, headers={"content-type": media_type, SPENT_HEADER: repr(units)})


def _process(body: dict[str, object], accept: str | None, sandbox: Sandbox) -> tuple[bytes, str, float]:
    try:
        # Loaded on first use: numpy, rasterio and V8 would take most of the time that a start may take.
        from sentinelhub_provider.sandbox.apis.process import process as render

        result = render(body, accept=accept, source=sandbox.scenes)
    except ModuleNotFoundError as error:
        raise ApiError(500, "COMMON_EXCEPTION", MISSING_EXTRA.format(name=error.name)) from error
    return result.content, result.content_type, result.processing_units
