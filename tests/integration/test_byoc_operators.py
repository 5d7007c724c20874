"""The BYOC operators and their trigger against the sandbox over real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from clocks import FakeClock
from job_tasks import StateStore, Variables
from task_instance import TaskInstance

from sentinelhub_provider.api.imagery import FACTS_KEY
from sentinelhub_provider.exceptions import (
    SentinelHubServerError,
    SentinelHubTransportError,
)
from sentinelhub_provider.operators import byoc
from sentinelhub_provider.operators.byoc import ByocOperator
from sentinelhub_provider.operators.byoc_calls import ByocCalls
from sentinelhub_provider.sandbox.apis.byoc.ingestion import Durations, Failure, Remark
from sentinelhub_provider.sandbox.apis.byoc.state import ByocStore

UNKNOWN = "00000000-0000-0000-0000-000000000000"
COLLECTIONS = "/byoc/v1/collections"
SQUARE = {"type": "Polygon", "coordinates": [[[14.0, 46.0], [14.1, 46.0], [14.1, 46.1], [14.0, 46.0]]]}


class Tasks:
    """Runs operators as tasks would, on a clock that only waits move; each wait moves all tiles on by one state."""

    def __init__(self, store: ByocStore) -> None:
        self.store, self.clock, self.ti = store, FakeClock(), TaskInstance()
        self.state: StateStore | None = StateStore()
        self.operators: list[ByocOperator] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass, here and for the tiles."""
        self.clock.sleep(seconds)
        self.store.step()

    async def asleep(self, seconds: float) -> None:
        """Do what :meth:`sleep` does, for the event loop."""
        self.sleep(seconds)

    def make(self, kind: type[ByocOperator], **arguments: Any) -> ByocOperator:
        """Make an operator, its templates rendered."""
        operator = kind(task_id="t", **arguments)
        operator._clock, operator._sleep = self.clock, self.sleep
        operator.render_template_fields(self.context)
        self.operators.append(operator)
        return operator

    @property
    def context(self) -> Any:
        """What Airflow hands to a task."""
        return {"ti": self.ti, "ds": "2024-06-01", "task_state_store": self.state}

    def run(self, kind: type[ByocOperator], **arguments: Any) -> Any:
        """Run a task to its end."""
        self.ti.pushed.clear()
        operator = self.make(kind, **arguments)
        return operator.resume(self.context, waits_until=self.clock() + operator.max_wait)

    def create(self, **arguments: Any) -> dict[str, Any]:
        """Create a collection."""
        return self.run(
            byoc.SentinelHubByocCreateCollectionOperator, **{"name": "mine", "s3_bucket": "bucket", **arguments}
        )

    def ingest(self, collection_id: str, *tiles: Any, **arguments: Any) -> dict[str, Any]:
        """Ingest tiles."""
        return self.run(byoc.SentinelHubByocIngestOperator, collection_id=collection_id, tiles=list(tiles), **arguments)

    def delete(self, collection_id: str, *tiles: Any, **arguments: Any) -> dict[str, Any]:
        """Delete tiles; without any, the collection."""
        kind: type[ByocOperator] = byoc.SentinelHubByocDeleteCollectionOperator
        if tiles:
            kind, arguments = byoc.SentinelHubByocDeleteTilesOperator, {"tiles": list(tiles), **arguments}
        return self.run(kind, collection_id=collection_id, **arguments)

    def resumed(self, deferred: TaskDeferred, **arguments: Any) -> Any:
        """Run the trigger as a triggerer would and go on in another process: all that is kept went through JSON."""
        path, given = json.loads(json.dumps(deferred.trigger.serialize()))
        module, _, name = path.rpartition(".")
        trigger = getattr(importlib.import_module(module), name)(**given)
        trigger._clock, trigger._sleep = self.clock, self.asleep

        async def fire() -> list[Any]:
            return [event.payload async for event in trigger.run()]

        (event,) = asyncio.run(fire())
        self.event = json.loads(json.dumps(event))
        operator = self.make(byoc.SentinelHubByocIngestOperator, tiles=[], **arguments)
        return getattr(operator, deferred.method_name)(self.context, event=self.event)


@pytest.fixture(name="store")
def fixture_store(sentinelhub_sandbox, sentinelhub_sandbox_server) -> ByocStore:
    """The collections in the sandbox. Tiles go on when they are told to."""
    store: ByocStore = ByocStore.of(sentinelhub_sandbox_server.sandbox)
    store.set_ingestion(Durations(None, None))
    return store


@pytest.fixture(name="tasks")
def fixture_tasks(connect, store: ByocStore) -> Iterator[Tasks]:
    """Tasks with a connection to the sandbox."""
    connect()
    tasks = Tasks(store)
    yield tasks
    for operator in tasks.operators:
        if "hook" in vars(operator):
            operator.hook.get_conn().close()


