"""The trigger that waits for tiles: what is kept of it, and how it ends. No service."""

from __future__ import annotations

import asyncio
import importlib
import json
from typing import Any

import pytest
from clocks import FakeClock

from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubError,
    SentinelHubTransportError,
)
from sentinelhub_provider.triggers import byoc
from sentinelhub_provider.triggers.byoc import SentinelHubByocTilesTrigger

ID = "12345678-1234-1234-1234-123456789abc"
ARGUMENTS: dict[str, Any] = {
    "collection_id": ID,
    "tile_ids": ["1", "2"],
    "submitted": {"result": {"tiles": 2}},
    "waits_until": 1_300.0,
    "poll_interval": 30.0,
    "timeout": None,
    "deadline": 60.0,
    "sentinelhub_conn_id": "mine",
}


class Answer:
    """A page of both tiles; or text that is no JSON."""

    def __init__(self, state: str | None) -> None:
        page = {"data": [{"id": name, "path": name, "status": state} for name in ARGUMENTS["tile_ids"]]}
        self.content = "no JSON" if state is None else json.dumps(page)


class Hook:
    """Answers with a list of states or errors; the last one for ever."""

    made: list[Hook]
    answers: list[Any]

    def __init__(self, conn_id: str) -> None:
        self.conn_id, self.asked, self.closed = conn_id, [], 0
        Hook.made.append(self)

    async def arequest(self, method: str, endpoint: str, **more: Any) -> Answer:
        """Answer."""
        self.asked.append((method, endpoint, more))
        answer = Hook.answers.pop(0) if len(Hook.answers) > 1 else Hook.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return Answer(answer)

    async def aclose(self) -> None:
        """Count closings."""
        self.closed += 1


@pytest.fixture(name="run")
def fixture_run(monkeypatch: pytest.MonkeyPatch):
    """Run a trigger to its end; returns its events."""
    Hook.made = []
    monkeypatch.setattr(byoc, "SentinelHubHook", Hook)
    clock = FakeClock(1_000.0)

    def run(*answers: Any) -> list[Any]:
        Hook.answers = list(answers)
        trigger = SentinelHubByocTilesTrigger(**ARGUMENTS)
        trigger._clock, trigger._sleep = clock, clock.asleep

        async def fire() -> list[Any]:
            return [event.payload async for event in trigger.run()]

        return asyncio.run(fire())

    run.clock = clock  # type: ignore[attr-defined]
    return run


def test_a_trigger_is_made_anew_from_what_is_kept():
    """In another triggerer, from JSON."""
    path, arguments = json.loads(json.dumps(SentinelHubByocTilesTrigger(**ARGUMENTS).serialize()))
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**arguments)

    assert again.serialize() == (path, ARGUMENTS)


def test_it_fires_once_when_all_have_come_to_their_end(run):
    """Over one hook, which is closed."""
    (event,) = run("WAITING", "INGESTING", "INGESTED")

    assert (event["status"], event["collection_id"], event["outcome"]["ingested"]) == ("finished", ID, 2)
    assert event["submitted"] == ARGUMENTS["submitted"]
    (hook,) = Hook.made
    assert (hook.conn_id, hook.closed, len(hook.asked)) == ("mine", 1, 3)
    assert hook.asked[0][2] == {"params": {"count": 100, "sort": "created:desc"}, "timeout": None, "deadline": 60.0}


def test_it_waits_before_it_looks(run):
    """So that it never fires at once: Airflow may still be busy putting the task aside."""
    run("INGESTED")

    assert run.clock.waits == [pytest.approx(5.0, rel=0.1)]


def test_it_ends_at_the_set_time(run):
    """Whatever the tiles do."""
    (event,) = run("WAITING")

    assert (event["status"], event["outcome"]["pending"]) == ("timeout", 2)
    assert run.clock() == pytest.approx(ARGUMENTS["waits_until"])


@pytest.mark.parametrize("fault", [SentinelHubTransportError("broke"), None], ids=["broken", "no JSON"])
def test_it_survives_what_passes(run, fault: SentinelHubError | None):
    """And looks again."""
    (event,) = run(fault, fault, "INGESTED")

    assert event["status"] == "finished"


def test_what_no_waiting_cures_ends_it(run):
    """With the error's class and message; the hook is closed."""
    (event,) = run(SentinelHubAuthenticationError("the client is refused"))

    assert event == {
        "status": "error",
        "collection_id": ID,
        "error": "SentinelHubAuthenticationError",
        "message": "the client is refused",
    }
    assert Hook.made[0].closed == 1


def test_a_mistake_of_ours_is_not_hidden(run):
    """Airflow fails the task with the traceback; the hook is closed."""
    with pytest.raises(KeyError):
        run(KeyError("no"))

    assert Hook.made[0].closed == 1


def test_a_cancelled_trigger_closes_its_connections(run):
    """As when the triggerer stops or the task is cleared."""
    with pytest.raises(asyncio.CancelledError):
        run(asyncio.CancelledError())

    assert Hook.made[0].closed == 1
