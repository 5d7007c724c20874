"""What the service's descriptions of jobs are read as, and what each end of a job means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sentinelhub_provider.api.jobs.job import (
    ASYNC_PROCESS,
    BATCH_PROCESS,
    BATCH_STATISTICS,
    KINDS,
    Job,
    JobKind,
    JobState,
    UnknownJobStateError,
    check_job_id,
    digest_of,
    full_tag,
    gone,
    has_tag,
    job_of,
    job_tag,
    kind_of,
    problem_of,
    restart_not_before,
    tagged,
)
from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubResponseError

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def batch(status: str = "PROCESSING", **members: Any) -> dict[str, Any]:
    """A job as the service describes it."""
    return {"id": "j1", "status": status, "userAction": "START", "created": "2026-06-01T11:00:00Z", **members}


def stopped(reason: str | None, *, kind: JobKind = BATCH_PROCESS, **members: Any) -> Job:
    """A job that was stopped at noon."""
    given = {"lastUpdated": "2026-06-01T12:00:00Z", "userActionUpdated": "2026-06-01T11:00:00Z", **members}
    return job_of(kind, batch("STOPPED", stoppedStatusReason=reason, **given))


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_kind_is_found_by_its_name(kind: JobKind):
    """Each of the three, and a kind itself."""
    assert kind_of(kind.name) is kind
    assert kind_of(kind) is kind


@pytest.mark.parametrize("name", ["batch", "", None, 3])
def test_unknown_kind_is_refused_with_those_there_are(name: Any):
    """The message is a list to choose from."""
    with pytest.raises(SentinelHubRequestError, match="batch-process, batch-statistics, async-process"):
        kind_of(name)


def test_paths_hold_the_id_as_one_segment():
    """An id with a slash or a question mark leads nowhere else."""
    assert BATCH_PROCESS.action_path("a/b?c", "stop") == "/batch/v2/process/a%2Fb%3Fc/stop"
    assert BATCH_STATISTICS.status_path("a") == "/statistics/batch/v1/a/status"
    assert ASYNC_PROCESS.status_path("a") == "/async/v1/process/a"


def test_job_that_cannot_be_stopped_has_no_path_for_it():
    """Async Process has no actions."""
    with pytest.raises(SentinelHubRequestError, match="cannot be told to stop"):
        ASYNC_PROCESS.action_path("a", "stop")


@pytest.mark.parametrize(("member", "kind"), [("costPU", BATCH_PROCESS), ("costPu", BATCH_STATISTICS)])
def test_job_is_read_from_its_description(member: str, kind: JobKind):
    """Everything but the request, whose evalscript and credentials nobody needs."""
    document = batch(
        completionPercentage=40,
        lastUpdated="2026-06-01T12:00:00Z",
        request={
            "description": "Slovenia 2026",
            "evalscript": "//",
            "output": {"delivery": {"s3": {"url": "s3://b/x"}}},
        },
    ) | {member: 12.5}

    job = job_of(kind, document)

    assert job == Job(
        id="j1",
        kind=kind,
        state=JobState.PROCESSING,
        cost=12.5,
        completion=40.0,
        description="Slovenia 2026",
        delivery_url="s3://b/x",
        created=NOON - timedelta(hours=1),
        user_action="START",
        last_updated=NOON,
    )
    assert str(job) == f"{kind} job j1: PROCESSING, 40 %"


@pytest.mark.parametrize(
    "document",
    [None, [], "DONE", {}, {"status": "DONE"}, {"id": "", "status": "DONE"}, {"id": 7, "status": "DONE"}],
    ids=repr,
)
def test_what_is_no_job_is_refused(document: Any):
    """A page of a proxy, a list, an error object."""
    with pytest.raises(SentinelHubResponseError, match="without an id"):
        job_of(BATCH_PROCESS, document)


@pytest.mark.parametrize(
    ("kind", "status"), [(BATCH_PROCESS, "EXPLODED"), (BATCH_PROCESS, None), (BATCH_PROCESS, "GONE"),
                         (BATCH_PROCESS, "RUNNING"), (ASYNC_PROCESS, "DONE"),
                         (BATCH_PROCESS, []), (BATCH_PROCESS, {"DONE": 1}), (ASYNC_PROCESS, 7)]
)  # fmt: skip
def test_unknown_state_is_an_error(kind: JobKind, status: Any):
    """Otherwise it would be waited for until the deadline."""
    with pytest.raises(UnknownJobStateError, match="which is not one of"):
        job_of(kind, batch(status))


@pytest.mark.parametrize("status", ["done", "Done", " DONE "])
def test_words_are_read_in_any_spelling(status: str):
    """A job that is paid for does not fail for a letter."""
    assert job_of(BATCH_PROCESS, batch(status)).state is JobState.DONE
    stopped = job_of(BATCH_PROCESS, batch("stopped", stoppedStatusReason="out_of_pu", userAction="start"))
    assert (stopped.reason, stopped.user_action) == ("OUT_OF_PU", "START")


@pytest.mark.parametrize("members", [{"costPU": "12.5"}, {"costPU": None, "costPu": 12.5}], ids=str)
def test_cost_is_read_in_any_spelling(members: dict[str, Any]):
    """As text, and by the other of its two names."""
    assert job_of(BATCH_PROCESS, batch("DONE") | members).cost == 12.5


def test_odd_members_are_absent_members():
    """A number in the wrong place fails no task whose job is done."""
    job = job_of(BATCH_PROCESS, batch("DONE", costPU="much", completionPercentage=True, created=7, request=[]))

    assert (job.cost, job.completion, job.created, job.description) == (None, None, None, None)


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        (JobState.FAILED, BATCH_PROCESS, "failed at 40 %: no such band"),
        (JobState.PARTIAL, BATCH_STATISTICS, "done in part"),
        (JobState.GONE, BATCH_PROCESS, "not known to the service"),
    ],
)
def test_job_that_ended_badly_has_an_error_that_says_so(state: JobState, kind: JobKind, words: str):
    """With the service's words, its state, and where to look."""
    problem = problem_of(Job("j1", kind, state, error="no such band", completion=40.0))

    assert problem is not None
    assert words in str(problem)
    assert (problem.job_status, problem.final) == (state.value, True)


