"""The application: all routes around one state."""

from __future__ import annotations

import logging
import time

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from sentinelhub_provider.sandbox.apis.async_process.urls import router as async_router
from sentinelhub_provider.sandbox.apis.batch.urls import router as batch_router
from sentinelhub_provider.sandbox.apis.batch_statistical.urls import router as batch_statistical_router
from sentinelhub_provider.sandbox.apis.byoc.urls import router as byoc_router
from sentinelhub_provider.sandbox.apis.catalog.urls import router as catalog_router
from sentinelhub_provider.sandbox.apis.configuration.urls import router as configuration_router
from sentinelhub_provider.sandbox.apis.oauth.urls import router as oauth_router
from sentinelhub_provider.sandbox.apis.process.urls import router as process_router
from sentinelhub_provider.sandbox.apis.statistical.urls import router as statistical_router
from sentinelhub_provider.sandbox.control.urls.byoc import router as byoc_control_router
from sentinelhub_provider.sandbox.control.urls.general import router as control_router
from sentinelhub_provider.sandbox.control.urls.jobs import router as jobs_control_router
from sentinelhub_provider.sandbox.control.urls.jobs import troubles as job_troubles_router
from sentinelhub_provider.sandbox.control.urls.scenes import router as scenes_control_router
from sentinelhub_provider.sandbox.control.urls.statistical import router as statistical_control_router
from sentinelhub_provider.sandbox.errors import ApiError, reason_phrase
from sentinelhub_provider.sandbox.gateway.limits import Clock
from sentinelhub_provider.sandbox.gateway.middleware import Gateway
from sentinelhub_provider.sandbox.gateway.responses import error_response
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.settings import SandboxSettings

log = logging.getLogger(__name__)

_CODES = {404: "COMMON_NOT_FOUND", 405: "COMMON_METHOD_NOT_ALLOWED", 415: "COMMON_UNSUPPORTED_MEDIA_TYPE"}


def create_app(
    settings: SandboxSettings | None = None, *, clock: Clock = time.time, sandbox: Sandbox | None = None
) -> Gateway:
    """Make an ASGI application of its own, with state of its own (or the given ``sandbox``'s).

    ``clock`` returns seconds since 1970; give your own to let tokens expire and limits refill without waiting.
    """
    if sandbox is None:
        sandbox = Sandbox(settings if settings is not None else SandboxSettings(), clock=clock)
    # The framework's own pages would be paths that Sentinel Hub does not have.
    app = FastAPI(title="Sentinel Hub sandbox", openapi_url=None, redirect_slashes=False)
    app.state.sandbox = sandbox
    for router in (oauth_router, catalog_router, process_router, statistical_router, byoc_router, configuration_router):
        app.include_router(router)
    for router in (async_router, batch_router, batch_statistical_router):
        app.include_router(router)
    if sandbox.settings.control:
        app.include_router(control_router)
        app.include_router(statistical_control_router)
        app.include_router(byoc_control_router)
        app.include_router(scenes_control_router)
        app.include_router(jobs_control_router)
        app.include_router(job_troubles_router)
    app.exception_handler(ApiError)(_api_error)
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(RequestValidationError)(_validation_error)
    app.exception_handler(Exception)(_bug)
    return Gateway(app, sandbox)


def _api_error(request: Request, error: ApiError) -> Response:
    return error_response(request.url.path, error)


def _http_error(request: Request, error: HTTPException) -> Response:
    """Shape what the framework refuses by itself: unknown paths and methods."""
    status = error.status_code
    messages = {
        404: f"There is nothing at {request.url.path}",
        405: f"Method {request.method} is not allowed for {request.url.path}",
    }
    code = _CODES.get(status, "COMMON_BAD_PAYLOAD" if status < 500 else "COMMON_EXCEPTION")
    message = messages.get(status, str(error.detail) or reason_phrase(status))
    return error_response(request.url.path, ApiError(status, code, message, headers=error.headers))


def _validation_error(request: Request, error: RequestValidationError) -> Response:
    """Shape what the framework finds wrong with parameters: on API paths an unknown realm, else the control surface."""
    if any(detail["loc"][0] == "path" for detail in error.errors()):
        return _http_error(request, HTTPException(404))
    fields = {".".join(map(str, detail["loc"])): detail["msg"] for detail in error.errors()}
    message = "; ".join(f"{name}: {text}" for name, text in fields.items())
    return error_response(request.url.path, ApiError(400, "COMMON_BAD_PAYLOAD", message, errors=fields))


def _bug(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    message = f"The sandbox failed: {type(error).__name__}. This is a mistake of the sandbox; its log has the details."
    return error_response(request.url.path, ApiError(500, "COMMON_EXCEPTION", message))
