"""The job operators against the sandbox and a real S3 server: one job for all attempts, whatever gets lost."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import deltalake
import pyarrow.dataset
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from airflow.sdk import Asset
from job_requests import BOX, DATA, JUNE, JUNE_PICTURE, JUNE_TILES, STATISTICS_EVALSCRIPT, geopackage
from job_tasks import StateStore, Task, plain
from s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server

from sentinelhub_provider.api.jobs import steps
from sentinelhub_provider.api.jobs.events import Outcome, event_of
from sentinelhub_provider.api.jobs.job import BATCH_PROCESS, JobKind, job_of
from sentinelhub_provider.exceptions import (
    SentinelHubError,
    SentinelHubJobError,
    SentinelHubOutputError,
    SentinelHubRateLimitError,
    SentinelHubResponseError,
    SentinelHubTransportError,
)
from sentinelhub_provider.hooks.jobs import JobCalls
from sentinelhub_provider.operators.async_process import SentinelHubAsyncProcessOperator
from sentinelhub_provider.operators.batch import SentinelHubBatchProcessOperator
from sentinelhub_provider.operators.batch_statistics import SentinelHubBatchStatisticsOperator
from sentinelhub_provider.operators.job_control import SentinelHubCancelJobOperator
from sentinelhub_provider.operators.jobs import buckets
from sentinelhub_provider.operators.jobs.driver import JobDriver
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator
from sentinelhub_provider.sensors.job import SentinelHubJobSensor

BATCH = {**JUNE_TILES, "delivery": f"s3://{BUCKET}/batch"}
FIELDS = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": f"field-{number}",
            "properties": {},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[west, 45.8], [west + 0.01, 45.8], [west + 0.01, 45.81], [west, 45.8]]],
            },
        }
        for number, west in enumerate([13.80, 13.82, 13.84])
    ],
}
STATISTICS = {
    "collection": "sentinel-2-l2a",
    "evalscript": STATISTICS_EVALSCRIPT,
    "time_range": JUNE,
    "aggregation_interval": "P10D",
    "features": FIELDS,
    "resolution": 0.001,
    "delivery": f"s3://{BUCKET}/statistics",
}
PICTURE = {**JUNE_PICTURE, "delivery": f"s3://{BUCKET}/async"}
KINDS = {
    "batch": (SentinelHubBatchProcessOperator, BATCH),
    "statistics": (SentinelHubBatchStatisticsOperator, STATISTICS),
    "async": (SentinelHubAsyncProcessOperator, PICTURE),
}


@pytest.fixture(name="s3")
def fixture_s3(s3: S3Server, sentinelhub_sandbox) -> S3Server:
    """The bucket that the sandbox delivers to, here without pictures."""
    sentinelhub_sandbox.control.jobs.set_rasters(False)
    return s3


@pytest.fixture(name="jobs")
def fixture_jobs(s3: S3Server, sentinelhub_sandbox) -> Any:
    """Control over the sandbox's jobs."""
    return sentinelhub_sandbox.control.jobs


def task(kind: str = "batch", **changes: Any) -> Task:
    """Return a task of a kind, which waits in the triggerer unless it is told otherwise."""
    operator, arguments = KINDS[kind]
    given = {"delivery_conn_id": "bucket", "poll_interval": 0.05, **arguments, **changes}
    return Task(operator, **{"store": StateStore(), **given})


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("batch", "Batch Process of sentinel-2-l2a of {time}, 13.8, 45.8, 13.9, 45.9 (EPSG:4326)"),
        ("statistics", "Batch Statistics of sentinel-2-l2a of 2024-06-01T00:00:00Z to 2024-07-01T00:00:00Z"),
        ("async", "Async Process of sentinel-2-l2a of {time}, 64 x 64 px of 13.8, 45.8, 13.9, 45.9 (EPSG:4326)"),
    ],
    ids=["batch", "statistics", "async"],
)
def test_log_says_what_is_asked_for(jobs, capsys, kind: str, asked: str):
    """Once, however long the job takes; and not what opens the bucket."""
    task(kind).attempt()

    log = "".join(capsys.readouterr())
    said = asked.format(time="2024-06-01T00:00:00Z to 2024-06-30T23:59:59Z")
    assert log.count(f"{said}, delivered to s3://{BUCKET}/") == 1
    assert SECRET_KEY not in log


def started(jobs: Any) -> list[Any]:
    """Return the jobs that were started."""
    return [job for job in jobs.all() if job.starts]


@pytest.mark.parametrize("kind", KINDS)
def test_lineage_names_the_job_and_its_delivery(jobs, kind: str):
    """And not the credentials of the bucket."""
    operator, context = task(kind, deferrable=False).begin()
    result = operator.execute(context)
    found = operator.get_openlineage_facets_on_complete(None)

    assert [(one.namespace, one.name) for one in found.inputs] == [("sentinelhub://custom", "sentinel-2-l2a")]
    assert found.run_facets["sentinelhub_job"].id == result["id"]
    assert found.outputs
    assert {one.namespace for one in found.outputs} == {f"s3://{BUCKET}"}
    assert ACCESS_KEY not in str(found)


@pytest.mark.parametrize("deferrable", [True, False])
def test_files_of_statistics_become_the_table_of_the_statistics_operator(jobs, tmp_path: Path, deferrable: bool):
    """The same columns, rows and numbers."""
    where = {"output_path": tmp_path / "batch", "partition_by": "interval_month", "percentiles": [50]}
    one = task("statistics", deferrable=deferrable, id_property=None, **where)

    result = one.attempt()

    assert (result["partitions"], result["missing_intervals"]) == (["interval_month=2024-06"], 0)
    request = {
        "input": {"bounds": {"bbox": BOX}, "data": DATA},
        "aggregation": {
            "timeRange": {"from": "2024-06-01T00:00:00Z", "to": "2024-07-01T00:00:00Z"},
            "resx": 0.001,
            "resy": 0.001,
            "aggregationInterval": {"of": "P10D"},
            "evalscript": STATISTICS_EVALSCRIPT,
        },
        "calculations": {"default": {"statistics": {"default": {"percentiles": {"k": [50]}}}}},
    }
    where = {"output_path": tmp_path / "single", "partition_by": "interval_month"}
    single = SentinelHubStatisticsOperator(task_id="t", features=FIELDS, request=request, **where)
    single.execute({"ti": one.instance})  # type: ignore[typeddict-item]
    tables = [pyarrow.dataset.dataset(tmp_path / name, partitioning="hive").to_table() for name in ("batch", "single")]
    assert tables[0] == tables[1]
    assert len(tables[0]) == result["rows"] == 9


