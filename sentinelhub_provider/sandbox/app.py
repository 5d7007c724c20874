"""The application, with all routes around one state."""

from __future__ import annotations

import logging
import pkgutil
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from sentinelhub_provider.sandbox import apis
from sentinelhub_provider.sandbox.control import urls
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
    """Make an ASGI application with its own state, or with that of the given ``sandbox``.

    ``clock`` returns seconds since 1970. With your own clock, tokens expire and limits refill without waiting.
    """
    if sandbox is None:
        sandbox = Sandbox(settings if settings is not None else SandboxSettings(), clock=clock)
    # Sentinel Hub does not have the paths of the framework's own pages.
    app = FastAPI(title="Sentinel Hub sandbox", openapi_url=None, redirect_slashes=False)
    app.state.sandbox = sandbox
    for router in _routers(apis, ".urls"):
        app.include_router(router)
    if sandbox.settings.control:
        for router in _routers(urls):
            app.include_router(router)
    app.exception_handler(ApiError)(_api_error)
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(RequestValidationError)(_validation_error)
    app.exception_handler(Exception)(_bug)
    return Gateway(app, sandbox)


def _routers(package: ModuleType, within: str = "") -> Iterator[APIRouter]:
    """Find the routers in a package. Every API and every module of control routes is mounted."""
    for module in pkgutil.iter_modules(package.__path__):
        name = f"{package.__name__}.{module.name}{within}"
        if find_spec(name) is not None:
            yield import_module(name).router


def _api_error(request: Request, error: ApiError) -> Response:
    return error_response(request.url.path, error)


def _http_error(request: Request, error: HTTPException) -> Response:
    """Shape the framework's own refusals of unknown paths and methods."""
    status = error.status_code
    messages = {
        404: f"There is nothing at {request.url.path}",
        405: f"Method {request.method} is not allowed for {request.url.path}",
    }
    code = _CODES.get(status, "COMMON_BAD_PAYLOAD" if status < 500 else "COMMON_EXCEPTION")
    message = messages.get(status, str(error.detail) or reason_phrase(status))
    return error_response(request.url.path, ApiError(status, code, message, headers=error.headers))


def _validation_error(request: Request, error: RequestValidationError) -> Response:
    """Answer 404 for an unknown realm in the path, and 400 for other wrong parameters (of the control surface)."""
    if any(detail["loc"][0] == "path" for detail in error.errors()):
        return _http_error(request, HTTPException(404))
    fields = {".".join(map(str, detail["loc"])): detail["msg"] for detail in error.errors()}
    message = "; ".join(f"{name}: {text}" for name, text in fields.items())
    return error_response(request.url.path, ApiError(400, "COMMON_BAD_PAYLOAD", message, errors=fields))


def _bug(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        log.debug("%s %s: the client went away", request.method, request.url.path)
        return Response(status_code=499)
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    message = f"The sandbox failed: {type(error).__name__}. This is a mistake of the sandbox; its log has the details."
    return error_response(request.url.path, ApiError(500, "COMMON_EXCEPTION", message))
