"""The token broker hands out a client's token: from memory, from the shared store, or from one fetch for all callers.

Threads and coroutines of a process share a :class:`TokenBroker`. A fetch runs in a thread of its own, so a cancelled
caller does not end it for the others. A caller whose token still works uses it and does not wait for the renewal.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import logging
import os
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any, TypeAlias

from sentinelhub_provider.both_ways import Turns, at_once, awaited
from sentinelhub_provider.exceptions import SentinelHubAuthenticationError, SentinelHubError, SentinelHubTransportError
from sentinelhub_provider.oauth.shared import REFUSAL_MEMORY, Refusal, SharedEntry
from sentinelhub_provider.oauth.token import AccessToken, TokenState

log = logging.getLogger(__name__)

# Seconds between attempts to renew a token that still works. The pause spares a token endpoint that is down.
RENEWAL_PAUSE = 10.0
# Seconds that a fetch may take, with its repetitions. It is less if the call that needs the token has less time left.
FETCH_DEADLINE = 60.0
LOCK_PATIENCE = 75.0  # seconds to wait for another process's fetch, which is longer than any fetch takes
LOCK_POLL = 1.0  # seconds between checks for a token that another process has shared meanwhile
GRACE = 1.0  # seconds that a caller waits beyond the longest fetch, so that it learns why the fetch failed
Fetch: TypeAlias = Callable[[float], AccessToken]  # asks the token endpoint and takes at most so many seconds


class Renewal(Future[AccessToken]):
    """A fetch that is under way. It is hurried if the call that started it has less time left than a fetch may take."""

    def __init__(
        self, fetch: Fetch, ends: float, *, is_hurried: bool = False, rejected: AccessToken | None = None
    ) -> None:
        super().__init__()
        self.fetch, self.ends, self.is_hurried, self.rejected = fetch, ends, is_hurried, rejected
        self.set_running_or_notify_cancel()  # so that a cancelled caller does not cancel the fetch


@dataclass(frozen=True, slots=True)
class Known:
    """The facts that a decision depends on. The times of refusal and renewal are by the process's monotonic timer."""

    token: AccessToken | None = None
    renewal: Renewal | None = None
    refusal: Refusal | None = None
    renew_after: float = 0.0


class Decision(Enum):
    """The next step of a caller that needs a token."""

    USE = "use the token"
    RENEW = "use the token, and start a fetch"
    FETCH = "start a fetch and wait for it"
    FOLLOW = "wait for the fetch that is under way"
    REFUSE = "raise the refusal without asking the endpoint"


def decide(known: Known, now: float, tick: float) -> Decision:
    """Decide the caller's next step at ``now`` (seconds since the epoch) and ``tick`` (monotonic seconds)."""
    state = known.token.state(now) if known.token else TokenState.INVALID
    if state is TokenState.FRESH:
        return Decision.USE
    if state is TokenState.STALE:
        return Decision.USE if known.renewal is not None or tick < known.renew_after else Decision.RENEW
    if known.renewal is not None:
        return Decision.FOLLOW
    return Decision.REFUSE if known.refusal and known.refusal.stands(tick) else Decision.FETCH


def run_in_thread(job: Callable[[], None]) -> None:
    """Start a job in a daemon thread and return. The thread logs in the caller's context."""
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(job,), name="sentinelhub-token", daemon=True).start()


