"""The one call of the Configuration API that Sentinel Hub's own authentication examples make."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = ("Configuration: the list of instances is there, and empty. Nothing can be created.",)
"""What the service does and this does not, or what is not known of the service."""
