"""
What is shared by all who use a connection: its tokens, and the pace of its requests.

Both are kept where the connection's ``auth_cache`` says: in this process, in files of this host, in Redis, or (the
tokens alone) in Airflow Variables.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sentinelhub_provider.connection import ConnectionSettings
from sentinelhub_provider.oauth.broker import TokenBroker, broker_for
from sentinelhub_provider.oauth.shared import SharedEntry
from sentinelhub_provider.oauth.stores import TokenStore
from sentinelhub_provider.transport.pace_stores import FilePaceStore, PaceStore, RedisPaceStore
from sentinelhub_provider.transport.pacer import Pacer
from sentinelhub_provider.transport.pacing import Limits, first_pace
from sentinelhub_provider.transport.token_endpoint import credentials_of

log = logging.getLogger(__name__)

_pacers: dict[str, Pacer] = {}
_pacers_lock = threading.Lock()


def token_broker(settings: ConnectionSettings) -> TokenBroker:
    """
    Return this process's source of tokens for a connection.

    :raises SentinelHubConfigurationError: where ``auth_cache`` needs a package that is not installed.
    """
    key = credentials_of(settings).key

    def make() -> TokenBroker:
        store = open_token_store(settings.auth_cache)
        shared = None if store is None else SharedEntry(store, key=key, secret=settings.client_secret)
        if settings.auth_cache == "variable" and not variables_answer_any_thread():
            return TokenBroker(shared, run=None)
        return TokenBroker(shared)

    return broker_for(f"{key} {settings.auth_cache}", make)


def variables_answer_any_thread() -> bool:
    """Tell whether Airflow Variables can be used from any thread; imports them only where they are used."""
    from sentinelhub_provider.hooks import airflow_variables

    return airflow_variables.ANSWERS_ANY_THREAD


def pacer(settings: ConnectionSettings) -> Pacer:
    """
    Return what lets this process's requests go in time.

    :raises SentinelHubConfigurationError: where ``auth_cache`` needs a package that is not installed.
    """
    limits = Limits(settings.requests_per_minute, settings.processing_units_per_minute)
    # Limits hold for an account at one deployment; whoever shares the client shares them.
    key = f"{credentials_of(settings).key} {settings.base_url} {settings.auth_cache} {limits}"
    with _pacers_lock:
        found = _pacers.get(key)
        if found is None:
            found = _pacers[key] = Pacer(_pace_store(settings, limits), limits)
        return found


def open_token_store(auth_cache: str) -> TokenStore | None:
    """
    Open a token store; ``None`` for ``memory``, and where no folder can be written to.

    Opening connects to nothing: a store that is down is noticed, and done without, when it is used.
    """
    if auth_cache == "memory":
        return None
    if auth_cache == "variable":
        from sentinelhub_provider.hooks.airflow_variables import VariableStore, are_within_reach

        if not are_within_reach():
            log.warning("before Airflow 3.2, triggers cannot share a token by Variables: it is kept in memory")
            return None
        return VariableStore()
    if _is_redis(auth_cache):
        from sentinelhub_provider.oauth.stores.redis import RedisStore

        return RedisStore(auth_cache)
    from sentinelhub_provider.oauth.stores.file import FileStore

    folder = _usable_folder(auth_cache)
    return None if folder is None else FileStore(folder)


def _pace_store(settings: ConnectionSettings, limits: Limits) -> PaceStore | None:
    name = credentials_of(settings).key
    auth_cache = settings.auth_cache
    if _is_redis(auth_cache):
        from sentinelhub_provider.oauth.stores.redis import redis_client

        return RedisPaceStore(redis_client(auth_cache), f"sentinelhub:pace:{name}", first_pace(limits))
    if auth_cache in ("memory", "variable"):  # a variable is a call to the API server: too slow for every request
        return None
    folder = _usable_folder(auth_cache)
    return None if folder is None else FilePaceStore(folder / f"{name}.pace", first_pace(limits))


def _is_redis(auth_cache: str) -> bool:
    return urlsplit(auth_cache).scheme in ("redis", "rediss")


def _usable_folder(auth_cache: str) -> Path | None:
    """Return the folder for a ``file`` cache that can be written to; one warning tells where it is another."""
    from sentinelhub_provider.oauth.stores.file import usable_folder

    path = unquote(urlsplit(auth_cache).path) if auth_cache != "file" else ""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return usable_folder(Path(path) if path else home / "sentinelhub")


def _after_fork() -> None:
    global _pacers_lock
    _pacers_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
