"""Arguments that operators share: times from the DAG run, geometry from files, and what a call may cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from sentinelhub_provider.exceptions import SentinelHubBudgetError, SentinelHubRequestError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.processing_units import Estimate

GEOMETRY_SUFFIXES = (".geojson", ".json", ".wkt")
"""A text that ends with one of these names a file that holds a geometry."""

ESTIMATED_UNITS_KEY = "estimated_processing_units"
SPENT_UNITS_KEY = "processing_units"
"""XCom keys: PU that a task was expected to cost, and PU that the service says it did cost."""


def data_interval(context: Context, field: str) -> tuple[datetime, datetime]:
    """
    Return the run's data interval as requests have it: both ends included, so that two runs share no second.

    :param field: name of the argument that says otherwise, for the error.
    :raises SentinelHubRequestError: where the run has no interval, or one without length. In Airflow 3, ``@daily`` and
        other cron texts give such ones unless ``[scheduler] create_cron_data_intervals`` is on.
    """
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is None or end is None or start >= end:
        what = "has no data interval" if start is None or end is None else f"has an empty data interval at {start}"
        raise SentinelHubRequestError(
            f"{field} is missing, and this DAG run {what}. Give {field}, such as "
            "['{{ macros.ds_add(ds, -7) }}', '{{ ds }}'], or give the DAG a timetable with data intervals, such as "
            "schedule=CronDataIntervalTimetable('0 6 * * 1', timezone='UTC') of airflow.timetables.interval.",
            field=field,
        )
    return start, max(start, end - timedelta(seconds=1))


def geometry_of(operator: BaseOperator, value: Any, field: str) -> Any:
    """
    Return a geometry as given, or read it where a text names a file.

    :param operator: its DAG says where relative names are looked for: beside the DAG and on its template search path.
    :param value: GeoJSON, WKT, or the name of a file with one of :data:`GEOMETRY_SUFFIXES`: an absolute path, a URL
        that Airflow's object storage knows, or a name beside the DAG.
    :raises SentinelHubRequestError: where the file cannot be read.
    """
    if not isinstance(value, str) or not value.strip().lower().endswith(GEOMETRY_SUFFIXES):
        return value
    name = value.strip()
    try:
        return _text_of(operator, name)
    except Exception as error:
        kind = type(error).__name__
        raise SentinelHubRequestError(
            f"{field} names the file {name}, which cannot be read ({kind}: {error}). Give a path that the worker can "
            "read, or a file beside the DAG.",
            field=field,
        ) from error


def _text_of(operator: BaseOperator, name: str) -> str:
    if "://" in name:
        from airflow.sdk import ObjectStoragePath

        return str(ObjectStoragePath(name).read_text(encoding="utf-8"))
    from pathlib import Path

    path = Path(name).expanduser()
    if path.is_absolute():
        return path.read_text(encoding="utf-8")
    environment = operator.get_template_env()
    if environment.loader is None:
        raise FileNotFoundError(name)
    return environment.loader.get_source(environment, name)[0]


def log_and_check_cost(
    operator: BaseOperator, context: Context, estimate: Estimate | None, max_processing_units: float | None
) -> None:
    """
    Log and push what a task will cost, and refuse it where that is more than it may.

    :param estimate: ``None`` where it cannot be known.
    :param max_processing_units: PU, ``None`` for no limit.
    :raises SentinelHubBudgetError: before anything is sent: over the limit, or a limit on what cannot be known.
    """
    from sentinelhub_provider.api.processing_units import check_budget

    if estimate is None:
        if max_processing_units is not None:
            raise SentinelHubBudgetError(
                f"max_processing_units is {max_processing_units:g}, but the cost cannot be told beforehand: the "
                "evalscript's setup() does not plainly return one literal, or the search has no end. Make it plain, or "
                "leave max_processing_units out; nothing was sent."
            )
        operator.log.info("estimated cost: unknown")
        return
    operator.log.info("estimated cost: %s", estimate)
    context["ti"].xcom_push(key=ESTIMATED_UNITS_KEY, value=estimate.processing_units)
    check_budget(estimate, max_processing_units)


def log_and_push_spent(operator: BaseOperator, context: Context, units: float | None) -> None:
    """Log and push what a task did cost; ``None`` where the service does not say."""
    if units is None:
        operator.log.info("spent: unknown, the service did not say")
        return
    operator.log.info("spent: %.4g PU", units)
    context["ti"].xcom_push(key=SPENT_UNITS_KEY, value=units)


def utc_now() -> datetime:
    """Return the time of asking."""
    return datetime.now(UTC)