@pytest.fixture(name="sent")
def fixture_sent(sentinelhub_sandbox) -> Callable[[str], int]:
    """Count requests by method; those that broke off included."""
    return lambda method: sum(
        one.method == method and one.path.startswith("/byoc") for one in sentinelhub_sandbox.control.requests()
    )


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what was logged."""
    return "".join(capsys.readouterr())


# --- collections -----------------------------------------------------------------------------------------------------


def test_a_collection_is_created(tasks: Tasks):
    """As it was described; what comes back names it for other operators."""
    made = tasks.create(no_data="0", bands={"B04": "uint16"})

    (there,) = tasks.store._collections.values()
    assert (there.name, there.bucket, there.no_data) == ("mine", "bucket", 0)
    assert there.bands == {"B04": {"bitDepth": 16, "sampleFormat": "UINT"}}
    assert made == {
        "collection_id": there.id,
        "collection": f"byoc-{there.id}",
        "name": "mine",
        "s3_bucket": "bucket",
        "created": True,
        "processing_units": 1.0,
        "estimated_processing_units": 1.0,
    }


def test_a_collection_that_is_there_is_used(tasks: Tasks, sent):
    """Found on whatever page by its whole name, and for nothing."""
    for number in range(120):
        tasks.store.create("other", name=f"of another client {number}", bucket="b", no_data=None, bands={})
    first = tasks.create(bands={"B04": "uint16"})
    owner = next(one.owner for one in tasks.store._collections.values() if one.name == "mine")
    for number in range(120):
        tasks.store.create(owner, name=f"mine {number}", bucket="b", no_data=None, bands={})

    again = tasks.create(bands={"B04": "uint16"})
    last = tasks.create(name="mine 119", s3_bucket="b")

    assert (again["collection_id"], again["created"]) == (first["collection_id"], False)
    assert (last["created"], last["processing_units"], tasks.ti.pushed["estimated_processing_units"]) == (False, 0, 0)
    assert sent("POST") == 1


def test_bands_may_be_rendered_as_json(tasks: Tasks):
    """As a template without native types renders them; other collections may be odd."""
    tasks.create(bands='{"B04": "uint16"}')
    (made,) = tasks.store._collections.values()
    odd = tasks.store.create(made.owner, name="odd", bucket="b", no_data=None, bands={})
    tasks.store._collections["odd"] = dataclasses.replace(odd, id="no-uuid")

    assert tasks.create(bands={"B04": "uint16"})["created"] is False


def test_a_collection_that_is_there_may_be_a_failure(tasks: Tasks):
    """Where the task shall make a new one."""
    tasks.create()

    with pytest.raises(AirflowFailException, match="'mine' already exists"):
        tasks.create(if_exists="fail")


def test_a_collection_of_another_bucket_is_not_used(tasks: Tasks):
    """The name alone does not make it the same."""
    tasks.create()

    with pytest.raises(AirflowFailException, match=r"s3_bucket: .*'bucket' instead of 'elsewhere'"):
        tasks.create(s3_bucket="elsewhere")


@pytest.mark.parametrize("if_exists", ["use", "fail"])
@pytest.mark.parametrize("kind", ["truncate", "reset_mid_body"])
def test_a_lost_answer_makes_no_second_collection(tasks: Tasks, sentinelhub_sandbox, sent, kind: str, if_exists: str):
    """It is looked for, and found."""
    sentinelhub_sandbox.control.add_fault(path=COLLECTIONS, method="POST", action={"kind": kind, "after_bytes": 1})

    made = tasks.create(if_exists=if_exists)

    assert made["created"]
    assert made["processing_units"] == 1
    assert list(tasks.store._collections) == [made["collection_id"]]
    assert sent("POST") == 1


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ({"kind": "status", "status": 503}, SentinelHubServerError),
        ({"kind": "reset"}, SentinelHubTransportError),
    ],
    ids=["503", "reset"],
)
def test_a_collection_that_was_not_made_is_left_to_a_retry(tasks: Tasks, sentinelhub_sandbox, sent, action, error):
    """The request is not repeated blindly; the retry makes one."""
    sentinelhub_sandbox.control.add_fault(path=COLLECTIONS, method="POST", action=action)

    with pytest.raises(error):
        tasks.create()
    assert sent("POST") == 1

    assert tasks.create()["created"]
    assert len(tasks.store._collections) == 1


def test_a_collection_that_somebody_else_makes_meanwhile_is_used(tasks: Tasks, sentinelhub_sandbox, monkeypatch):
    """The service says so (409)."""
    find = byoc.SentinelHubByocCreateCollectionOperator._check_cost

    def meanwhile(self: Any, *arguments: Any) -> float:
        tasks.store.create(sentinelhub_sandbox.client_id, name="mine", bucket="bucket", no_data=None, bands={})
        return find(self, *arguments)

    monkeypatch.setattr(byoc.SentinelHubByocCreateCollectionOperator, "_check_cost", meanwhile)
    made = tasks.create()

    assert (made["created"], made["processing_units"]) == (False, 0)
    assert list(tasks.store._collections) == [made["collection_id"]]


def test_a_collection_is_deleted(tasks: Tasks):
    """By its id, in either form; a second time there is nothing to do."""
    collection = tasks.create()["collection"]

    assert tasks.delete(collection)["deleted"]
    assert tasks.store._collections == {}
    again = tasks.delete(collection)
    assert (again["deleted"], again["processing_units"]) == (False, 0)
    with pytest.raises(AirflowFailException, match="no BYOC collection"):
        tasks.delete(collection, if_missing="fail")


def test_a_lost_answer_to_a_deletion_is_no_miss(tasks: Tasks, sentinelhub_sandbox, monkeypatch):
    """The repeated request finds nothing: that is what was wanted."""
    collection = tasks.create()["collection_id"]
    operator = tasks.make(byoc.SentinelHubByocDeleteCollectionOperator, collection_id=collection, if_missing="fail")
    request = operator.hook.request

    def after_another(method: str, endpoint: str, **more: Any) -> Any:
        if method == "DELETE":
            tasks.store.delete(collection)
        return request(method, endpoint, **more)

    monkeypatch.setattr(operator.hook, "request", after_another)

    assert not operator.execute(tasks.context)["deleted"]


# --- ingestion -------------------------------------------------------------------------------------------------------


def test_tiles_are_ingested(tasks: Tasks):
    """The task waits until they are, and counts."""
    collection = tasks.create()["collection"]

    result = tasks.ingest(
        collection,
        "{{ ds }}/(BAND).tif",
        {"path": "b/(BAND).tif", "coverGeometry": SQUARE, "sensingTime": "2024-06-01T10:00:00Z"},
    )

    tiles = next(iter(tasks.store._collections.values())).tiles.values()
    assert [tile.path for tile in tiles] == ["2024-06-01/(BAND).tif", "b/(BAND).tif"]
    assert [(tile.geometry, tile.sensing_time) for tile in tiles][1] == (SQUARE, "2024-06-01T10:00:00Z")
    assert [tasks.store.status(tile) for tile in tiles] == ["INGESTED", "INGESTED"]
    assert tasks.clock.waits == [pytest.approx(5, rel=0.1), pytest.approx(7.5, rel=0.1)]
    assert result == {
        "collection_id": collection.removeprefix("byoc-"),
        "collection": collection,
        "tiles": 2,
        "created": 2,
        "reingested": 0,
        "existing": 0,
        "ingested": 2,
        "warned": 0,
        "processing_units": 2.0,
        "estimated_processing_units": 2.0,
    }
    costs = {name: value for name, value in tasks.ti.pushed.items() if name != FACTS_KEY}
    assert costs == {"processing_units": 2.0, "estimated_processing_units": 2.0}


def test_many_tiles_are_ingested(tasks: Tasks, sentinelhub_sandbox):
    """More than a page of them; the price is what the sandbox charges."""
    collection = tasks.create()["collection_id"]
    before = sentinelhub_sandbox.control.counters().processing_units

    result = tasks.ingest(collection, *[f"{number}/(BAND).tif" for number in range(130)])

    assert (result["created"], result["ingested"]) == (130, 130)
    assert sentinelhub_sandbox.control.counters().processing_units - before == result["processing_units"] == 130


def test_tiles_that_are_there_are_used(tasks: Tasks, sent):
    """A second run of the task costs nothing and waits for nothing."""
    collection = tasks.create()["collection_id"]
    tasks.ingest(collection, "a", "b")
    posts = sent("POST")

    result = tasks.ingest(collection, "a", "b")

    assert (result["existing"], result["ingested"], result["processing_units"]) == (2, 2, 0)
    assert sent("POST") == posts
    assert len(tasks.clock.waits) == 2


def test_a_tile_that_is_under_way_is_waited_for(tasks: Tasks):
    """As after a retry of the task: it is not created again."""
    collection = tasks.create()["collection_id"]
    tasks.store.add_tile(collection, path="a")

    result = tasks.ingest(collection, "a", reingest="all")

    assert (result["existing"], result["ingested"], result["processing_units"]) == (1, 1, 0)


def test_no_tiles_are_no_failure(tasks: Tasks, sent):
    """A day without files."""
    collection = tasks.create()["collection_id"]

    assert tasks.ingest(collection)["ingested"] == 0
    assert sent("POST") == 1


def test_a_failed_tile_fails_the_task(tasks: Tasks):
    """With path, cause and counts, after the others have come to their end."""
    tasks.store.set_ingestion(Durations(None, None), [Failure("bad*", "The file is no GeoTIFF.")])
    collection = tasks.create()["collection_id"]

    with pytest.raises(AirflowFailException, match=r"1 of 2 tiles .* failed, 1 are ingested, 0 are under way") as error:
        tasks.ingest(collection, "bad/(BAND).tif", "good/(BAND).tif")

    assert "'bad/(BAND).tif' is FAILED: The file is no GeoTIFF." in str(error.value)
    assert (error.value.__context__.job_status, error.value.__context__.reason) == ("FAILED", "The file is no GeoTIFF.")
    assert tasks.ti.pushed["processing_units"] == 2


def test_a_repaired_tile_is_ingested_again(tasks: Tasks):
    """Those that failed by default; the others are left."""
    tasks.store.set_ingestion(Durations(0, 0), [Failure("bad*")])
    collection = tasks.create()["collection_id"]
    with pytest.raises(AirflowFailException):
        tasks.ingest(collection, "bad", "good")
    tasks.store.set_ingestion(Durations(None, None))

    result = tasks.ingest(collection, "bad", "good")

    assert (result["reingested"], result["existing"], result["ingested"]) == (1, 1, 2)
    assert result["processing_units"] == 1


@pytest.mark.parametrize(("reingest", "units"), [("none", 0), ("all", 2)])
def test_what_is_ingested_again_can_be_chosen(tasks: Tasks, reingest: str, units: int):
    """None of them, or all."""
    tasks.store.set_ingestion(Durations(0, 0))
    collection = tasks.create()["collection_id"]
    tasks.ingest(collection, "a", "b")

    assert tasks.ingest(collection, "a", "b", reingest=reingest)["processing_units"] == units


@pytest.mark.parametrize("has_state", [True, False], ids=["state store", "before Airflow 3.3"])
def test_a_retry_ingests_no_tile_again_twice(tasks: Tasks, sentinelhub_sandbox, monkeypatch, has_state: bool):
    """Of ``all``: what an earlier attempt paid for is remembered, until the task has succeeded."""
    monkeypatch.setattr("airflow.sdk.Variable", Variables())
    tasks.state = tasks.state if has_state else None
    tasks.store.set_ingestion(Durations(0, 0))
    collection = tasks.create()["collection_id"]
    tasks.ingest(collection, "a", "b", "c")
    fault = {"path": "*/reingest", "method": "POST", "action": {"kind": "status", "status": 500}}
    sentinelhub_sandbox.control.add_fault(**fault, after=2)

    with pytest.raises(SentinelHubServerError):
        tasks.ingest(collection, "a", "b", "c", reingest="all")
    retry = tasks.ingest(collection, "a", "b", "c", reingest="all")
    cleared = tasks.ingest(collection, "a", "b", "c", reingest="all")

    assert (retry["reingested"], retry["existing"], retry["processing_units"]) == (1, 2, 1)
    assert cleared["reingested"] == 3


@pytest.mark.parametrize("has_state", [True, False], ids=["state store", "before Airflow 3.3"])
@pytest.mark.parametrize(
    ("fault", "tries", "deferrable", "is_kept"),
    [
        pytest.param(None, (1, 3), False, False, id="success"),
        pytest.param(None, (1, 3), True, False, id="success after a wait"),
        pytest.param(500, (1, 3), False, True, id="a retry follows"),
        pytest.param(500, (4, 3), False, False, id="last try"),
        pytest.param(400, (1, 3), False, False, id="final error"),
    ],
)
def test_no_record_outlives_its_use(
    tasks: Tasks, sentinelhub_sandbox, monkeypatch, fault, tries, deferrable: bool, is_kept: bool, has_state: bool
):
    """What was ingested again is forgotten when the task has ended for good, and not before."""
    variables, state = Variables(), StateStore()
    monkeypatch.setattr("airflow.sdk.Variable", variables)
    tasks.state = state if has_state else None
    tasks.store.set_ingestion(Durations(0, 0))
    collection = tasks.create()["collection_id"]
    tasks.ingest(collection, "a", "b")
    tasks.ti.try_number, tasks.ti.max_tries = tries
    if fault:
        action = {"kind": "status", "status": fault}
        sentinelhub_sandbox.control.add_fault(path="*/reingest", method="POST", action=action, after=1)
        with pytest.raises(SentinelHubServerError if fault == 500 else AirflowFailException):
            tasks.ingest(collection, "a", "b", reingest="all")
    elif deferrable:
        with pytest.raises(TaskDeferred) as deferred:
            tasks.ingest(collection, "a", "b", reingest="ALL", deferrable=True)
        assert variables.kept or state.values
        tasks.resumed(deferred.value, collection_id=collection, reingest="ALL")
    else:
        tasks.ingest(collection, "a", "b", reingest="all")

    assert bool(variables.kept or state.values) == is_kept


def killed_in_the_answer(monkeypatch, method: str, times: int = 1) -> None:
    """Let a worker die when the service has done what a call asked for, and before the task knows."""
    send, left = ByocCalls._send, [times]

    def dying(self: ByocCalls, used: str, *arguments: Any) -> Any:
        answer = send(self, used, *arguments)
        left[0] -= used == method
        if used == method and left[0] == 0:
            raise Killed
        return answer

    monkeypatch.setattr(ByocCalls, "_send", dying)


class Killed(BaseException):
    """What ends an attempt without a word."""


@pytest.mark.parametrize("has_state", [True, False], ids=["state store", "before Airflow 3.3"])
def test_a_retry_recognizes_its_own_work(tasks: Tasks, monkeypatch, has_state: bool):
    """With ``fail``: what an attempt made or deleted before it was killed; a cleared task finds it in the way again."""
    monkeypatch.setattr("airflow.sdk.Variable", Variables())
    tasks.state = tasks.state if has_state else None
    killed_in_the_answer(monkeypatch, "POST")
    with pytest.raises(Killed):
        tasks.create(if_exists="fail")
    made = tasks.create(if_exists="fail")
    assert (made["created"], len(tasks.store._collections)) == (True, 1)
    with pytest.raises(AirflowFailException, match="already exists"):
        tasks.create(if_exists="fail")

    collection = made["collection_id"]
    tasks.store.set_ingestion(Durations(0, 0))
    tasks.ingest(collection, "a", "b", "c")
    killed_in_the_answer(monkeypatch, "DELETE", times=2)
    with pytest.raises(Killed):
        tasks.delete(collection, "a", "b", "c", if_missing="fail")
    removed = tasks.delete(collection, "a", "b", "c", if_missing="fail")
    assert (removed["deleted"], removed["missing"], removed["processing_units"]) == (3, 0, 1)
    with pytest.raises(AirflowFailException, match="3 of 3 tiles are not in"):
        tasks.delete(collection, "a", "b", "c", if_missing="fail")

    killed_in_the_answer(monkeypatch, "DELETE")
    with pytest.raises(Killed):
        tasks.delete(collection, if_missing="fail")
    assert tasks.delete(collection, if_missing="fail")["deleted"]
    with pytest.raises(AirflowFailException, match="no BYOC collection"):
        tasks.delete(collection, if_missing="fail")


def test_a_retry_does_not_take_the_work_of_others_for_its_own(tasks: Tasks, monkeypatch):
    """An attempt that was refused, or that asked for another name, leaves nothing to recognize."""
    tasks.create()
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="already exists"):
            tasks.create(if_exists="fail")
    killed_in_the_answer(monkeypatch, "POST")
    with pytest.raises(Killed):
        tasks.create(if_exists="fail", name="new")
    with pytest.raises(AirflowFailException, match="already exists"):
        tasks.create(if_exists="fail", name="mine")


def test_a_record_that_cannot_be_kept_is_no_obstacle(tasks: Tasks, monkeypatch, capsys):
    """The collection is made; a warning tells what a retry may not know."""
    variables = Variables()
    monkeypatch.setattr(variables, "set", None)
    monkeypatch.setattr("airflow.sdk.Variable", variables)
    tasks.state = None
    assert tasks.create(if_exists="fail")["created"]
    assert "a retry may not recognize the work" in printed(capsys)


def test_a_failed_tile_that_is_left_fails_the_task_at_once(tasks: Tasks):
    """Nothing is sent, and nothing waited for."""
    tasks.store.set_ingestion(Durations(0, 0), [Failure("bad*", "Why.")])
    collection = tasks.create()["collection_id"]
    with pytest.raises(AirflowFailException):
        tasks.ingest(collection, "bad")
    waits = len(tasks.clock.waits)

    with pytest.raises(AirflowFailException, match="Why"):
        tasks.ingest(collection, "bad", reingest="none")
    assert len(tasks.clock.waits) == waits


def test_warnings_are_logged(tasks: Tasks, capsys):
    """The service's about a file, and ours about what was asked."""
    tasks.store.set_ingestion(Durations(0, 0), remarks=[Remark("odd*", "It has no overviews.")])
    collection = tasks.create()["collection_id"]
    tasks.ingest(collection, {"path": "a", "sensingTime": "2024-06-01"})

    result = tasks.ingest(collection, "odd.tif", {"path": "a", "sensingTime": "2024-06-02"})

    assert result["warned"] == 1
    log = printed(capsys)
    for words in ("'odd.tif': It has no overviews.", "names one file", "there already with sensing time 2024-06-01"):
        assert words in log


