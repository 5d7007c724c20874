"""Tables of statistics that grow from run to run, as partitioned datasets with changes between their intervals.

Any task may use them. They need the extra ``parquet``, or ``delta`` for tables of Delta Lake.
"""

from __future__ import annotations

from sentinelhub_provider.tables.changes import changes
from sentinelhub_provider.tables.dataset import KEY, Dataset
from sentinelhub_provider.tables.delta import DeltaDataset

__all__ = ["KEY", "Dataset", "DeltaDataset", "changes"]
