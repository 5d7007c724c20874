"""Async Process. It delivers one large raster to object storage."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    ("Async Process: names of the request's copy in the bucket are a guess, because their documentation is loose."),
)
"""Features of the service that this lacks, and unknown behaviour of the service."""
