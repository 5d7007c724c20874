"""The chart of a table of statistics for a page, with its first rows and the means of some features over time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sentinelhub_provider.api.imagery import shortened
from sentinelhub_provider.api.statistical.table import json_record

SERIES = 6
POINTS = 200  # of a line; a longer one keeps every second point, every fourth, and so on
ROWS = 10


class _Line:
    """Points from the first to about the last, however many there are."""

    def __init__(self) -> None:
        self.points: list[list[Any]] = []
        self._seen, self._step = 0, 1

    def add(self, point: list[Any]) -> None:
        if self._seen % self._step == 0:
            self.points.append(point)
        self._seen += 1
        if len(self.points) > POINTS:
            del self.points[1::2]
            self._step *= 2


class Chart:
    """Watches the rows of a table go by. It keeps a bounded number of them, however long the table is."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, str], _Line] = {}
        self._rows: list[dict[str, Any]] = []

    def watch(self, cells: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Pass on the rows of a table."""
        for cell in cells:
            self._see(cell)
            yield cell

    def _see(self, cell: Mapping[str, Any]) -> None:
        if len(self._rows) < ROWS:
            record = json_record({name: value for name, value in cell.items() if name != "histogram"})
            self._rows.append({name: shortened(one) if isinstance(one, str) else one for name, one in record.items()})
        mean, start = cell.get("mean"), cell.get("interval_from")
        if not isinstance(mean, float | int) or not math.isfinite(mean) or start is None:
            return
        key = (str(cell.get("feature_id")), str(cell.get("output")), str(cell.get("band")))
        if key in self._series or len(self._series) < SERIES:
            line = self._series.setdefault(key, _Line())
            line.add([start.isoformat() if isinstance(start, datetime) else str(start), float(mean)])

    def to_json(self) -> dict[str, Any]:
        """Return ``series`` (``name`` and ``points``, each with a time and a mean) and the first ``rows``."""
        of_one = len({feature for feature, _, _ in self._series}) == 1
        outputs = {output for _, output, _ in self._series}
        series = []
        for (feature, output, band), line in self._series.items():
            parts = [*([] if of_one else [feature]), *([] if len(outputs) == 1 else [output]), band]
            series.append({"name": " ".join(parts), "points": line.points})
        return {"series": series, "rows": self._rows}