class TokenBroker:
    """The tokens of one client within this process.

    :param shared: the client's entry in the store that processes share; ``None`` if nothing is shared.
    :param clock: returns seconds since the epoch.
    :param timer: returns seconds of a monotonic timer.
    :param run: starts a fetch and returns. With ``None`` the caller's thread fetches, and only when it has to.
    """

    def __init__(
        self,
        shared: SharedEntry | None = None,
        *,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
        run: Callable[[Callable[[], None]], None] | None = run_in_thread,
    ) -> None:
        self._shared, self._clock, self._timer, self._run = shared, clock, timer, run
        self._forget_what_goes_on(Known())
        _brokers.add(self)

    def _forget_what_goes_on(self, known: Known) -> None:
        self._lock = threading.Lock()
        self._known = Known(token=known.token, refusal=known.refusal)
        self._masked: AccessToken | None = None
        self._distrusted: dict[str, Refusal] = {}

    def get(self, fetch: Fetch, *, rejected: AccessToken | None = None, patience: float = 60.0) -> AccessToken:
        """Return a token that works, fetching it if needed.

        :param fetch: asks the token endpoint in a thread of its own. Only one fetch runs at a time.
        :param rejected: a token that the service has just refused. Only this token is dropped; a newer one is used.
        :param patience: seconds that this call may take.
        :raises SentinelHubError: the error of the fetch. A caller that has more time than the one that started the
            fetch tries again.
        """
        return at_once(self._get(fetch, rejected, patience, lambda renewal, left: renewal.result(left)))

    async def aget(self, fetch: Fetch, *, rejected: AccessToken | None = None, patience: float = 60.0) -> AccessToken:
        """Do the same as :meth:`get` on the event loop. ``fetch`` blocks only its own thread."""

        def wait(renewal: Renewal, left: float) -> Awaitable[AccessToken]:
            return asyncio.wait_for(asyncio.wrap_future(renewal), left)

        return await self._get(fetch, rejected, patience, wait)

    async def _get(
        self,
        fetch: Fetch,
        rejected: AccessToken | None,
        patience: float,
        wait: Callable[[Renewal, float], AccessToken | Awaitable[AccessToken]],
    ) -> AccessToken:
        ends = self._timer() + patience
        is_repeated = False
        while True:
            found, started = self._token_or_fetch(fetch, rejected, ends)
            if isinstance(found, Renewal):
                left = max(0.0, ends - self._timer()) + GRACE
                with _outcome(found, started, patience):
                    found = await awaited(wait(found, left))
            if isinstance(found, AccessToken):
                # A fetch of others may have begun before the refusal. A second fetch by the same caller brings nothing
                # new.
                if started or is_repeated or not _same(found, rejected):
                    return found
                is_repeated = True

    def distrust(self, place: str, error: SentinelHubAuthenticationError) -> None:
        """Remember that the API at ``place`` has refused a token that was just fetched."""
        self._distrusted[place] = Refusal(error, until=self._timer() + REFUSAL_MEMORY)

    def check_trust(self, place: str) -> None:
        """Raise the error with which the API at ``place`` refused two tokens in a row, if that was just now."""
        refusal = self._distrusted.get(place)
        if refusal is not None and refusal.stands(self._timer()):
            raise copy.copy(refusal.error)

    def needs_masking(self, token: AccessToken) -> bool:
        """Tell whether this process sees the token for the first time. A new token must be masked before it is used."""
        return not _same(self._masked, token)

    def masked(self, token: AccessToken) -> None:
        """Note that a token has been masked."""
        self._masked = token

    def _token_or_fetch(
        self, fetch: Fetch, rejected: AccessToken | None, ends: float
    ) -> tuple[AccessToken | Renewal, bool]:
        """Return a token that can be used at once or a fetch to wait for, and whether this call started the fetch."""
        with self._lock:
            if _same(self._known.token, rejected):
                self._change(token=None)
            known, tick = self._known, self._timer()
            decision = decide(known, self._clock(), tick)
            last = tick + FETCH_DEADLINE
            is_hurried = decision is Decision.FETCH and ends < last
            renewal = Renewal(fetch, ends if is_hurried else last, is_hurried=is_hurried, rejected=rejected)
            starts = decision is Decision.FETCH or (decision is Decision.RENEW and self._run is not None)
            if starts:
                self._change(renewal=renewal)
        if starts:
            job = partial(self._renew, renewal, known.token)
            try:
                job() if self._run is None else self._run(job)
            except BaseException:  # no thread can start, or a signal came first, so no caller may wait for this fetch
                self._settle(renewal)
                raise
        if decision is Decision.REFUSE and known.refusal is not None:
            raise copy.copy(known.refusal.error)
        if decision in (Decision.USE, Decision.RENEW) and known.token is not None:
            return known.token, False
        return known.renewal or renewal, starts

    def _renew(self, renewal: Renewal, usable: AccessToken | None) -> None:
        """Get a token for all callers of this process and pass the outcome to the callers that wait."""
        if usable is not None and usable.state(self._clock()) is TokenState.INVALID:
            usable = None
        try:
            found = self._load(renewal.rejected)
            if found is not None and not _same(found, usable):
                usable, waiting = found, renewal
                # Callers that had this token refused wait for a later outcome of the same fetch.
                renewal = Renewal(renewal.fetch, renewal.ends, is_hurried=renewal.is_hurried, rejected=renewal.rejected)
                with self._lock:
                    self._change(token=found, renewal=renewal)
                waiting.set_result(found)  # the waiting callers can use it, even if it is being renewed
            if found is not None and found.state(self._clock()) is TokenState.FRESH:
                token = found
            else:
                token = self._fetch_for_all(renewal, usable)
        except BaseException as error:
            self._settle(renewal, renew_after=self._timer() + RENEWAL_PAUSE)
            renewal.set_exception(error)
            if usable is not None:
                left = usable.seconds_left(self._clock())
                log.warning("could not renew the token, which stays in use for another %.0f s: %s", left, error)
            return
        # If another process renews the token now, look for the result after a pause and not with each call.
        is_stale = token.state(self._clock()) is TokenState.STALE
        self._settle(renewal, token=token, refusal=None, renew_after=self._timer() + RENEWAL_PAUSE if is_stale else 0.0)
        renewal.set_result(token)

    def _fetch_for_all(self, renewal: Renewal, usable: AccessToken | None) -> AccessToken:
        """Fetch a token for all processes that share the store, or take the one that another process has fetched."""
        if self._shared is None:
            return self._fetch(renewal, usable)
        lock = self._shared.lock()
        # A process with a usable token does not wait for another's renewal. Other processes keep time for their own
        # fetch.
        wait = left = 0.0 if usable else min(LOCK_PATIENCE, max(0.0, renewal.ends - self._timer()) / 2)
        try:
            while True:
                held = lock.acquire(min(left, LOCK_POLL))
                left -= LOCK_POLL
                token = self._load(renewal.rejected) or usable
                if token and (not held or token.state(self._clock()) is TokenState.FRESH):
                    return token  # without the lock, so a fleet that waits for one token does not queue for it
                if held or left <= 0:
                    if not held:
                        log.warning("another process has been fetching a token for %.0f s; fetching one as well", wait)
                    token = self._fetch(renewal, usable)
                    self._shared.save(token)
                    return token
        finally:
            lock.release()

    def _fetch(self, renewal: Renewal, usable: AccessToken | None) -> AccessToken:
        """Ask the endpoint. Remember a refusal unless a usable token is left."""
        try:
            return renewal.fetch(max(0.0, renewal.ends - self._timer()))
        except SentinelHubAuthenticationError as error:
            newer = self._load(renewal.rejected)
            if newer is not None and not _same(newer, usable):
                return newer
            if newer is None and (usable is None or usable.state(self._clock()) is TokenState.INVALID):
                with self._lock:
                    self._change(refusal=Refusal(error, until=self._timer() + REFUSAL_MEMORY))
                if self._shared is not None:
                    self._shared.save(Refusal(error, until=self._clock() + REFUSAL_MEMORY))
            raise

    def _load(self, rejected: AccessToken | None) -> AccessToken | None:
        """Return the shared token if it may be used, even if stale. Raise the refusal that another process just met."""
        entry = None if self._shared is None else self._shared.load()
        if isinstance(entry, AccessToken):
            return None if entry.state(self._clock()) is TokenState.INVALID or _same(entry, rejected) else entry
        if entry is not None and entry.stands(self._clock()):
            raise copy.copy(entry.error)
        return None

    def _settle(self, renewal: Renewal, **changes: Any) -> None:
        with self._lock:
            if self._known.renewal is renewal:
                self._change(renewal=None)
            self._change(**changes)

    def _change(self, **changes: Any) -> None:
        """Replace known facts. The caller holds the lock."""
        self._known = replace(self._known, **changes)