@pytest.mark.parametrize("kind", ["truncate", "reset_mid_body"])
def test_a_lost_answer_makes_no_second_tile(tasks: Tasks, sentinelhub_sandbox, kind: str):
    """It is looked for, found and waited for."""
    collection = tasks.create()["collection_id"]
    action = {"kind": kind, "after_bytes": 1}
    sentinelhub_sandbox.control.add_fault(path="*/tiles", method="POST", after=1, action=action)

    result = tasks.ingest(collection, "a", "b", "c")

    assert (result["created"], result["ingested"], result["processing_units"]) == (3, 3, 3)
    assert sentinelhub_sandbox.control.counters().processing_units == 4


def test_a_retry_goes_on_where_the_task_broke_off(tasks: Tasks, sentinelhub_sandbox):
    """What was created is used; what the broken try cost was pushed."""
    collection = tasks.create()["collection_id"]
    sentinelhub_sandbox.control.add_fault(
        path="*/tiles", method="POST", after=2, action={"kind": "status", "status": 500}
    )

    with pytest.raises(SentinelHubServerError):
        tasks.ingest(collection, "a", "b", "c")
    assert tasks.ti.pushed["processing_units"] == 2

    result = tasks.ingest(collection, "a", "b", "c")
    assert (result["created"], result["existing"], result["ingested"]) == (1, 2, 3)


