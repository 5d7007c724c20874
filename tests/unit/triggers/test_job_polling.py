"""One loop for any number of jobs: what it asks, when, whom it tells, and how it ends."""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clocks import FakeClock

from sentinelhub_provider.api.jobs.job import ASYNC_PROCESS, BATCH_PROCESS, Job, JobKind, JobState, gone, job_of
from sentinelhub_provider.api.jobs.polling import RELEARN, documents_by_id
from sentinelhub_provider.api.time_range import format_time
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubError,
    SentinelHubRateLimitError,
    SentinelHubResponseError,
    SentinelHubServerError,
    SentinelHubTransportError,
)
from sentinelhub_provider.triggers.job_polling import JobPoller, PollFailure, PollUpdate, StatusUpdate, Watch
from sentinelhub_provider.triggers.shared_poll import shared

FIRST_CREATED = datetime(2026, 1, 1, tzinfo=UTC)

PATIENCE = 120
"""Real seconds after which a test that waits in vain fails."""


class Service:
    """Jobs in memory, newest first, and a count of what was asked.

    :ivar asked: by time: how many pages and single jobs.
    :ivar fault: raised or returned by whatever is asked next, for as long as it returns something.
    """

    def __init__(self, kind: JobKind, clock: FakeClock, *, page_size: int = 100) -> None:
        self.kind = kind
        self.clock = clock
        self.page_size = page_size
        self.described: dict[str, dict[str, Any]] = {}
        self.asked: Counter[float] = Counter()
        self.pages = 0
        self.singles: list[str] = []
        self.fault: Callable[[], Any] = lambda: None
        self.opened = self.closed = 0

    def add(self, *job_ids: str, status: str = "PROCESSING") -> None:
        """Add jobs, each newer than the last."""
        for job_id in job_ids:
            created = format_time(FIRST_CREATED + timedelta(seconds=len(self.described)))
            self.described[job_id] = {"id": job_id, "status": status, "created": created}

    def set(self, job_id: str, status: str, **members: Any) -> None:
        """Change a job."""
        self.described[job_id] |= {"status": status, **members}

    async def get(self, job_id: str, *, light: bool) -> Job:
        """Describe one job."""
        assert light
        self.singles.append(job_id)
        found = await self._ask()
        if found is not None:
            return job_of(self.kind, found)
        document = self.described.get(job_id)
        return gone(self.kind, job_id) if document is None else job_of(self.kind, document)

    async def documents(self, token: str | None) -> tuple[Any, str | None]:
        """Return one page."""
        self.pages += 1
        found = await self._ask()
        if found is not None:
            return documents_by_id(found), None
        start = int(token or 0)
        newest = list(reversed(self.described.values()))
        following = start + self.page_size
        return documents_by_id({"data": newest[start:following]}), str(following) if following < len(newest) else None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        """Open the connection for a round."""
        self.opened += 1
        try:
            yield self
        finally:
            await asyncio.sleep(0)
            self.closed += 1

    async def _ask(self) -> Any:
        self.asked[self.clock()] += 1
        await asyncio.sleep(0)
        fault = self.fault()
        if isinstance(fault, BaseException):
            raise fault
        return fault


