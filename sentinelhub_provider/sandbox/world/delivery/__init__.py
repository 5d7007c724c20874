"""Object storage that jobs read from and deliver to. It is a local folder or an S3 endpoint."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    (
        "Object storage: a role stands for the credentials of the sandbox's own environment. Buckets of "
        "Google need a folder to deliver to."
    ),
)
"""Features of the service that the sandbox lacks, and unknown behaviour of the service."""
