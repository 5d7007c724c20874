"""The listener that notes announced scenes, with Airflow's own tables in a database of its own."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from airflow import settings
from airflow.listeners.listener import get_listener_manager
from airflow.listeners.types import AssetEvent as EmittedEvent
from airflow.models import import_all_models
from airflow.models.asset import AssetActive, AssetEvent, AssetModel, AssetWatcherModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.base import Base
from airflow.models.trigger import Trigger
from airflow.triggers.base import TriggerEvent
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import scoped_session, sessionmaker

from sentinelhub_provider.plugins.scene_events import SceneEventListener, SentinelHubPlugin

KEY = "sentinelhub.scenes.0123456789abcdef"


@pytest.fixture(name="empty", scope="module")
def fixture_empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with Airflow's tables and nothing in them: making them takes long."""
    import_all_models()
    path = tmp_path_factory.mktemp("database") / "airflow.db"
    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    engine.dispose()
    return path


@pytest.fixture(name="database")
def fixture_database(empty: Path, tmp_path: Path, monkeypatch) -> Any:
    """Airflow's sessions lead to a new database with one watched asset; the listener is registered."""
    engine = create_engine(f"sqlite:///{shutil.copy(empty, tmp_path)}")
    sessions = scoped_session(sessionmaker(engine))
    monkeypatch.setattr(settings, "Session", sessions)
    manager = get_listener_manager()
    [listener] = SentinelHubPlugin.listeners
    is_new = not manager.pm.is_registered(listener)
    if is_new:
        manager.add_listener(listener)
    session = sessions()
    trigger = Trigger(classpath="any", kwargs={})
    asset = AssetModel(name="scenes", uri="scenes", group="asset")
    session.add_all([trigger, asset, AssetActive(name="scenes", uri="scenes")])
    session.flush()
    session.add(AssetWatcherModel(name="w", asset_id=asset.id, trigger_id=trigger.id))
    session.commit()
    sessions.remove()
    yield sessions
    sessions.remove()
    engine.dispose()
    if is_new:
        manager.pm.unregister(listener)


def fire(number: int) -> None:
    """Let Airflow store an event as the triggerer does."""
    Trigger.submit_event(1, TriggerEvent({"id": f"scene-{number}", "watch": {"key": KEY, "number": number}}))


def emitted(**changed: Any) -> EmittedEvent:
    """Return what a listener hears of an event of the watched asset."""
    heard: dict[str, Any] = dict.fromkeys(inspect.signature(EmittedEvent).parameters)
    extra = {"from_trigger": True, "payload": {"watch": {"key": KEY, "number": 1}}}
    return EmittedEvent(**{**heard, "asset": AssetModel(name="scenes", uri="scenes"), "extra": extra, **changed})


def stored(sessions: Any) -> tuple[int, Any]:
    """Return how many events are stored, and the number that was noted."""
    sessions.remove()
    with sessions() as session:
        values = session.scalars(select(AssetStateStoreModel.value)).all()
        return len(session.scalars(select(AssetEvent)).all()), [json.loads(value) for value in values]


def test_the_number_is_stored_with_the_event(database):
    """The highest one counts."""
    fire(1)
    fire(2)
    assert stored(database) == (2, [2])

    fire(1)
    assert stored(database) == (3, [2])


def test_without_the_event_there_is_no_number(database, monkeypatch):
    """What spoils the transaction after the note was made spoils both."""

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the scheduler's queue cannot be written")

    monkeypatch.setattr("airflow.assets.manager.AssetManager._queue_dagruns", broken)

    with pytest.raises(RuntimeError, match="queue cannot be written"):
        fire(1)
    assert stored(database) == (0, [])


def test_a_failing_note_does_not_spoil_the_event(database, monkeypatch, caplog):
    """An event that may come twice is better than none."""

    def broken() -> None:
        raise RuntimeError("no backend")

    monkeypatch.setattr("airflow.state.get_state_backend", broken)
    fire(1)

    assert stored(database) == (1, [])


def test_a_failing_statement_does_not_spoil_the_event(database, monkeypatch):
    """Not even one that the database refuses, in the very transaction of the event."""

    class Broken:
        """A store whose table is not there."""

        def get(self, *_: Any, session: Any) -> str:
            return str(session.scalar(text("select value from no_such_table")))

    monkeypatch.setattr("airflow.state.get_state_backend", Broken)
    fire(1)

    assert stored(database) == (1, [])


@pytest.mark.parametrize("foreign", ['"seven"', "no JSON", "true", "null", '{"number": 9}'])
def test_a_foreign_value_is_replaced(database, foreign):
    """Otherwise no number would ever be noted again."""
    fire(1)
    with database() as session:
        session.scalars(select(AssetStateStoreModel)).one().value = foreign
        session.commit()
    fire(2)

    assert stored(database) == (2, [2])


def test_an_event_that_a_task_hands_on_announces_nothing(database):
    """A task may give what it got of a scene's event to an asset of its own, or to the watched one."""
    listener = SceneEventListener()
    with database() as session:
        session.add(AssetEvent(asset_id=1))
        session.flush()
        listener.on_asset_event_emitted(emitted(source_dag_id="d", source_task_id="t"))
        session.commit()
        assert stored(database) == (1, [])

    with database() as session:
        session.add(AssetEvent(asset_id=1))
        session.flush()
        listener.on_asset_event_emitted(emitted())
        session.commit()
    assert stored(database) == (2, [1])


def test_without_the_events_transaction_nothing_is_noted(database, caplog):
    """The event may come to nothing after all: a number without it would be a lost scene."""
    SceneEventListener().on_asset_event_emitted(emitted())

    assert stored(database) == (0, [])
    assert "may be announced again" in caplog.text


def test_another_airflow_breaks_nothing(caplog):
    """What a listener hears may look different there."""
    SceneEventListener().on_asset_event_emitted(object())  # type: ignore[arg-type]

    assert "could not be noted" in caplog.text


@pytest.mark.parametrize(
    "extra",
    [
        None,
        {},
        {"from_trigger": True, "payload": ["scene"]},
        {"from_trigger": True, "payload": {"watch": {"key": "another.provider", "number": 1}}},
        {"from_trigger": True, "payload": {"watch": {"key": KEY, "number": "1"}}},
        {"from_trigger": True, "from_rest_api": True, "payload": {"watch": {"key": KEY, "number": 1}}},
    ],
)
def test_events_of_others_are_let_alone(database, extra, caplog):
    """Nothing is stored and nothing is logged."""
    with database() as session:
        session.add(AssetEvent(asset_id=1))
        session.flush()
        SceneEventListener().on_asset_event_emitted(emitted(extra=extra))
        session.commit()

    assert stored(database) == (1, [])
    assert not caplog.records
