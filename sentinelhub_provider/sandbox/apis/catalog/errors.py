"""Errors of the Catalog."""

from __future__ import annotations

from sentinelhub_provider.sandbox.errors import ApiError


def bad_request(description: str, code: str = "COMMON_BAD_PAYLOAD") -> ApiError:
    """Return the 400 for a parameter that cannot be."""
    return ApiError(400, code, description)


def not_found(description: str) -> ApiError:
    """Return the 404 for a collection or item that does not exist."""
    return ApiError(404, "COMMON_NOT_FOUND", description)
