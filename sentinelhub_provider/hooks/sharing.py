"""The state that all users of a connection share as far as ``auth_cache`` reaches: tokens, rate limit and budgets."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from sentinelhub_provider.both_ways import Turns
from sentinelhub_provider.connection import DEFAULT_PREFIX, ConnectionSettings
from sentinelhub_provider.exceptions import SentinelHubConfigurationError
from sentinelhub_provider.hooks import airflow_variables
from sentinelhub_provider.hooks.output import uri_of
from sentinelhub_provider.oauth.broker import TokenBroker, broker_for, run_in_thread
from sentinelhub_provider.oauth.shared import SharedEntry
from sentinelhub_provider.oauth.stores import TokenStore
from sentinelhub_provider.oauth.stores.file import FileStore, usable_folder
from sentinelhub_provider.transport.budget import (
    LEDGER,
    NAME_OF_JOBS,
    Budget,
    DamagedLedgerError,
    Ledger,
    SpendingLimits,
)
from sentinelhub_provider.transport.rate_limit import Limits, RateState
from sentinelhub_provider.transport.rate_limiter import RATE_STATE, RateLimiter
from sentinelhub_provider.transport.state_stores import (
    Coding,
    FileStateStore,
    MemoryStateStore,
    RedisStateStore,
    State,
    StateStore,
)
from sentinelhub_provider.transport.steps import Measure
from sentinelhub_provider.transport.token_endpoint import credentials_of

log = logging.getLogger(__name__)
MERGE_LIFETIME = 600.0  # seconds until the lock of a dead merge is free; others wait for it as long
_limiters_lock = Turns()


def token_broker(settings: ConnectionSettings) -> TokenBroker:
    """Return this process's source of tokens for a connection."""
    key = credentials_of(settings).key

    def make() -> TokenBroker:
        store = open_token_store(settings.auth_cache, settings.auth_cache_prefix)
        shared = None if store is None else SharedEntry(store, key=key, secret=settings.client_secret)
        if settings.auth_cache == "variable":
            return TokenBroker(shared, run=run_in_thread if airflow_variables.ANSWERS_ANY_THREAD else None)
        return TokenBroker(shared)

    return broker_for(f"{key} {settings.auth_cache} {settings.auth_cache_prefix}", make)


def rate_limiter(settings: ConnectionSettings) -> RateLimiter:
    """Return this process's rate limiter for a connection."""
    limits = Limits(settings.requests_per_minute, settings.processing_units_per_minute)
    with _limiters_lock:  # so that two threads do not create one each
        return _limiter(limits, *_place(settings))


@cache
def _limiter(limits: Limits, *place: str) -> RateLimiter:
    return RateLimiter(_rate_state(*place), limits)


def spending_budget(
    settings: ConnectionSettings, limits: SpendingLimits, measure: Measure = lambda _, __: None
) -> Budget | None:
    """Return the budgets of a connection and a DAG run, ``None`` if there is no limit.

    ``measure``: see :class:`~sentinelhub_provider.transport.budget.Budget`.

    :raises SentinelHubConfigurationError: if ``auth_cache`` shares nothing, because no budget would hold then.
    """
    limits = replace(limits, per_day=settings.processing_units_per_day, per_month=settings.processing_units_per_month)
    if not limits:
        return None
    if settings.auth_cache == "variable" and not airflow_variables.are_within_reach():
        return Budget(_OutOfReach(), limits)
    if not _is_redis(settings.auth_cache) and settings.auth_cache != "variable":
        _warn_of_hosts()
    with _limiters_lock:
        return Budget(_ledger(*_place(settings)), limits, measure)


def budget_of_jobs(settings: ConnectionSettings) -> Budget | None:
    """Return the budget that settles jobs of tasks with a budget of their own, ``None`` if there are no such jobs."""
    auth_cache, prefix, account = _place(settings)
    try:
        if auth_cache == "variable" and airflow_variables.VariableStore().read(_key_of_budget(account)) is None:
            return None  # to check this, a state store would have to write a Variable
        with _limiters_lock:
            store = _ledger(auth_cache, prefix, account)
        with suppress(DamagedLedgerError):  # another process may be writing it
            if not any(name.startswith(NAME_OF_JOBS) for name in store.read()[0]):
                return None
    except Exception as error:  # no budget is in force here, so nothing depends on it
        log.debug("cannot find out whether a budget waits for the cost of jobs: %s", type(error).__name__)
        return None
    return Budget(store, SpendingLimits())


def _key_of_budget(account: str) -> str:
    return f"budget_{account}"


@cache
def _warn_of_hosts() -> None:
    """Warn once if tasks may run on several hosts, because each host would keep its own budget."""
    from airflow.configuration import conf

    executors = conf.get("core", "executor", fallback="LocalExecutor")
    if any("LocalExecutor" not in name for name in executors.split(",")):
        log.warning(
            "the budget is kept in a file, which tasks of one host share, but the executor is %s. Unless all hosts "
            "have its folder in common, set auth_cache to a Redis or to 'variable'",
            executors,
        )