class Stage:
    """A service, a clock that jumps to whatever is waited for, and pollers that are started as a triggerer does."""

    def __init__(self, kind: JobKind = BATCH_PROCESS, **options: Any) -> None:
        self.kind = kind
        self.clock = FakeClock()
        self.service = Service(kind, self.clock, **options)
        self.pollers = 0
        self.at: dict[float, Callable[[], Any]] = {}

    def later(self, seconds: float, act: Callable[[], Any]) -> None:
        """Do something when that much time has passed."""
        self.at[self.clock() + seconds] = act

    async def reach(self, seconds: float) -> None:
        """Wait until that much time has passed."""
        reached = asyncio.Event()
        self.later(seconds, reached.set)
        await reached.wait()

    def poller(self) -> JobPoller:
        """Make a poller."""
        self.pollers += 1
        return JobPoller(
            self.kind,
            self.service.connect,
            clock=self.clock,
            wall_clock=lambda: 0.0,
            jitter=lambda: 0.0,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        await _others()
        until = self.clock() + seconds
        for moment in sorted(moment for moment in self.at if moment <= until):
            self.clock.now = moment
            self.at.pop(moment)()
            await _others()
        self.clock.now = until

    async def wait(
        self, job_id: str, until: Callable[[PollUpdate], bool] | None = None, **options: Any
    ) -> list[PollUpdate]:
        """Wait for a job to its end, or until a update is the one; return all sightings."""
        seen: list[PollUpdate] = []
        async with self.watching(job_id, **options) as watch:
            while True:
                seen.append(await watch.inbox.get())
                if until(seen[-1]) if until else _ended(seen[-1]):
                    return seen

    def watching(self, job_id: str, poll_interval: float = 30.0, conn_id: str = "one") -> Any:
        """Begin to wait as a trigger does."""
        return shared(conn_id, self.poller).watch(job_id, poll_interval)


async def _others() -> None:
    """Let all others take their turn."""
    for _ in range(20):
        await asyncio.sleep(0)


def _ended(update: PollUpdate) -> bool:
    return update.is_final if isinstance(update, PollFailure) else update.job.is_terminal


def run(act: Callable[[], Awaitable[Any]]) -> Any:
    """Run on an event loop of its own, not for ever."""

    async def bounded() -> Any:
        async with asyncio.timeout(PATIENCE):
            return await act()

    return asyncio.run(bounded())


def states(sightings: list[PollUpdate]) -> list[str]:
    """Return what was told, in short."""
    return [str(one.job.state) if isinstance(one, StatusUpdate) else type(one.error).__name__ for one in sightings]


# --- what a watch is told -------------------------------------------------------------------------------------------


def test_each_change_of_state_is_told_once():
    """However many polls there were between."""
    stage = Stage()
    stage.service.add("a", status="ANALYSING")
    stage.later(60, lambda: stage.service.set("a", "PROCESSING"))
    stage.later(300, lambda: stage.service.set("a", "DONE", costPU=7))

    seen = run(lambda: stage.wait("a"))

    assert states(seen) == ["ANALYSING", "PROCESSING", "DONE"]
    assert seen[-1].job.cost == 7
    assert len(stage.service.singles) > 6


def test_progress_is_told_in_steps():
    """A job of a day is not told at each poll of a per cent."""
    stage = Stage()
    stage.service.add("a")
    for minutes, completion in enumerate((1, 4, 5, 9, 60, 62), start=1):
        stage.later(
            minutes * 60, lambda done=completion: stage.service.set("a", "PROCESSING", completionPercentage=done)
        )
    stage.later(600, lambda: stage.service.set("a", "DONE", completionPercentage=100))

    seen = run(lambda: stage.wait("a"))

    assert [one.job.completion for one in seen] == [None, 5, 60, 100]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda service: service.set("a", "FAILED", error="no", completionPercentage=40), id="failed-at-40"
        ),
        pytest.param(lambda service: service.set("a", "STOPPED", stoppedStatusReason="OUT_OF_PU"), id="out-of-pu"),
        pytest.param(lambda service: service.described.pop("a"), id="deleted"),
        pytest.param(lambda service: service.set("a", "EXPLODED"), id="unknown-state"),
    ],
)
@pytest.mark.parametrize("others", [0, 200], ids=["alone", "among-200"])
def test_end_that_is_not_done_is_told_at_the_next_poll(change: Callable[[Service], Any], others: int):
    """Whether jobs are polled one by one or by pages."""
    stage = Stage()
    names = [f"o{number}" for number in range(others)]
    stage.service.add("a", *names)
    stage.later(1_000, lambda: change(stage.service))

    async def act() -> None:
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(stage.wait(name)) for name in names]
            await stage.wait("a")
            for task in waiting:
                task.cancel()

    run(act)

    assert stage.clock() <= 2_000 + 30