def test_a_lost_answer_reingests_no_tile_twice(tasks: Tasks, sentinelhub_sandbox, sent):
    """Its state tells that the ingestion began."""
    tasks.store.set_ingestion(Durations(0, 0), [Failure("bad")])
    collection = tasks.create()["collection_id"]
    with pytest.raises(AirflowFailException):
        tasks.ingest(collection, "bad")
    tasks.store.set_ingestion(Durations(None, None))
    (tile,) = next(iter(tasks.store._collections.values())).tiles
    tasks.store.reingest(collection, tile)
    reingest = {"path": "*/reingest", "method": "POST"}
    sentinelhub_sandbox.control.add_fault(**reingest, action={"kind": "status", "status": 502})
    operator = tasks.make(byoc.SentinelHubByocIngestOperator, collection_id=collection, tiles=["bad"])
    calls, failed = operator._calls, byoc_tile(tile, "FAILED")

    calls.reingest(collection, failed)

    assert calls.spent == 1
    assert sum(one.path.endswith("/reingest") for one in sentinelhub_sandbox.control.requests()) == 1


def test_a_reingestion_that_did_not_begin_is_left_to_a_retry(tasks: Tasks, sentinelhub_sandbox):
    """The tile is FAILED as it was."""
    tasks.store.set_ingestion(Durations(0, 0), [Failure("bad")])
    collection = tasks.create()["collection_id"]
    with pytest.raises(AirflowFailException):
        tasks.ingest(collection, "bad")
    action = {"kind": "status", "status": 502}
    sentinelhub_sandbox.control.add_fault(path="*/reingest", method="POST", action=action)

    with pytest.raises(SentinelHubServerError):
        tasks.ingest(collection, "bad")