class _OutOfReach:
    """Stands in for Variables that a trigger cannot use. The trigger's free calls do not need them."""

    place = "Airflow Variables"

    def read(self) -> tuple[Ledger, float]:
        """Refuse."""
        raise SentinelHubConfigurationError(
            "Field 'auth_cache': before Airflow 3.2, triggers cannot keep a budget in Variables. Choose file or a "
            "Redis.",
            field="auth_cache",
        )

    def update(self, _: Any) -> None:
        """Refuse."""
        self.read()


def merge_lock(
    settings: ConnectionSettings, path: str, *, is_needed: bool = True
) -> Callable[[], AbstractContextManager[Any]] | None:
    """Return the lock of a dataset in an object storage among all that share the authorization cache.

    :param is_needed: whether simultaneous merges lose rows without it.
    :returns: ``None`` if the cache has no locks. A warning is logged if the lock is needed.
    """
    name = hashlib.sha256(uri_of(path).rstrip("/").encode()).hexdigest()  # the same for every connection
    if _is_redis(settings.auth_cache):
        from sentinelhub_provider.oauth.stores.redis import redis_client

        client = redis_client(settings.auth_cache)
        key = f"{settings.auth_cache_prefix}:merge:{name}"
        return partial(client.lock, key, timeout=MERGE_LIFETIME, blocking_timeout=MERGE_LIFETIME, sleep=0.1)
    folder = None if settings.auth_cache in ("memory", "variable") else _usable_folder(settings.auth_cache)
    if folder is None:
        if is_needed:
            log.warning(
                "auth_cache %r has no locks. Let one task at a time merge into %s, by a pool or max_active_tis_per_dag",
                settings.auth_cache,
                path,
            )
        return None
    return partial(FileLock, folder / f"{name}.merge.lock", timeout=MERGE_LIFETIME)


def open_token_store(auth_cache: str, prefix: str = DEFAULT_PREFIX) -> TokenStore | None:
    """Open a token store. Return ``None`` for ``memory``, and if no folder is writable."""
    # Opening does not connect. If a store is down, its first use notices it and goes on without it.
    if auth_cache == "memory":
        return None
    if auth_cache == "variable":
        if not airflow_variables.are_within_reach():
            log.warning("before Airflow 3.2, triggers cannot share a token by Variables, so it is kept in memory")
            return None
        return airflow_variables.VariableStore()
    if _is_redis(auth_cache):
        from sentinelhub_provider.oauth.stores.redis import RedisStore

        return RedisStore(auth_cache, prefix)
    folder = _usable_folder(auth_cache)
    return None if folder is None else FileStore(folder)


def check_cache(settings: ConnectionSettings) -> None:
    """Try the shared cache, whose faults only cost a call a warning. Raises :class:`SentinelHubConfigurationError`."""
    problem = "no folder is writable"
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
        f"The client is accepted, but the authorization cache cannot be reached ({problem}). Each process would ask "
        "for its own token.",
        field="auth_cache",
    )


def _place(settings: ConnectionSettings) -> tuple[str, str, str]:
    """Return the place of an account's state, which all users of the client at a deployment share for any secret."""
    account = hashlib.sha256(f"{settings.client_id} {settings.base_url}".encode()).hexdigest()
    return settings.auth_cache, settings.auth_cache_prefix, account


@cache
def _rate_state(auth_cache: str, prefix: str, account: str) -> StateStore[RateState]:
    # A Variable is a call to the API server, which is too slow for every request.
    store = _shared_state(auth_cache, prefix, account, "rate-limit", RATE_STATE)
    return MemoryStateStore(RATE_STATE) if store is None else store


@cache
def _ledger(auth_cache: str, prefix: str, account: str) -> StateStore[Ledger]:
    if auth_cache == "variable":
        return airflow_variables.VariableStateStore(_key_of_budget(account), LEDGER)
    store = _shared_state(auth_cache, prefix, account, "budget", LEDGER)
    if store is None:
        raise SentinelHubConfigurationError(
            "Field 'auth_cache': a budget of processing units needs a place that all tasks share. Choose file, "
            "variable or a Redis.",
            field="auth_cache",
        )
    return store


def _shared_state(
    auth_cache: str, prefix: str, account: str, what: str, coding: Coding[State]
) -> StateStore[State] | None:
    """Open the state that processes share, ``None`` if they share none."""
    if _is_redis(auth_cache):
        from sentinelhub_provider.oauth.stores.redis import redis_client

        return RedisStateStore(redis_client(auth_cache), f"{prefix}:{what}:{account}", coding)
    folder = None if auth_cache in ("memory", "variable") else _usable_folder(auth_cache)
    return None if folder is None else FileStateStore(folder / f"{account}.{what}", coding)


def _is_redis(auth_cache: str) -> bool:
    return urlsplit(auth_cache).scheme in ("redis", "rediss")


def _usable_folder(auth_cache: str) -> Path | None:
    """Return a writable folder for a ``file`` cache. Warn once if it is another folder."""
    path = unquote(urlsplit(auth_cache).path) if auth_cache != "file" else ""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return usable_folder(Path(path) if path else home / "sentinelhub")
