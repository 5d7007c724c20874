"""How the Process API says that a request is malformed."""

from __future__ import annotations

from typing import Any

from sentinelhub_provider.sandbox.errors import ApiError


def invalid(parameter: str, violation: str, value: Any = None) -> ApiError:
    """Make the 400 for a field: ``parameter`` is its path as the service writes it, ``input->bounds->bbox``."""
    problem: dict[str, Any] = {"parameter": parameter}
    if value is not None:
        problem["invalidValue"] = value
    problem["violation"] = violation
    return ApiError(400, "COMMON_BAD_PAYLOAD", f"{parameter}: {violation}", errors=[problem])
