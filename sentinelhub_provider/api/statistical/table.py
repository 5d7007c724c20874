"""Turns answers of the Statistical API into rows of one tidy table, and cells into those of a format."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Any

from sentinelhub_provider.api.evalscripts import DATA_MASK
from sentinelhub_provider.api.time_range import TimeRange, parse_time
from sentinelhub_provider.api.values import as_number, read_choice
from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubResponseError

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
"""Table formats by a file's ending."""
NUMBERS = {"min": "min", "max": "max", "mean": "mean", "stdev": "stDev"}  # Columns, and what answers call them
COUNTS = ("count", "sample_count", "no_data_count")
HISTOGRAM = ("histogram", "histogram_under", "histogram_over")
"""The bins, and how many values lie under the first and over the last of them."""
_HEAD = ("interval_from", "interval_to", "output", "band", "state")


class State(StrEnum):
    """The state of a row."""

    OK = "ok"
    """Statistics of at least one pixel."""
    MASKED = "masked"
    """There are scenes, but none of their pixels counts, because of clouds or no data."""
    NOT_A_NUMBER = "not_a_number"
    """Pixels count, but have no mean, because the evalscript returned NaN or infinity where it set dataMask."""
    EMPTY = "empty"
    """No scene was seen in that interval."""
    FAILED = "failed"
    """The service could not compute it. ``error`` says why."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An interval that the service could not compute. ``error``: its kind."""

    interval: TimeRange
    error: str

    @property
    def is_repeatable(self) -> bool:
        """Whether a repetition may get an answer, as after a time-out or failed execution, but not a bad request."""
        return self.error != "BAD_REQUEST"


def rows(answer: Any, *, feature_id: Any = None, expected: Iterable[TimeRange] = ()) -> Iterator[dict[str, Any]]:
    """Yield the rows of an answer, statistics of one band in one interval each, in the order of their intervals.

    A row has its existing cells by column. Without statistics (EMPTY, FAILED) it has no ``output`` and no ``band``.
    ``sample_count`` is the number of pixels of the box. ``no_data_count`` is that of pixels that do not count, because
    they are masked or outside of the geometry. ``error`` is ``EXECUTION_ERROR``, ``TIMEOUT`` or ``BAD_REQUEST``. Values
    that are not numbers are ``None``, unless the evalscript itself made them NaN or infinite. Missing ``expected``
    intervals are EMPTY.
    """
    entries = {(interval.start, interval.end): entry for interval, entry in _entries(answer)}
    answered, silent = sorted(entries), set()
    for interval in expected:
        # The service may cut months otherwise than expected.
        middle = interval.start + (interval.end - interval.start) / 2
        at = bisect_right(answered, middle, key=itemgetter(0)) - 1
        if at < 0 or middle >= answered[at][1]:
            silent.add((interval.start, interval.end))
    for key in sorted(entries.keys() | silent):
        yield from _rows_of(entries.get(key, {}), TimeRange(*key), feature_id)


def failures(answer: Any) -> list[Failure]:
    """List the intervals that failed. Raises :class:`SentinelHubResponseError` for a failure that names none."""
    found = [Failure(interval, _error_of(entry)) for interval, entry in _entries(answer) if "error" in entry]
    if not found and answer.get("status") == "FAILED":
        raise SentinelHubResponseError("The Statistical API answered with status FAILED and names no interval.")
    return found


def timed_out(intervals: Iterable[TimeRange]) -> dict[str, Any]:
    """Return the answer for intervals that the service did not compute in time."""
    error = {"type": "TIMEOUT"}
    return _with_status([{"interval": one.to_half_open_json(), "error": error} for one in intervals])