def test_files_of_statistics_become_a_table_of_delta_lake(jobs, tmp_path: Path):
    """By the same arguments."""
    where = {"output_path": tmp_path / "ndvi", "output_format": "delta", "partition_by": "interval_month"}

    result = task("statistics", **where).attempt()

    table = deltalake.DeltaTable(tmp_path / "ndvi")
    assert (result["partitions"], len(table.to_pyarrow_table())) == (["interval_month=2024-06"], result["rows"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output_path": "table.txt"}, "output_path table.txt does not say"),
        ({"output_path": "/proc/no/table.csv"}, "output_path /proc/no/table.csv cannot be written"),
        ({"output_path": "table.csv", "wait_for_completion": False}, "output_path is given, but wait_for_completion"),
        ({"partition_by": "interval_month"}, "output_path has to be the folder"),
    ],
)
def test_table_that_cannot_be_made_starts_no_job(jobs, changes: dict[str, Any], said: str):
    """It is found out before anything is paid for."""
    with pytest.raises(AirflowFailException, match=said):
        task("statistics", **changes).attempt()
    assert jobs.all() == []


def test_table_of_a_job_that_is_there(jobs, s3: S3Server, tmp_path: Path):
    """Needs what it was made with, as is found out first; a bucket without its files replaces no table."""
    job = task("statistics", id_property=None).attempt()["id"]
    where = {"output_path": tmp_path / "fields.csv", "store": StateStore()}

    def again(**arguments: Any) -> Any:
        given = {"delivery_conn_id": "bucket", "poll_interval": 0.05, "job_id": job, **where, **arguments}
        return Task(SentinelHubBatchStatisticsOperator, **given).attempt()

    described = {"time_range": JUNE, "aggregation_interval": "P10D"}
    with pytest.raises(AirflowFailException, match="output_path is given: time_range is missing"):
        again(job_id="00000000-0000-4000-8000-000000000000")
    with pytest.raises(AirflowFailException, match="cannot be written"):
        again(job_id="00000000-0000-4000-8000-000000000000", output_path="/proc/no/table.csv", **described)
    assert again(**described)["rows"] == 9

    former = (tmp_path / "fields.csv").read_bytes()
    s3.empty()
    with pytest.raises(AirflowFailException, match=rf"has no statistics of any feature.* job_id='{job}' is given"):
        again(**described)
    assert (tmp_path / "fields.csv").read_bytes() == former


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wait", [False, "false"])
def test_a_job_that_is_not_waited_for_is_returned_once_it_is_started(kind: str, wait: Any, jobs, sentinelhub_sandbox):
    """A retry, as after a crash, returns the same job; a sensor waits for it."""
    sentinelhub_sandbox.control.jobs.set_durations(processing=None)
    one = task(kind, wait_for_completion=wait)

    first, again = one.attempt(), one.attempt()

    (job,) = jobs.all()
    assert (job.starts, first["id"], again["id"], one.deferrals) == (1, job.id, job.id, [])
    assert first["state"] in ("CREATED", "ANALYSING", "PROCESSING", "RUNNING")
    assert first["kind"] == KINDS[kind][0].kind.name
    sensor = SentinelHubJobSensor(task_id="wait", kind=first["kind"], job_id=first["id"])
    context: Any = {"ti": one.instance}
    assert not sensor.poke(context)


@pytest.mark.parametrize(
    ("kind", "deferrable"),
    [*((kind, True) for kind in KINDS), ("batch", False), ("async", False)],
    ids=[*(f"{kind}-deferrable" for kind in KINDS), "batch-blocking", "async-blocking"],
)
def test_one_job_is_made_waited_for_and_checked(kind: str, deferrable: bool, jobs):
    """All three kinds, waited for in the triggerer or the worker; the result says that all is good."""
    one = task(kind, deferrable=deferrable)

    result = one.attempt()

    (job,) = jobs.all()
    assert (job.starts, result["id"], result["state"]) == (1, job.id, "DONE")
    assert one.instance.xcom["job_id"] == job.id
    assert one.instance.xcom["estimated_processing_units"] > 0
    assert bool(one.deferrals) == deferrable
    if kind == "async":
        assert len(result["files"]) == 1
    else:
        assert result["features"]["failed"] == 0
        assert result["features"]["total"] == result["features"]["done"] > 0
        assert result["processing_units"] == pytest.approx(job.cost)
        assert one.instance.xcom["processing_units"] == result["processing_units"]


@pytest.mark.parametrize("deferrable", [True, False])
def test_delivered_files_are_in_the_result_and_the_events(deferrable: bool, jobs, s3: S3Server):
    """How many, how large, where, and the first of them; nobody has to list the bucket."""
    jobs.set_rasters(True)
    one = task(deferrable=deferrable, outlets=[Asset("tiles")])

    result = one.attempt()

    there = {key: len(s3.get(key)) for key in list(s3.keys()) if key.endswith(".tif")}
    assert there
    assert result["files"] == [f"s3://{BUCKET}/{key}" for key in sorted(there)]
    assert (result["file_count"], result["size"]) == (len(there), sum(there.values()))
    assert result["folder"] == f"s3://{BUCKET}/batch/{result['id']}"
    assert result["collection_id"] is None
    names = ("files", "file_count", "size", "folder")
    told = one.outlet_events.extras["tiles"]
    assert {name: told[name] for name in names} == {name: result[name] for name in names}
    assert SECRET_KEY not in json.dumps(result)


