"""Helpers for operators: times and names from the DAG run, arguments from texts and files, costs, and XCom."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubTransportError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.features import Features

GEOMETRY_SUFFIXES = (".geojson", ".json", ".wkt")
"""Endings of texts that name a file with a geometry."""

ESTIMATED_UNITS_KEY = "estimated_processing_units"
SPENT_UNITS_KEY = "processing_units"
"""XCom keys of the estimated and the actual cost of a task in PU."""

EVENT_KEYS = (
    *("path", "size", "sha256", "outputs", "partitions", "rows", "coverage", "request_sha256", "item", "collection"),
    *("id", "state", "delivery", "folder", "files", "file_count", "item_count", "collection_id"),
    *(ESTIMATED_UNITS_KEY, SPENT_UNITS_KEY),
)
"""Members of a task's result that go into the events of its outlets."""

MAX_XCOM_SIZE = 1024 * 1024
"""Bytes of JSON that a task may return, because XCom lives in Airflow's metadata database."""


def push(operator: BaseOperator, context: Context, key: str, value: Any) -> None:
    """Push a value to XCom, unless the task has ``do_xcom_push=False``, which Airflow itself obeys for results only."""
    if operator.do_xcom_push:
        context["ti"].xcom_push(key=key, value=value)


def check_xcom_size(value: Any, max_xcom_size: int, *, what: str, advice: str, field: str) -> None:
    """Refuse a result that is too large for XCom.

    :param max_xcom_size: bytes of JSON.
    :param what: the message's name for the result, such as ``The table``.
    :param advice: what to do instead.
    :param field: the argument that the advice is about.
    :raises SentinelHubRequestError: with both sizes.
    """
    size = len(json.dumps(value, default=str))
    if size > max_xcom_size:
        raise SentinelHubRequestError(
            f"{what} has {size:,} bytes of JSON, more than max_xcom_size={max_xcom_size:,}. XCom lives in Airflow's "
            f"metadata database. {advice}",
            field=field,
        )


def times_of_run(context: Context, value: Any, field: str) -> Any:
    """Return a time range with the run's times: its data interval if none is given, or those of a relative range.

    A relative range, such as ``P7D`` or ``["P14D", "P7D"]``, is counted back from the run's ``run_after``. Every run
    has it, with or without logical date. Any other range is returned as it is. ``field`` names the argument for the
    error. Raises :class:`SentinelHubRequestError` if no range is given and the run has no data interval, or an empty
    one. In Airflow 3, ``@daily`` and other cron texts give empty ones unless ``[scheduler] create_cron_data_intervals``
    is on.
    """
    from sentinelhub_provider.api.time_range import is_relative, parse_time_range, run_range

    if value is not None:
        return parse_time_range(value, field, until=run_after(context)) if is_relative(value) else value
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is None or end is None or start >= end:
        what = "has no data interval" if start is None or end is None else f"has an empty data interval at {start}"
        raise SentinelHubRequestError(
            f"{field} is missing, and this DAG run {what}. Give {field}, such as 'P7D' for the seven days before the "
            "run, or give the DAG a timetable with data intervals, such as "
            "schedule=CronDataIntervalTimetable('0 6 * * 1', timezone='UTC') of airflow.timetables.interval.",
            field=field,
        )
    return run_range(start, end)


def run_after(context: Context) -> datetime:
    """Return the time at which the run was due. It is the same in each attempt, for runs of every kind."""
    found: datetime | None = getattr(context.get("dag_run"), "run_after", None)
    return utc_now() if found is None else found