def byoc_tile(tile_id: str, state: str) -> Any:
    """Return a tile as the operator knows it."""
    from sentinelhub_provider.api.byoc.tiles import Tile, TileState

    return Tile(tile_id, "bad", TileState(state))


def test_faults_while_waiting_are_survived(tasks: Tasks, sentinelhub_sandbox, capsys):
    """A look that fails is taken again; a token that is refused is renewed."""
    collection = tasks.create()["collection_id"]
    looks = {"path": "*/tiles/*", "method": "GET"}
    sentinelhub_sandbox.control.add_fault(**looks, times=1, action={"kind": "html"})
    sentinelhub_sandbox.control.add_fault(**looks, times=1, action={"kind": "revoke_tokens"})

    assert tasks.ingest(collection, "a")["ingested"] == 1
    assert "could not poll the tiles" in printed(capsys)
    assert sentinelhub_sandbox.control.counters().token_requests == 2


def test_time_that_is_up_fails_the_task(tasks: Tasks):
    """It says how many are missing."""
    collection = tasks.create()["collection_id"]
    tasks.sleep = tasks.clock.sleep  # type: ignore[method-assign] - tiles stay where they are

    with pytest.raises(AirflowFailException, match=r"1 of 1 tiles .* are not ingested after max_wait=100 seconds"):
        tasks.ingest(collection, "a", max_wait=100)
    assert sum(tasks.clock.waits) == pytest.approx(100)


