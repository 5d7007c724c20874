"""Turn values and errors into HTTP answers, each API in its own shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from sentinelhub_provider.sandbox.errors import ApiError, catalog_body, rest_body

#: Field of every answer, with the version of the imitation: no answer passes for the real thing.
SANDBOX_HEADER = (b"x-sentinelhub-sandbox", b"1")

CATALOG_PREFIXES = ("/catalog/v1", "/api/v1/catalog/1.0.0")


def json_response(
    body: Any, *, status: int = 200, media_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with JSON."""
    # Half a surrogate pair, which a request may hold, has no place in UTF-8; its escape is JSON.
    content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        errors="backslashreplace"
    )
    return Response(content, status_code=status, media_type=media_type, headers=dict(headers or {}))


def error_response(path: str, error: ApiError) -> Response:
    """Answer with an error, in the shape of the API that ``path`` belongs to."""
    return json_response(error_body(path, error), status=error.status, headers=error.headers)


def error_body(path: str, error: ApiError) -> dict[str, Any]:
    """Return an error's body in the shape of the API that ``path`` belongs to."""
    return catalog_body(error) if is_catalog(path) else rest_body(error)


def is_catalog(path: str) -> bool:
    """Tell whether a path belongs to the Catalog, in either scheme."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in CATALOG_PREFIXES)
