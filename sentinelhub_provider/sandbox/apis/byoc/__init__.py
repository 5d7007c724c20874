"""Bring Your Own COG (BYOC), with collections of a client's own files and the ingestion of their tiles."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    ("BYOC: no bucket is read. A tile is ingested after a time, fails if a pattern says so, and cannot be rendered."),
    ("BYOC: a tile never is `QUEUED`. Two collections of a client may not share a name. Files of tiles are not there."),
)
"""Features of the service that this lacks, and unknown behaviour of the service."""
