"""The commands. Each one executes an operator with a small context, and returns what to show and an exit code."""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import os
import re
import shutil
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from sentinelhub_provider.cli.parser import KINDS, LISTED, QUICK, SCENES
from sentinelhub_provider.exceptions import SentinelHubError, SentinelHubJobError, SentinelHubRequestError

if TYPE_CHECKING:
    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

Options: TypeAlias = argparse.Namespace
Outcome: TypeAlias = tuple[Any, int]

OK, REFUSED, USAGE = 0, 1, 2
POSITIONAL = ("job_id", "folder")
PROGRESS_EVERY = 2.0  # seconds between two lines of progress
LOG: Any = logging.getLogger("sentinelhub_provider.cli")


def check(options: Options) -> Outcome:
    """Try the connection and show its limits."""
    from sentinelhub_provider.transport.steps import duration

    hook, rows = _hook(options), []

    def tell(name: str, ok: bool, detail: str) -> bool:
        rows.append({"check": name, "result": "ok" if ok else "failed", "detail": detail})
        return ok

    def checked() -> bool:
        settings = hook.settings
        where = f"{settings.deployment.title}, {settings.base_url}, client {settings.client_id}"
        tell("connection", True, f"{options.conn_id}: {where}")
        ok, message = hook.test_connection()
        if not tell("token and Catalog", ok, message):
            return False
        info = hook.token_info()
        scopes = f"; scopes {' '.join(info.scopes)}" if info.scopes else ""
        tell("token", True, f"works for {duration(info.seconds_left)}{scopes}")
        limits = {"requests": settings.requests_per_minute, "PU": settings.processing_units_per_minute}
        said = ", ".join(f"{limit:g} {unit} a minute" for unit, limit in limits.items() if limit)
        tell("rate limit", True, said or "learnt from the service's answers")
        standings = hook.budgets()
        for one in standings:
            left, spent, held = (round(units, 4) for units in (one.remaining, one.spent, one.reserved))
            said = f"{left:g} of {one.limit:g} PU left, {spent:g} spent, {held:g} set aside"
            tell(f"budget of {one.name}", one.remaining > 0, said)
        if not standings:
            tell("budget", True, "none, the connection sets no limit on processing units")
        return all(row["result"] == "ok" for row in rows)

    try:
        is_fine = checked()
    except SentinelHubError as error:
        is_fine = tell("budget" if rows else "connection", False, str(_hinted(error, options)))
    return rows, OK if is_fine else REFUSED


def token_info(options: Options) -> Outcome:
    """Describe the access token."""
    return asdict(_hook(options).token_info()), OK


def search(options: Options) -> Outcome:
    """Find scenes."""
    from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator

    names = ("bbox", "intersects", "max_cloud_cover", "filter", "distinct", "sort", "one_per", "output_path")
    limit = None if options.limit == "all" else options.limit
    given = {"collection": options.collection, "datetime": options.time_range, "limit": limit, **_named(options, names)}
    operator = _operator(SentinelHubCatalogSearchOperator, options, **given, max_xcom_size=sys.maxsize)
    found = operator.resume(_context())
    if limit == SCENES and len(found) == int(SCENES):
        LOG.warning("These are the first %s. There may be more: --limit all", SCENES)
    return found, OK


def process(options: Options) -> Outcome:
    """Render a picture."""
    # The picture's STAC Item tells whether it is of another request.
    stac = options.stac or options.if_exists == "skip"
    result = _process(options, "output_path", "if_exists", "tile", stac=stac).resume(_context())
    if options.output == "table" and result["path"] is not None:
        (result,) = ({**one, **result, "outputs": None} for one in result["outputs"].values())
    return result, OK


def estimate_process(options: Options) -> Outcome:
    """Estimate the cost of a picture."""
    return _estimate(_process(options, "tile", output_path=f"picture.{options.outputs}"), options)


def statistics(options: Options) -> Outcome:
    """Compute statistics."""
    operator = _statistics(options, "output_path", "concurrency")
    result = operator.resume(_context(options))
    return (_readable(result["table"]) if options.output == "table" and "table" in result else result), OK


