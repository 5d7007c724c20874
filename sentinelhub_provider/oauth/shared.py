"""
One client's entry in a shared store: sealed, checked, and never a reason for a task to fail.

Whatever a store does wrong - slow, full, corrupt, gone - costs one warning and, at worst, one fetch.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

from sentinelhub_provider.exceptions import SentinelHubAuthenticationError
from sentinelhub_provider.oauth.stores import Blob, StoreLock, TokenStore
from sentinelhub_provider.oauth.stores.sealing import Seal
from sentinelhub_provider.oauth.token import AccessToken

log = logging.getLogger(__name__)

STORE_PAUSE = 30.0
"""Seconds for which a store that failed is left alone, so that not every call waits for it."""

REFUSAL_MEMORY = 60.0
"""Seconds for which a refused client is not asked about again: 500 tasks with a wrong secret make one failed login."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    A client that the token endpoint refused for good.

    :param error: what it was refused with.
    :param until: until when that is believed without asking, in seconds since the epoch.
    """

    error: SentinelHubAuthenticationError
    until: float


Entry: TypeAlias = AccessToken | Refusal


class SharedEntry:
    """
    What all that share a store know of one client.

    :param store: where it is kept.
    :param key: the client's key.
    :param secret: the client secret, which seals the entry.
    :param clock: seconds since the epoch.
    """

    def __init__(self, store: TokenStore, *, key: str, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._key = key
        self._seal = Seal(secret, key)
        self._clock = clock
        self._paused_until = 0.0
        self._failing: str | None = None
        self._unreadable = False

    def load(self) -> Entry | None:
        """Return what is kept, ``None`` where there is nothing that can be used."""
        blob = self._softly("read", lambda: self._store.read(self._key), None)
        if blob is None:
            return None
        plain = self._seal.open(blob.data)
        entry = None if plain is None else _entry_from(plain, blob, self._clock())
        if entry is None and not self._unreadable:
            log.warning("the token store holds something that cannot be opened; it will be replaced")
        self._unreadable = entry is None
        return entry

    def save(self, entry: Entry) -> None:
        """Keep an entry in place of what was kept before."""
        left = (entry.expires_at if isinstance(entry, AccessToken) else entry.until) - self._clock()
        if left > 0:
            sealed = self._seal.close(_plain_from(entry))
            self._softly("write", lambda: self._store.write(self._key, sealed, left), None)

    def drop(self) -> None:
        """Forget what is kept."""
        self._softly("write", lambda: self._store.delete(self._key), None)

    def lock(self) -> SharedLock:
        """Return the lock for fetching, not yet taken."""
        return SharedLock(self._softly("lock", lambda: self._store.lock(self._key), None), self._softly)

    def _softly(
        self, what: str, act: Callable[[], _Result], otherwise: _Result, *, even_paused: bool = False
    ) -> _Result:
        """Let the store act; on failure warn once, and leave it alone for a while."""
        if self._clock() < self._paused_until and not even_paused:
            return otherwise
        try:
            result = act()
        except Exception as error:  # a store's back end may raise anything
            self._paused_until = self._clock() + STORE_PAUSE
            # The error's own text may hold a Redis URL with its password.
            level = logging.DEBUG if self._failing else logging.WARNING
            log.log(level, "cannot %s the token store (%s); going on without it", what, type(error).__name__)
            self._failing = self._failing or what
            return otherwise
        if self._failing == what:  # a full store can be read all the while
            log.info("the token store works again")
            self._failing = None
        return result


class SharedLock:
    """
    A store's lock, for one use. Where the store fails it is had by everyone: a fetch too many does no harm, none would.

    A coroutine that is cancelled leaves a thread waiting in :meth:`acquire`: what :meth:`release` finds under way is
    given back as soon as it is had.
    """

    def __init__(self, lock: StoreLock | None, softly: Callable[..., bool]) -> None:
        self._lock = lock
        self._softly = softly
        self._mutex = threading.Lock()
        self._held = False
        self._done = False

    def acquire(self, patience: float) -> bool:
        """Take the lock; ``False`` if somebody else has held it for ``patience`` seconds."""
        return self._lock is None or self._softly("lock", partial(self._attempt, self._lock, patience), True)

    def release(self) -> None:
        """Give the lock back if it is held, now or by an :meth:`acquire` that is under way in another thread."""
        with self._mutex:
            held, self._held, self._done = self._held, False, True
        if self._lock is not None and held:
            # Also where writing has just failed: others would wait for a lock that nobody uses.
            self._softly("unlock", partial(_give_back, self._lock), False, even_paused=True)

    def _attempt(self, lock: StoreLock, patience: float) -> bool:
        if not lock.acquire(patience):
            return False
        with self._mutex:
            self._held = not self._done
        if not self._held:
            lock.release()
        return True


def _give_back(lock: StoreLock) -> bool:
    lock.release()
    return True


def _plain_from(entry: Entry) -> bytes:
    if isinstance(entry, AccessToken):
        document: dict[str, Any] = {
            "token": entry.value,
            "expires_at": entry.expires_at,
            "lifetime": entry.lifetime,
            "scope": entry.scope,
        }
    else:
        error = entry.error
        document = {
            "refused": str(error),
            "until": entry.until,
            "status": error.status,
            "code": error.code,
            "service_message": error.service_message,
            "endpoint": error.endpoint,
        }
    return json.dumps(document).encode()


def _entry_from(plain: bytes, blob: Blob, now: float) -> Entry | None:
    """Read an entry back, trusting no other host's clock further than needed."""
    try:
        document = json.loads(plain)
        if "token" in document:
            lifetime = float(document["lifetime"])
            left = float(document["expires_at"]) - now if blob.seconds_left is None else blob.seconds_left
            # No token lives longer than it was given, whatever the writer's clock said.
            return AccessToken(document["token"], now + min(left, lifetime), lifetime, document["scope"])
        about = {name: document[name] for name in ("status", "code", "service_message", "endpoint")}
        left = float(document["until"]) - now if blob.seconds_left is None else blob.seconds_left
        if left > 2 * REFUSAL_MEMORY:  # a clock far ahead wrote it; nobody would ask again until ours gets there
            left = 0.0
        return Refusal(SentinelHubAuthenticationError(document["refused"], **about), now + min(left, REFUSAL_MEMORY))
    except (ValueError, KeyError, TypeError):
        return None