def test_finished_async_job_is_gone():
    """The API that lists nothing answers 404 for it."""
    stage = Stage(ASYNC_PROCESS)
    stage.service.add("a", status="RUNNING")
    stage.later(60, lambda: stage.service.described.pop("a"))

    assert states(run(lambda: stage.wait("a"))) == ["RUNNING", "GONE"]
    assert stage.service.pages == 0


def test_two_who_wait_for_one_job_are_both_told():
    """One request for both."""
    stage = Stage()
    stage.service.add("a", status="DONE")

    async def act() -> list[list[PollUpdate]]:
        return await asyncio.gather(stage.wait("a"), stage.wait("a"))

    assert [states(seen) for seen in run(act)] == [["DONE"], ["DONE"]]
    assert stage.service.singles == ["a"]


# --- how many requests, and when ------------------------------------------------------------------------------------


def test_thousand_that_start_at_once_make_one_round_of_ten_pages():
    """Not a thousand requests, and no request for any single job."""
    stage = Stage()
    names = [f"j{number}" for number in range(1_000)]
    stage.service.add(*names)
    stage.later(1_000, lambda: [stage.service.set(name, "DONE") for name in names])

    async def act() -> None:
        await asyncio.gather(*(stage.wait(name) for name in names))

    run(act)

    assert stage.pollers == 1
    assert not stage.service.singles
    assert set(stage.service.asked.values()) == {10}
    assert min(stage.service.asked) == 1_005
    assert max(stage.service.asked) <= 2_000 + 30


def test_thousand_among_others_are_found_with_twelve_requests():
    """A deleted one, too: it is asked for by itself."""
    stage = Stage()
    names = [f"j{number}" for number in range(1_000)]
    stage.service.add(*names, *(f"foreign{number}" for number in range(90)))
    stage.later(500, lambda: stage.service.described.pop("j500"))
    stage.later(1_000, lambda: [stage.service.set(name, "DONE") for name in names if name != "j500"])

    async def act() -> list[list[PollUpdate]]:
        return await asyncio.gather(*(stage.wait(name) for name in names))

    told = run(act)

    assert Counter(states(seen)[-1] for seen in told) == {"DONE": 999, "GONE": 1}
    assert max(stage.service.asked.values()) <= 12


def test_few_are_asked_for_one_by_one():
    """A page of a hundred jobs is more to read than three."""
    stage = Stage()
    stage.service.add("a", "b", "c", status="DONE")

    async def act() -> None:
        await asyncio.gather(*(stage.wait(name) for name in "abc"))

    run(act)

    assert (stage.service.pages, sorted(stage.service.singles)) == (0, ["a", "b", "c"])


