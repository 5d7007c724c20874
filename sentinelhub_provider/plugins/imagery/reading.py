"""Reads task instances and XComs from Airflow's database for the pages. It opens no file, bucket or connection."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import Text, and_, case, cast, func, literal, select

from sentinelhub_provider.api.imagery import FACTS_KEY, JOB_KEY, PREVIEWS_KEY, webp_of
from sentinelhub_provider.plugins.imagery.facts import checked

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Key = tuple[str, str, str, int]
"""DAG, run, task and map index."""

DAYS = 7
MOST_FACTS = 1000
MOST_COSTS = 20_000
"""Days of XComs that the overview reads, the newest first."""

MOST_LISTED = 30
MOST_DAGS = 20
MOST_RUNS = 12

LENGTH_OF_FACTS = 100_000
LENGTH_OF_PREVIEWS = 2_000_000
LENGTH_OF_COST = 1000
"""Most letters of an XCom that is read, several times what this package writes."""

OURS = "%SentinelHub%"
"""Pattern of the names of this package's operators."""

WAITING = ("running", "deferred", "queued", "scheduled", "up_for_retry", "up_for_reschedule", "restarting")
FAILED = ("failed", "up_for_retry")

COLUMNS: tuple[Any, ...] = (
    *(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state),
    *(TaskInstance.operator, TaskInstance.start_date, TaskInstance.end_date, TaskInstance.try_number),
    TaskInstance.__table__.c.rendered_map_index,  # without a name, the attribute would return the index
)
XCOM: tuple[Any, ...] = (XComModel.dag_id, XComModel.run_id, XComModel.task_id, XComModel.map_index)


def value_of(most: int) -> Any:
    """Return the column of XComs' values, with a text in place of each longer value, which would fill the memory."""
    value = XComModel.value
    is_short = func.length(cast(value, Text)) <= most
    return case((is_short, value), else_=literal("too long", value.type)).label("value")


@dataclass
class Task:
    """A task instance for a page. ``facts``: the checked data that it left."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    operator: str | None
    start_date: datetime | None
    end_date: datetime | None
    try_number: int
    rendered_map_index: str | None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Its key among all task instances."""
        return self.dag_id, self.run_id, self.task_id, self.map_index

    @property
    def name(self) -> str:
        """The name of the task, with that of the mapped instance."""
        index = self.rendered_map_index or self.map_index
        return self.task_id if self.map_index < 0 else f"{self.task_id} [{index}]"

    @property
    def is_live(self) -> bool:
        """Whether it is still going on."""
        return self.state is None or self.state in WAITING

    @property
    def is_ours(self) -> bool:
        """Whether it is a task of this package."""
        return bool(self.facts) or "SentinelHub" in (self.operator or "")


def tasks(session: Session, *conditions: Any, newest: bool = False, limit: int = 500, offset: int = 0) -> list[Task]:
    """Return task instances without their facts, by task and map index, or the newest first."""
    order = (TaskInstance.start_date.desc(),) if newest else (TaskInstance.task_id, TaskInstance.map_index)
    query = select(*COLUMNS).where(*conditions).order_by(*order).limit(limit).offset(offset)
    return [Task(*row) for row in session.execute(query)]


def of_run(dag_id: str, run_id: str) -> tuple[Any, ...]:
    """Return the conditions that select the task instances of a run."""
    return TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id


def with_facts(session: Session, found: Iterable[Task]) -> list[Task]:
    """Add the facts of task instances."""
    listed = list(found)
    runs: dict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in listed:
        runs[task.dag_id, task.run_id].append(task)
    for (dag_id, run_id), its in runs.items():
        indexes = [task.map_index for task in its]
        value = value_of(LENGTH_OF_FACTS)
        query = select(XComModel.key, XComModel.task_id, XComModel.map_index, value).where(
            XComModel.dag_id == dag_id,
            XComModel.run_id == run_id,
            XComModel.key.in_((FACTS_KEY, JOB_KEY)),
            XComModel.task_id.in_({task.task_id for task in its}),
            XComModel.map_index.between(min(indexes), max(indexes)),
        )
        left = {(key, task_id, index): value for key, task_id, index, value in session.execute(query)}
        for task in its:
            task.facts = checked(plain(left.get((FACTS_KEY, task.task_id, task.map_index))))
            job = left.get((JOB_KEY, task.task_id, task.map_index))
            if task.is_live and job is not None:  # newer than the facts of the task from before its wait
                task.facts |= checked({"job": plain(job)})
    return listed


