"""The Catalog API: STAC API 1.0.0 over the scenes of the sandbox."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    ("Catalog: unknown parameters of a search are refused; whether the service ignores some of them is not known."),
    ("Catalog: a search stops with an error after 20,000 scenes that did not pass its filter. Searches cost nothing."),
    "Catalog: only cloud cover, and for Sentinel-1 its modes, can be filtered by.",
)
"""What the service does and this does not, or what is not known of the service."""