@pytest.mark.parametrize("changes", [{"check_features": False}, {"delivery_conn_id": "elsewhere"}])
def test_a_bucket_that_is_not_read_has_no_files(changes: dict[str, Any], jobs, s3: S3Server, monkeypatch, capsys):
    """A count that is not known is not 0, and no more than one warning says why."""
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", unreachable(s3))

    result = task(**changes).attempt()

    assert [result[name] for name in ("file_count", "size", "folder", "files", "features")] == [None] * 5
    warnings = [line for line in printed(capsys).splitlines() if "[warning" in line and "Task Runner" not in line]
    assert len(warnings) == ("delivery_conn_id" in changes)


def unreachable(s3: S3Server) -> str:
    """Return a connection to a bucket that does not answer."""
    return s3.connection(
        extra={"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"total_max_attempts": 1}}}
    )


@pytest.mark.parametrize("url", [f"s3://{BUCKET}/z/<requestId>", f"s3://{BUCKET}/z"], ids=["own folder", "folder"])
def test_objects_of_a_zarr_group_are_counted_as_the_service_describes_the_job(s3: S3Server, url: str):
    """Also where the task only knows the job's id: the sandbox writes no Zarr."""
    job = job_of(
        BATCH_PROCESS,
        {"id": "j", "status": "DONE", "request": {"output": {"type": "zarr", "delivery": {"s3": {"url": url}}}}},
    )
    folder = url.replace("<requestId>", "j")
    for name in (".zgroup", "ndvi/0.0.0"):
        s3.put(f"{folder.removeprefix(f's3://{BUCKET}/')}/{name}", "12")

    operator = task(job_id="j").operator()
    told = operator._files(job, is_told=False)

    files = [f"{folder}/.zgroup", f"{folder}/ndvi/0.0.0"]
    nothing = {"item_count": None, "collection": None}
    assert told == {"file_count": 2, "size": 4, "folder": folder, "files": files, **nothing}


@pytest.mark.parametrize("collection_id", ["0a1b2c3d-0000-4000-8000-000000000000", None])
def test_the_collection_of_a_job_is_in_the_result(jobs, capsys, collection_id: str | None):
    """So that the next task can ask for it; where the service does not name it, a warning says what to do."""
    made = task(cog=True, create_collection="true", collection_id=collection_id).attempt()
    assert made["collection_id"] == collection_id
    assert ("does not name the collection that it made" in printed(capsys)) == (collection_id is None)


@pytest.mark.parametrize(
    ("kind", "deferrable"), [("batch", True), ("batch", False), ("statistics", True), ("async", True)]
)
def test_a_page_shows_the_job_while_it_is_waited_for_and_afterwards(kind: str, deferrable: bool, jobs, monkeypatch):
    """What was asked for is still known after the wait, when the request is not made anew."""
    told = []
    monkeypatch.setattr(
        "job_tasks.TaskInstance.xcom_push",
        lambda ti, key, value: (told.append((key, value)), ti.xcom.update({key: value})),
    )
    one = task(kind, deferrable=deferrable)

    result = one.attempt()

    facts = [value for key, value in told if key == "sentinelhub_imagery"]
    assert len(facts) >= 2
    assert facts[0]["job"]["state"] not in ("DONE", "GONE")
    assert facts[-1]["job"]["state"] == "DONE"
    assert facts[-1]["job"]["id"] == result["id"]
    assert facts[-1]["delivery"] == result["delivery"]
    assert facts[-1]["collections"] == facts[0]["collections"] != []
    assert facts[-1]["time_range"] == facts[0]["time_range"]


def test_a_page_shows_why_a_job_failed(jobs):
    """With the job as it was last seen."""
    jobs.inject(kind="features", share=0.5, cause="no such band")
    one = task()

    with pytest.raises(AirflowFailException):
        one.attempt()

    facts = one.instance.xcom["sentinelhub_imagery"]
    assert "no such band" in facts["error"]
    assert facts["job"]["id"] == jobs.all()[0].id


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_pushed_where_nothing_shall_be(kind: str, jobs):
    """Neither the job's id nor what it cost."""
    one = task(kind, do_xcom_push=False)

    one.attempt()

    assert len(jobs.all()) == 1
    assert one.instance.xcom == {}


def test_the_delivery_of_statistics_is_a_folder_of_the_task_s_own(jobs, s3: S3Server):
    """By which the job is found again; one file for each feature lies in it."""
    result = task("statistics").attempt()

    assert result["delivery"].startswith(f"s3://{BUCKET}/statistics/airflow-")
    folder = result["delivery"].removeprefix(f"s3://{BUCKET}/")
    names = [key for key in list(s3.keys()) if key.startswith(folder) and key.endswith(".json")]
    assert len([name for name in names if "request" not in name]) == 3


def test_a_feature_without_a_file_is_missed_also_after_a_wait(jobs, s3: S3Server):
    """The task that goes on knows how many there are from before."""
    jobs.set_durations(processing=None)
    one = task("statistics")
    with pytest.raises(TaskDeferred) as deferred:
        begun(one)
    while jobs.step():
        pass
    jobs.settle()
    lost = next(key for key in s3.keys() if key.endswith("/2.json"))  # noqa: SIM118
    s3.client.delete_object(Bucket=BUCKET, Key=lost)

    with pytest.raises(AirflowFailException, match="2 of 3 features are done, 1 were not processed"):
        one.drive(one.after(deferred.value))


@pytest.mark.parametrize(
    ("kind", "path", "store"),
    [("batch", "", False), ("statistics", "", False), ("batch", "/*/start", True)],
    ids=["create", "create-statistics", "start"],
)
def test_a_lost_answer_is_resolved_by_looking(kind: str, path: str, store: bool, jobs, sentinelhub_sandbox):
    """The request took effect, and nothing is sent again."""
    operator, _ = KINDS[kind]
    fault = {"action": {"kind": "lose_answer"}, "method": "POST", "path": f"{operator.kind.path}{path}"}
    sentinelhub_sandbox.control.add_fault(**fault)

    result = task(kind, store=StateStore() if store else None).attempt()

    (job,) = jobs.all()
    assert (job.starts, result["id"]) == (1, job.id)


@pytest.mark.parametrize("path", ["", "/*/start"], ids=["create", "start"])
def test_a_request_that_never_arrived_is_sent_again(path: str, jobs, sentinelhub_sandbox, monkeypatch):
    """Looked for first, in vain."""
    monkeypatch.setattr("sentinelhub_provider.api.jobs.lifecycle.LISTING_DELAY", timedelta(0))
    fault = {"action": {"kind": "reset"}, "method": "POST", "path": f"/batch/v2/process{path}"}
    sentinelhub_sandbox.control.add_fault(**fault)

    task().attempt()

    assert [job.starts for job in jobs.all()] == [1]


def test_a_create_without_answer_and_without_listing_fails_and_the_retry_finds_the_job(
    jobs, sentinelhub_sandbox, monkeypatch: pytest.MonkeyPatch
):
    """The service is away right after it created the job."""
    monkeypatch.setattr("sentinelhub_provider.transport.rate_limit.LONGEST_BACKOFF", 0.01)
    control = sentinelhub_sandbox.control
    control.add_fault(action={"kind": "lose_answer"}, method="POST", path="/batch/v2/process")
    away = control.add_fault(
        action={"kind": "status", "status": 503}, method="GET", path="/batch/v2/process", times=None, after=1
    )
    one = task()
    with pytest.raises(SentinelHubError) as caught:
        one.attempt()
    assert not caught.value.final
    control.remove_fault(away)

    result = one.attempt()

    (job,) = jobs.all()
    assert (job.starts, result["id"]) == (1, job.id)


@pytest.fixture(name="patience")
def fixture_patience(jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs be unknown at first, and be asked for again soon."""
    for module in ("lifecycle", "async_lifecycle"):
        monkeypatch.setattr(f"sentinelhub_provider.api.jobs.{module}.UNKNOWN_AT_FIRST", timedelta(minutes=5))
    monkeypatch.setattr("sentinelhub_provider.api.jobs.lifecycle.LISTING_DELAY", timedelta(seconds=0.05))


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "blocking"])
@pytest.mark.parametrize(
    ("kind", "method", "path", "times"),
    [
        pytest.param("batch", "POST", "/start", 2, id="batch-start"),
        pytest.param("batch", "POST", "/start", 4, id="batch-start-often"),
        pytest.param("batch", "GET", "", 2, id="batch-status"),
        pytest.param("statistics", "POST", "/start", 2, id="statistics-start"),
        pytest.param("statistics", "GET", "*", 2, id="statistics-status"),
        pytest.param("async", "GET", "", 2, id="async-status"),
    ],
)
def test_a_new_job_that_is_not_known_yet_is_no_failure(
    kind: str, method: str, path: str, times: int, deferrable: bool, jobs, sentinelhub_sandbox
):
    """The service answers 404 to the start of a job, or to its first status checks, right after it created the job."""
    operator, _ = KINDS[kind]
    fault = {"action": {"kind": "status", "status": 404}, "method": method, "path": f"{operator.kind.path}/*{path}"}
    sentinelhub_sandbox.control.add_fault(**fault, times=times)
    if kind == "async":
        jobs.set_durations(processing=1.0)

    result = task(kind, deferrable=deferrable).attempt()

    (job,) = jobs.all()
    assert (job.starts, result["id"], result["state"]) == (1, job.id, "DONE")


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_job_that_stays_unknown_fails(kind: str, jobs, sentinelhub_sandbox, monkeypatch):
    """The patience has an end."""
    for module in ("lifecycle", "async_lifecycle"):
        monkeypatch.setattr(f"sentinelhub_provider.api.jobs.{module}.UNKNOWN_AT_FIRST", timedelta(seconds=0.5))
    operator, _ = KINDS[kind]
    fault = {"action": {"kind": "status", "status": 404}, "path": f"{operator.kind.path}/*"}
    sentinelhub_sandbox.control.add_fault(**fault, times=None)
    jobs.set_durations(processing=None)

    with pytest.raises(AirflowFailException):
        task(kind, deferrable=False).attempt()


@pytest.mark.parametrize(
    ("state", "store"),
    [("CREATED", False), ("ANALYSIS_DONE", True), ("PROCESSING", False), ("DONE", True), ("DONE", False)],
)
def test_a_retry_goes_on_from_the_state_it_finds(
    state: str, store: bool, jobs, sentinelhub_sandbox, monkeypatch: pytest.MonkeyPatch
):
    """An attempt dies when the job is in that state; the next one ends well with that job."""
    one = task(store=StateStore() if store else None, analyse=state == "ANALYSIS_DONE")
    is_started = state in ("PROCESSING", "DONE")
    if state == "PROCESSING":
        jobs.set_durations(analysing=None, processing=None)  # it stands still until a task waits for it again
    if not is_started:
        fault = {"action": {"kind": "reset"}, "method": "POST", "path": "/batch/v2/process/*/start"}
        sentinelhub_sandbox.control.add_fault(**fault, times=None)
    with pytest.raises(TaskDeferred if is_started else SentinelHubTransportError):
        begun(one)
    if state == "DONE":
        jobs.set_durations(analysing=0.0, processing=0.0)
        while jobs.step():
            pass
    elif state == "PROCESSING":
        jobs.step()
        wait = one._event
        monkeypatch.setattr(one, "_event", lambda *trigger: (jobs.step(), wait(*trigger))[1])
    assert jobs.all()[0].status == state
    sentinelhub_sandbox.control.clear_faults()

    result = one.attempt()

    (job,) = jobs.all()
    assert (job.starts, result["id"], result["state"]) == (1, job.id, "DONE")


def begun(one: Task) -> None:
    """Begin an attempt, and let nobody see it through its first wait."""
    operator, context = one.begin()
    operator.execute(context)


def test_a_cleared_task_starts_a_new_job(jobs):
    """Though the old one is done, and remembered."""
    one = task()
    first = one.attempt()
    one.clear()

    second = one.attempt()

    assert first["id"] != second["id"]
    assert [job.starts for job in jobs.all()] == [1, 1]


def test_clearing_a_waiting_task_stops_its_job(jobs):
    """Before Airflow 3.3 nobody else does."""
    jobs.set_durations(processing=None, stopping=0.0)
    one = task()
    with pytest.raises(TaskDeferred):
        begun(one)
    jobs.set_durations(processing=0.1, stopping=0.0)
    one.clear()

    one.attempt()

    old, new = jobs.all()
    assert (old.stops, new.status) == (1, "DONE")


def test_clearing_a_task_of_a_finished_run_stops_its_job(jobs, monkeypatch):
    """Airflow resets the start of the run then."""
    jobs.set_durations(processing=None, stopping=0.0)
    one = task(store=None)
    with pytest.raises(TaskDeferred):
        begun(one)
    jobs.set_durations(processing=0.1, stopping=0.0)
    monkeypatch.setattr("job_tasks.DagRun.start_date", datetime.now(UTC) + timedelta(days=3))
    monkeypatch.setattr("job_tasks.DagRun.clear_number", 1)
    one.clear()

    one.attempt()

    old, new = jobs.all()
    assert (old.stops, new.status) == (1, "DONE")


@pytest.mark.parametrize(
    ("kind", "change"),
    [("batch", {"resolution": 30}), ("statistics", {"resolution": 0.002}), ("async", {"width": 65})],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("has_store", [True, False], ids=["stored", "listed"])
def test_a_retry_with_a_corrected_request_does_not_take_the_former_job(kind: str, change: Any, has_store: bool, jobs):
    """Its results would pass for those of the new request. A clear gives a new job."""
    one = task(kind, **({} if has_store else {"store": None}))
    with pytest.raises(TaskDeferred):
        begun(one)
    one._arguments.update(change)

    with pytest.raises(AirflowFailException, match="with another request"):
        one.attempt()
    one.clear()
    result = one.attempt()

    former, latter = jobs.all()
    assert (result["id"], former.starts, latter.starts) == (latter.id, 1, 1)


@pytest.mark.parametrize(("max_wait", "deferrals"), [(3600.0, 0), (3 * 3600.0, 1)])
def test_waits_for_the_rate_limit_end_after_max_wait(max_wait: float, deferrals: int, jobs, monkeypatch):
    """Two hours are asked for each time."""

    async def refused(*_: Any) -> Any:
        raise SentinelHubRateLimitError("wait", retry_after=7200.0)

    monkeypatch.setattr(JobCalls, "create", refused)
    one = task(max_wait=max_wait)

    with pytest.raises(SentinelHubRateLimitError):
        one.attempt()

    assert len(one.deferrals) == deferrals
    assert jobs.all() == []


def test_an_async_job_takes_no_argument_about_features():
    """It has one picture, which is there or not."""
    with pytest.raises(TypeError, match="on_partial"):
        task("async", on_partial="warn").operator()


def test_another_airflow_with_the_same_dag_has_a_job_of_its_own(jobs, monkeypatch):
    """By its address."""
    task().attempt()
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.staging.example.com")

    task().attempt()

    assert len(started(jobs)) == 2


def test_a_killed_task_stops_its_job_and_says_so(jobs, capsys, monkeypatch):
    """Killed while it waits in the worker; a retry goes on with the job once it has rested."""
    jobs.set_durations(analysing=0.0, processing=None, stopping=0.0, restart_after_stop=0.0)
    one = task(deferrable=False)
    operator, context = one.begin()
    real = JobDriver._await

    def killed(driver: JobDriver, job: Any, until: Any) -> Any:
        operator.on_kill()
        return real(driver, job, until)

    monkeypatch.setattr(JobDriver, "_await", killed)
    with pytest.raises(SentinelHubJobError, match="was killed") as caught:
        operator.execute(context)
    monkeypatch.setattr(JobDriver, "_await", real)

    assert not caught.value.final
    jobs.settle()
    (job,) = jobs.all()
    assert (job.status, job.reason) == ("STOPPED", "USER_ACTION")
    assert "was told to stop" in printed(capsys)
    jobs.set_durations(analysing=0.0, processing=0.1, restart_after_stop=0.0)
    retry = again(one)
    assert retry.attempt()["id"] == job.id
    assert retry.deferrals[0][0].endswith("DateTimeTrigger")
    assert len(started(jobs)) == 1


@pytest.mark.parametrize("waits", [{}, {"deferrable": False}, {"wait_for_completion": False}], ids=str)
@pytest.mark.parametrize("kind", ["batch", "statistics"])
def test_retry_that_begins_before_the_job_of_a_killed_task_has_stopped_succeeds(
    kind: str, waits: Any, jobs, monkeypatch
):
    """As after a missed heartbeat, when Airflow tries the task again at once."""
    monkeypatch.setattr("sentinelhub_provider.api.jobs.job.REST_AFTER_USER_STOP", timedelta(0))
    monkeypatch.setattr("sentinelhub_provider.api.jobs.lifecycle.RESTART_MARGIN", timedelta(0))
    jobs.set_durations(analysing=0.0, processing=None, stopping=3600.0, restart_after_stop=0.0)
    one = task(kind)
    with pytest.raises(TaskDeferred):
        begun(one)
    jobs.settle()  # a job that is still analysed would stop at once
    cancel(KINDS[kind][0].kind, jobs)
    jobs.set_durations(analysing=0.0, processing=0.1, restart_after_stop=0.0)
    seen: list[str] = []
    real = JobDriver._do

    def stops_once_seen(driver: JobDriver, step: Any) -> Any:
        answer = real(driver, step)
        if isinstance(step, steps.CheckStatus):
            seen.append(jobs.all()[0].status)
            if len(seen) == 1:
                jobs.step()
        return answer

    monkeypatch.setattr(JobDriver, "_do", stops_once_seen)
    retry = task(kind, store=one.store, **waits)
    retry.try_number = one.try_number
    result = retry.attempt()

    (job,) = jobs.all()
    assert seen[0] == "PROCESSING"
    assert (result["id"], job.starts) == (job.id, 2)


def test_a_task_killed_while_its_stopped_job_rests_does_not_stop_it_again(jobs, capsys, monkeypatch):
    """Nobody has to look at the dashboard then, and its rest does not begin anew."""
    jobs.set_durations(analysing=0.0, processing=None, stopping=0.0)
    one = task()
    with pytest.raises(TaskDeferred):
        begun(one)
    cancel(BATCH_PROCESS, jobs)
    jobs.settle()
    retry = again(one, deferrable=False)
    operator, context = retry.begin()
    real = JobDriver._wait

    def killed(driver: JobDriver, wait: Any) -> Any:
        threading.Timer(0.1, operator.on_kill).start()
        return real(driver, wait)

    monkeypatch.setattr(JobDriver, "_wait", killed)
    with pytest.raises(SentinelHubJobError, match="was killed"):
        operator.execute(context)

    assert "is stopped already" in (said := printed(capsys))
    assert "dashboard" not in said


def cancel(kind: JobKind, jobs: Any) -> None:
    """Tell the only job to stop, as the end of a task does."""
    SentinelHubCancelJobOperator(task_id="cancel", kind=kind.name, job_id=jobs.all()[0].id).execute({})


def again(one: Task, **changes: Any) -> Task:
    """Return a task whose next attempt is the second of another."""
    retry = task(store=one.store, **changes)
    retry.try_number = one.try_number
    return retry


def test_failed_features_fail_the_task_and_are_counted(jobs):
    """The job is DONE; its database says what is not, and why."""
    jobs.inject(kind="features", share=0.5, cause="no such band")

    one = task()
    with pytest.raises(AirflowFailException, match="1 failed") as caught:
        one.attempt()

    assert "no such band" in str(caught.value)
    assert isinstance(caught.value.__context__, SentinelHubJobError)
    assert one.instance.xcom["processing_units"] == jobs.all()[0].cost > 0


def test_failed_features_may_be_left_at_a_warning(jobs, capsys):
    """The result counts them."""
    jobs.inject(kind="features", share=0.5)

    result = task("statistics", on_partial="warn").attempt()

    assert result["features"]["failed"] == 1
    assert "1 failed" in printed(capsys)


def test_a_bucket_that_cannot_be_read_leaves_a_warning(jobs, capsys, monkeypatch, s3: S3Server):
    """Never a silent success."""
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", unreachable(s3))

    result = task(delivery_conn_id="elsewhere").attempt()

    assert result["features"] is None
    assert "could not be checked" in printed(capsys)


def test_out_of_processing_units_the_retry_goes_on_with_the_same_job(jobs):
    """The first attempt fails so that Airflow tries again; the second starts the job where it was."""
    jobs.set_durations(analysing=0.05, processing=0.2, restart_after_out_of_pu=0.0)
    jobs.inject(kind="stop", at=40, reason="OUT_OF_PU")
    one = task()
    with pytest.raises(SentinelHubJobError, match="ran out of processing units") as caught:
        one.attempt()
    assert not caught.value.final

    result = one.attempt()

    (job,) = jobs.all()
    assert (result["id"], job.starts, job.status) == (job.id, 2, "DONE")


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "blocking"])
def test_a_job_that_fails_midway_fails_the_task_for_good(deferrable: bool, jobs):
    """With the service's words."""
    jobs.inject(kind="fail", at=40, cause="the disk is full")
    one = task(deferrable=deferrable)

    with pytest.raises(AirflowFailException, match="the disk is full"):
        one.attempt()

    assert one.instance.xcom["processing_units"] == jobs.all()[0].cost


def test_numbers_that_mean_no_limit_are_taken(jobs):
    """They lead past the last date that there is."""
    result = task(job_timeout=1e300, max_wait=1e300).attempt()

    assert (result["state"], len(jobs.all())) == ("DONE", 1)


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "blocking"])
def test_a_job_that_is_deleted_meanwhile_fails_the_task(deferrable: bool, jobs, monkeypatch):
    """Not waited for for ever, and not made anew."""
    jobs.set_durations(processing=None)
    one = task(deferrable=deferrable, store=None)
    real = JobDriver._await

    def deleted(driver: JobDriver, job: Any, until: Any) -> Any:
        jobs.delete(job.id)
        return real(driver, job, until)

    monkeypatch.setattr(JobDriver, "_await", deleted)
    with pytest.raises(AirflowFailException, match="not known to the service"):
        one.attempt()
    assert len(jobs.all()) == 1


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "blocking"])
def test_a_job_past_its_deadline_is_stopped(deferrable: bool, jobs):
    """The task fails for good, and says so: in the wait that sees it pass, or in a later attempt."""
    jobs.set_durations(analysing=0.0, processing=None, stopping=0.0)
    one = task()
    with pytest.raises(TaskDeferred) as deferred:
        begun(one)
    event = event_of(BATCH_PROCESS, jobs.all()[0].id, Outcome.TIMEOUT)
    one.clock.ahead = timedelta(hours=24)

    def goes_on() -> Any:
        if deferrable:
            return one.operator().execute_complete(one.context(), event, **plain(deferred.value.kwargs))
        return again(one, clock=one.clock, deferrable=False).attempt()

    with pytest.raises(AirflowFailException, match=r"job_timeout of 86400 s.*It was told to stop"):
        goes_on()
    jobs.settle()
    assert jobs.all()[0].status == "STOPPED"


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_over_its_budget_is_not_created(kind: str, jobs):
    """The estimate is checked before anything is sent."""
    with pytest.raises(AirflowFailException, match="max_processing_units"):
        task(kind, max_processing_units=0.001).attempt()

    assert jobs.all() == []


