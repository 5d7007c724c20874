"""Budgets of processing units against the sandbox: across processes, calls of both kinds, and failures."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from clocks import FakeClock
from redis_server import RedisServer
from task_instance import TaskInstance, june, rendered

from sentinelhub_provider.exceptions import (
    SentinelHubBadRequestError,
    SentinelHubBudgetError,
    SentinelHubConfigurationError,
    SentinelHubRateLimitError,
    SentinelHubRequestError,
    SentinelHubTransportError,
)
from sentinelhub_provider.hooks import sharing
from sentinelhub_provider.operators.http import SentinelHubHttpOperator
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.transport.session import SentinelHubSession
from sentinelhub_provider.transport.state_stores import FileStateStore

ROOT = Path(__file__).parents[2]
UNIT = 0.005
"""PU that the small request costs: the least that Process asks for."""


@pytest.fixture(name="spent")
def fixture_spent(sentinelhub_sandbox) -> Any:
    """Return what tells how many PU the sandbox charged since the test began."""
    before = sentinelhub_sandbox.control.counters().processing_units
    return lambda: sentinelhub_sandbox.control.counters().processing_units - before


@pytest.fixture(name="place", params=["file", "redis"])
def fixture_place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Where tasks share what they spend."""
    if request.param == "file":
        yield f"file://{tmp_path}/shared"
        return
    with RedisServer() as server:
        yield server.url


def test_two_hundred_tasks_at_once_keep_to_a_budget_for_57(place: str, connect, process_request, spent):
    """57 succeed, 143 fail clearly, and no unit more is spent."""
    connect(extra={"auth_cache": place, "processing_units_per_month": 57 * UNIT})
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/budget_process.py"), "20", "10", json.dumps(process_request)],
        input="go\n",
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    outcomes = Counter(one for line in done.stdout.splitlines()[1:] for one in json.loads(line))
    assert outcomes == {"succeeded": 57, "SentinelHubBudgetError": 143}
    assert spent() == pytest.approx(57 * UNIT)


def test_budget_holds_for_each_way_to_call(make_caller, process_request, tmp_path: Path):
    """Blocking, on an event loop, as a plain session, and as a download."""
    caller = make_caller(extra={"auth_cache": f"file://{tmp_path}/a", "processing_units_per_day": 2 * UNIT})
    caller.request("POST", "/process/v1", json=process_request)
    caller.request(
        "POST", "/process/v1", data=json.dumps(process_request), headers={"Content-Type": "application/json"}
    )
    with pytest.raises(SentinelHubBudgetError, match=r"budget of 0\.01 PU for the day .* has 0 PU left"):
        caller.request("POST", "/process/v1", json=process_request)
    with pytest.raises(SentinelHubBudgetError):
        caller.hook.get_conn().post("/process/v1", json=process_request)
    with pytest.raises(SentinelHubBudgetError):
        caller.hook.download("POST", "/process/v1", tmp_path / "no.png", json=process_request)
    assert not (tmp_path / "no.png").exists()
    caller.request("GET", "/catalog/v1/collections")


@pytest.mark.parametrize("form", ["json", "text", "bytes", "file", "prepared"])
def test_plain_session_sets_the_estimate_aside(connect, process_request, spent, tmp_path: Path, form: str):
    """In each form of its body: a budget that has less left than the request costs sends nothing."""
    text = json.dumps(process_request)
    (tmp_path / "request.json").write_text(text)
    hook = connect(extra={"auth_cache": f"file://{tmp_path}/a", "processing_units_per_day": 1.5 * UNIT})
    with (tmp_path / "request.json").open("rb") as file:
        bodies = {"json": process_request, "text": text, "bytes": text.encode(), "file": file}

        def send() -> Any:
            if form == "prepared":
                session = hook.get_conn()
                url = f"{hook.settings.base_url}/api/v1/process"
                return session.send(session.prepare_request(requests.Request("POST", url, json=process_request)))
            if form == "json":
                return hook.get_conn().post("/process/v1", json=process_request)
            headers = {"Content-Type": "application/json"}
            return hook.get_conn().post("/process/v1", data=bodies[form], headers=headers)

        assert send().ok
        file.seek(0)
        with pytest.raises(SentinelHubBudgetError, match=r"costs 0\.005 PU"):
            send()
        if form == "file":
            assert file.tell() == 0
            with pytest.raises(SentinelHubBudgetError, match=r"costs 0\.005 PU"):
                hook.request("POST", "/process/v1", data=file, headers={"Content-Type": "application/json"})
    assert spent() == pytest.approx(UNIT)


