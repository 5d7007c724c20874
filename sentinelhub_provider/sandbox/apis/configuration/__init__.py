"""The one call of the Configuration API that Sentinel Hub's own authentication examples make."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = ("Configuration: the list of instances exists and is empty. Nothing can be created.",)
"""Features of the service that this lacks, and unknown behaviour of the service."""
