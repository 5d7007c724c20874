"""Apache Airflow provider for Sentinel Hub: satellite imagery in scheduled pipelines."""

from __future__ import annotations

__version__ = "0.1.0"