def test_jobs_far_down_a_long_listing_are_asked_for_one_by_one():
    """Once it is known how far down they are; now and then that is found out again."""
    stage = Stage()
    stage.service.add("a", "b", "c", "d", "e", *(f"foreign{number}" for number in range(3_000)))
    stage.later(600, lambda: [stage.service.set(name, "DONE") for name in "abcde"])

    async def act() -> None:
        await asyncio.gather(*(stage.wait(name) for name in "abcde"))

    run(act)

    rounds = len(stage.service.asked)
    assert rounds > RELEARN
    assert stage.service.pages == 5 * (1 + rounds // (RELEARN + 1))
    assert max(stage.service.asked.values()) == 10
    assert stage.service.asked[max(stage.service.asked)] == 5


def test_page_older_than_all_that_is_missing_is_the_last():
    """A listing is sorted: nobody reads a long one to its end for those that were deleted."""
    stage = Stage()
    names = [f"j{number}" for number in range(50)]
    stage.service.add(*(f"old{number}" for number in range(3_000)), *names)

    def delete() -> None:
        for name in names:
            del stage.service.described[name]
        stage.service.pages = 0

    stage.later(300, delete)

    async def act() -> list[list[PollUpdate]]:
        return await asyncio.gather(*(stage.wait(name) for name in names))

    assert {states(seen)[-1] for seen in run(act)} == {"GONE"}
    assert stage.service.pages <= 2


def test_newcomer_does_not_wait_for_the_next_round():
    """It is polled five seconds after it came, by a request of its own."""
    stage = Stage()
    stage.service.add("old")

    async def act() -> float:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(stage.wait("old"))
            await stage.reach(1000)
            stage.service.add("new", status="DONE")
            came = stage.clock()
            await stage.wait("new")
            waiting.cancel()
            return stage.clock() - came

    assert run(act) <= 5.0


def test_many_async_jobs_are_asked_for_at_a_bearable_rate():
    """One a second: the account's rate belongs to the work, and nobody is forgotten."""
    stage = Stage(ASYNC_PROCESS)
    names = [f"j{number}" for number in range(100)]
    stage.service.add(*names, status="RUNNING")
    stage.later(900, lambda: [stage.service.described.pop(name) for name in names])

    async def act() -> None:
        await asyncio.gather(*(stage.wait(name) for name in names))

    run(act)

    assert max(stage.service.asked.values()) == 30
    assert len(stage.service.singles) <= (stage.clock() - 1_000) * 30 / 27 + 30
    assert stage.clock() <= 1_900 + 150


def test_connections_have_loops_of_their_own():
    """Another account knows other jobs."""
    stage = Stage()
    stage.service.add("a", status="DONE")

    async def act() -> None:
        await asyncio.gather(stage.wait("a", conn_id="one"), stage.wait("a", conn_id="two"))

    run(act)

    assert (stage.pollers, stage.service.opened, stage.service.closed) == (2, 2, 2)


# --- faults ---------------------------------------------------------------------------------------------------------

PASSING = [
    SentinelHubTransportError("refused"),
    SentinelHubServerError("503", status=503),
    SentinelHubRateLimitError("429", retry_after=20.0),
    SentinelHubResponseError("HTML"),
]


@pytest.mark.parametrize("fault", [*PASSING, {"data": None}, {"error": {}}], ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("others", [0, 20], ids=["singles", "pages"])
def test_fault_that_passes_is_survived(fault: Any, others: int):
    """One word at its beginning and one at its end, hours of it, at a pace that slows down."""
    stage = Stage()
    names = [f"o{number}" for number in range(others)]
    stage.service.add("a", *names)
    stage.later(100, lambda: setattr(stage.service, "fault", lambda: fault))
    stage.later(7_300, lambda: setattr(stage.service, "fault", lambda: None))
    stage.later(8_000, lambda: stage.service.set("a", "DONE"))

    async def act() -> list[PollUpdate]:
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(stage.wait(name)) for name in names]
            seen = await stage.wait("a")
            for task in waiting:
                task.cancel()
            return seen

    seen = run(act)

    kinds = [type(one).__name__ for one in seen]
    assert kinds == ["StatusUpdate", "PollFailure", "StatusUpdate", "StatusUpdate"]
    assert [one.recovered for one in seen if isinstance(one, StatusUpdate)] == [False, True, False]
    assert stage.clock() <= 9_000 + 30
    assert len([moment for moment in stage.service.asked if 1_150 < moment < 8_300]) < 35


def test_fault_that_does_not_pass_is_told_to_all():
    """A refused client is refused for everyone, once its connection was looked up again."""
    stage = Stage()
    names = [f"j{number}" for number in range(20)]
    stage.service.add(*names)
    refused = SentinelHubAuthenticationError("wrong secret")
    stage.later(100, lambda: setattr(stage.service, "fault", lambda: refused))

    async def act() -> list[list[PollUpdate]]:
        return await asyncio.gather(*(stage.wait(name) for name in names))

    assert {tuple(states(seen)) for seen in run(act)} == {("PROCESSING", *["SentinelHubAuthenticationError"] * 2)}
    assert stage.clock() <= 1_100 + 30 + 5


def test_fault_of_one_job_is_not_the_others():
    """An unknown state on a page of known ones."""
    stage = Stage()
    stage.service.add("a", "b", "c", "d", status="DONE")
    stage.service.set("c", "EXPLODED")

    async def act() -> list[list[PollUpdate]]:
        return await asyncio.gather(*(stage.wait(name) for name in "abcd"))

    assert [states(seen)[-1] for seen in run(act)] == ["DONE", "DONE", "UnknownJobStateError", "DONE"]
    assert stage.service.pages == 1


def test_broken_loop_tells_everyone(caplog: pytest.LogCaptureFixture):
    """A mistake of ours must not become a task that waits for ever; the next trigger is polled for again."""
    stage = Stage()
    stage.service.add("a", "b")
    stage.service.fault = lambda: KeyError("oops")

    async def act() -> list[PollUpdate]:
        told = await asyncio.gather(stage.wait("a"), stage.wait("b"))
        stage.service.fault = lambda: None
        stage.service.set("a", "DONE")
        return [told[0][-1], told[1][-1], (await stage.wait("a"))[-1]]

    first, second, third = run(act)

    assert isinstance(first, PollFailure)
    assert isinstance(second, PollFailure)
    assert "broke" in str(first.error)
    assert "oops" in caplog.text
    assert states([third]) == ["DONE"]
    assert stage.service.opened == stage.service.closed == 2


# --- coming and going -----------------------------------------------------------------------------------------------


def test_nothing_goes_on_when_the_last_one_left():
    """The connections of each round are closed, and the loop is over."""
    stage = Stage()
    stage.service.add("a", status="DONE")

    async def act() -> int:
        await stage.wait("a")
        return len(asyncio.all_tasks())

    assert run(act) == 1
    assert stage.service.opened == stage.service.closed == 1


def test_cancelled_one_leaves_the_others_alone():
    """As when a user ends one of the tasks."""
    stage = Stage()
    stage.service.add("a", "b")
    stage.later(600, lambda: stage.service.set("b", "DONE"))

    async def act() -> list[PollUpdate]:
        first = asyncio.create_task(stage.wait("a"))
        second = asyncio.create_task(stage.wait("b"))
        await stage.reach(300)
        first.cancel()
        seen = await second
        assert first.cancelled()
        return seen

    assert states(run(act)) == ["PROCESSING", "DONE"]
    assert stage.service.singles[-1] == "b"
    assert stage.pollers == 1
    assert stage.service.opened == stage.service.closed


def test_all_cancelled_leave_nothing_behind():
    """As when the triggerer shuts down."""
    stage = Stage()
    names = [f"j{number}" for number in range(50)]
    stage.service.add(*names)

    async def act() -> set[str]:
        tasks = [asyncio.create_task(stage.wait(name)) for name in names]
        await stage.reach(100)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return {task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}}

    assert run(act) == set()
    assert stage.service.opened == stage.service.closed > 0


def test_loop_is_not_a_part_of_the_trigger_that_started_it():
    """What it logs would go to the log of a task that may be long over."""
    owner: contextvars.ContextVar[str] = contextvars.ContextVar("owner", default="nobody")
    stage = Stage()
    stage.service.add("a", status="DONE")
    owners: list[str] = []
    stage.service.fault = lambda: owners.append(owner.get())

    async def act() -> None:
        owner.set("first trigger")
        await stage.wait("a")

    run(act)

    assert owners == ["nobody"]


def test_watch_can_be_kept_by_its_owner():
    """It carries what the poller knows, for the next look."""
    stage = Stage()
    stage.service.add("a")

    async def act() -> Watch:
        async with stage.watching("a") as watch:
            await watch.inbox.get()
            return watch

    watch = run(act)

    assert (watch.state, watch.faults, watch.is_first) == (JobState.PROCESSING, 0, False)


def test_errors_of_the_loop_are_errors_of_this_package():
    """So that a trigger can put them into its event."""
    stage = Stage()
    stage.service.add("a")
    stage.service.fault = lambda: ZeroDivisionError()

    (told,) = run(lambda: stage.wait("a"))

    assert isinstance(told.error, SentinelHubError)