def joined(answers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one answer for all the intervals of several."""
    return _with_status([entry for answer in answers for _, entry in _entries(answer)])


def merge(answer: Mapping[str, Any], again: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Put answers to repeated requests into the first answer. Their results replace its failures."""
    repaired = {
        (interval.start, interval.end): entry
        for one in again
        for interval, entry in _entries(one)
        if "error" not in entry
    }
    data = [
        repaired.get((interval.start, interval.end), entry) if "error" in entry else entry
        for interval, entry in _entries(answer)
    ]
    return {**answer, **_with_status(data)}


def _with_status(data: list[Any]) -> dict[str, Any]:
    failed = sum(1 for entry in data if "error" in entry)
    return {"data": data, "status": "OK" if not failed else "FAILED" if failed == len(data) else "PARTIAL"}


def _entries(answer: Any) -> list[tuple[TimeRange, Mapping[str, Any]]]:
    data = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(data, list):
        raise SentinelHubResponseError(
            "The answer is not from the Statistical API: it has no list of intervals under 'data'."
        )
    entries: list[tuple[TimeRange, Mapping[str, Any]]] = []
    for entry in data:
        interval = entry.get("interval") if isinstance(entry, Mapping) else None
        if not isinstance(interval, Mapping):
            raise SentinelHubResponseError("The answer is not from the Statistical API: an entry has no interval.")
        try:
            times = TimeRange(parse_time(interval.get("from"), "from"), parse_time(interval.get("to"), "to"))
        except SentinelHubRequestError as error:
            raise SentinelHubResponseError(
                f"The Statistical API answered with an interval that cannot be read: {interval!r}."
            ) from error
        # Some servers write all members, so that a null error means success.
        entries.append((times, {name: value for name, value in entry.items() if (name, value) != ("error", None)}))
    return entries


def _rows_of(entry: Mapping[str, Any], interval: TimeRange, feature_id: Any) -> Iterator[dict[str, Any]]:
    head = {"feature_id": feature_id, "interval_from": interval.start, "interval_to": interval.end}
    if "error" in entry:
        yield {**head, "state": State.FAILED.value, "error": _error_of(entry)}
        return
    outputs = entry.get("outputs")
    number = 0
    for output, found in (outputs if isinstance(outputs, Mapping) else {}).items():
        if output == DATA_MASK:
            continue
        for band, values in ((found or {}).get("bands") or {}).items():
            yield {**head, "output": output, "band": band, **_cells(values or {})}
            number += 1
    if not number:
        yield {**head, "state": State.EMPTY.value}


def _cells(values: Mapping[str, Any]) -> dict[str, Any]:
    stats, histogram = values.get("stats") or {}, values.get("histogram") or {}
    samples, missing = _count(stats.get("sampleCount")), _count(stats.get("noDataCount"))
    numbers = {name: as_number(stats.get(key)) for name, key in NUMBERS.items()}
    numbers |= {f"p{float(name):g}": as_number(value) for name, value in (stats.get("percentiles") or {}).items()}
    state = State.OK
    if not samples or samples == missing:
        state = State.MASKED
    elif not math.isfinite(numbers["mean"]):
        state = State.NOT_A_NUMBER
    if state is not State.NOT_A_NUMBER:
        numbers = {name: number for name, number in numbers.items() if not math.isnan(number)}
    cells: dict[str, Any] = {"state": state.value, **numbers, "sample_count": samples, "no_data_count": missing}
    cells["count"] = None if samples is None or missing is None else samples - missing
    if bins := histogram.get("bins"):
        under, over = (_count(histogram.get(name)) for name in ("underflowCount", "overflowCount"))
        cells |= {"histogram_under": under, "histogram_over": over, "histogram": [_bin(one) for one in bins]}
    return cells


def _bin(one: Mapping[str, Any]) -> dict[str, Any]:
    low, high = as_number(one.get("lowEdge")), as_number(one.get("highEdge"))
    return {"low": low, "high": high, "count": _count(one.get("count")) or 0}


def _error_of(entry: Mapping[str, Any]) -> str:
    error = entry["error"]
    return str((error.get("type") if isinstance(error, Mapping) else error) or "unknown")


def _count(value: Any) -> int | None:
    number = as_number(value)
    return int(number) if math.isfinite(number) else None


def table_format(path: Any, wanted: str | None = None) -> str:
    """Return the requested format of a table, by default that of the path's ending."""
    if wanted is not None:
        return read_choice(wanted, sorted(set(FORMATS.values())), "output_format")
    ending = next((ending for ending in FORMATS if str(path).lower().endswith(ending)), None)
    if ending is None:
        raise SentinelHubRequestError(
            f"output_path {path} does not say what table it is to be. Let it end with one of {', '.join(FORMATS)}, or "
            "give output_format."
        )
    return FORMATS[ending]


def percentile_names(body: Mapping[str, Any]) -> list[str]:
    """Return the columns of a request's percentiles, such as ``p5`` and ``p97.5``."""
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


def column_kinds(body: Mapping[str, Any], properties: Mapping[str, str]) -> dict[str, str]:
    """Return the kind of each column of the table, such as ``text``, ``number`` or ``integer``, whatever the data.

    ``properties`` are the kinds of the features' properties by name. See :func:`joined_kind`.
    """

    def kind(name: str) -> str:
        if name in properties:
            return properties[name]
        if name in (*COUNTS, "histogram_under", "histogram_over"):
            return "integer"
        if name in ("feature_id", "output", "band", "state", "error"):
            return "text"
        return "time" if name.startswith("interval_") else "bins" if name == "histogram" else "number"

    return {name: kind(name) for name in column_names(body, properties)}


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
    """Return a column's kind after a further value, one of ``boolean``, ``integer``, ``number`` and ``text``."""
    if value is None:
        return kind
    found = {bool: "boolean", int: "integer", float: "number"}.get(type(value), "text")
    if found == "integer" and not -(2**63) <= value < 2**63:
        found = "text"
    if kind in (None, found):
        return found
    return "number" if {kind, found} == {"integer", "number"} else "text"


def property_cell(value: Any, kind: str) -> Any:
    """Return a feature's property as its column holds it. In a column of texts, other values become JSON."""
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


def json_record(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return cells for JSON, with times as text and without NaN and infinity."""
    plain: dict[str, Any] = {}
    for name, value in cells.items():
        is_number = not isinstance(value, float) or math.isfinite(value)
        text = value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value
        plain[name] = text if is_number else None
    return plain


def progress_line(*, done: int, requested: int, whole: int, seconds: float, units: float, failed: int) -> str:
    """Tell the progress, with ``requested`` features in ``seconds`` of this try, and ``done`` ones in all tries."""
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
