"""Opens the place that a connection's ``auth_cache`` names for sharing tokens."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from urllib.parse import urlsplit

from sentinelhub_provider.connection import ConnectionSettings
from sentinelhub_provider.oauth.broker import TokenBroker, broker_for
from sentinelhub_provider.oauth.shared import SharedEntry
from sentinelhub_provider.oauth.stores import TokenStore
from sentinelhub_provider.transport.token_endpoint import credentials_of

log = logging.getLogger(__name__)


def token_broker(settings: ConnectionSettings) -> TokenBroker:
    """
    Return this process's source of tokens for a connection.

    :raises SentinelHubConfigurationError: where ``auth_cache`` needs a package that is not installed.
    """
    key = credentials_of(settings).key

    def shared() -> SharedEntry | None:
        store = open_store(settings.auth_cache)
        return None if store is None else SharedEntry(store, key=key, secret=settings.client_secret)

    return broker_for(f"{key} {settings.auth_cache}", shared)


def open_store(auth_cache: str) -> TokenStore | None:
    """
    Open a token store; ``None`` for ``memory``, and where no folder can be written to.

    Opening connects to nothing: a store that is down is noticed, and done without, when it is used.
    """
    scheme = urlsplit(auth_cache).scheme
    if auth_cache == "memory":
        return None
    if auth_cache == "variable":
        from sentinelhub_provider.hooks.airflow_variables import AirflowVariables
        from sentinelhub_provider.oauth.stores.variable import VariableStore

        return VariableStore(AirflowVariables())
    if scheme in ("redis", "rediss"):
        from sentinelhub_provider.oauth.stores.redis import RedisStore

        return RedisStore(auth_cache)
    from sentinelhub_provider.oauth.stores.file import fallback_folder, file_store

    store, warning = file_store(_folder(auth_cache), fallback_folder())
    if warning:
        log.warning("%s", warning)
    return store


def _folder(auth_cache: str) -> Path:
    """Return the folder that a ``file:`` URL names, or the default one below Airflow's home."""
    path = urlsplit(auth_cache).path
    if auth_cache != "file" and path:
        return Path(path)
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "sentinelhub"