def test_more_than_may_be_spent_is_not_begun(tasks: Tasks, sent):
    """What is there already costs nothing and is not counted."""
    collection = tasks.create()["collection_id"]
    tasks.ingest(collection, "a")
    posts = sent("POST")

    with pytest.raises(AirflowFailException, match=r"cost 3 PU, more than max_processing_units=2"):
        tasks.ingest(collection, "a", "b", "c", "d", max_processing_units=2)
    assert sent("POST") == posts
    assert tasks.ingest(collection, "a", "b", "c", max_processing_units=2)["created"] == 2


def test_a_collection_that_is_not_there_fails_the_task(tasks: Tasks):
    """Without a retry."""
    with pytest.raises(AirflowFailException, match="404"):
        tasks.ingest(UNKNOWN, "a")


# --- deletion of tiles -----------------------------------------------------------------------------------------------


def test_tiles_are_deleted(tasks: Tasks):
    """By their paths; what is not there is counted."""
    collection = tasks.create()["collection_id"]
    tasks.ingest(collection, "a", "b")

    result = tasks.delete(collection, {"path": "a", "sensingTime": "2024-06-01"}, "none")

    assert [tile.path for tile in next(iter(tasks.store._collections.values())).tiles.values()] == ["b"]
    assert (result["tiles"], result["deleted"], result["missing"], result["processing_units"]) == (2, 1, 1, 1)


