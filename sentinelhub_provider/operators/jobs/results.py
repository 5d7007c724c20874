"""Reads a job's facts in its bucket: its plan after the analysis, and its outcome after the end.

A job that is DONE may hold failed features. The API of Async Process says nothing about a job that is over. The bucket
tells which features failed and why, in a form that differs from API to API. If it cannot be read, a
:class:`~sentinelhub_provider.operators.jobs.buckets.BucketError` says why. Such a job never counts as a success
silently.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from airflow.sdk import ObjectStoragePath

from sentinelhub_provider.api.job_requests.delivery import fixed_folder
from sentinelhub_provider.api.jobs.steps import Delivered
from sentinelhub_provider.api.processing_units import FeatureSizes
from sentinelhub_provider.operators.jobs import buckets
from sentinelhub_provider.operators.jobs.buckets import BucketError, Entry
from sentinelhub_provider.stac import ITEM_SUFFIX

CAUSES = 5
"""Number of causes in a message, the most frequent first."""

EXAMPLES = 3
"""Number of features that are named for each cause."""

FILES_READ = 10_000
"""Result files of Batch Statistics to read, the smallest first, because an error is shorter than statistics."""

FILES_AT_A_TIME = 16
FILE_SIZE = 4 * 1024 * 1024
"""Bytes to read of a result file. Statistics of thousands of intervals have about one megabyte."""

NO_DATA = "no data"
"""The result database's text for a feature that is done and empty, as there was no scene."""

_WAITING = ("PENDING", "PROCESSING", "RUNNING", "QUEUED", "SCHEDULED", "RETRY")
_TEXT_SIZE = 500
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause of failed features. ``count``: number of features. ``features``: names of some of them."""

    text: str
    count: int
    features: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = ", ".join(self.features)
        more = ", ..." if self.count > len(self.features) else ""
        return f"{self.count:,} x {self.text!r} ({names}{more})"


@dataclass(frozen=True, slots=True)
class FeatureResults:
    """The outcome of a job's features.

    ``total`` is the number of all features. ``done`` includes those without data (``empty``, as there was no scene) and
    those that were skipped and so not delivered (``undelivered``). ``failed`` are not done, for any cause. ``pending``
    were not processed, which should not happen in a job that is done. ``unread``: result files that were not read,
    because there are so many. ``causes``: why features failed, the most frequent first. ``source``: the URL of the
    outcome.
    """

    total: int
    done: int
    failed: int
    pending: int = 0
    empty: int = 0
    undelivered: int = 0
    unread: int = 0
    causes: tuple[Cause, ...] = ()
    source: str = ""

    @property
    def is_good(self) -> bool:
        """Whether no feature is known as failed or left out."""
        return not self.failed and not self.pending

    def __str__(self) -> str:
        told = [f"{self.done:,} of {self.total:,} features are done"]
        told += [f"{self.empty:,} of them without data"] if self.empty else []
        told += [f"{self.undelivered:,} of them not delivered"] if self.undelivered else []
        told += [f"{self.failed:,} failed"] if self.failed else []
        told += [f"{self.pending:,} were not processed"] if self.pending else []
        told += [f"{self.unread:,} result files were not read"] if self.unread else []
        causes = f". First causes: {'; '.join(map(str, self.causes))}" if self.causes else ""
        return f"{', '.join(told)} ({self.source}){causes}"


@dataclass(frozen=True, slots=True)
class AsyncResults:
    """The content of an Async Process job's folder ``source``: URLs of outputs, or the service's words of an error.

    ``size``: bytes of all outputs. ``outputs``: URL and bytes of the first file of each.

    Without both, the job may still be running, or was never accepted.
    """

    outcome: Delivered
    files: tuple[str, ...] = ()
    error: str | None = None
    source: str = ""
    size: int = 0
    outputs: Mapping[str, tuple[str, int]] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        match self.outcome:
            case Delivered.OUTPUTS:
                return f"{len(self.files)} outputs in {self.source}: {', '.join(self.files)}"
            case Delivered.ERROR:
                return f"{self.source}/error.json says: {self.error}"
        return f"{self.source} has neither outputs nor an error.json"


def check_batch_process(url: str, job_id: str, conn_id: str | None = None) -> FeatureResults:
    """Read the result database of a Batch Process job.

    ``url``: the job's delivery URL with its placeholders. ``conn_id``: Airflow connection that reads the bucket. Like
    all checks, it raises :class:`BucketError` if the outcome cannot be read.
    """
    return _read_database(url, job_id, f"execution-{job_id}.sqlite", conn_id, _read_results)


def delivered_features(url: str, job_id: str, conn_id: str | None = None) -> frozenset[str]:
    """Return the names of the features that a job delivered; arguments as :func:`check_batch_process`."""
    return _read_database(url, job_id, f"execution-{job_id}.sqlite", conn_id, _read_delivered)


def sizes_in_manifest(url: str, job_id: str, conn_id: str | None = None) -> FeatureSizes:
    """Read the sizes of an analysed job's features from its manifest. Arguments as :func:`check_batch_process`."""
    return _read_database(url, job_id, f"featureManifest-{job_id}.gpkg", conn_id, _read_sizes)


