"""The BYOC operators without a service: what is refused before anything is sent, and what wakes a deferred task."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from json import dumps
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from sentinelhub_provider.api.byoc.ingestion import Outcome, finished_event
from sentinelhub_provider.exceptions import SentinelHubResponseError
from sentinelhub_provider.operators.byoc import (
    ByocOperator,
    SentinelHubByocCreateCollectionOperator,
    SentinelHubByocDeleteCollectionOperator,
    SentinelHubByocDeleteTilesOperator,
    SentinelHubByocIngestOperator,
)

ID = "12345678-1234-1234-1234-123456789abc"
GOOD: dict[type[ByocOperator], dict[str, Any]] = {
    SentinelHubByocCreateCollectionOperator: {"name": "n", "s3_bucket": "b"},
    SentinelHubByocIngestOperator: {"collection_id": ID, "tiles": ["a"]},
    SentinelHubByocDeleteCollectionOperator: {"collection_id": ID},
    SentinelHubByocDeleteTilesOperator: {"collection_id": ID, "tiles": ["a"]},
}
SUBMITTED = {
    "result": {"collection_id": ID, "tiles": 3, "created": 2},
    "outcome": asdict(Outcome(ingested=1)),
}


class Hook:
    """Answers with what ``reply`` makes of a request, as far as the operators look at it."""

    def __init__(self, reply: Callable[[str, str, Any], Any] | None = None) -> None:
        self.reply = reply
        self.sent: list[tuple[str, str, Any]] = []

    def request(self, method: str, endpoint: str, *, json: Any = None, params: Any = None, **_: Any) -> Any:
        """Answer."""
        self.sent.append((method, endpoint, params if method == "GET" else json))
        assert self.reply is not None, f"{method} {endpoint} was sent"
        answer = self.reply(method, endpoint, params)
        headers, document = answer if isinstance(answer, tuple) else ({}, answer)
        return SimpleNamespace(headers=headers, content=dumps(document))


def make(kind: type[ByocOperator], hook: Hook, **arguments: Any) -> ByocOperator:
    """Make an operator that uses this hook and does not wait."""
    operator = kind(task_id="t", **{**GOOD[kind], **arguments})
    vars(operator)["hook"] = hook
    operator._sleep = lambda _: None
    return operator


def context() -> Any:
    """What Airflow hands to a task; what is pushed is in ``pushed`` of its task instance."""
    pushed: dict[str, Any] = {}
    return {"ti": SimpleNamespace(pushed=pushed, xcom_push=lambda key, value: pushed.update({key: value}))}


@pytest.mark.parametrize("kind", GOOD)
def test_templated_fields_are_arguments(kind: type[ByocOperator]):
    """All of them, and the connection among them."""
    operator = make(kind, Hook())

    assert "sentinelhub_conn_id" in kind.template_fields
    assert all(hasattr(operator, name) for name in kind.template_fields)


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        (SentinelHubByocCreateCollectionOperator, {"if_exists": "skip"}, "if_exists is 'skip'. Give one of use, fail"),
        (SentinelHubByocCreateCollectionOperator, {"name": ""}, "name is ''"),
        (SentinelHubByocCreateCollectionOperator, {"bands": {"B": "int"}}, "bands"),
        (SentinelHubByocIngestOperator, {"collection_id": "mine"}, "collection_id is 'mine'"),
        (SentinelHubByocIngestOperator, {"reingest": "yes"}, "reingest is 'yes'. Give one of none, failed, all"),
        (SentinelHubByocIngestOperator, {"tiles": ["/a"]}, r"tiles\[0\].path"),
        (SentinelHubByocIngestOperator, {"tiles": "a/(BAND).tif"}, "tiles is a str. Give a list"),
        (SentinelHubByocIngestOperator, {"tiles": "[a]"}, "tiles is not JSON"),
        (SentinelHubByocIngestOperator, {"poll_interval": 0}, "poll_interval is 0"),
        (SentinelHubByocDeleteCollectionOperator, {"collection_id": None}, "collection_id is None"),
        (SentinelHubByocDeleteCollectionOperator, {"if_missing": "ok"}, "if_missing is 'ok'"),
        (SentinelHubByocDeleteTilesOperator, {"tiles": None}, "tiles is a NoneType"),
        (SentinelHubByocDeleteTilesOperator, {"if_missing": None}, "if_missing is None"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else getattr(value, "__name__", "")[14:-8],
)
def test_a_bad_argument_is_named_before_anything_is_sent(kind: type[ByocOperator], arguments: Any, words: str):
    """And no retry is spent on it."""
    hook = Hook()
    with pytest.raises(AirflowFailException, match=words):
        make(kind, hook, **arguments).execute(context())

    assert hook.sent == []


def test_what_the_service_says_it_cost_is_believed():
    """Before what the documentation says."""

    def reply(method: str, endpoint: str, params: Any) -> Any:
        if method == "GET":
            return {"data": []}
        return {"x-processingunits-spent": "0.5"}, {"data": {"id": ID, "name": "n", "s3Bucket": "b"}}

    task = context()
    made = make(SentinelHubByocCreateCollectionOperator, Hook(reply)).execute(task)

    assert made["processing_units"] == task["ti"].pushed["processing_units"] == 0.5


def test_an_answer_that_is_none_is_looked_behind():
    """A proxy may answer in the service's place after the service has acted; it was paid for once."""
    lists = iter([[], [{"id": ID, "name": "n", "s3Bucket": "b"}]])
    hook = Hook(lambda method, endpoint, params: {"data": next(lists)} if method == "GET" else {"moved": True})

    made = make(SentinelHubByocCreateCollectionOperator, hook).execute(context())

    assert (made["collection_id"], made["processing_units"]) == (ID, 1)
    assert [method for method, *_ in hook.sent] == ["GET", "POST", "GET"]