def _readable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of statistics for a screen of 80 columns. JSON and files have all columns and digits."""
    found = {name: {row[name] for row in rows} - {None} for name in ("output", "band", "error", "interval_from")}
    days = all(text.endswith("T00:00:00Z") for text in found["interval_from"])
    needless = {*("interval_to", "sample_count", "no_data_count"), *(name for name, all_ in found.items() if not all_)}
    needless |= {name for name in ("output", "band") if len(found[name]) == 1}
    short = {float: "{:.4g}".format, str: lambda text: text.removesuffix("T00:00:00Z") if days else text}
    return [
        {name: short.get(type(value), lambda same: same)(value) for name, value in row.items() if name not in needless}
        for row in rows
    ]


def estimate_statistics(options: Options) -> Outcome:
    """Estimate the cost of statistics."""
    return _estimate(_statistics(options), options)


def jobs_list(options: Options) -> Outcome:
    """List jobs."""
    from sentinelhub_provider.operators.job_control import SentinelHubListJobsOperator

    given: dict[str, Any] = {"states": options.states, "limit": options.limit}
    kinds = [options.kind] if options.kind else LISTED
    operators = [_operator(SentinelHubListJobsOperator, options, kind=kind, **given) for kind in kinds]
    jobs = [job for operator in operators for job in operator.resume(_context())]
    if options.output == "json":
        return jobs, OK
    shown = ("kind", "id", "state", "completion", "cost", "created", "description")
    return [{name: job.get(name) for name in shown} for job in jobs], OK


def jobs_show(options: Options) -> Outcome:
    """Show a job."""
    return _job(options).to_dict(), OK


def jobs_cancel(options: Options) -> Outcome:
    """Stop a job."""
    from sentinelhub_provider.operators.job_control import SentinelHubCancelJobOperator

    kind = _job(options).kind.name
    operator = _operator(SentinelHubCancelJobOperator, options, kind=kind, job_id=options.job_id)
    return operator.resume(_context()), OK


def collections(options: Options) -> Outcome:
    """List the Catalog's collections."""
    from sentinelhub_provider.api.values import decode_answer

    answer = decode_answer(
        _hook(options).request("GET", "/catalog/v1/collections", deadline=QUICK).content, "The Catalog"
    )
    found = answer.get("collections", []) if isinstance(answer, dict) else []
    if options.output == "json":
        return found, OK
    return [{name: one.get(name) for name in ("id", "title", "description")} for one in found], OK


def examples(options: Options) -> Outcome:
    """Copy the example DAGs."""
    here = Path(__file__).parent
    # A checkout has them in its example_dags folder, the wheel beside this module.
    source = next(folder for folder in (here / "examples", here.parents[1] / "example_dags") if folder.is_dir())
    target = Path(options.folder)
    rows = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted(one for one in source.iterdir() if one.is_file()):
            there = (target / file.name).exists()
            if not there:
                shutil.copy(file, target)
            rows.append({"file": str(target / file.name), "result": "is there already" if there else "copied"})
    except OSError as error:
        raise SentinelHubRequestError(f"DIR {options.folder!r} cannot be written: {error.strerror}.") from error
    return rows, OK


def sandbox(options: Options) -> Outcome:
    """Run the sandbox."""
    from sentinelhub_provider.sandbox.__main__ import main

    return None, main(options.arguments)


def cause_of(failure: Exception, options: Options) -> tuple[Exception, int]:
    """Return the error that the user should read, and its exit code."""
    # A task fails with an exception of Airflow's, whose context is the error of this package.
    found = failure if isinstance(failure, SentinelHubError) else failure.__context__
    error = found if isinstance(found, SentinelHubError) else failure
    return _hinted(error, options), USAGE if isinstance(error, SentinelHubRequestError) else REFUSED


def _hinted(error: Exception, options: Options) -> Exception:
    """Word errors that address the author of a DAG for the command line, with options as they are typed."""
    field = getattr(error, "field", None)
    if field == "sentinelhub_conn_id" and str(error).startswith("There is no"):
        variable = f"AIRFLOW_CONN_{options.conn_id.upper()}"
        advice = f"Create it, name another with --conn-id, or set {variable}, which needs no Airflow database."
        error.args = (f"There is no Airflow connection {options.conn_id!r}. {advice}",)
    elif field in ("time_range", "datetime") and getattr(options, "time_range", "") is None:
        error.args = ("--time-range is missing. Give it, such as P7D for the last seven days.",)
    elif isinstance(error, SentinelHubError):
        from sentinelhub_provider.features.files import WORKERS_FILES

        said = str(error).replace(WORKERS_FILES, "the path of a file, or a URL")
        said = said.replace("tile=True, or", "--tile, or") if "tile" in vars(options) else said
        option = {"datetime": "time_range"}.get(field or "", field)
        if option in vars(options) and option not in POSITIONAL:
            said = re.sub(rf"^{field}\b", _option(option), said)
        for name in vars(options):
            if "_" in name and name not in POSITIONAL:
                said = re.sub(rf"(?<![\w/-]){name}\b", _option(name), said)
        error.args = (said,)
    return error