def previews_of(session: Session, key: Key) -> dict[str, Any]:
    """Return the previews, chart and table of a task instance, unchecked."""
    dag_id, run_id, task_id, map_index = key
    query = select(value_of(LENGTH_OF_PREVIEWS)).where(
        XComModel.dag_id == dag_id,
        XComModel.run_id == run_id,
        XComModel.task_id == task_id,
        XComModel.map_index == map_index,
        XComModel.key == PREVIEWS_KEY,
    )
    value = plain(session.scalar(query))
    return value if isinstance(value, dict) else {}


def newest_picture(session: Session, dag_id: str) -> bytes | None:
    """Return the first preview of the task that last left previews in a DAG, ``None`` without one."""
    value = value_of(LENGTH_OF_PREVIEWS)
    query = select(value).where(XComModel.dag_id == dag_id, XComModel.key == PREVIEWS_KEY)
    for value in session.scalars(query.order_by(XComModel.timestamp.desc()).limit(MOST_LISTED)):
        previews = plain(value)
        for _, webp in pictures_of(previews if isinstance(previews, dict) else {}):
            if webp is not None:
                return webp
    return None


def pictures_of(previews: dict[str, Any]) -> list[tuple[str, bytes | None]]:
    """Return the name and the file of each preview, ``None`` for a broken one."""
    listed = previews.get("pictures")
    named = [one if isinstance(one, dict) else {} for one in listed[:24]] if isinstance(listed, list) else []
    return [(str(one.get("name", ""))[:200], webp_of(one.get("webp"))) for one in named]