@pytest.mark.parametrize(("limit", "starts"), [(1000, 1), (0.5, 0)], ids=["within", "over"])
def test_features_in_a_bucket_are_counted_when_the_job_is_analysed(limit: float, starts: int, jobs, s3: S3Server):
    """Their sizes are not known before; a job that would cost too much is not started."""
    s3.put("fields.gpkg", geopackage(["a", "b", "c"]))
    arguments = {"bbox": None, "tiling_grid": None, "resolution": None, "features": f"s3://{BUCKET}/fields.gpkg"}
    one = task(**arguments, width=50, height=50, analyse=True, max_processing_units=limit)

    if starts:
        assert one.attempt()["features"]["total"] == 3
    else:
        with pytest.raises(AirflowFailException, match=r"max_processing_units"):
            one.attempt()

    (job,) = jobs.all()
    assert (job.analyses, job.starts) == (1, starts)


def test_an_analysed_job_over_a_budget_is_not_started(jobs, s3: S3Server, connect, tmp_path: Path):
    """What its features cost is known only then; the least that a job costs would be within the budget."""
    hook = connect(extra={"auth_cache": f"file://{tmp_path}/shared", "processing_units_per_day": 150})
    s3.put("fields.gpkg", geopackage([f"field-{number}" for number in range(20)], size=3500))
    arguments = {"bbox": None, "tiling_grid": None, "resolution": None, "features": f"s3://{BUCKET}/fields.gpkg"}

    with pytest.raises(AirflowFailException, match=r"150 PU left, and job .* costs 207\.\d PU. It was not started"):
        task(**arguments, width=3500, height=3500, analyse=True).attempt()

    (job,) = jobs.all()
    assert (job.analyses, job.starts) == (1, 0)
    assert (hook.budgets()[0].spent, hook.budgets()[0].reserved) == (0, 0)