def test_tiles_that_are_missing_may_be_a_failure(tasks: Tasks):
    """Before any is deleted."""
    collection = tasks.create()["collection_id"]
    tasks.ingest(collection, "a")

    with pytest.raises(AirflowFailException, match=r"1 of 2 tiles are not in .*'none'. Nothing was deleted"):
        tasks.delete(collection, "a", "none", if_missing="fail")
    assert len(next(iter(tasks.store._collections.values())).tiles) == 1


# --- deferred --------------------------------------------------------------------------------------------------------


def deferred_ingestion(tasks: Tasks, *tiles: str, **arguments: Any) -> tuple[str, TaskDeferred]:
    """Begin to ingest in a task that defers."""
    collection = tasks.create()["collection_id"]
    with pytest.raises(TaskDeferred) as deferred:
        tasks.ingest(collection, *tiles, deferrable=True, **arguments)
    return collection, deferred.value


def test_a_deferred_task_waits_in_the_triggerer(tasks: Tasks):
    """And returns the same as one that waits itself."""
    collection, deferred = deferred_ingestion(tasks, "a", "b")
    assert tasks.clock.waits == []
    assert tasks.ti.pushed["processing_units"] == 2

    result = tasks.resumed(deferred, collection_id=collection)

    assert (result["created"], result["ingested"], result["processing_units"]) == (2, 2, 2)
    assert len(tasks.clock.waits) == 2


def test_a_task_with_nothing_to_wait_for_does_not_defer(tasks: Tasks):
    """A trigger that fires at once is a way to Airflow's own races."""
    tasks.store.set_ingestion(Durations(0, 0))
    collection = tasks.create()["collection_id"]

    assert tasks.ingest(collection, "a", deferrable=True)["ingested"] == 1


def test_a_deferred_task_fails_with_path_and_cause(tasks: Tasks):
    """What failed before the wait, and what failed in it."""
    tasks.store.set_ingestion(Durations(0, 0), [Failure("bad", "Too old.")])
    collection = tasks.create()["collection_id"]
    with pytest.raises(AirflowFailException):
        tasks.ingest(collection, "bad")
    tasks.store.set_ingestion(Durations(None, None), [Failure("worse", "Too new.")])
    with pytest.raises(TaskDeferred) as deferred:
        tasks.ingest(collection, "bad", "worse", "good", deferrable=True, reingest="none")

    with pytest.raises(AirflowFailException, match=r"2 of 3 tiles .* failed, 1 are ingested") as error:
        tasks.resumed(deferred.value, collection_id=collection)
    assert "'bad' is FAILED: Too old; 'worse' is FAILED: Too new." in str(error.value)


def test_a_deferred_task_ends_in_time(tasks: Tasks):
    """At the moment that was set when it began, and Airflow's own limit is later."""
    collection, deferred = deferred_ingestion(tasks, "a", max_wait=100)
    tasks.sleep = tasks.clock.sleep  # type: ignore[method-assign] - tiles stay where they are

    with pytest.raises(AirflowFailException, match=r"1 of 1 tiles .* are not ingested"):
        tasks.resumed(deferred, collection_id=collection)
    assert tasks.event["status"] == "timeout"
    assert sum(tasks.clock.waits) == pytest.approx(100)
    assert deferred.timeout.total_seconds() > 100


