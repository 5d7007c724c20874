"""Airflow's metrics, under the names that this provider documents: ``sentinelhub.requests`` and so on."""

from __future__ import annotations

import threading

from sentinelhub_provider.api.endpoints import service_name
from sentinelhub_provider.transport.steps import PROCESSING_UNITS


class Meter:
    """Counts what the calls of one hook do, by connection and API, and the PU for its task; threads may share it."""

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._lock = threading.Lock()
        self.spent: float | None = None
        """PU that all answers so far name as their cost, also those of failed calls; ``None`` where none named any."""

    def __call__(self, name: str, value: float, url: str = "") -> None:
        """Add to the counter ``sentinelhub.<name>``, for a call to a URL or path."""
        from airflow.providers.common.compat.sdk import Stats

        if name == PROCESSING_UNITS:
            with self._lock:
                self.spent = (self.spent or 0.0) + value
        api = "token" if name.startswith("token.") else service_name(url) or "other"
        tags = {"conn_id": self._conn_id, "api": api}
        Stats.incr(f"sentinelhub.{name}", value, tags=tags)  # type: ignore[arg-type]  # backends take fractions
