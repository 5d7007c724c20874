"""The listener that notes announced scenes, with Airflow's own tables in a database of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow import settings
from airflow.listeners.listener import get_listener_manager
from airflow.models import import_all_models
from airflow.models.asset import AssetActive, AssetEvent, AssetModel, AssetWatcherModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.base import Base
from airflow.models.trigger import Trigger
from airflow.triggers.base import TriggerEvent
from sqlalchemy import create_engine, select
from sqlalchemy.orm import scoped_session, sessionmaker

from sentinelhub_provider.plugins.scene_events import SentinelHubPlugin

KEY = "sentinelhub.scenes.0123456789abcdef"


@pytest.fixture(name="database")
def fixture_database(tmp_path, monkeypatch) -> Any:
    """Airflow's sessions lead to a new database with one watched asset; the listener is registered."""
    import_all_models()
    engine = create_engine(f"sqlite:///{tmp_path / 'airflow.db'}")
    Base.metadata.create_all(engine)
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