@pytest.mark.parametrize("samples", ["many", None, -1, float("nan"), float("inf"), [1]])
def test_samples_that_cannot_be_are_named(connect, process_request, spent, samples: Any):
    """Before anything is set aside for so many."""
    with pytest.raises(SentinelHubRequestError, match="samples"):
        connect().request("POST", "/process/v1", json=process_request, samples=samples)
    assert spent() == 0


def test_call_that_is_cancelled_before_it_is_sent_gives_its_units_back(connect, process_request, tmp_path, spent):
    """It waits for the ledger when it is cancelled, and the ledger then says yes."""
    hook = connect(extra={"auth_cache": f"file://{tmp_path}/a", "processing_units_per_day": UNIT})
    asked, go_on = threading.Event(), threading.Event()

    async def cancelled() -> None:
        session = await hook._asession()
        budget = session._budget
        set_aside = budget.set_aside

        def slowly(cost: Any) -> Any:
            asked.set()
            go_on.wait(60)
            return set_aside(cost)

        budget.set_aside = slowly
        call = asyncio.create_task(hook.arequest("POST", "/process/v1", json=process_request))
        await asyncio.to_thread(asked.wait, 20)
        call.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert [(standing.spent, standing.reserved) for standing in hook.budgets()] == [(0.0, 0.0)]
        await hook.aclose()

    asyncio.run(cancelled())
    assert spent() == 0


def test_call_that_costs_nothing_gives_its_units_back(make_caller, process_request, sentinelhub_sandbox, tmp_path):
    """A failed request is not charged, so that another one may have its units."""
    caller = make_caller(extra={"auth_cache": f"file://{tmp_path}/a", "processing_units_per_day": UNIT})
    sentinelhub_sandbox.control.add_fault(path="/process/v1", action={"kind": "status", "status": 503}, times=3)
    caller.request("POST", "/process/v1", json=process_request)
    assert sentinelhub_sandbox.control.counters().requests["/process/v1"] == 4
    with pytest.raises(SentinelHubBudgetError):
        caller.request("POST", "/process/v1", json=process_request)


@pytest.fixture(name="run")
def fixture_run(connect, ti: TaskInstance, operators, tmp_path: Path, process_request) -> Any:
    """Execute a Process operator as a task of a DAG run would, on a connection without a budget unless it says so."""

    def run(*, run_id: str = "monday", extra: dict[str, Any] | None = None, **arguments: Any) -> Any:
        connect(extra={"auth_cache": f"file://{tmp_path}/a", **(extra or {})})
        context = june(ti, run_id=run_id)
        given = {"request": process_request, "output_path": str(tmp_path / "ndvi.png"), **arguments}
        operator = rendered(SentinelHubProcessOperator, context, tmp_path, **given)
        operators.append(operator)
        return operator.execute(context)

    return run


def test_tasks_of_a_dag_run_share_its_budget(run):
    """Another run has its own."""
    run(dag_run_budget=2 * UNIT)
    run(dag_run_budget=f"{2 * UNIT}")
    with pytest.raises(AirflowFailException, match=r"DAG run .*monday has 0 PU left"):
        run(dag_run_budget=2 * UNIT)
    run(dag_run_budget=2 * UNIT, run_id="tuesday")
    run()


def test_task_may_wait_for_the_next_day(run, monkeypatch):
    """In the triggerer, as for a rate limit; a task that cannot be deferred leaves it to its retries."""
    noon = FakeClock(datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp())
    monkeypatch.setattr(sharing, "FileStateStore", partial(FileStateStore, clock=noon))
    extra = {"processing_units_per_day": UNIT}
    run(extra=extra)
    with pytest.raises(TaskDeferred) as deferred:
        run(extra=extra, over_budget="wait", deferrable=True)
    wait = deferred.value.trigger.moment - datetime.now(UTC)
    assert timedelta(hours=11) < wait <= timedelta(hours=12)
    with pytest.raises(SentinelHubRateLimitError, match="You can send it afterwards"):
        run(extra=extra, over_budget="wait")
    with pytest.raises(AirflowFailException, match=r"budget of 0\.005 PU for the day"):
        run(extra=extra)


