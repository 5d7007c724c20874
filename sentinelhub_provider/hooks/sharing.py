"""What all who use a connection share, as far as ``auth_cache`` reaches: its tokens, and its account's rate limit."""

from __future__ import annotations

import hashlib
import logging
import os
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sentinelhub_provider.both_ways import Turns
from sentinelhub_provider.connection import DEFAULT_PREFIX, ConnectionSettings
from sentinelhub_provider.exceptions import SentinelHubConfigurationError
from sentinelhub_provider.oauth.broker import TokenBroker, broker_for, run_in_thread
from sentinelhub_provider.oauth.shared import SharedEntry
from sentinelhub_provider.oauth.stores import TokenStore
from sentinelhub_provider.transport.rate_limit import Limits
from sentinelhub_provider.transport.rate_limiter import (
    FileStateStore,
    MemoryStateStore,
    RateLimiter,
    RedisStateStore,
    StateStore,
)
from sentinelhub_provider.transport.token_endpoint import credentials_of

log = logging.getLogger(__name__)
_limiters_lock = Turns()


def token_broker(settings: ConnectionSettings) -> TokenBroker:
    """Return this process's source of tokens for a connection."""
    key = credentials_of(settings).key

    def make() -> TokenBroker:
        store = open_token_store(settings.auth_cache, settings.auth_cache_prefix)
        shared = None if store is None else SharedEntry(store, key=key, secret=settings.client_secret)
        if settings.auth_cache == "variable":
            from sentinelhub_provider.hooks.airflow_variables import ANSWERS_ANY_THREAD

            return TokenBroker(shared, run=run_in_thread if ANSWERS_ANY_THREAD else None)
        return TokenBroker(shared)

    return broker_for(f"{key} {settings.auth_cache} {settings.auth_cache_prefix}", make)


def rate_limiter(settings: ConnectionSettings) -> RateLimiter:
    """Return what lets this process's requests start in time."""
    limits = Limits(settings.requests_per_minute, settings.processing_units_per_minute)
    # Limits hold for an account at one deployment: whoever shares the client there shares them, with any secret.
    account = hashlib.sha256(f"{settings.client_id} {settings.base_url}".encode()).hexdigest()
    with _limiters_lock:  # so that two threads do not make one each
        return _limiter(_state_store(settings.auth_cache, settings.auth_cache_prefix, account), limits)


@cache
def _limiter(store: StateStore, limits: Limits) -> RateLimiter:
    return RateLimiter(store, limits)


def open_token_store(auth_cache: str, prefix: str = DEFAULT_PREFIX) -> TokenStore | None:
    """Open a token store; ``None`` for ``memory``, and where no folder can be written to."""
    # Opening connects to nothing: a store that is down is noticed, and done without, when it is used.
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

        return RedisStore(auth_cache, prefix)
    from sentinelhub_provider.oauth.stores.file import FileStore

    folder = _usable_folder(auth_cache)
    return None if folder is None else FileStore(folder)


def check_cache(settings: ConnectionSettings) -> None:
    """Try the shared cache, whose faults cost a call a warning only. Raises :class:`SentinelHubConfigurationError`."""
    problem = "no folder can be written to"
    try:
        store = open_token_store(settings.auth_cache, settings.auth_cache_prefix)
        if store is not None:
            store.read(credentials_of(settings).key)
        if store is not None or settings.auth_cache == "memory":
            return
    except SentinelHubConfigurationError:
        raise
    except Exception as error:  # its text may hold a Redis URL with its password
        problem = type(error).__name__
    raise SentinelHubConfigurationError(
        f"The client is accepted, but the authorization cache cannot be reached ({problem}): each process would ask "
        "for a token of its own.",
        field="auth_cache",
    )


@cache
def _state_store(auth_cache: str, prefix: str, account: str) -> StateStore:
    if _is_redis(auth_cache):
        from sentinelhub_provider.oauth.stores.redis import redis_client

        return RedisStateStore(redis_client(auth_cache), f"{prefix}:rate-limit:{account}")
    # A variable is a call to the API server: too slow for every request.
    folder = None if auth_cache in ("memory", "variable") else _usable_folder(auth_cache)
    return MemoryStateStore() if folder is None else FileStateStore(folder / f"{account}.rate-limit")


def _is_redis(auth_cache: str) -> bool:
    return urlsplit(auth_cache).scheme in ("redis", "rediss")


def _usable_folder(auth_cache: str) -> Path | None:
    """Return the folder for a ``file`` cache that can be written to; one warning tells where it is another."""
    from sentinelhub_provider.oauth.stores.file import usable_folder

    path = unquote(urlsplit(auth_cache).path) if auth_cache != "file" else ""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return usable_folder(Path(path) if path else home / "sentinelhub")
