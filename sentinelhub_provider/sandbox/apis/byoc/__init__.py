"""Bring your own COG: collections of one's own files, and their tiles on the way to being ingested."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    (
        "BYOC: no bucket is looked into. A tile is ingested because time goes by, fails because a pattern "
        "says so, and cannot be rendered."
    ),
    ("BYOC: a tile never is `QUEUED`. Two collections of a client may not share a name. Files of tiles are not there."),
)
"""What the service does and this does not, or what is not known of the service."""