def test_samples_of_the_task_are_set_aside(run, process_request, spent):
    """What an evalscript with all scenes reads is told by the task alone."""
    evalscript = process_request["evalscript"].replace("output:", 'mosaicking: "ORBIT", output:')
    arguments = {"request": {**process_request, "evalscript": evalscript}, "samples": 3}
    with pytest.raises(AirflowFailException, match=r"costs 0\.01 PU"):
        run(extra={"processing_units_per_day": 1.5 * UNIT}, **arguments)
    assert spent() == 0


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(("before_midnight", "waits"), [(0.5, True), (59, True), (61, False)])
def test_end_of_the_day_that_is_near_is_waited_for(
    run, monkeypatch, operators, deferrable: bool, before_midnight: float, waits: bool
):
    """A way to the triggerer and back is not worth a minute, and a failed task is not either."""
    clock = FakeClock(datetime(2026, 11, 28, tzinfo=UTC).timestamp() - before_midnight)
    monkeypatch.setattr(sharing, "FileStateStore", partial(FileStateStore, clock=clock))
    monkeypatch.setitem(SentinelHubSession.__init__.__kwdefaults__, "sleep", clock.sleep)
    extra = {"processing_units_per_day": UNIT}
    run(extra=extra)
    if waits:
        assert run(extra=extra, over_budget="wait", deferrable=deferrable)["processing_units"] == UNIT
        assert clock() == pytest.approx(datetime(2026, 11, 28, tzinfo=UTC).timestamp(), abs=0.2)
    else:
        with pytest.raises(TaskDeferred if deferrable else SentinelHubRateLimitError):
            run(extra=extra, over_budget="wait", deferrable=deferrable)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"over_budget": "later"}, "over_budget is 'later'"), ({"dag_run_budget": "much"}, "dag_run_budget")],
)
def test_wrong_budget_is_named(run, spent, arguments: dict[str, Any], named: str):
    """Before anything is sent."""
    with pytest.raises(AirflowFailException, match=named):
        run(**arguments)
    assert spent() == 0


def test_call_over_the_budget_takes_no_turn_of_others(connect, process_request, tmp_path: Path):
    """Its slot of the rate limit is given back."""
    limits = {"processing_units_per_day": UNIT, "requests_per_minute": 60}
    hook = connect(extra={"auth_cache": f"file://{tmp_path}/a", **limits})
    hook.request("POST", "/process/v1", json=process_request)
    waits: list[float] = []
    hook.get_conn()._sleep = waits.append
    for _ in range(3):
        with pytest.raises(SentinelHubBudgetError):
            hook.request("POST", "/process/v1", json=process_request)
    assert max(waits, default=0.0) < 2.0


def standing(hook: Any) -> tuple[float, float]:
    """Return what was spent and is reserved in the first budget."""
    first = hook.budgets()[0]
    return first.spent, first.reserved


def test_budgets_are_told_without_a_call(connect, process_request, sentinelhub_sandbox, tmp_path: Path):
    """Those of the day and the month, and nothing where there is none."""
    assert connect().budgets() == []
    limits = {"processing_units_per_day": 1, "processing_units_per_month": "1e3"}
    hook = connect(extra={"auth_cache": f"file://{tmp_path}/a", **limits})
    assert [(one.limit, one.spent, one.reserved, one.remaining) for one in hook.budgets()] == [
        (1, 0, 0, 1),
        (1000, 0, 0, 1000),
    ]
    assert sentinelhub_sandbox.control.counters().total_requests == 0
    hook.request("POST", "/process/v1", json=process_request)
    day, month = hook.budgets()
    assert (day.spent, month.spent, day.reserved) == (UNIT, UNIT, 0)
    assert day.name == f"day {datetime.now(UTC):%Y-%m-%d}"
    assert day.ends - datetime.now(UTC) <= timedelta(days=1)


def test_searches_count_and_are_never_refused(make_caller, sentinelhub_sandbox, tmp_path: Path):
    """Sensors wait by them; the cost is the estimate, where the answer says nothing else."""
    extra = {"auth_cache": f"file://{tmp_path}/a", "processing_units_per_day": 0.015}
    caller = make_caller(extra=extra)
    search = {
        "collections": ["sentinel-2-l2a"],
        "bbox": [13, 45, 14, 46],
        "datetime": "2024-06-01T00:00:00Z/2024-06-02T00:00:00Z",
    }
    for number in range(1, 4):
        caller.request("POST", "/catalog/v1/search", json=search)
        assert standing(caller.hook) == (pytest.approx(0.01 * number), 0)
    for body in (["odd"], {"collections": 1, "datetime": 5}):
        with pytest.raises(SentinelHubBadRequestError):
            caller.request("POST", "/catalog/v1/search", json=body)
    assert standing(caller.hook) == (pytest.approx(0.03), 0)


