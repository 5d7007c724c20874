"""Airflow's metrics, under the names that this provider documents: ``sentinelhub.requests`` and so on."""

from __future__ import annotations


def count(name: str, value: float) -> None:
    """Add ``value`` to the counter ``sentinelhub.<name>``."""
    from airflow.providers.common.compat.sdk import Stats

    Stats.incr(f"sentinelhub.{name}", value)  # type: ignore[arg-type]  # statsd and OpenTelemetry take fractions
