"""Reads request bodies in JSON, and in Sentinel Hub's multipart form of a request with its evalscript."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from sentinelhub_provider.sandbox.errors import ApiError

JSON = "application/json"
MULTIPART = "multipart/form-data"


async def read_json(request: Request) -> Any:
    """Return the JSON body. Raises ``ApiError`` 415 for another content type, and 400 for other text."""
    _require_type(request, JSON)
    return _parse(await request.body(), "The request body")


async def read_request_with_evalscript(request: Request) -> dict[str, Any]:
    """Return a request body that is JSON, or multipart with the parts ``request`` and ``evalscript``.

    Raises ``ApiError`` (400, 415).
    """
    if _require_type(request, JSON, MULTIPART) == JSON:
        body = _parse(await request.body(), "The request body")
    else:
        parts = await _read_parts(request)
        body = _parse(parts["request"].encode(), "Part 'request'")
        if isinstance(body, dict):
            body = {**body, "evalscript": parts["evalscript"]}
    return _object(body)


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object of a body. Raises ``ApiError`` (400, 415)."""
    return _object(await read_json(request))


async def read_request_with_script_in(request: Request, holder: str) -> dict[str, Any]:
    """Return a request body whose field ``holder`` has the evalscript, also where a form brings it as a part.

    Raises ``ApiError`` (400, 415).
    """
    body = await read_request_with_evalscript(request)
    if request.headers.get("content-type", "").lower().startswith(MULTIPART):
        evalscript = body.pop("evalscript")
        if isinstance(body.get(holder), dict):
            body = {**body, holder: {**body[holder], "evalscript": evalscript}}
    return body


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ApiError(400, "COMMON_BAD_PAYLOAD", "The request must be a JSON object.")
    return body


async def _read_parts(request: Request) -> dict[str, str]:
    parts: dict[str, str] = {}
    try:
        async with request.form(max_part_size=2**31) as form:
            for name, value in form.multi_items():
                if name in parts:
                    raise ApiError(400, "COMMON_BAD_PAYLOAD", f"Part '{name}' is given more than once.")
                parts[name] = await _text(name, value)
    except HTTPException as error:
        raise ApiError(400, "COMMON_BAD_PAYLOAD", f"The multipart body cannot be read: {error.detail}") from error
    for name in ("request", "evalscript"):
        if name not in parts:
            raise ApiError(400, "COMMON_BAD_PAYLOAD", f"Part '{name}' of the multipart body is missing.")
    return parts


async def _text(name: str, value: UploadFile | str) -> str:
    if isinstance(value, str):
        return value
    try:
        return (await value.read()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ApiError(400, "COMMON_BAD_PAYLOAD", f"Part '{name}' is not UTF-8 text.") from error


def _require_type(request: Request, *accepted: str) -> str:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in accepted:
        raise ApiError(
            415,
            "COMMON_UNSUPPORTED_MEDIA_TYPE",
            f"Content type {given or '(none)'} is not supported; send {' or '.join(accepted)}.",
        )
    return given


def _parse(body: bytes, what: str) -> Any:
    try:
        return json.loads(body, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "COMMON_BAD_PAYLOAD", f"{what} is not valid JSON: {error}") from error


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")