def test_changes_of_byoc_cost_a_unit_each(make_caller, tmp_path: Path):
    """To look costs nothing, and is possible when the budget is spent."""
    extra = {"auth_cache": f"file://{tmp_path}/a", "processing_units_per_day": 1}
    caller = make_caller(extra=extra)
    caller.request("POST", "/byoc/v1/collections", json={"name": "mine", "s3Bucket": "bucket"})
    assert standing(caller.hook) == (1, 0)
    with pytest.raises(SentinelHubBudgetError, match="costs 1 PU"):
        caller.request("POST", "/byoc/v1/collections", json={"name": "mine", "s3Bucket": "bucket"})
    caller.request("GET", "/byoc/v1/collections")


def test_cost_that_only_an_answer_tells_counts(run, connect, ti, tmp_path: Path, process_request, spent):
    """A call of the HTTP operator whose cost nobody could expect; the next one finds the budget spent."""
    script = process_request["evalscript"].replace("input: [", "input: (() => [").replace("],", "])(),", 1)
    hook = connect(extra={"auth_cache": f"file://{tmp_path}/a", "processing_units_per_day": UNIT})
    call = {"endpoint": "/process/v1", "method": "POST", "json": {**process_request, "evalscript": script}}
    operator = SentinelHubHttpOperator(task_id="t", **call, output_path=str(tmp_path / "p.png"))
    operator.execute({"ti": ti})  # type: ignore[typeddict-item]
    assert standing(hook) == (UNIT, 0)
    with pytest.raises(AirflowFailException, match="an unknown cost"):
        operator.execute({"ti": ti})  # type: ignore[typeddict-item]
    assert spent() == pytest.approx(UNIT)


@pytest.mark.parametrize("given", ["NaN", "inf", "-5", "0", "much", True, [1], "1e999"])
@pytest.mark.parametrize("field", ["processing_units_per_day", "processing_units_per_month"])
def test_budget_that_is_no_number_is_named(connect, field: str, given: Any):
    """Before anything is sent."""
    with pytest.raises(SentinelHubConfigurationError, match=field):
        connect(extra={"auth_cache": "file", field: given}).budgets()


@pytest.mark.parametrize("given", ["NaN", "inf", -1, "1e999", True, [1]])
def test_budget_of_a_run_that_is_no_number_is_named(run, spent, given: Any):
    """Zero is one: nothing may be spent then."""
    with pytest.raises(AirflowFailException, match="dag_run_budget"):
        run(dag_run_budget=given)
    with pytest.raises(AirflowFailException, match=r"DAG run .* has 0 PU left"):
        run(dag_run_budget=0)
    assert spent() == 0


@pytest.mark.parametrize(
    ("executor", "place", "warns"),
    [
        ("CeleryExecutor", "file", True),
        ("LocalExecutor,KubernetesExecutor", "file", True),
        ("LocalExecutor", "file", False),
        ("CeleryExecutor", "redis", False),
    ],
)
def test_budget_in_a_file_of_one_of_several_hosts_is_warned_about(
    connect, tmp_path: Path, monkeypatch, caplog, executor: str, place: str, warns: bool
):
    """Once in a process: each host would allow as much."""
    sharing._warn_of_hosts.cache_clear()
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    where = {"file": f"file://{tmp_path}/a", "redis": "redis://127.0.0.1:9/0"}[place]
    hook = connect(extra={"auth_cache": where, "processing_units_per_day": 1})
    for _ in range(2):
        assert hook.budget is not None
    assert sum("tasks of one host share" in message for message in caplog.messages) == warns


def test_damaged_budget_names_its_file(connect, process_request, tmp_path: Path):
    """And the cure: to delete it lets all go on."""
    hook = connect(extra={"auth_cache": f"file://{tmp_path}/a", "processing_units_per_day": 1})
    hook.request("POST", "/process/v1", json=process_request)
    (ledger,) = (tmp_path / "a").glob("*.budget")
    ledger.write_bytes(ledger.read_bytes().rstrip()[:-3])  # spaces may fill its end
    with pytest.raises(SentinelHubTransportError, match=f"the file {ledger} does not hold a ledger.*delete it"):
        hook.request("POST", "/process/v1", json=process_request)
    with pytest.raises(SentinelHubTransportError, match=str(ledger)):
        hook.budgets()
    ledger.unlink()
    hook.request("POST", "/process/v1", json=process_request)
    assert standing(hook) == (UNIT, 0)


def test_memory_shares_no_budget(connect, process_request):
    """A budget that each process would keep alone is refused by the field's name."""
    hook = connect(extra={"auth_cache": "memory", "processing_units_per_month": 5})
    with pytest.raises(SentinelHubConfigurationError, match="auth_cache"):
        hook.request("POST", "/process/v1", json=process_request)
