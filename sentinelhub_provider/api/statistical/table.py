"""The table that statistics make: its columns, and each row's cells for the format that holds them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sentinelhub_provider.api.statistical.answer import Row, State
from sentinelhub_provider.exceptions import SentinelHubRequestError

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
"""Table formats by a file's ending."""

NUMBERS = ("min", "max", "mean", "stdev")
COUNTS = ("count", "sample_count", "no_data_count")
HISTOGRAM = ("histogram", "histogram_under", "histogram_over")
"""The bins, and how many values lie under the first and over the last of them."""

_HEAD = ("interval_from", "interval_to", "output", "band", "state")


def table_format(path: Any, wanted: str | None = None) -> str:
    """Return the format of a table: the one that is wanted, else the one that the path's ending says."""
    if wanted is not None:
        if wanted not in FORMATS.values():
            known = ", ".join(sorted(set(FORMATS.values())))
            raise SentinelHubRequestError(f"output_format is {wanted!r}. Give one of {known}.")
        return wanted
    ending = next((ending for ending in FORMATS if str(path).lower().endswith(ending)), None)
    if ending is None:
        raise SentinelHubRequestError(
            f"output_path {path} does not say what table it is to be. Let it end with one of {', '.join(FORMATS)}, or "
            "give output_format."
        )
    return FORMATS[ending]


def percentile_names(body: Mapping[str, Any]) -> list[str]:
    """Return the columns of percentiles that a request has: ``p5``, ``p97.5``."""
    wanted = {
        float(per_cent)
        for chosen in _bands(body, "statistics")
        for per_cent in (chosen.get("percentiles") or {}).get("k") or ()
    }
    return [f"p{per_cent:g}" for per_cent in sorted(wanted)]


def column_names(body: Mapping[str, Any], properties: Iterable[str] = ()) -> list[str]:
    """Return the columns of the table that a request's answers make, with ``properties`` of features."""
    histogram = HISTOGRAM if any(True for _ in _bands(body, "histograms")) else ()
    return ["feature_id", *properties, *_HEAD, *NUMBERS, *COUNTS, *percentile_names(body), *histogram, "error"]


def check_property_names(names: Iterable[str]) -> None:
    """Refuse properties that are called like another column."""
    own = {"feature_id", *_HEAD, *NUMBERS, *COUNTS, *HISTOGRAM, "error"}
    taken = [name for name in names if name in own or re.fullmatch(r"p\d+(\.\d+)?", name)]
    if taken:
        raise SentinelHubRequestError(
            f"properties has {', '.join(taken)}, which the table has already as columns of its own. Rename them in the "
            "file, or leave them out."
        )


def joined_kind(kind: str | None, value: Any) -> str | None:
    """Return the kind of a column that has a further value: ``boolean``, ``integer``, ``number`` or ``text``."""
    if value is None:
        return kind
    found = {bool: "boolean", int: "integer", float: "number"}.get(type(value), "text")
    if found == "integer" and not -(2**63) <= value < 2**63:
        found = "text"
    if kind in (None, found):
        return found
    return "number" if {kind, found} == {"integer", "number"} else "text"


def property_cell(value: Any, kind: str) -> Any:
    """Return a feature's property as its column holds it; what is no text becomes JSON in a column of texts."""
    if value is None or isinstance(value, str):
        return value
    if kind == "text":
        return json.dumps(value, default=str)
    return float(value) if kind == "number" else value


def _bands(body: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """Yield what is requested for each band of each output under ``statistics`` or ``histograms``."""
    for output in (body.get("calculations") or {}).values():
        for band in ((output or {}).get(name) or {}).values():
            if isinstance(band, Mapping):
                yield band


def record(row: Row, columns: list[str]) -> dict[str, Any]:
    """Return a row's cells; what is no number is ``None``, unless the evalscript itself made it NaN or infinite."""
    cells = row.to_dict()
    if row.histogram:
        cells["histogram_under"], cells["histogram_over"] = row.under, row.over
        cells["histogram"] = [{"low": low, "high": high, "count": count} for low, high, count in row.histogram]
    found = {name: cells.get(name) for name in columns}
    if row.state is State.NOT_A_NUMBER:
        return found
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in found.items()}


def json_record(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return cells as JSON can hold them: times as text, and no NaN or infinity."""
    plain: dict[str, Any] = {}
    for name, value in cells.items():
        is_number = not isinstance(value, float) or math.isfinite(value)
        text = value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value
        plain[name] = text if is_number else None
    return plain


def progress_line(*, done: int, requested: int, whole: int, seconds: float, units: float, failed: int) -> str:
    """Tell how far the work is: ``requested`` features in ``seconds`` of this try, ``done`` in all tries."""
    rate = requested / seconds if seconds > 0 else 0.0
    left = max(0, whole - done - failed)
    remaining = f", {_duration(left / rate)} left" if left and rate else ""
    share = 100 * (done + failed) / whole if whole else 100
    troubles = f", {failed:,} failed" if failed else ""
    return f"{done:,} of {whole:,} features ({share:.0f} %), {rate:.1f}/s{remaining}, {units:.4g} PU{troubles}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
