"""Watching tiles: what is asked, how long the pauses are, and what comes of it. No service, no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from clocks import FakeClock

from sentinelhub_provider.api.byoc.ingestion import (
    SHOWN,
    Get,
    Outcome,
    Pause,
    check_outcome,
    error_event,
    finished_event,
    poll_tiles,
    read_event,
)
from sentinelhub_provider.api.byoc.tiles import Tile, TileState
from sentinelhub_provider.api.flow import drive
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubError,
    SentinelHubJobError,
    SentinelHubNotFoundError,
    SentinelHubRateLimitError,
    SentinelHubResponseError,
    SentinelHubServerError,
)

ID = "12345678-1234-1234-1234-123456789abc"
LIST = f"/byoc/v1/collections/{ID}/tiles"


class Service:
    """Tiles whose states go on by one list of states each; pages of ``size``; a clock that pauses move."""

    def __init__(self, states: dict[str, list[str]], *, size: int = 100) -> None:
        self.states = {name: list(these) for name, these in states.items()}
        self.size = size
        self.clock = FakeClock(0.0)
        self.asked: list[Get] = []
        self.notes: list[tuple[str, bool]] = []
        self.faults: list[SentinelHubError | None] = []
        self.hidden: set[str] = set()

    def run(self, tile_ids: list[str] | None = None, *, ends: float = 3600.0, poll_interval: float = 60.0) -> Outcome:
        """Watch to the end."""
        ids = list(self.states) if tile_ids is None else tile_ids
        flow = poll_tiles(ID, ids, ends=ends, clock=self.clock, poll_interval=poll_interval, jitter=lambda: 0.0)
        return drive(flow, self._take)

    def _take(self, step: Get | Pause) -> Any:
        if isinstance(step, Pause):
            self.notes.append((step.note, step.is_warning))
            self.clock.sleep(step.seconds)
            for states in self.states.values():
                if len(states) > 1:
                    states.pop(0)
            return None
        self.asked.append(step)
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        if step.endpoint == LIST:
            return self._page(step)
        name = step.endpoint.removeprefix(f"{LIST}/")
        if name not in self.states:
            raise SentinelHubNotFoundError("not there")
        return {"data": self._shown(name)}

    def _page(self, step: Get) -> Any:
        assert step.params["sort"] == "created:desc"
        names = [name for name in reversed(self.states) if name not in self.hidden]
        start = int(step.params.get("viewtoken", 0))
        links = {"nextToken": str(start + self.size)} if start + self.size < len(names) else {}
        return {"data": [self._shown(name) for name in names[start : start + self.size]], "links": links}

    def _shown(self, name: str) -> dict[str, Any]:
        state = self.states[name][0]
        notes = {"failedIngestionCause": f"{name} is broken."} if state == "FAILED" else {}
        return {"id": name, "path": f"path/{name}", "status": state, "additionalData": notes}


def test_nothing_to_watch_is_over_at_once():
    """Without a look or a pause."""
    service = Service({})

    assert service.run() == Outcome()
    assert service.asked == service.clock.waits == []


def test_all_are_watched_until_their_end():
    """Each end is counted once; the failed one with its path and cause."""
    service = Service({"a": ["WAITING", "INGESTED"], "b": ["WAITING", "QUEUED", "INGESTING", "FAILED"]})

    outcome = service.run()

    assert (outcome.ingested, outcome.failed, outcome.pending) == (1, 1, 0)
    assert outcome.failures == ({"path": "path/b", "state": "FAILED", "cause": "b is broken."},)


def test_the_pause_grows_and_starts_small_again_with_news():
    """Others are likely to follow the one that came to its end."""
    service = Service({"a": ["WAITING"] * 6 + ["INGESTED"], "b": ["WAITING"] * 9 + ["INGESTED"]})

    service.run(poll_interval=20)

    assert service.clock.waits == [5, 7.5, 11.25, 16.875, 20, 20, 5, 7.5, 11.25]


def test_a_short_interval_is_kept_from_the_start():
    """Who asks for one second gets it."""
    service = Service({"a": ["WAITING"] * 3 + ["INGESTED"]})

    service.run(poll_interval=1)

    assert service.clock.waits == [1, 1, 1]


def test_time_is_up_after_a_last_look():
    """Which is taken at the end, not before it; what has come to no end is counted."""
    service = Service({"a": ["WAITING", "INGESTED"], "b": ["WAITING"]})

    outcome = service.run(ends=12.0)

    assert sum(service.clock.waits) == 12.0
    assert (outcome.ingested, outcome.pending) == (1, 1)


def test_pages_are_turned_until_the_rest_is_cheaper_to_ask_for():
    """Newest first: the rest of a large collection is not read."""
    service = Service({**{f"old{n}": ["INGESTED"] for n in range(50)}, "a": ["INGESTED"], "b": ["INGESTED"]}, size=1)

    service.run(["a", "old49", "b"])

    assert [look.params.get("viewtoken") for look in service.asked] == [None, "1", None]
    assert service.asked[-1].endpoint == f"{LIST}/old49"


def test_few_tiles_among_many_are_looked_at_one_by_one():
    """Where that takes no more requests than the list did the last time."""
    service = Service({"a": ["WAITING"] * 3 + ["INGESTED"], **{f"new{n}": ["INGESTED"] for n in range(9)}}, size=2)

    service.run(["a"])

    assert [look.endpoint for look in service.asked] == [LIST] + [f"{LIST}/a"] * 3


def test_a_tile_that_was_on_no_page_is_looked_at_itself():
    """Pages move while they are turned."""
    service = Service({"a": ["INGESTED"], "b": ["INGESTED"]})
    service.hidden = {"a"}

    assert service.run().ingested == 2
    assert [look.endpoint for look in service.asked] == [LIST, f"{LIST}/a"]


def test_a_deleted_tile_is_a_failure():
    """Nobody waits for it."""
    outcome = Service({"a": ["INGESTED"]}).run(["a", "gone"])

    assert (outcome.ingested, outcome.failed) == (1, 1)
    assert outcome.failures[0]["state"] == "GONE"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(SentinelHubServerError("503"), id="failing service"),
        pytest.param(SentinelHubResponseError("HTML"), id="an answer that is none"),
        pytest.param(SentinelHubRateLimitError("429"), id="rate limit"),
    ],
)
def test_what_is_wrong_for_a_while_is_waited_out(fault: SentinelHubError):
    """With a warning, and a longer pause."""
    service = Service({"a": ["INGESTED"]})
    service.faults = [fault, fault]

    assert service.run().ingested == 1
    assert service.clock.waits == [5, 7.5, 11.25]
    assert [is_warning for _, is_warning in service.notes] == [False, True, True]


def test_a_rate_limit_that_says_how_long_is_obeyed():
    """Also beyond the longest pause."""
    service = Service({"a": ["INGESTED"]})
    service.faults = [SentinelHubRateLimitError("429", retry_after=90.0)]

    service.run()

    assert service.clock.waits == [5, 90.0]


@pytest.mark.parametrize("kind", [SentinelHubAuthenticationError, SentinelHubNotFoundError])
def test_what_no_waiting_cures_ends_the_watch(kind: type[SentinelHubError]):
    """A client that is refused, a collection that was deleted."""
    service = Service({"a": ["WAITING"]})
    service.faults = [kind("no")]

    with pytest.raises(kind):
        service.run()
    assert len(service.asked) == 1


def test_a_fault_until_the_end_leaves_all_pending():
    """It is not taken for success."""
    service = Service({"a": ["INGESTED"]})
    service.faults = [SentinelHubServerError("503")] * 100

    assert service.run(ends=600.0).pending == 1


# --- what came of it -------------------------------------------------------------------------------------------------


def outcome_of(*states: str) -> Outcome:
    """Sum up tiles in these states."""
    return Outcome.of(Tile(str(n), f"path/{n}", TileState(state), cause="Why.") for n, state in enumerate(states))


def test_only_the_first_failures_are_named():
    """The event of a collection of ten thousand broken files stays small."""
    outcome = outcome_of(*["FAILED"] * 10_000) + outcome_of("FAILED")

    assert outcome.failed == 10_001
    assert len(outcome.failures) == SHOWN
    assert len(json.dumps(finished_event(outcome, ID, {}))) < 2_000


def test_a_failure_names_counts_path_and_cause():
    """Once all have come to their end, or time was up."""
    with pytest.raises(SentinelHubJobError, match=r"1 of 3 tiles.*1 are ingested, 1 are under way") as error:
        check_outcome(outcome_of("INGESTED", "FAILED", "WAITING"), ID, waited=60)

    assert "'path/1' is FAILED: Why." in str(error.value)
    assert (error.value.job_status, error.value.reason) == ("FAILED", "Why.")


def test_many_failures_are_counted_behind_the_first():
    """So that the message can be read."""
    with pytest.raises(SentinelHubJobError, match=r"'path/9' is FAILED: Why; and 2 more\."):
        check_outcome(outcome_of(*["FAILED"] * 12), ID, waited=60)


def test_time_that_was_up_says_so():
    """With the argument that allows more."""
    with pytest.raises(SentinelHubJobError, match=r"1 of 2 tiles.*after max_wait=60 seconds; 1 are"):
        check_outcome(outcome_of("INGESTED", "WAITING"), ID, waited=60)


def test_all_ingested_is_no_error():
    """Nor is nothing at all."""
    check_outcome(outcome_of("INGESTED", "INGESTED"), ID, waited=60)
    check_outcome(Outcome(), ID, waited=60)


# --- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("states", [[], ["INGESTED"], ["FAILED", "INGESTED", "WAITING"]])
def test_an_event_survives_the_way_to_the_task(states: list[str]):
    """As JSON, which is what Airflow stores."""
    outcome = outcome_of(*states)

    event = json.loads(json.dumps(finished_event(outcome, ID, {"known": 1})))

    assert read_event(event, ID) == (outcome, {"known": 1})


def test_an_event_says_whether_time_was_up():
    """Without looking at the counts."""
    assert finished_event(outcome_of("INGESTED"), ID, {})["status"] == "finished"
    assert finished_event(outcome_of("WAITING"), ID, {})["status"] == "timeout"


def test_the_error_that_ended_the_watch_reaches_the_task():
    """Its class and its message."""
    with pytest.raises(SentinelHubJobError, match=r"\(SentinelHubAuthenticationError\): wrong secret"):
        read_event(error_event(SentinelHubAuthenticationError("wrong secret"), ID), ID)


GOOD = finished_event(outcome_of("INGESTED"), ID, {})


@pytest.mark.parametrize(
    ("event", "words"),
    [
        pytest.param(None, "woken by None", id="none"),
        pytest.param({}, "woken by {}", id="empty"),
        pytest.param("finished", "woken by 'finished'", id="text"),
        pytest.param({**GOOD, "status": "success"}, "not an event of an ingestion", id="unknown"),
        pytest.param({**GOOD, "collection_id": "other"}, "not an event of an ingestion", id="foreign"),
        pytest.param({**GOOD, "submitted": None}, "not an event of an ingestion", id="without its past"),
        pytest.param({**GOOD, "outcome": None}, "not an outcome", id="without outcome"),
        pytest.param({**GOOD, "outcome": {"ingested": 1}}, "not an outcome", id="incomplete"),
        pytest.param({**GOOD, "outcome": {**GOOD["outcome"], "failed": "0"}}, "not an outcome", id="wrong type"),
        pytest.param({**GOOD, "outcome": {**GOOD["outcome"], "failures": [1]}}, "not an outcome", id="wrong items"),
    ],
)
def test_an_event_that_is_none_fails_loudly(event: Any, words: str):
    """It is not taken for success."""
    with pytest.raises(SentinelHubResponseError, match=words):
        read_event(event, ID)


@pytest.mark.parametrize("make", [lambda: outcome_of("FAILED"), lambda: outcome_of("INGESTED", "WAITING")])
def test_outcomes_add_up(make: Callable[[], Outcome]):
    """What was known before the wait and what came of it are one."""
    outcome = make() + outcome_of("INGESTED")

    assert outcome.count == make().count + 1
    assert outcome.ingested == make().ingested + 1
