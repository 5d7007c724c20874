"""
Hands out a client's token: from memory while it is good, else from the shared store, else from one fetch for all.

Threads and coroutines of a process share a :class:`TokenBroker`. What to do next is decided in one place
(:func:`decide`), walked through by one generator; ``get`` and ``aget`` only do what it yields, each in its own way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubTransportError,
)
from sentinelhub_provider.oauth.shared import REFUSAL_MEMORY, Entry, Refusal, SharedEntry, SharedLock
from sentinelhub_provider.oauth.token import AccessToken, TokenState

log = logging.getLogger(__name__)

RENEWAL_PAUSE = 10.0
"""Seconds between attempts to renew a token that still works, so that a token endpoint that is down is left alone."""

LOCK_PATIENCE = 75.0
"""Seconds to wait for another process's fetch: longer than any takes, and than the claim of a dead one stands."""

LOCK_GLANCE = 1.0
"""Seconds between looks at whether another process has shared its token meanwhile."""


@dataclass(frozen=True, slots=True)
class Known:
    """All that a decision depends on."""

    token: AccessToken | None = None
    refusal: Refusal | None = None
    renewal: Future[AccessToken] | None = None
    renew_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Use:
    """Answer with this token."""

    token: AccessToken


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this error, without asking the endpoint."""

    error: SentinelHubAuthenticationError


@dataclass(frozen=True, slots=True)
class Follow:
    """Another caller is fetching: wait for what it gets."""

    renewal: Future[AccessToken]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask the endpoint. ``fallback`` is a token that still works, should that fail."""

    fallback: AccessToken | None


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell about a token that is new to this process, before anyone uses it."""

    token: AccessToken


@dataclass(frozen=True, slots=True)
class Run:
    """Let the store act, which may block; sent back is what it returned."""

    act: Callable[[], Any]


Decision: TypeAlias = Use | Refuse | Follow | Fetch
Step: TypeAlias = Fetch | Follow | Announce | Run
Flow: TypeAlias = Generator[Step, Any, AccessToken]


def decide(known: Known, now: float) -> Decision:
    """Say what a caller who needs a token at ``now`` (seconds since the epoch) does."""
    state = known.token.state(now) if known.token else TokenState.INVALID
    if known.token and state is TokenState.FRESH:
        return Use(known.token)
    if known.token and state is TokenState.STALE:
        busy = known.renewal is not None or now < known.renew_after
        return Use(known.token) if busy else Fetch(fallback=known.token)
    if known.renewal is not None:
        return Follow(known.renewal)
    if known.refusal and now < known.refusal.until:
        return Refuse(known.refusal.error)
    return Fetch(fallback=None)


class TokenBroker:
    """
    The tokens of one client within this process.

    :param shared: what other processes know of the client, ``None`` where nothing is shared.
    :param clock: seconds since the epoch.
    """

    def __init__(self, shared: SharedEntry | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._shared = shared
        self._clock = clock
        self._forget()
        _brokers.add(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._known = Known()

    def get(
        self,
        fetch: Callable[[], AccessToken],
        *,
        announce: Callable[[AccessToken], None] = lambda _: None,
        rejected: AccessToken | None = None,
        patience: float = 60.0,
    ) -> AccessToken:
        """
        Return a token that works, fetching it if needed.

        :param fetch: asks the token endpoint; called by at most one caller at a time.
        :param announce: told every token that is new to this process before it is used: masks it in the logs.
        :param rejected: a token that the service has just refused. Exactly that one is dropped; a newer one is used.
        :param patience: seconds to wait for another caller's fetch.
        :raises SentinelHubError: whatever ``fetch`` raised, here or in the caller that was waited for.
        """
        flow = self._flow(rejected, patience)
        try:
            step = next(flow)
            while True:
                outcome: Any = None
                try:
                    match step:
                        case Fetch():
                            outcome = fetch()
                        case Follow(renewal):
                            outcome = renewal.result(patience)
                        case Announce(token):
                            announce(token)
                        case Run(act):
                            outcome = act()
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as done:
            result: AccessToken = done.value
            return result
        finally:
            flow.close()

    async def aget(
        self,
        fetch: Callable[[], Awaitable[AccessToken]],
        *,
        announce: Callable[[AccessToken], Awaitable[None]] | None = None,
        rejected: AccessToken | None = None,
        patience: float = 60.0,
    ) -> AccessToken:
        """Do what :meth:`get` does, for the event loop."""
        flow = self._flow(rejected, patience)
        try:
            step = next(flow)
            while True:
                outcome: Any = None
                try:
                    match step:
                        case Fetch():
                            outcome = await fetch()
                        case Follow(renewal):
                            outcome = await _result(renewal, patience)
                        case Announce(token):
                            if announce is not None:
                                await announce(token)
                        case Run(act):
                            outcome = await asyncio.to_thread(act)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as done:
            result: AccessToken = done.value
            return result
        finally:
            flow.close()

    def _flow(self, rejected: AccessToken | None, patience: float) -> Flow:
        """Yield what to do, be sent what came of it (or thrown the error), return the token to use."""
        while True:
            with self._lock:
                if _same(self._known.token, rejected):
                    self._change(token=None)
                decision = decide(self._known, self._clock())
                renewal: Future[AccessToken] = Future()
                if isinstance(decision, Fetch):
                    self._change(renewal=renewal)
            match decision:
                case Use(token):
                    return token
                case Refuse(error):
                    raise _copy_of(error)
                case Follow():
                    try:
                        followed: AccessToken = yield decision
                    except CancelledError:
                        continue  # the caller that was fetching gave up; take its place
                    except TimeoutError as error:
                        raise SentinelHubTransportError(
                            "Another thread or coroutine has been fetching a token for too long. "
                            "Check that the token endpoint is reachable and that nothing blocks the event loop."
                        ) from error
                    return followed
                case Fetch(fallback):
                    return (yield from self._lead(fallback, rejected, renewal, patience))

    def _lead(
        self, fallback: AccessToken | None, rejected: AccessToken | None, renewal: Future[AccessToken], patience: float
    ) -> Flow:
        """Get a token for all callers of this process, and settle what they are told whatever happens."""
        try:
            found = None
            if self._shared is not None:
                found = self._usable((yield Run(self._shared.load)), rejected)
            if found is not None and not _same(found, fallback):
                yield Announce(found)
                fallback = found
                with self._lock:
                    self._change(token=found)  # good enough for all who come while it is renewed
            token: AccessToken
            if found is not None and found.state(self._clock()) is TokenState.FRESH:
                token = found
            elif self._shared is None:
                token = yield Fetch(fallback)
            else:
                token = yield from self._fetch_for_all(self._shared, fallback, rejected, patience)
            if not _same(token, fallback):
                yield Announce(token)
        except Exception as error:
            if fallback is not None and fallback.state(self._clock()) is TokenState.INVALID:
                fallback = None
            self._settle_failure(renewal, error, fallback)
            if fallback is None:
                raise
            log.warning(
                "could not renew the token, which is good for another %.0f s and stays in use: %s",
                fallback.seconds_left(self._clock()),
                error,
            )
            return fallback
        except BaseException:  # cancelled or closed: nobody is to wait for a fetch that will not end
            with self._lock:
                self._change(renewal=None)
            renewal.cancel()
            raise
        # What others renew now is looked for again after a pause, not with each call.
        renew_after = self._clock() + RENEWAL_PAUSE if token.state(self._clock()) is TokenState.STALE else 0.0
        with self._lock:
            self._change(token=token, refusal=None, renewal=None, renew_after=renew_after)
        renewal.set_result(token)
        return token

    def _fetch_for_all(
        self, shared: SharedEntry, usable: AccessToken | None, rejected: AccessToken | None, patience: float
    ) -> Flow:
        """Fetch a token as the only one of all who share the store, or take what another has fetched."""
        lock: SharedLock = yield Run(shared.lock)
        # Who has a token that still works does not wait for the one who renews it; others leave time for a fetch.
        wait = left = 0.0 if usable else min(LOCK_PATIENCE, patience / 2)
        try:
            while True:
                held = yield Run(partial(lock.acquire, min(left, LOCK_GLANCE)))
                left -= LOCK_GLANCE
                token = self._usable((yield Run(shared.load)), rejected) or usable
                if token and (not held or token.state(self._clock()) is TokenState.FRESH):
                    break  # taken without a turn at the lock: a fleet that waits for one token does not queue for it
                if held or left <= 0:
                    if not held:
                        log.warning("somebody else has been fetching a token for %.0f s; fetching one as well", wait)
                    token = yield from self._fetch_and_share(shared, usable)
                    break
            yield Run(lock.release)
        finally:
            lock.release()  # by whoever closes or fails the flow, which then may not yield; else it does nothing
        return token

    def _fetch_and_share(self, shared: SharedEntry, fallback: AccessToken | None) -> Flow:
        """Ask the endpoint and share its answer, be it a token or a refusal."""
        try:
            token: AccessToken = yield Fetch(fallback)
        except SentinelHubAuthenticationError as error:
            refusal = Refusal(error, until=self._clock() + REFUSAL_MEMORY)
            yield Run(lambda: shared.save(refusal))
            raise
        yield Run(lambda: shared.save(token))
        return token

    def _usable(self, entry: Entry | None, rejected: AccessToken | None) -> AccessToken | None:
        """
        Return the shared token if it may be used, stale ones included.

        :raises SentinelHubAuthenticationError: where others were refused a moment ago.
        """
        if isinstance(entry, Refusal):
            if self._clock() < entry.until:
                raise _copy_of(entry.error)
            return None
        if entry is None or entry.state(self._clock()) is TokenState.INVALID:
            return None
        return None if _same(entry, rejected) else entry

    def _settle_failure(self, renewal: Future[AccessToken], error: Exception, fallback: AccessToken | None) -> None:
        """Tell those who waited, and remember for how long not to try again."""
        now = self._clock()
        refusal = None
        if isinstance(error, SentinelHubAuthenticationError):
            refusal = Refusal(error, until=now + REFUSAL_MEMORY)
        with self._lock:
            self._change(refusal=refusal, renewal=None, renew_after=now + RENEWAL_PAUSE)
        if fallback is None:
            renewal.set_exception(error)
        else:
            renewal.set_result(fallback)

    def _change(self, **changes: Any) -> None:
        """Replace what is known; the lock is held by the caller."""
        self._known = replace(self._known, **changes)


async def _result(renewal: Future[AccessToken], patience: float) -> AccessToken:
    """Await another caller's fetch without being able to cancel it."""
    try:
        async with asyncio.timeout(patience):
            return await asyncio.shield(asyncio.wrap_future(renewal))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if renewal.cancelled() and not (task and task.cancelling()):
            raise CancelledError from None
        raise