def test_features_of_any_kind_are_uploaded_once(jobs, s3: S3Server):
    """As a GeoPackage near the delivery, named after what it holds; a cleared task finds it there."""
    one = task("statistics")
    one.attempt()
    one.clear()
    one.attempt()

    assert len([key for key in list(s3.keys()) if key.endswith(".gpkg") and "/features/" in key]) == 1


def test_somebody_else_s_job_is_gone_on_with(jobs):
    """By its id, without a request; nothing is created."""
    jobs.set_durations(processing=None)
    other = task(dag_id="other")
    with pytest.raises(TaskDeferred):
        begun(other)
    (job,) = jobs.all()
    jobs.set_durations(processing=0.1)
    while jobs.step():
        pass

    one = Task(SentinelHubBatchProcessOperator, job_id=f" {job.id}\n", delivery_conn_id="bucket", poll_interval=0.05)

    assert one.attempt()["id"] == job.id
    assert len(jobs.all()) == 1


def test_an_async_job_whose_answer_was_lost_is_found_in_the_bucket(jobs, sentinelhub_sandbox, monkeypatch):
    """Its id stays unknown."""
    monkeypatch.setattr("sentinelhub_provider.api.jobs.async_lifecycle.SHORTEST_CHECK", timedelta(seconds=0.1))
    fault = {"action": {"kind": "lose_answer"}, "method": "POST", "path": "/async/v1/process"}
    sentinelhub_sandbox.control.add_fault(**fault)

    result = task("async").attempt()

    assert (result["id"], result["state"], len(result["files"])) == (None, "DONE", 1)
    assert len(jobs.all()) == 1


