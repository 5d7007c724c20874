"""Jobs: what Async Process, Batch Process and Batch Statistical have in common - states, time, work, control."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    (
        "Jobs: which HTTP status refuses an action that a state does not allow is not documented; it is 400. "
        "A bucket that cannot be opened shows in the analysis."
    ),
    ("Jobs: no job is found `UNHEALTHY` by itself. Costs count one sample per pixel where nothing is rendered."),
)
"""What the service does and this does not, or what is not known of the service."""