def test_a_tile_of_a_folder_is_found_by_its_files():
    """The service may list the one for the other."""
    there = {"id": "1", "path": "x/(BAND).tiff", "status": "INGESTED"}
    hook = Hook(lambda method, endpoint, params: {"data": [there]})

    result = make(SentinelHubByocIngestOperator, hook, tiles=["x"]).execute(context())

    assert (result["existing"], result["ingested"]) == (1, 1)
    assert [method for method, *_ in hook.sent] == ["GET"]


def test_tiles_may_come_as_json():
    """As a template renders them."""
    hook = Hook(lambda method, endpoint, params: {"data": [{"id": "1", "path": "x", "status": "INGESTED"}]})

    assert make(SentinelHubByocIngestOperator, hook, tiles=' [{"path": "x"}]').execute(context())["ingested"] == 1


# --- woken -----------------------------------------------------------------------------------------------------------


def finished(**outcome: Any) -> dict[str, Any]:
    """Return what the trigger says, as Airflow stores it."""
    event: dict[str, Any] = json.loads(json.dumps(finished_event(Outcome(**outcome), ID, SUBMITTED)))
    return event


def wake(event: Any) -> Any:
    """Go on after a wait, in a task that knows only its arguments."""
    operator = make(SentinelHubByocIngestOperator, Hook())
    return operator.execute_complete(context(), event=event)  # type: ignore[attr-defined]


def test_what_was_known_and_what_came_of_the_wait_are_one_result():
    """Nothing more is asked."""
    result = wake(finished(ingested=2, warned=1, warnings=({"path": "a", "warning": "w"},)))

    assert result == {"collection_id": ID, "tiles": 3, "created": 2, "ingested": 3, "warned": 1}


@pytest.mark.parametrize(
    "event",
    [None, {}, "done", {"status": "success"}, {**finished(), "collection_id": ID[::-1]}, {"status": "finished"}],
    ids=["none", "empty", "text", "unknown", "foreign", "incomplete"],
)
def test_an_event_that_is_none_fails_loudly(event: Any):
    """A retry may look anew."""
    with pytest.raises(SentinelHubResponseError, match="event"):
        wake(event)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (finished(pending=2), "2 of 3 tiles .* are not ingested"),
        (
            finished(failed=2, failures=({"path": "a", "state": "FAILED", "cause": "Why."},)),
            "2 of 3 tiles .* failed, 1 are ingested.*'a' is FAILED: Why; and 1 more",
        ),
        ({"status": "error", "collection_id": ID, "error": "SentinelHubPermissionError", "message": "no"}, "no$"),
    ],
    ids=["timeout", "failed", "error"],
)
def test_a_bad_end_fails_the_task(event: Any, words: str):
    """Without a retry, which would wait for the same."""
    with pytest.raises(AirflowFailException, match=words):
        wake(event)


def test_a_deferred_task_hands_over_plain_values():
    """Airflow stores them as JSON; the trigger gets the connection's id, and when to end."""
    there = {"id": "1", "path": "a", "status": "QUEUED"}
    operator = make(
        SentinelHubByocIngestOperator,
        Hook(lambda method, endpoint, params: {"data": [there]}),
        deferrable=True,
        sentinelhub_conn_id="mine",
        timeout=7,
        deadline=70,
    )
    with pytest.raises(TaskDeferred) as deferred:
        operator.resume(context(), waits_until=5_000_000_000.0)

    assert deferred.value.method_name == "execute_complete"
    assert deferred.value.kwargs is None  # dag.test() would forget them
    path, arguments = deferred.value.trigger.serialize()
    assert arguments.pop("submitted")["result"]["existing"] == 1
    assert json.loads(json.dumps(arguments)) == arguments
    assert path == "sentinelhub_provider.triggers.byoc.SentinelHubByocTilesTrigger"
    assert arguments == {
        "collection_id": ID,
        "tile_ids": ["1"],
        "waits_until": 5_000_000_000.0,
        "poll_interval": 60.0,
        "timeout": 7,
        "deadline": 70,
        "sentinelhub_conn_id": "mine",
    }