def test_a_trigger_survives_what_passes(tasks: Tasks, sentinelhub_sandbox):
    """A service that fails for longer than one look takes, and a token that is refused."""
    collection, deferred = deferred_ingestion(tasks, "a", deadline=0.2)
    looks = {"path": "*/tiles", "method": "GET"}
    sentinelhub_sandbox.control.add_fault(**looks, times=2, action={"kind": "status", "status": 503})
    sentinelhub_sandbox.control.add_fault(**looks, times=1, action={"kind": "revoke_tokens"})

    assert tasks.resumed(deferred, collection_id=collection)["ingested"] == 1
    assert sentinelhub_sandbox.control.counters().token_requests == 2


def test_a_trigger_ends_where_waiting_is_in_vain(tasks: Tasks, sentinelhub_sandbox):
    """The collection is gone: the task says so."""
    collection, deferred = deferred_ingestion(tasks, "a")
    tasks.store.delete(collection)

    with pytest.raises(AirflowFailException, match=r"SentinelHubNotFoundError.*404"):
        tasks.resumed(deferred, collection_id=collection)
    assert tasks.event["status"] == "error"


def test_nothing_that_is_kept_holds_a_secret(tasks: Tasks, sentinelhub_sandbox):
    """Neither the trigger's row nor the event."""
    collection, deferred = deferred_ingestion(tasks, "a")
    tasks.resumed(deferred, collection_id=collection)

    kept = json.dumps([deferred.trigger.serialize(), tasks.event]) + repr(deferred.trigger)
    secrets = [sentinelhub_sandbox.client_secret, *sentinelhub_sandbox.control.tokens()]
    assert len(secrets) > 1
    assert not any(secret in kept for secret in secrets)


def test_a_long_rate_limit_is_waited_out_in_the_triggerer(tasks: Tasks, sentinelhub_sandbox):
    """Then the task begins anew, as a retry does; what it cost so far was pushed."""
    collection = tasks.create()["collection_id"]
    limited = {"kind": "rate_limit", "retry_after": "300000"}
    sentinelhub_sandbox.control.add_fault(path="*/tiles", method="POST", after=1, action=limited)
    operator = tasks.make(
        byoc.SentinelHubByocIngestOperator, collection_id=collection, tiles=["a", "b"], deferrable=True
    )

    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(tasks.context)
    assert deferred.value.method_name == "resume"
    assert tasks.ti.pushed["processing_units"] == 1


@pytest.mark.parametrize("outcome", ["good", "bad"])
def test_a_tile_is_not_paid_for_twice_over_a_rate_limit(tasks: Tasks, sentinelhub_sandbox, monkeypatch, outcome: str):
    """What the task had ingested again before the wait came to its end meanwhile; it is not asked for once more."""
    monkeypatch.setattr("sentinelhub_provider.operators.base.LONGEST_BLOCKING_WAIT", 0.1)
    tasks.store.set_ingestion(Durations(0, 0))
    collection = tasks.create()["collection_id"]
    tasks.ingest(collection, f"{outcome}/1", f"{outcome}/2")
    tasks.store.set_ingestion(Durations(0, 0), [Failure("bad*", "no such file")])
    limited = {"kind": "rate_limit", "retry_after": "500"}
    sentinelhub_sandbox.control.add_fault(path="*/reingest", method="POST", after=1, times=1, action=limited)
    arguments = {
        "collection_id": collection,
        "tiles": [f"{outcome}/{number}" for number in (1, 2, 3)],
        "reingest": "all",
        "deferrable": True,
    }
    with pytest.raises(TaskDeferred) as deferred:
        tasks.make(byoc.SentinelHubByocIngestOperator, **arguments).execute(tasks.context)
    kept = json.loads(json.dumps(deferred.value.kwargs))
    again = tasks.make(byoc.SentinelHubByocIngestOperator, **{**arguments, "deferrable": False})
    sent = len(sentinelhub_sandbox.control.requests())

    if outcome == "good":
        result = again.resume(tasks.context, **kept)
        assert (result["created"], result["reingested"], result["existing"]) == (1, 2, 0)
    else:
        with pytest.raises(AirflowFailException, match="3 of 3 tiles"):
            again.resume(tasks.context, **kept)

    posted = [one.path for one in sentinelhub_sandbox.control.requests()[sent:] if one.method == "POST"]
    assert [path.rpartition("/")[2] for path in posted if path.startswith("/byoc")] == ["reingest", "tiles"]
