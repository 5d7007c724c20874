"""
Takes down which scenes were announced, in the transaction that stores the announcement.

A triggerer that is killed may have stored an event or not, and a trigger has no way to ask. So the part of Airflow that
stores the event notes its number beside it: either both are there afterwards, or neither.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from sentinelhub_provider.api.scenes.events import announced_key, watch_of

if TYPE_CHECKING:
    from airflow.listeners.types import AssetEvent
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


class SceneEventListener:
    """Hears of every asset event, and heeds those of this package's scene trigger."""

    @hookimpl
    def on_asset_event_emitted(self, asset_event: AssetEvent) -> None:
        """Note the number of an announced scene. Never raises: an event without its number is better than none."""
        watch = watch_of(asset_event.extra)
        if watch is None:
            return
        try:
            note(asset_event.asset.name, asset_event.asset.uri, *watch)
        except ImportError:
            return  # before Airflow 3.3, which has no state store: nobody would read it
        except Exception:
            log.exception("the number of an announced scene could not be noted; it may be announced again")


def note(asset_name: str, asset_uri: str, key: str, number: int) -> None:
    """Store the number as the highest announced one, in the transaction that is under way."""
    from airflow.models.asset import AssetModel
    from airflow.state import AssetScope, get_state_backend
    from sqlalchemy import select

    backend = get_state_backend()
    with _transaction() as session:
        found = select(AssetModel.id).where(AssetModel.name == asset_name, AssetModel.uri == asset_uri)
        asset_id = session.scalar(found)
        if asset_id is None:
            return
        scope = AssetScope(asset_id=asset_id)
        stored = backend.get(scope, announced_key(key), session=session)
        if stored is None or json.loads(stored) < number:
            backend.set(scope, announced_key(key), json.dumps(number), session=session)


@contextmanager
def _transaction() -> Iterator[Session]:
    """Give the thread's session: it is the one that has just written the event, and commits it."""
    from airflow import settings
    from airflow.utils.session import create_session

    if settings.Session is None:
        raise RuntimeError("Airflow's database is not set up in this process")
    session = settings.Session()
    if session.in_transaction():
        # A failure here must not spoil the transaction of the event.
        with session.begin_nested():
            yield session
    else:
        with create_session() as own:
            yield own


class SentinelHubPlugin(AirflowPlugin):
    """Registers the listener."""

    name = "sentinelhub"
    listeners = [SceneEventListener()]  # noqa: RUF012 - Airflow's own form