def plain(value: Any) -> Any:
    """Return an XCom's value. Some ways to write it leave JSON as text.

    Airflow's own decoder is not for this place. It makes objects of the classes that the JSON names, and some of them
    open files, buckets and catalogs.
    """
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def first_day(now: datetime) -> datetime:
    """Return the start of the days in the overview."""
    return (now - timedelta(days=DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)


def dags_that_left_something(session: Session, now: datetime) -> set[str]:
    """Return the DAGs that left data in these days. It looks XComs up by key, because that has an index."""
    query = select(XComModel.dag_id).where(XComModel.key == FACTS_KEY, XComModel.timestamp >= first_day(now))
    return set(session.scalars(query.distinct()))


def overview(session: Session, dag_ids: set[str], now: datetime) -> dict[str, Any]:
    """Return the data of the page about all DAGs that the user may read.

    :returns: ``connections``, ``running``, ``errors`` and ``runs``.
    """
    since = first_day(now)
    recent = (XComModel.timestamp >= since, XComModel.dag_id.in_(dag_ids))
    newest = XComModel.timestamp.desc()
    is_facts = XComModel.key == FACTS_KEY
    query = select(*XCOM, XComModel.timestamp, value_of(LENGTH_OF_FACTS)).where(is_facts, *recent)
    query = query.order_by(newest).limit(MOST_FACTS)
    left = _facts_by_key(session.execute(query))
    # One mapped task may have left all of these. Of the others, the last facts of each say which connection it uses.
    task, last = (XComModel.dag_id, XComModel.task_id), func.max(XComModel.timestamp)
    each = (
        select(*task, last.label("at"))
        .where(is_facts, *recent)
        .group_by(*task)
        .order_by(last.desc())
        .limit(MOST_FACTS)
        .subquery()
    )
    is_last = and_(task[0] == each.c.dag_id, task[1] == each.c.task_id, XComModel.timestamp == each.c.at)
    of_tasks = left | _facts_by_key(session.execute(query.join(each, is_last)))
    query = select(*XCOM, XComModel.timestamp, value_of(LENGTH_OF_COST)).where(
        XComModel.key == "processing_units", *recent
    )
    costs = session.execute(query.order_by(newest).limit(MOST_COSTS)).all()
    ours = (TaskInstance.dag_id.in_(dag_ids), TaskInstance.operator.like(OURS), TaskInstance.start_date >= since)
    running = tasks(session, *ours, TaskInstance.state.in_(("running", "deferred")), newest=True, limit=MOST_LISTED)
    errors = tasks(session, *ours, TaskInstance.state.in_(FAILED), newest=True, limit=MOST_LISTED // 3)
    return {
        "connections": spent_by_connection(of_tasks, costs, [(since + timedelta(days=n)).date() for n in range(DAYS)]),
        "running": with_facts(session, running),
        "errors": with_facts(session, errors),
        "runs": runs_of(session, left),
    }


def _facts_by_key(rows: Iterable[Any]) -> dict[Key, tuple[datetime, dict[str, Any]]]:
    return {
        (row.dag_id, row.run_id, row.task_id, row.map_index): (row.timestamp, checked(plain(row.value))) for row in rows
    }


def spent_by_connection(
    left: dict[Key, tuple[datetime, dict[str, Any]]], costs: Sequence[Any], days: list[Any]
) -> list[dict[str, Any]]:
    """Return the cost of each connection's tasks, by day and DAG, and the connection's latest limits."""
    names: dict[tuple[str, str], str] = {}
    limits: dict[str, dict[str, float]] = {}
    for (dag_id, _, task_id, _), (_, facts) in left.items():
        conn_id = facts.get("conn_id")
        if conn_id is not None:
            names.setdefault((dag_id, task_id), conn_id)
            if "limits" in facts:
                limits.setdefault(conn_id, facts["limits"])
    spent: dict[str, dict[str, list[float]]] = {name: {} for name in names.values()}
    for row in costs:
        conn_id = names.get((row.dag_id, row.task_id))
        units, day = plain(row.value), row.timestamp.astimezone(UTC).date()
        if conn_id is not None and isinstance(units, int | float) and 0 <= units < 1e12 and day in days:
            spent[conn_id].setdefault(row.dag_id, [0.0] * len(days))[days.index(day)] += units
    found = []
    for conn_id, dags in sorted(spent.items()):
        totals = [sum(each) for each in zip(*dags.values(), strict=True)] if dags else [0.0] * len(days)
        rows = sorted(dags.items(), key=lambda item: -sum(item[1]))
        if len(rows) > MOST_DAGS:
            others = [days for _, days in rows[MOST_DAGS:]]
            rows[MOST_DAGS:] = [(f"{len(others)} other DAGs", [sum(each) for each in zip(*others, strict=True)])]
        one = {"conn_id": conn_id, "days": days, "totals": totals, "dags": rows, "limits": limits.get(conn_id, {})}
        found.append({**one, "total": sum(totals), "today": totals[-1], "most": max(*totals, 1e-9)})
    return found


def runs_of(session: Session, left: dict[Key, tuple[datetime, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the last runs with data, each with the number of its tasks and one whose picture stands for it."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for key, (timestamp, facts) in left.items():
        run = found.get(key[:2])
        if run is None:
            if len(found) == MOST_RUNS:
                continue
            run = found[key[:2]] = {"dag_id": key[0], "run_id": key[1], "at": timestamp, "shown": None}
            run["facts"] = facts
            run["count"] = sum(count for _, count in task_counts(session, *key[:2]))  # not all of them leave facts
        if run["shown"] is None and facts.get("pictures"):
            run["shown"] = key
    return list(found.values())


def task_counts(session: Session, dag_id: str, run_id: str) -> list[tuple[str, int]]:
    """Return the tasks of a run that are of this package or left data, with the number of their instances."""
    left = select(XComModel.task_id).where(
        XComModel.dag_id == dag_id, XComModel.run_id == run_id, XComModel.key == FACTS_KEY
    )
    query = (
        select(TaskInstance.task_id, func.count())
        .where(*of_run(dag_id, run_id), TaskInstance.operator.like(OURS) | TaskInstance.task_id.in_(left))
        .group_by(TaskInstance.task_id)
        .order_by(TaskInstance.task_id)
        .limit(200)
    )
    return [(task_id, count) for task_id, count in session.execute(query)]