@contextlib.contextmanager
def _outcome(renewal: Renewal, started: bool, patience: float) -> Iterator[None]:
    """Raise a shared fetch's error as each caller's own. A fetch that another caller hurried does not count."""
    # Each caller gets a copy, because an exception collects the traceback of everyone who raises it.
    try:
        yield
    except TimeoutError:
        if renewal.done() and isinstance(renewal.exception(), TimeoutError):
            raise
        raise SentinelHubTransportError(
            f"No token came within {patience:.0f} s. Check that the token endpoint is reachable."
        ) from None
    except SentinelHubError as error:
        if started or not renewal.is_hurried or error.final:
            raise copy.copy(error) from error.__cause__


def _same(one: AccessToken | None, other: AccessToken | None) -> bool:
    """Tell whether both are the same token. A store may have changed its expiry in the last digits."""
    return one is not None and other is not None and one.value == other.value


_brokers: weakref.WeakSet[TokenBroker] = weakref.WeakSet()
_by_key: dict[str, TokenBroker] = {}
_by_key_lock = Turns()


def broker_for(key: str, make: Callable[[], TokenBroker] = TokenBroker) -> TokenBroker:
    """Return this process's broker for ``key``, which names the client and its shared store."""
    with _by_key_lock:
        if key not in _by_key:
            _by_key[key] = make()
        return _by_key[key]


def forget_tokens() -> None:
    """Drop all tokens and refusals of this process, so that it behaves like a new process."""
    with _by_key_lock:
        _by_key.clear()


def _after_fork() -> None:
    """Reset a forked child (an Airflow task), which would otherwise wait for its parent's locks and fetches."""
    for broker in list(_brokers):
        broker._forget_what_goes_on(broker._known)


with contextlib.suppress(AttributeError):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
