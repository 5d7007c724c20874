"""The pages: their access checks, their data, and their parts."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import jinja2
import markupsafe
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.dag import DagModel
from airflow.models.taskinstance import TaskInstance
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import func, select
from starlette.exceptions import HTTPException as StarletteHTTPException

from sentinelhub_provider.links.imagery import TITLE
from sentinelhub_provider.plugins.imagery import drawing, facts, reading

ISO_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)")

PAGE_SIZE = 60
FIRST = 12  # cards of a mapped task on the page of its run

CONTENT_POLICY = (
    "default-src 'none'; img-src 'self'; connect-src 'self'; style-src 'nonce-{0}'; script-src 'nonce-{0}'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "private, no-store"}

PROBLEMS = {
    401: "Log in to Airflow, and open this page again.",
    403: "You may not read the XComs of this DAG. Ask an administrator of Airflow.",
    404: "There is no such page, task or run.",
}


def refuse_nul(request: Request) -> None:
    """Refuse names with NUL, over which PostgreSQL fails."""
    if b"%00" in request.scope["raw_path"] + request.scope["query_string"]:
        raise HTTPException(404)


app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
may_read = [Depends(refuse_nul), Depends(requires_access_dag("GET", DagAccessEntity.XCOM))]
templates = jinja2.Environment(
    loader=jinja2.PackageLoader(__package__),
    autoescape=True,
    undefined=jinja2.ChainableUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters |= {
    "part": lambda value: quote(str(value), safe="", errors="replace"),
    "breakable": lambda value: markupsafe.escape(value).replace("_", markupsafe.Markup("_<wbr>")),
    "count": lambda value: f"{value:,.0f}",
    "units": lambda value: f"{value:,.2f}".rstrip("0").rstrip(".") if value >= 0.005 or value == 0 else f"{value:.2g}",
    "time": lambda value: "" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M"),
    "moment": lambda value: moment(str(value or "")),
    "size": lambda value: f"{value / 1e6:,.1f} MB" if value >= 1e6 else f"{value / 1e3:,.1f} kB",
}


def moment(text: str) -> str:
    """Shorten a time of JSON to a date if it begins or ends a day. Return any other text as it is."""
    found = ISO_TIME.fullmatch(text)
    if found is None:
        return text
    day, time = found.groups()
    return day if time in ("00:00:00", "23:59:59") else f"{day} {time[:5]}"


def page(name: str, request: Request, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page. Its links are relative, as Airflow may be below any path."""
    nonce = secrets.token_urlsafe(16)
    root = "../" * (request.scope["raw_path"].count(b"/") - request.scope["root_path"].count("/") - 1)
    html = templates.get_template(f"{name}.html").render(title=TITLE, nonce=nonce, root=root, **values)
    content = html.encode(errors="replace")  # JSON can hold halves of a letter
    return HTMLResponse(content, status, headers=HEADERS | {"Content-Security-Policy": CONTENT_POLICY.format(nonce)})


@app.exception_handler(StarletteHTTPException)
def problem(request: Request, error: Exception) -> HTMLResponse:
    """Return a page for users where Airflow's API returns JSON."""
    status, headers = (error.status_code, error.headers) if isinstance(error, StarletteHTTPException) else (500, None)
    answer = page("problem", request, status, words=PROBLEMS.get(status, "This cannot be shown."), live=False)
    answer.headers.update(headers or {})
    return answer


@app.get("/")
def overview(request: Request, session: SessionDep, user: GetUserDep) -> HTMLResponse:
    """Show the work of all DAGs that the user may read."""
    now = datetime.now(UTC)
    there = reading.dags_that_left_something(session, now)
    manager = get_auth_manager()
    allowed = {
        dag_id
        for dag_id in there & manager.get_authorized_dag_ids(user=user, method="GET", session=session)
        if manager.is_authorized_dag(
            method="GET",
            access_entity=DagAccessEntity.XCOM,
            details=DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id, session=session)),
            user=user,
        )
    }
    found = reading.overview(session, allowed, now)
    return page("overview", request, live=bool(found["running"]), **found)