@pytest.mark.parametrize("store", [True, False], ids=["task state store", "note in the bucket"])
def test_a_retry_of_an_async_job_waits_for_it(store: bool, jobs):
    """Its id is kept by Airflow 3.3, and before in the bucket."""
    jobs.set_durations(processing=None)
    one = task("async", store=StateStore() if store else None)
    with pytest.raises(TaskDeferred):
        begun(one)
    (job,) = jobs.all()
    while jobs.step():
        pass

    result = one.attempt()

    assert (result["id"], result["state"]) == (job.id, "DONE")
    assert len(jobs.all()) == 1


def test_an_async_job_that_may_have_been_sent_is_not_sent_again(jobs, sentinelhub_sandbox):
    """Nothing comes of it: the task fails, and says what nobody knows."""
    fault = {"action": {"kind": "reset"}, "method": "POST", "path": "/async/v1/process"}
    sentinelhub_sandbox.control.add_fault(**fault)

    with pytest.raises(AirflowFailException, match="may have been sent at"):
        task("async").attempt()

    assert jobs.all() == []


@pytest.mark.parametrize("step", ["SaveRecord", "Create"])
def test_an_async_task_that_is_killed_keeps_what_it_knows(step: str, jobs, monkeypatch):
    """Before the job is sent, that nothing was; while it is sent, its id: a retry has nothing to wonder about."""
    one = task("async", deferrable=False)
    operator, context = one.begin()
    real = JobDriver._do

    def killed(driver: JobDriver, taken: Any) -> Any:
        if type(taken).__name__ == step:
            operator.on_kill()
        return real(driver, taken)

    monkeypatch.setattr(JobDriver, "_do", killed)
    with pytest.raises(SentinelHubJobError, match="was killed"):
        operator.execute(context)
    monkeypatch.setattr(JobDriver, "_do", real)
    sent = jobs.all()

    result = again(one, kind="async").attempt()

    assert (len(sent), len(jobs.all())) == (int(step == "Create"), 1)
    assert (result["id"], result["state"]) == (jobs.all()[0].id, "DONE")