def _read_database(
    url: str, job_id: str, name: str, conn_id: str | None, read: Callable[[sqlite3.Connection, str], _Found]
) -> _Found:
    """Read a copy of an SQLite file from a job's delivery. ``read`` gets it and its URL."""
    found = buckets.find_file_of_job(url, job_id, name, conn_id)
    with tempfile.TemporaryDirectory(prefix="sentinelhub-") as folder:
        copy = Path(folder) / "copy.sqlite"
        buckets.fetch(found, str(copy))
        try:
            with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro", uri=True)) as database:
                return read(database, buckets.shown(found))
        except sqlite3.Error as error:
            raise BucketError(f"{buckets.shown(found)} is not a database of features ({error})") from None


def check_batch_statistics(
    url: str, job_id: str, conn_id: str | None = None, *, expected: int | None = None, most: int = FILES_READ
) -> FeatureResults:
    """Read the result files of a Batch Statistics job, one for each feature.

    All are listed and the smallest are read, because an error is shorter than statistics. ``url``: the job's delivery
    URL with its placeholders. ``conn_id``: Airflow connection that reads the bucket. ``expected``: number of features,
    if known. Features without a file count as not processed. ``most``: number of files to read.
    """
    folder, counted = _folder_of_statistics(url, job_id), Counter[str]()
    place = buckets.open_path(folder, conn_id)
    smallest = heapq.nsmallest(most, _results(place, counted), key=lambda entry: entry.size)
    tally, files = _read_files(place, smallest), counted["files"]
    if not files and not expected:
        raise BucketError(f"there is no result in {folder}")
    failed = sum(cause.count for cause in tally)
    return FeatureResults(
        total=max(files, expected or 0),
        done=files - failed,
        failed=failed,
        pending=max(0, (expected or 0) - files),
        unread=files - len(smallest),
        causes=tuple(tally[:CAUSES]),
        source=folder,
    )