def geometry_of(operator: BaseOperator, value: Any, field: str) -> Any:
    """Return a geometry as given, or read it from a file that a text names.

    :param operator: its DAG decides where relative names are searched, which is beside the DAG and on its template
        search path.
    :param value: GeoJSON, WKT, or the name of a file with one of :data:`GEOMETRY_SUFFIXES`. The name is an absolute
        path, a URL that Airflow's object storage knows, or a name beside the DAG.
    :raises SentinelHubRequestError: if the file cannot be read.
    """
    if not isinstance(value, str) or not value.strip().lower().endswith(GEOMETRY_SUFFIXES):
        return value
    from sentinelhub_provider.features.files import read_text, template_folders

    return read_text(value.strip(), field=field, what="GeoJSON or WKT", folders=template_folders(operator))


@contextmanager
def features_of(operator: Any, properties: Sequence[str] = ()) -> Iterator[Features]:
    """Open the features of a task, as :func:`~sentinelhub_provider.features.open_features` does.

    Meanwhile, the garbage collector leaves alone what was there before: in the work on thousands of features, it would
    look through all of Airflow again and again.
    """
    import gc

    from sentinelhub_provider.features import open_features
    from sentinelhub_provider.features.files import template_folders

    with open_features(
        operator.features,
        id_property=operator.id_property,
        properties=properties,
        layer=operator.layer,
        folders=template_folders(operator),
    ) as features:
        others = _others_freeze()
        gc.freeze()
        try:
            yield features
        finally:
            if not others:
                gc.unfreeze()


@cache
def _others_freeze() -> bool:
    """Tell whether an executor has frozen what its tasks share. Asked once, as Python counts all frozen objects."""
    import gc

    return gc.get_freeze_count() > 0


def is_last_try(context: Context) -> bool:
    """Tell whether Airflow will not try the task again by itself. ``False`` if that is unknown."""
    try_number, max_tries = (getattr(context["ti"], name, None) for name in ("try_number", "max_tries"))
    return isinstance(try_number, int) and isinstance(max_tries, int) and try_number > max_tries


def task_identity(operator: BaseOperator, context: Context) -> tuple[str, ...]:
    """Return the names of a task in its run, which stay the same when it is tried again."""
    ti: Any = context["ti"]
    run_id = context.get("run_id") or getattr(ti, "run_id", None)
    names = (getattr(ti, "dag_id", None), run_id, getattr(ti, "map_index", None), operator.task_id)
    return tuple(str(name) for name in names)


def log_and_push_spent(operator: BaseOperator, context: Context, units: float | None) -> None:
    """Log and push the cost of a task, ``None`` if the service does not name it."""
    if units is None:
        operator.log.info("spent: unknown, the service did not name the cost")
        return
    operator.log.info("spent: %.4g PU", units)
    push(operator, context, SPENT_UNITS_KEY, units)


def tell_outlets(operator: BaseOperator, context: Context, result: Any, time_range: Any = None) -> None:
    """Add the task's outcome to the event of each asset among its outlets, for the DAGs that it starts."""
    from airflow.sdk import Asset
    from airflow.sdk.definitions.asset import AssetRef

    if isinstance(result, Mapping):
        told = {name: result[name] for name in EVENT_KEYS if result.get(name) is not None}
        for outlet in operator.outlets:
            if isinstance(outlet, Asset | AssetRef):
                extra = context["outlet_events"][outlet].extra
                extra.update(told | ({"time_range": time_range} if time_range else {}))


@contextmanager
def telling_cost(estimate: Callable[[], Estimate | None]) -> Iterator[None]:
    """Add the possible cost to the error about a request that was sent and got no answer.

    :raises SentinelHubTransportError: that error.
    """
    try:
        yield
    except SentinelHubTransportError as error:
        cost = estimate() if error.was_sent else None
        if cost is None:
            raise
        said = f"{error} By estimate, a request costs {cost.processing_units:.4g} PU."
        raise SentinelHubTransportError(said, endpoint=error.endpoint, was_sent=True) from error


def added_units(one: float | None, other: float | None) -> float | None:
    """Add two costs in PU, of which either may be unknown."""
    return other if one is None else one + (other or 0.0)


def number_of(count: int, what: str) -> str:
    """Count things, as in ``1 feature`` and ``2 features``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def utc_now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)