@pytest.mark.parametrize(
    ("reason", "words", "final"),
    [
        ("OUT_OF_PU", "ran out of processing units", False),
        ("UNHEALTHY", "too many of its parts failed", False),
        ("USER_ACTION", "by a user. It can be started again 30 minutes after that", False),
        (None, "does not say why", True),
    ],
)
def test_stopped_job_says_why_and_what_to_do(reason: str | None, words: str, final: bool):
    """A retry may start a job again that was stopped."""
    problem = problem_of(stopped(reason, userAction="STOP" if reason == "USER_ACTION" else "START"))

    assert problem is not None
    assert words in str(problem)
    assert (problem.reason, problem.final) == (reason, final)


@pytest.mark.parametrize(
    "job",
    [
        Job("j1", BATCH_PROCESS, JobState.DONE),
        Job("j1", BATCH_PROCESS, JobState.CREATED),
        Job("j1", BATCH_PROCESS, JobState.PROCESSING, error="one tile failed"),
        gone(ASYNC_PROCESS, "j1"),
    ],
    ids=str,
)
def test_job_that_runs_or_is_done_has_no_error(job: Job):
    """An Async Process job that is gone is over; how it went is in the bucket."""
    assert problem_of(job) is None


def test_stop_by_a_user_is_recognised_without_a_reason():
    """The last action says it, too."""
    assert stopped(None, userAction="STOP").reason == "USER_ACTION"


def test_reason_of_an_earlier_stop_is_forgotten():
    """Started again, the job is not stopped."""
    assert job_of(BATCH_PROCESS, batch(stoppedStatusReason="OUT_OF_PU")).reason is None


