"""Notes which scenes were announced, in the transaction that stores the announcement.

A killed triggerer may have stored an event or not, and a trigger cannot ask. So the part of Airflow that stores the
event notes its number beside it. Afterwards either both are there or neither is.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from sentinelhub_provider.api.scenes.events import announced_key, watch_of
from sentinelhub_provider.plugins import imagery

if TYPE_CHECKING:
    from airflow.listeners.types import AssetEvent
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


class SceneEventListener:
    """Receives every asset event and handles those of this package's scene trigger."""

    @hookimpl
    def on_asset_event_emitted(self, asset_event: AssetEvent) -> None:
        """Note the number of an announced scene.

        It never raises, because an event without its number is better than none.
        """
        try:
            # A task may pass the extra of a scene's event on. That makes an event of its own, which announces nothing.
            watch = watch_of(asset_event.extra) if asset_event.source_dag_id is None else None
            if watch is not None:
                note(asset_event.asset.name, asset_event.asset.uri, *watch)
        except ImportError:
            return  # before Airflow 3.3, which has no state store to read it from
        except Exception:
            log.exception("the number of an announced scene could not be noted, so it may be announced again")


def note(asset_name: str, asset_uri: str, key: str, number: int) -> None:
    """Store the number as the highest announced one, in the transaction that is under way.

    Without a transaction nothing is stored. A number whose event is lost would be a lost scene.
    """
    from airflow import settings
    from airflow.models.asset import AssetModel
    from airflow.state import AssetScope, get_state_backend
    from sqlalchemy import select

    backend = get_state_backend()
    # The thread's session has just written the event and commits it.
    session: Session | None = None if settings.Session is None else settings.Session()
    if session is None or not session.in_transaction():
        raise RuntimeError("the event is not stored in this thread's transaction")
    # A failure here must not spoil the transaction of the event.
    with session.begin_nested():
        found = select(AssetModel.id).where(AssetModel.name == asset_name, AssetModel.uri == asset_uri)
        asset_id = session.scalar(found)
        if asset_id is None:
            return
        scope = AssetScope(asset_id=asset_id)
        if number > _noted(backend.get(scope, announced_key(key), session=session)):
            backend.set(scope, announced_key(key), json.dumps(number), session=session)


def _noted(stored: str | None) -> int:
    """Return the stored number. Others wrote any other value, and it is replaced."""
    try:
        number = None if stored is None else json.loads(stored)
    except ValueError:
        number = None
    return number if type(number) is int else 0


class SentinelHubPlugin(AirflowPlugin):
    """Registers the listener, and the page *Satellite imagery*."""

    name = "sentinelhub"
    listeners = [SceneEventListener()]  # noqa: RUF012 - Airflow's own form
    fastapi_apps = imagery.APPS
    external_views = imagery.views()
