"""Batch Statistical. It delivers statistics of many polygons to object storage."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = ("Batch Statistical: no job ends as `PARTIAL` by itself.",)
"""Features of the service that this lacks, and unknown behaviour of the service."""
