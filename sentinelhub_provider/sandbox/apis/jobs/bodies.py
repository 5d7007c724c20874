"""The evalscript of a job's request, which is in the body or in a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.process.bodies import parse_evalscript
from sentinelhub_provider.sandbox.errors import invalid
from sentinelhub_provider.sandbox.world.delivery.locations import Location, parse_location

MAX_EVALSCRIPT_BYTES: Final = 32 * 1024
"""An evalscript in the body must be smaller. A larger one goes into a bucket."""


def parse_script(holder: Mapping[str, Any], path: str = "") -> str | Location:
    """Check that there is either ``evalscript`` or ``evalscriptReference``, and read it. Raises ``ApiError`` (400)."""
    prefix = f"{path}->" if path else ""
    script, reference = holder.get("evalscript"), holder.get("evalscriptReference")
    if script is not None and reference is not None:
        raise invalid(f"{prefix}evalscript", "cannot be given together with evalscriptReference")
    if reference is not None:
        return parse_location(reference, f"{prefix}evalscriptReference")
    text = parse_evalscript(script, f"{prefix}evalscript")
    if len(text.encode()) >= MAX_EVALSCRIPT_BYTES:
        raise invalid(
            f"{prefix}evalscript",
            f"must be smaller than {MAX_EVALSCRIPT_BYTES} bytes; put it into a bucket and give evalscriptReference",
        )
    return text