def _option(name: str) -> str:
    return "--state" if name == "states" else f"--{name.replace('_', '-')}"


def _hook(options: Options) -> SentinelHubHook:
    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

    # This lets Airflow look a connection up in its database, too, as ``airflow connections test`` does.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    hook = SentinelHubHook(options.conn_id)
    hook._log = LOG
    return hook


def _operator(operator: Any, options: Options, /, **arguments: Any) -> Any:
    """Return an operator that pushes nothing to XCom, waits in this process, and logs to the screen."""
    arguments |= _named(options, ("max_processing_units", "deadline"))
    made = operator(
        task_id=options.command,
        sentinelhub_conn_id=options.conn_id,
        deferrable=False,
        do_xcom_push=False,
        **arguments,
    )
    # Airflow's own logging writes to standard output, which is for results.
    made.hook, made._cached_logger = _hook(options), LOG
    return made


def _named(options: Options, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names if getattr(options, name, None) is not None}


def _context(options: Options | None = None) -> Any:
    # The context is the same for the same user all day, so that interrupted statistics go on where they ended.
    counts_days = options and options.command.endswith("statistics") and "T" not in (options.time_range or "").upper()
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "ti": SimpleNamespace(dag_id="command_line", run_id=getpass.getuser(), map_index=-1),
        "dag_run": SimpleNamespace(run_after=midnight) if counts_days else None,
    }


REQUEST = (
    *("collection", "time_range", "bbox", "geometry", "crs", "resolution", "width", "height"),
    *("mosaicking_order", "max_cloud_cover", "samples"),
)


def _process(options: Options, *names: str, **more: Any) -> Any:
    from sentinelhub_provider.operators.process import SentinelHubProcessOperator

    return _operator(SentinelHubProcessOperator, options, **_request(options, *names), **more)


def _statistics(options: Options, *names: str) -> Any:
    from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator

    names = (
        *names,
        "features",
        "id_property",
        "layer",
        "on_error",
        "aggregation_interval",
        "last_interval",
        "percentiles",
    )
    operator = _operator(SentinelHubStatisticsOperator, options, **_request(options, *names), max_xcom_size=sys.maxsize)
    operator.progress_every = PROGRESS_EVERY
    return operator


def _request(options: Options, *names: str) -> dict[str, Any]:
    """Return the arguments that describe a request. Read the files that a DAG would name as templates."""
    from sentinelhub_provider.features.files import naming_file, read_text

    given = _named(options, (*REQUEST, *names))
    for name, ending, what in (("evalscript", ".js", "an evalscript"), ("request", ".json", "the API's JSON")):
        value = getattr(options, name)
        if value is not None and value.strip().lower().endswith(ending):
            value = read_text(value.strip(), field=name, what=what)
            if name == "request":
                with naming_file(options.request, field=name, what=what):
                    value = json.loads(value)
        if value is not None:
            given[name] = value
    return given


def _estimate(operator: Any, options: Options) -> Outcome:
    estimate = operator.estimate(_context(options))
    if estimate is None:
        raise SentinelHubRequestError(
            "The cost is unknown, because the evalscript's setup() does not plainly return one literal.",
            field="evalscript",
        )
    from sentinelhub_provider.api.processing_units import check_budget

    check_budget(estimate, operator.budget)
    return {
        "processing_units": estimate.processing_units,
        "requests": estimate.requests,
        "explanation": estimate.explanation,
    }, OK


def _job(options: Options) -> Any:
    """Look a job up, among all kinds if none is given. Raises :class:`SentinelHubJobError` if there is no such job."""
    from sentinelhub_provider.api.jobs.job import JobState, check_job_id, kind_of
    from sentinelhub_provider.both_ways import at_once
    from sentinelhub_provider.hooks.jobs import worker_calls

    job_id, hook = check_job_id(options.job_id), _hook(options)
    for kind in [options.kind] if options.kind else KINDS:
        job = at_once(worker_calls(hook, kind_of(kind), deadline=QUICK).get(job_id))
        if job.state is not JobState.GONE:
            return job
    gone = JobState.GONE.value
    raise SentinelHubJobError(f"There is no job {job_id!r}. List jobs with: jobs list.", job_status=gone)
