"""Tables of statistics that grow from run to run: partitioned Parquet datasets, and changes between their intervals.

Any task may use them. They need the extra ``parquet``.
"""

from __future__ import annotations

from sentinelhub_provider.tables.changes import changes
from sentinelhub_provider.tables.dataset import KEY, Dataset

__all__ = ["KEY", "Dataset", "changes"]