@pytest.mark.parametrize(
    ("job", "terminal"),
    [
        (stopped("USER_ACTION", userAction="STOP"), True),
        (stopped("USER_ACTION"), False),
        (stopped("OUT_OF_PU"), True),
        (stopped("OUT_OF_PU", userActionUpdated="2026-06-01T13:05:00Z"), False),
    ],
    ids=["user", "user-restarted", "out-of-pu", "out-of-pu-restarted"],
)
def test_job_that_was_started_again_is_not_at_its_end(job: Job, terminal: bool):
    """An action may take effect late: until then the state is still the old one."""
    assert job.is_terminal is terminal
    assert (problem_of(job) is None) is not terminal


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (stopped("USER_ACTION", userAction="STOP", userActionUpdated="2026-06-01T11:50:00Z"), timedelta(minutes=20)),
        (stopped("USER_ACTION", userAction="STOP", userActionUpdated=None), timedelta(minutes=30)),
        (stopped("OUT_OF_PU", kind=BATCH_STATISTICS), timedelta(minutes=60)),
        (stopped("OUT_OF_PU"), None),
        (stopped("UNHEALTHY"), None),
        (stopped("USER_ACTION"), None),
        (Job("j1", BATCH_PROCESS, JobState.CREATED), None),
    ],
    ids=["user", "user-without-time", "statistics-out-of-pu", "out-of-pu", "unhealthy", "restarting", "created"],
)
def test_when_a_stopped_job_may_be_started_again(job: Job, expected: timedelta | None):
    """30 minutes after a user's stop, 60 after statistics ran out of PU."""
    assert restart_not_before(job) == (None if expected is None else NOON + expected)


@pytest.mark.parametrize("job", [stopped("OUT_OF_PU", costPU=4.5), gone(ASYNC_PROCESS, "j1")], ids=str)
def test_job_survives_being_plain(job: Job):
    """Nothing is lost on the way through JSON."""
    assert Job.from_dict(job.to_dict()) == job


@pytest.mark.parametrize("plain", [{}, {"id": "j1", "kind": "batch", "state": "DONE"}, {"id": "j1"}, []], ids=repr)
def test_what_is_no_plain_job_is_refused(plain: Any):
    """With what is wrong about it."""
    with pytest.raises(SentinelHubRequestError, match="This is not a job"):
        Job.from_dict(plain)


def test_tag_tells_clears_apart():
    """Each part counts, and no two parts run into each other."""
    parts: dict[str, Any] = {"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": -1, "clears": 0}
    others: list[dict[str, Any]] = [
        {"dag_id": "e"}, {"task_id": "u"}, {"run_id": "s"}, {"map_index": 0}, {"clears": 1},
        {"dag_id": "dt", "task_id": ""},
    ]  # fmt: skip

    assert job_tag(**parts) == job_tag(**parts)
    assert len({job_tag(**parts), *(job_tag(**(parts | other)) for other in others)}) == len(others) + 1


def test_tagged_job_is_recognised():
    """By its description, or by the folder that its results go to; a longer word is another tag."""
    tag = job_tag("d", "t", "r", -1, 0)
    described = job_of(BATCH_PROCESS, batch(request={"description": tagged("Slovenia", tag)}))
    delivered = job_of(BATCH_STATISTICS, batch(request={"output": {"s3": {"url": f"s3://bucket/stats/{tag}/"}}}))
    other = job_of(BATCH_PROCESS, batch(request={"description": tagged("Slovenia", f"{tag}0")}))

    assert has_tag(described, tag)
    assert has_tag(delivered, tag)
    assert not has_tag(other, tag)
    assert not has_tag(job_of(BATCH_PROCESS, batch()), tag)


def test_tag_is_followed_by_the_digest_of_the_request():
    """Without it, as jobs of earlier versions have it, nobody knows the request."""
    full = full_tag("airflow-1", "0123456789abcdef")
    described = job_of(BATCH_PROCESS, batch(request={"description": tagged("Slovenia", full)}))
    bare = job_of(BATCH_PROCESS, batch(request={"description": "Slovenia airflow-1"}))

    assert has_tag(described, "airflow-1")
    assert [digest_of(job, "airflow-1") for job in (described, bare)] == ["01234567", None]


def test_description_begins_with_words_for_people():
    """The tag alone where there are none."""
    assert tagged("Slovenia ", "airflow-1") == "Slovenia airflow-1"
    assert tagged(None, "airflow-1") == "airflow-1"


def test_long_description_keeps_its_tag():
    """It stands at the end."""
    assert has_tag(job_of(BATCH_PROCESS, batch(request={"description": tagged("x" * 5_000, "airflow-1")})), "airflow-1")


@pytest.mark.parametrize("value", ["", "  ", "None", None, 7, "a/b", "a\nb"], ids=repr)
def test_what_is_no_id_is_refused(value: Any):
    """Such as what an XCom that was never pushed renders to."""
    with pytest.raises(SentinelHubRequestError, match="Give the id of a job"):
        check_job_id(value)