@pytest.mark.parametrize("status", ["CREATED", None, ["RUNNING"], "running"], ids=str)
def test_an_async_job_keeps_its_id_whatever_its_first_answer_says_of_its_state(status: Any, jobs, monkeypatch):
    """It is paid for as soon as it is sent."""
    jobs.set_durations(processing=None)
    real = JobCalls._ask

    async def odd(calls: JobCalls, method: str, path: str, **content: Any) -> Any:
        document = await real(calls, method, path, **content)
        return {**document, "status": status} if method == "POST" else document

    monkeypatch.setattr(JobCalls, "_ask", odd)
    one = task("async")

    with pytest.raises(TaskDeferred):
        begun(one)

    assert one.instance.xcom["job_id"] == jobs.all()[0].id


@pytest.mark.parametrize("record", [{}, {"written": "yesterday"}, {"written": None}, {"written": 5}, ["x"]], ids=str)
def test_a_record_that_cannot_be_read_is_no_leave_to_send(record: Any, jobs):
    """The task says so, and nothing is sent."""
    one = task("async")
    with pytest.raises(TaskDeferred):
        begun(one)
    key = next(iter(one.store.values))
    one.store.values = {key: record}

    with pytest.raises(AirflowFailException, match="the record of the task's job is damaged"):
        again(one, kind="async").attempt()

    assert len(jobs.all()) == 1


