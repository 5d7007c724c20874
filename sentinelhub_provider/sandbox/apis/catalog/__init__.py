"""The Catalog API, which is STAC API 1.0.0 over the scenes of the sandbox."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    ("Catalog: unknown parameters of a search are refused. The service may ignore some of them."),
    ("Catalog: a search stops with an error after 20,000 scenes that did not pass its filter. Searches cost nothing."),
    "Catalog: filters know only cloud cover, and for Sentinel-1 its modes.",
)
"""Features of the service that this lacks, and unknown behaviour of the service."""
