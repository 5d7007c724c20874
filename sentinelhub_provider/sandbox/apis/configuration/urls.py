"""Routes of the Configuration API, which list instances. Sentinel Hub's examples use it as a first authorized call."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.responses import Response

from sentinelhub_provider.sandbox.gateway.access import allowed
from sentinelhub_provider.sandbox.gateway.responses import json_response

router = APIRouter(dependencies=[Depends(allowed("configuration"))])


@router.get("/configuration/v1/wms/instances")
def instances() -> Response:
    """Return the account's configurations. A sandbox has none."""
    return json_response([])