@pytest.fixture(name="s3_away")
def fixture_s3_away(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The argument that names a connection to the bucket's server while that is down."""
    extra = {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"total_max_attempts": 1}}}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", s3.connection(extra=extra))
    return {"delivery_conn_id": "away"}


@pytest.mark.parametrize("if_unclear", ["wait", "resend"])
def test_a_retry_does_not_take_an_outage_of_the_bucket_for_a_missing_record(if_unclear: str, jobs, s3_away):
    """The record of the job that is paid for is there once the bucket is; nothing is sent twice."""
    jobs.set_durations(processing=None)
    one = task("async", store=None, if_unclear=if_unclear)
    with pytest.raises(TaskDeferred):
        begun(one)
    one._arguments |= s3_away
    with pytest.raises(SentinelHubOutputError, match="for now") as caught:
        begun(one)
    assert not caught.value.final
    one._arguments |= {"delivery_conn_id": "bucket"}
    while jobs.step():
        pass

    result = one.attempt()

    assert (result["id"], result["state"], len(jobs.all())) == (jobs.all()[0].id, "DONE", 1)


def test_an_outage_of_the_bucket_is_no_sign_that_nothing_was_sent(jobs, sentinelhub_sandbox, monkeypatch):
    """The job's outputs are looked for again, before it is sent a second time."""
    monkeypatch.setattr("sentinelhub_provider.api.jobs.async_lifecycle.SHORTEST_CHECK", timedelta(seconds=0.1))
    fault = {"action": {"kind": "lose_answer"}, "method": "POST", "path": "/async/v1/process"}
    sentinelhub_sandbox.control.add_fault(**fault)
    real, calls = buckets.entries, []

    def away_once(folder: Any) -> Any:
        calls.append(folder)
        if len(calls) == 1:
            raise buckets.BucketError("the bucket is away", final=False)
        return real(folder)

    monkeypatch.setattr(buckets, "entries", away_once)

    result = task("async", if_unclear="resend").attempt()

    assert (result["state"], len(jobs.all())) == ("DONE", 1)


def test_features_that_cannot_be_uploaded_for_now_are_no_final_failure(jobs, s3_away):
    """Nothing was paid for; a retry uploads them."""
    with pytest.raises(SentinelHubOutputError, match="cannot be uploaded") as caught:
        task("statistics", **s3_away).attempt()

    assert not caught.value.final
    assert jobs.all() == []


def test_an_async_job_that_failed_says_why(jobs):
    """Read from its error.json."""
    jobs.inject(kind="fail", cause="the evalscript is wrong")

    with pytest.raises(AirflowFailException, match="the evalscript is wrong"):
        task("async").attempt()


def test_too_many_async_jobs_are_waited_for_in_the_triggerer(jobs, monkeypatch):
    """Nothing was started, and nothing is kept."""
    jobs.set_concurrency(0)
    monkeypatch.setattr("sentinelhub_provider.hooks.jobs.SEND_WAIT", 0.0)
    one = task("async")
    with pytest.raises(TaskDeferred) as deferred:
        begun(one)
    assert one.store is not None
    assert one.store.values == {}
    jobs.set_concurrency(None)
    monkeypatch.setattr("sentinelhub_provider.hooks.jobs.SEND_WAIT", 5.0)

    result = one.drive(one.after(deferred.value))

    assert result["state"] == "DONE"
    assert one.deferrals[0][0].endswith("DateTimeTrigger")


@pytest.mark.parametrize(
    "event",
    [None, {}, {"kind": "batch-process", "id": "another", "outcome": "finished"}, {"outcome": "finished"}, "done"],
    ids=["none", "empty", "foreign", "nameless", "text"],
)
def test_an_event_that_is_not_the_job_s_fails_loudly(event: Any, jobs):
    """The task does not go on as if its job were done."""
    one = task()
    with pytest.raises(TaskDeferred) as deferred:
        begun(one)

    with pytest.raises(SentinelHubResponseError):
        one.operator().execute_complete(one.context(), event, **plain(deferred.value.kwargs))


@pytest.mark.parametrize("kind", KINDS)
def test_no_credential_leaves_the_request(kind: str, jobs, capsys, caplog, sentinelhub_sandbox):
    """Not in XCom, the result, the log, the store, triggers, events and what is kept for the way back."""
    caplog.set_level(logging.DEBUG, "sentinelhub_provider")
    one = task(kind)

    result = one.attempt()

    shown = json.dumps([result, one.instance.xcom, one.store.values, one.deferrals, one.events], default=str)
    fields = {name: getattr(one.operator(), name) for name in one.operator().template_fields}
    log = printed(capsys)
    for secret in (SECRET_KEY, ACCESS_KEY, sentinelhub_sandbox.client_secret):
        assert secret not in shown
        assert secret not in json.dumps(fields, default=str)
        assert secret not in f"{log}{caplog.text}"


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what operators logged: Airflow prints it here."""
    return "".join(capsys.readouterr())


def test_a_request_with_credentials_in_it_is_refused(jobs):
    """Said before anything is sent."""
    request = {
        "processRequest": {},
        "input": {},
        "output": {"delivery": {"s3": {"url": "s3://b/x", "accessKey": "a", "secretAccessKey": "b"}}},
    }

    with pytest.raises(AirflowFailException, match="is a credential"):
        Task(SentinelHubBatchProcessOperator, request=request).attempt()

    assert jobs.all() == []
