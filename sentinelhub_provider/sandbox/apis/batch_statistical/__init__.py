"""Batch Statistical: statistics of many polygons, delivered to object storage."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = ("Batch Statistical: no job ends as `PARTIAL` by itself.",)
"""What the service does and this does not, or what is not known of the service."""
