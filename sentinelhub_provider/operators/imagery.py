"""A task's data for the page *Satellite imagery*, in XCom: facts about its work, and previews of its results.

The page opens neither files nor buckets nor connections, so all its data come from here.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf

from sentinelhub_provider.api.imagery import (
    FACTS_KEY,
    MOST_BYTES,
    MOST_SIDE,
    PREVIEWS_KEY,
    facts_of_job,
    facts_of_request,
    shortened,
)
from sentinelhub_provider.links.imagery import page_of
from sentinelhub_provider.operators.arguments import push, task_identity

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.jobs.job import Job

SECTION = "sentinelhub"
"""Of Airflow's configuration."""

DEFAULT_PREVIEWS = 200
"""Number of tasks of a mapped task that leave data."""

PICTURES = 12
"""Number of pictures of one task with a preview."""

ROWS = 10  # rows of a list that is the task's result
FAILED = 10  # names of failed features
TOLD = (
    *("path", "rows", "features", "failed", "skipped", "missing_intervals", "coverage", "request_sha256", "delivery"),
    *("processing_units", "estimated_processing_units"),
)
"""Members of a task's result that are facts."""

LIMITS = (
    *("requests_per_minute", "processing_units_per_minute"),
    *("processing_units_per_day", "processing_units_per_month"),
)


def is_shown(operator: Any, context: Context) -> bool:
    """Tell whether a task leaves something for the page."""
    index = getattr(context["ti"], "map_index", -1)
    shown = conf.getint(SECTION, "previews", fallback=DEFAULT_PREVIEWS)
    return bool(operator.do_xcom_push and max(0, index or 0) < shown)


def leave_imagery(
    operator: Any,
    context: Context,
    result: Any = None,
    *,
    job: Job | None = None,
    error: Exception | None = None,
) -> None:
    """Push the page's data about a task that ended, failed, or is about to wait.

    Any fault in here only costs a warning, because the task's work is done and paid for. Nothing is pushed with
    ``do_xcom_push=False``, and only ``[sentinelhub] previews`` tasks of a mapped task push data.

    :param operator: a :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`, which imports this module.
    :param result: the task's result, if it succeeds.
    :param job: the remote job as last seen.
    :param error: the error that fails the task.
    """
    try:
        if not is_shown(operator, context):
            return
        told = result if isinstance(result, Mapping) else {"rows": len(result)} if isinstance(result, list) else {}
        pictures = [] if error is not None or job is not None else list(_previews(operator, told))
        table = {} if operator.chart is None else operator.chart.to_json()
        table |= {"rows": [_scene(item) for item in result[:ROWS]]} if isinstance(result, list) else {}
        if table:  # PostgreSQL and MySQL sort the members of an object
            table["columns"] = list(dict.fromkeys(name for row in table["rows"] for name in row))
        if pictures or table:
            push(operator, context, PREVIEWS_KEY, {"pictures": pictures, **table})
        facts = _facts(operator, told, job, error)
        if not (operator.request_sent or table or facts.keys() & {"job", "error", "processing_units"}):
            return  # a free call
        if "job" in facts and operator.request_sent is None:  # the request was made before the wait in the triggerer
            facts = {**_earlier(operator, context), **facts}
        operator.facts = facts
        push(operator, context, FACTS_KEY, {**facts, "pictures": len(pictures), "has_table": bool(table)})
        dag_id, run_id, index, task_id = task_identity(operator, context)
        address = f"{conf.get('api', 'base_url', fallback='')}/{page_of(dag_id, run_id, task_id, index)}"
        operator.log.info("Satellite imagery: %s", re.sub("(?<!:)//+", "/", address))
    except Exception as problem:  # any library may raise, but the task must not fail
        level = logging.DEBUG if str(problem) == str(error) else logging.WARNING  # the task itself reports the error
        operator.log.log(level, "the page Satellite imagery lacks some facts of this task: %s", problem)


def _facts(operator: Any, told: Mapping[str, Any], job: Job | None, error: Exception | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"operator": type(operator).__name__.lstrip("_"), "conn_id": operator.sentinelhub_conn_id}
    facts |= facts_of_request(operator.request_sent) if operator.request_sent is not None else {}
    if "evalscript" in facts and operator.script_file is not None:
        facts["evalscript"] = operator.script_file
    facts |= {name: told[name] for name in TOLD if isinstance(told.get(name), str | int | float)}
    outputs = told.get("outputs")
    if isinstance(outputs, Mapping) and len(outputs) > 1:
        facts["outputs"] = {str(name): output["path"] for name, output in list(outputs.items())[:PICTURES]}
    if isinstance(outputs, Mapping):
        facts["bytes"] = sum(output["size"] for output in outputs.values())
    facts["failed_features"] = [
        {name: shortened(value) for name, value in one.items()} for one in (told.get("failed_features") or ())[:FAILED]
    ]
    if "hook" in vars(operator):
        settings = operator.hook.settings
        facts["limits"] = {name: value for name in LIMITS if (value := getattr(settings, name)) is not None}
        facts.setdefault("processing_units", operator.spent)
    if job is not None or (told.get("id") and told.get("state")):
        last = {} if job is None else facts_of_job(job)
        # The service does not say how an Async Process job ended. The bucket does, and so does the result.
        facts["job"] = last | {name: told[name] for name in ("id", "state", "features") if told.get(name) is not None}
    if error is not None:
        facts["error"] = shortened(error)
    return {name: value for name, value in facts.items() if value not in (None, [], {})}


def _earlier(operator: Any, context: Context) -> dict[str, Any]:
    """Return the facts that the task left before it waited."""
    ti: Any = context["ti"]
    found = ti.xcom_pull(task_ids=operator.task_id, map_indexes=ti.map_index, key=FACTS_KEY)
    return dict(found) if isinstance(found, Mapping) else {}


def _scene(item: Any) -> dict[str, Any]:
    """Return the row of an item or value that the Catalog found."""
    if not isinstance(item, Mapping):
        return {"value": shortened(item)}
    return {name: item.get(name) for name in ("datetime", "cloud_cover", "id") if name in item}


def _previews(operator: Any, told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a preview of each of the first pictures, until one fails. The previews of many pictures are smaller."""
    from sentinelhub_provider.operators.previews import preview_of

    outputs, pictures = told.get("outputs"), told.get("pictures")
    if isinstance(outputs, Mapping):
        found = [(name, one["path"], one["size"]) for name, one in outputs.items()]
    else:
        found = [(one["feature_id"], one["path"], one["size"]) for one in pictures or ()]
    found = found[:PICTURES]
    is_many = len(found) > 3
    limits = {"side": MOST_SIDE // 2, "most": MOST_BYTES // 4} if is_many else {}
    for name, path, size in found:
        try:
            webp = preview_of(path, size, **limits)
        except Exception as problem:  # a broken picture, or a storage that is away
            operator.log.warning("the page Satellite imagery lacks the preview of %s: %s", path, problem)
            return
        if webp is not None:
            yield {"name": shortened(name), "path": path, "webp": base64.b64encode(webp).decode()}