def statistics_of_features(
    url: str, job_id: str, conn_id: str | None = None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each feature's identifier and its answer of the Statistical API, in the order of the files' names.

    Arguments as those of :func:`check_batch_statistics`. Features that failed as a whole and files of other kinds are
    left out. Raises :class:`BucketError` if the bucket cannot be read or has no answer at all.
    """
    has_any = False
    place = buckets.open_path(_folder_of_statistics(url, job_id), conn_id)
    for entry, content in _contents(place, _results(place, Counter[str]())):
        with suppress(ValueError):
            result = json.loads(content)
            response = result.get("response") if isinstance(result, Mapping) else None
            if isinstance(response, Mapping) and isinstance(response.get("data"), list):
                name, has_any = result.get("identifier", result.get("id")), True
                yield str(_last(entry.name).removesuffix(".json") if name is None else name), response
    if not has_any:
        raise BucketError(f"{buckets.shown(place)} has no statistics of any feature")


def _folder_of_statistics(url: str, job_id: str) -> str:
    template = url if "<" in url else f"{url.rstrip('/')}/<REQUEST_ID>/<ID>.json"
    return fixed_folder(template.replace("<REQUEST_ID>", job_id))


def check_async_process(
    url: str, job_id: str | None, outputs: Iterable[str], conn_id: str | None = None
) -> AsyncResults:
    """Look for the outputs of an Async Process job, or its ``error.json``.

    ``url``: the job's delivery URL with its placeholders. ``job_id``: ``None`` if unknown, because the answer to the
    request was lost. Then the whole folder is listed, which must be that request's own. ``outputs``: identifiers of its
    outputs. ``conn_id``: Airflow connection that reads the bucket.
    """
    template = url if "<" in url else f"{url.rstrip('/')}/<REQUEST_ID>/<OUTPUT>"
    folder = fixed_folder(template.replace("<REQUEST_ID>", job_id) if job_id is not None else template)
    place, wanted = buckets.open_path(folder, conn_id), tuple(outputs)
    # A folder may be shared with other jobs. Their many files are not kept in memory.
    sizes = {
        entry.name: entry.size
        for entry in buckets.entries(place)
        if _last(entry.name) == "error.json" or _of(entry.name, wanted)
    }
    errors = [name for name in sizes if _last(name) == "error.json"]
    if errors:
        said = _error_text(buckets.read(place / errors[0], FILE_SIZE))
        return AsyncResults(Delivered.ERROR, error=said, source=f"{folder}/{errors[0]}".rpartition("/")[0])
    found = {output: [name for name in sizes if _of(name, (output,))] for output in wanted}
    names = [name for names_of_one in found.values() for name in names_of_one]
    outcome = Delivered.OUTPUTS if all(found.values()) else Delivered.NOTHING
    files = tuple(f"{folder}/{name}" for name in names)
    first = {output: (f"{folder}/{of_one[0]}", sizes[of_one[0]]) for output, of_one in found.items() if of_one}
    return AsyncResults(outcome, files, source=folder, size=sum(map(sizes.__getitem__, names)), outputs=first)


def _read_sizes(database: sqlite3.Connection, _source: str) -> FeatureSizes:
    """Add up the features of a manifest. Each is listed once for each output and counted once."""
    sizes = FeatureSizes()
    tables = database.execute("SELECT table_name FROM gpkg_contents WHERE data_type = 'features'").fetchall()
    for (table,) in tables:
        quoted = '"' + str(table).replace('"', '""') + '"'
        rows = database.execute(
            f"SELECT width, height, count(DISTINCT identifier) FROM {quoted} "  # noqa: S608 - quoted as SQL wants it
            "WHERE width > 0 AND height > 0 GROUP BY width, height"
        )
        for width, height, number in rows:
            sizes.add(int(width), int(height), int(number))
    if not sizes.count:
        raise sqlite3.DatabaseError("it lists no feature with a size")
    return sizes


def _read_delivered(database: sqlite3.Connection, _source: str) -> frozenset[str]:
    rows = database.execute(
        "SELECT name FROM features WHERE upper(status) = 'DONE' AND delivered NOT IN (0, 'false', 'False')"
    )
    return frozenset(str(name) for (name,) in rows)


def _read_results(database: sqlite3.Connection, source: str) -> FeatureResults:
    """Count in SQLite, so that only the counts are in memory, however many features there are."""
    columns = {row[1] for row in database.execute("PRAGMA table_info(features)")}
    if not {"name", "status"} <= columns:
        raise sqlite3.DatabaseError(f"table features has the columns {', '.join(sorted(columns)) or 'none'}")
    text = "error" if "error" in columns else "NULL"
    waiting = ", ".join(f"'{status}'" for status in _WAITING)
    is_failed = f"upper(coalesce(status, '')) NOT IN ('DONE', {waiting}, '')"
    is_empty = f"lower(trim(coalesce({text}, ''))) = '{NO_DATA}'"
    delivered = "coalesce(delivered, 1)" if "delivered" in columns else "1"
    # Only constants of this module are put into the statements.
    total, done, failed, empty, undelivered = database.execute(
        f"SELECT count(*), total(upper(status) = 'DONE'), total({is_failed}), "  # noqa: S608
        f"total(upper(status) = 'DONE' AND {is_empty}), "
        f"total(upper(status) = 'DONE' AND NOT {is_empty} AND {delivered} IN (0, 'false', 'False')) FROM features"
    ).fetchone()
    cause = f"substr(coalesce({text}, ''), 1, {_TEXT_SIZE})"
    causes = database.execute(
        f"SELECT {cause} AS cause, count(*) AS number FROM features "  # noqa: S608
        f"WHERE {is_failed} GROUP BY cause ORDER BY number DESC, cause LIMIT {CAUSES}"
    ).fetchall()
    names = f"SELECT name FROM features WHERE {is_failed} AND {cause} = ? LIMIT {EXAMPLES}"  # noqa: S608
    return FeatureResults(
        total=total,
        done=int(done),
        failed=int(failed),
        pending=total - int(done) - int(failed),
        empty=int(empty),
        undelivered=int(undelivered),
        causes=tuple(
            Cause(said or "no cause given", number, tuple(str(name) for (name,) in database.execute(names, (said,))))
            for said, number in causes
        ),
        source=source,
    )


def _results(place: ObjectStoragePath, counted: Counter[str]) -> Iterator[Entry]:
    for entry in buckets.entries(place):
        if entry.name.endswith(".json"):
            counted["files"] += 1
            yield entry


def _contents(
    place: ObjectStoragePath, files: Iterable[Entry], most: int | None = None
) -> Iterator[tuple[Entry, bytes]]:
    """Yield files with their content or first bytes. Several are read at a time, and only they are in memory."""
    left, pool = iter(files), ThreadPoolExecutor(FILES_AT_A_TIME)
    try:
        while some := list(islice(left, 4 * FILES_AT_A_TIME)):
            yield from zip(some, pool.map(lambda one: buckets.read(place / one.name, most), some), strict=True)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # a task that ends does not wait for them


def _read_files(place: ObjectStoragePath, files: list[Entry]) -> list[Cause]:
    """Return why features failed, the most frequent cause first."""
    counts, examples = Counter[str](), dict[str, list[str]]()
    for entry, content in _contents(place, files, FILE_SIZE):
        failure = _failure_of(content)
        if failure is not None:
            name, cause = failure
            counts[cause] += 1
            known = examples.setdefault(cause, [])
            if len(known) < EXAMPLES:
                known.append(name or _last(entry.name).removesuffix(".json"))
    return [Cause(text, count, tuple(examples[text])) for text, count in counts.most_common()]


def _failure_of(content: bytes) -> tuple[str | None, str] | None:
    """Return name and cause of a feature that failed, wholly or in some intervals, ``None`` for a good one."""
    try:
        result = json.loads(content)
    except ValueError:
        # A good result may be longer than the bytes read. A bad one is short.
        return None if len(content) >= FILE_SIZE else (None, "the file is not JSON")
    if not isinstance(result, Mapping):
        return None, "the file is not a result"
    name = result.get("identifier", result.get("id"))
    name = None if name is None else str(name)
    if result.get("error") is not None:
        return name, _kind_of(result["error"])
    response = result.get("response")
    if not isinstance(response, Mapping):
        return name, "the file has neither response nor error"
    status = response.get("status")
    if status == "OK":
        return None
    data = response.get("data")
    items = [item for item in data if isinstance(item, Mapping)] if isinstance(data, list) else []
    kinds = Counter(_kind_of(item["error"]) for item in items if item.get("error") is not None)
    which = ", ".join(f"{kind} in {count} of {len(items)} intervals" for kind, count in kinds.most_common(2))
    return name, f"status {status}{f': {which}' if which else ''}"


def _kind_of(error: Any) -> str:
    return str((error.get("type") if isinstance(error, Mapping) else error) or "unknown")[:_TEXT_SIZE]


def _error_text(content: bytes) -> str:
    """Return the message of an ``error.json``, which is wrapped like errors of the service."""
    try:
        error = json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")[:_TEXT_SIZE]
    inner = error.get("error", error) if isinstance(error, Mapping) else error
    text = inner.get("message") if isinstance(inner, Mapping) else inner
    return str(text or error)[:_TEXT_SIZE]


def _of(name: str, outputs: tuple[str, ...]) -> bool:
    """Tell whether a file is one of the outputs, named after it or in a folder with its name."""
    parts = name.split("/")
    if parts[-1].endswith(ITEM_SUFFIX) or (parts[-1].startswith("request-") and parts[-1].endswith(".json")):
        return False
    return any(part == output or part.startswith(f"{output}.") for part in parts for output in outputs)


def _last(name: str) -> str:
    return name.rpartition("/")[2]