def _same(one: AccessToken | None, other: AccessToken | None) -> bool:
    """Tell whether both are one token, which a store may have given another expiry in the last digits."""
    return one is not None and other is not None and one.value == other.value


def _copy_of(error: SentinelHubAuthenticationError) -> SentinelHubAuthenticationError:
    """Make a new object: an exception collects the traceback of everyone who raises it."""
    copy = SentinelHubAuthenticationError(
        str(error),
        status=error.status,
        code=error.code,
        service_message=error.service_message,
        endpoint=error.endpoint,
        request_id=error.request_id,
    )
    copy.__cause__ = error.__cause__
    return copy


_brokers: weakref.WeakSet[TokenBroker] = weakref.WeakSet()
_by_key: dict[str, TokenBroker] = {}
_by_key_lock = threading.Lock()


def broker_for(key: str, shared: Callable[[], SharedEntry | None] = lambda: None) -> TokenBroker:
    """
    Return this process's broker for a client.

    :param key: names the client and the place where its tokens are shared.
    :param shared: opens that place; called once for each key.
    """
    with _by_key_lock:
        broker = _by_key.get(key)
        if broker is None:
            broker = _by_key[key] = TokenBroker(shared())
        return broker


def forget_tokens() -> None:
    """Drop all tokens and refusals of this process, as a new process would start."""
    with _by_key_lock:
        _by_key.clear()


def _after_fork() -> None:
    """
    Let a forked child (an Airflow task) start with what was known but without what was going on.

    A lock or a fetch that another thread of the parent held would never be released in the child.
    """
    global _by_key_lock
    _by_key_lock = threading.Lock()
    for broker in list(_brokers):
        token, refusal = broker._known.token, broker._known.refusal
        broker._forget()
        broker._known = Known(token=token, refusal=refusal)


with contextlib.suppress(AttributeError):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
