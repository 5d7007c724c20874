"""The states, durations and work that the jobs of Async Process, Batch Process and Batch Statistical share."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    (
        "Jobs: an action that the state does not allow gives 400. The service's status is not documented. "
        "A bucket that cannot be opened shows in the analysis."
    ),
    ("Jobs: no job is found `UNHEALTHY` by itself. Without rendering, costs count one sample per pixel."),
)
"""Features of the service that this lacks, and unknown behaviour of the service."""
