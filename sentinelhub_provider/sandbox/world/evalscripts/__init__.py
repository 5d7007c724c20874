"""Evalscripts V3. This package checks what they declare and runs them in V8."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    (
        "Evalscripts: version 1 with `setInputComponents()` is refused. A simple script reads one dataset. "
        "`inputMetadata` has `serviceVersion` and `normalizationFactor`."
    ),
)
"""Features of the service that the sandbox lacks, and unknown behaviour of the service."""
