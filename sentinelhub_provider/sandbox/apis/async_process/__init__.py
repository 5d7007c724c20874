"""Async Process: one large raster, delivered to object storage."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    ("Async Process: names of the request's copy in the bucket are a guess: the documentation describes them loosely."),
)
"""What the service does and this does not, or what is not known of the service."""