@app.get("/runs/{dag_id}/{run_id}", dependencies=may_read)
def run(
    request: Request,
    session: SessionDep,
    dag_id: str,
    run_id: str,
    task: Annotated[str | None, Query()] = None,
    number: Annotated[str, Query(alias="page")] = "1",
) -> HTMLResponse:
    """Show the contact sheet of a run, or of one mapped task of it, by pages."""
    current = min(max(1, int(number)), 100_000) if number.isdecimal() and len(number) < 7 else 1
    single: dict[str, Any] = {"task_id": None, "count": 0, "tasks": []}
    groups, pages = [single], 1
    for task_id, count in reading.task_counts(session, dag_id, run_id):
        if task is not None and task != task_id:
            continue
        if task is not None:
            pages = -(-count // PAGE_SIZE)
        limit, offset = (PAGE_SIZE, PAGE_SIZE * (current - 1)) if task is not None else (FIRST, 0)
        where = (*reading.of_run(dag_id, run_id), TaskInstance.task_id == task_id)
        shown = reading.with_facts(session, reading.tasks(session, *where, limit=limit, offset=offset))
        if task is None and count == 1:
            single["tasks"] += shown
        else:
            groups.append({"task_id": task_id, "count": count, "tasks": shown})
    groups = [group for group in groups if group["tasks"] or group is not single]
    exists = session.scalar(select(func.count()).where(*reading.of_run(dag_id, run_id)))
    if not exists or (task is not None and not groups):
        raise HTTPException(404)
    live = any(one.is_live for group in groups for one in group["tasks"])
    named: dict[str, Any] = {"dag_id": dag_id, "run_id": run_id, "only": task, "number": current, "pages": pages}
    return page("run", request, groups=groups, live=live, **named)


@app.get("/tasks/{dag_id}/{run_id}/{task_id}/{map_index}", dependencies=may_read)
def task_instance(
    request: Request, session: SessionDep, dag_id: str, run_id: str, task_id: str, map_index: str
) -> HTMLResponse:
    """Show one task instance, or the contact sheet of a mapped task without an index."""
    index = index_of(map_index)
    where = (*reading.of_run(dag_id, run_id), TaskInstance.task_id == task_id)
    found = reading.tasks(session, *where, TaskInstance.map_index == index, limit=1)
    if not found and index == -1 and reading.tasks(session, *where, limit=1):
        count = session.scalar(select(func.count()).where(*where)) or 0
        shown = reading.with_facts(session, reading.tasks(session, *where, limit=PAGE_SIZE))
        groups = [{"task_id": task_id, "count": count, "tasks": shown}]
        named: dict[str, Any] = {"dag_id": dag_id, "run_id": run_id, "only": task_id, "number": 1}
        pages = -(-count // PAGE_SIZE)
        return page("run", request, groups=groups, live=any(one.is_live for one in shown), pages=pages, **named)
    if not found:
        raise HTTPException(404)
    (task,) = reading.with_facts(session, found)
    previews = reading.previews_of(session, task.key)
    kept = {"series": previews.get("series"), "table": previews.get("rows"), "columns": previews.get("columns")}
    seen = facts.checked(kept)
    pictures = [(number, name, webp is not None) for number, (name, webp) in enumerate(reading.pictures_of(previews))]
    others = [index - 1, index + 1] if index >= 0 else []
    neighbours = set(session.scalars(select(TaskInstance.map_index).where(*where, TaskInstance.map_index.in_(others))))
    return page(
        "task",
        request,
        task=task,
        facts=task.facts,
        pictures=pictures,
        map=drawing.map_of(task.facts["footprint"]) if "footprint" in task.facts else None,
        chart=drawing.chart_of(seen.get("series", [])),
        table=seen.get("table", []),
        columns=list(
            dict.fromkeys([*seen.get("columns", []), *(name for row in seen.get("table", []) for name in row)])
        ),
        is_broken=any(one.get("is_broken") for one in (task.facts, seen)),
        before=index - 1 if index - 1 in neighbours else None,
        after=index + 1 if index + 1 in neighbours else None,
        live=task.is_live,
    )


@app.get("/pictures/{dag_id}/{run_id}/{task_id}/{map_index}/{number}", dependencies=may_read)
def picture(session: SessionDep, dag_id: str, run_id: str, task_id: str, map_index: str, number: str) -> Response:
    """Return a preview, which is a WebP from the worker, and nothing else."""
    found = reading.pictures_of(reading.previews_of(session, (dag_id, run_id, task_id, index_of(map_index))))
    position = index_of(number)
    return _webp(found[position][1] if 0 <= position < len(found) else None)


@app.get("/newest/{dag_id}", dependencies=may_read)
def newest(session: SessionDep, dag_id: str) -> Response:
    """Return the newest preview of a DAG, for its own documentation."""
    return _webp(reading.newest_picture(session, dag_id))


def _webp(webp: bytes | None) -> Response:
    if webp is None:
        raise HTTPException(404)
    policy = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, max-age=300"}
    return Response(webp, media_type="image/webp", headers=HEADERS | policy)


def index_of(value: str) -> int:
    """Return a map index. Return -1 for anything else, such as the name in braces that Airflow leaves without one."""
    return int(value[:9]) if value.isascii() and value.isdigit() else -1  # no index has more digits
