"""The gateway of every API, for counting, latency, faults, body size, the bearer check, limits and error shapes."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    (
        "Limits: requests and processing units per minute, per client. There is no monthly quota. An account "
        "is empty from the start or not, and only jobs are paid from a balance."
    ),
    (
        "Limits: processing units are charged when the answer is known, so one expensive request may overdraw "
        "the minute."
    ),
    ("Speed and failures: it answers faster than the service and never fails by itself. Ask for latency and faults."),
    "Transport: plain HTTP/1.1, no TLS. A body may have 10 MiB. The service's limit is not published.",
)
"""Features of the service that this lacks, and unknown behaviour of the service."""
