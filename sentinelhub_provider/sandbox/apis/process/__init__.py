"""The Process API, which renders an image for a request."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    "Process: a pixel that the geometry touches is in it.",
    (
        "Process: collections of other deployments cannot be fused in. Samples of fused datasets count once "
        "in the cost (the dataset with the most decides)."
    ),
    "Process: `harmonizeValues` and `radiometricTerrainOversampling` are checked and have no effect.",
)
"""Features of the service that this lacks, and unknown behaviour of the service."""
