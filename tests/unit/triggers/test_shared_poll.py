"""One poll for many watchers: how often it polls, what it does about errors, when it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clocks import SteppedTime

from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubRateLimitError,
    SentinelHubServerError,
)
from sentinelhub_provider.triggers.shared_poll import SHORTEST_PAUSE, SharedPoll, shared

TODAY = datetime(2024, 6, 15, tzinfo=UTC)


class Catalog:
    """Counts polls; answers with what it is told."""

    def __init__(self, time: SteppedTime) -> None:
        self._time = time
        self.answer: Any = [{"id": "a"}]
        self.polls: list[tuple[float, datetime]] = []

    async def search(self, since: datetime) -> list[dict[str, Any]]:
        """Answer."""
        self.polls.append((self._time(), since))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return list(self.answer)

    @property
    def times(self) -> list[float]:
        """When it was polled."""
        return [time for time, _ in self.polls]


async def recover(poll: SharedPoll, catalog: Catalog, time: SteppedTime, *, failing: float = 15, working: float = 15):
    """Watch while the catalog fails, as long as it is told to, and then works; raise if no scenes come."""
    async with poll.subscribe(since(), lambda: 60.0) as subscription:
        await time.run(failing)
        catalog.answer = []
        await time.run(working)
        await asyncio.wait_for(subscription.next(), 30)


@pytest.fixture(name="time")
def fixture_time() -> SteppedTime:
    """The time."""
    return SteppedTime()


@pytest.fixture(name="catalog")
def fixture_catalog(time: SteppedTime) -> Catalog:
    """What is polled."""
    return Catalog(time)


@pytest.fixture(name="poll")
def fixture_poll(time: SteppedTime, catalog: Catalog) -> SharedPoll:
    """A poll of it, without jitter."""
    return SharedPoll(catalog.search, "watcher", clock=time, sleep=time.sleep, jitter=lambda: 0.0)


def since(day: int = 0) -> Callable[[], datetime]:
    """Return what a watcher asks for."""
    return lambda: TODAY - timedelta(days=day)


def test_many_watchers_share_each_poll(poll, catalog, time):
    """Fifty watchers, one poll each interval, whose result all get."""

    async def run() -> list[Any]:
        opened = [poll.subscribe(since(7), lambda: 300.0) for _ in range(50)]
        subscriptions = [await each.__aenter__() for each in opened]
        results = [await asyncio.gather(*(each.next() for each in subscriptions))]
        await time.run(650)
        results.append(await asyncio.gather(*(each.next() for each in subscriptions)))
        for each in opened:
            await each.__aexit__(None, None, None)
        return results

    results = asyncio.run(run())

    assert catalog.times == [0.0, 300.0, 600.0]
    assert [len(result) for result in results] == [50, 50]


def test_who_joins_soon_gets_the_poll_that_was(poll, catalog, time):
    """A watcher that joins within ten seconds costs no poll; one that joins later has one at once."""

    async def run() -> None:
        async with poll.subscribe(since(7), lambda: 300.0) as first:
            await first.next()
            await time.run(5)
            async with poll.subscribe(since(7), lambda: 300.0) as second:
                await second.next()
                await time.run(95)
                async with poll.subscribe(since(7), lambda: 300.0) as third:
                    await third.next()

    asyncio.run(run())

    assert catalog.times == [0.0, 100.0]


def test_who_needs_more_days_gets_them(poll, catalog, time):
    """The poll that was does not reach back far enough; the next one serves both."""

    async def run() -> None:
        async with poll.subscribe(since(2), lambda: 300.0) as first, poll.subscribe(since(2), lambda: 300.0):
            await first.next()
            await time.run(1)
            async with poll.subscribe(since(30), lambda: 300.0) as second:
                waiting = asyncio.ensure_future(second.next())
                await time.run(20)
                assert waiting.done()

    asyncio.run(run())

    assert catalog.polls == [(0.0, since(2)()), (10.0, since(30)())]


def test_the_shortest_interval_rules(poll, catalog, time):
    """Two watchers of one query with intervals of their own."""

    async def run() -> None:
        async with poll.subscribe(since(), lambda: 300.0), poll.subscribe(since(), lambda: 60.0):
            await time.run(130)

    asyncio.run(run())

    assert catalog.times == [0.0, 60.0, 120.0]


def test_passing_errors_make_the_pauses_longer(poll, catalog, time, caplog):
    """It goes on for ever, never faster than every ten seconds, and says when it works again."""
    catalog.answer = SentinelHubServerError("POST /catalog/v1/search answered 503.", status=503)

    with caplog.at_level(logging.INFO):
        asyncio.run(recover(poll, catalog, time, failing=2_000, working=300))

    pauses = [after - before for before, after in zip(catalog.times, catalog.times[1:], strict=False)]
    assert pauses[:5] == [10.0, 10.0, 20.0, 40.0, 80.0]
    assert max(pauses) == 300.0
    assert min(pauses) >= SHORTEST_PAUSE
    assert "polling works again" in caplog.text


def test_the_service_may_ask_for_more(poll, catalog, time):
    """A rate limit's own figure counts."""
    catalog.answer = SentinelHubRateLimitError("Too many requests.", retry_after=120.0)

    async def run() -> None:
        async with poll.subscribe(since(), lambda: 60.0):
            await time.run(150)

    asyncio.run(run())

    assert catalog.times == [0.0, 120.0]


def test_a_wrong_secret_is_polled_slowly(poll, catalog, time, caplog):
    """Clearly told each time, and each quarter of an hour only; a cure is noticed then."""
    catalog.answer = SentinelHubAuthenticationError("The token endpoint refuses the client. Change the password.")

    async def run() -> None:
        async with poll.subscribe(since(), lambda: 60.0):
            await time.run(3_000)

    asyncio.run(run())

    assert catalog.times == [0.0, 900.0, 1_800.0, 2_700.0]
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 4
    assert "Change the password. No scene is announced until this is mended." in errors[0]


def test_an_unforeseen_error_does_not_end_it(poll, catalog, time, caplog):
    """A mistake of anybody's is logged with its traceback."""
    catalog.answer = KeyError("surprise")

    asyncio.run(recover(poll, catalog, time))

    assert any(record.exc_info for record in caplog.records)


def test_a_cancellation_of_somebody_else_does_not_end_it(poll, catalog, time):
    """Such as of a login that several calls wait for: nobody would poll any more, and its watchers wait for ever."""
    catalog.answer = asyncio.CancelledError()

    asyncio.run(recover(poll, catalog, time))


def test_it_ends_with_its_last_watcher(poll, catalog, time):
    """Nobody is left to tell."""

    async def run() -> None:
        async with poll.subscribe(since(), lambda: 60.0):
            await time.run(70)
        await time.run(1_000)

    asyncio.run(run())

    assert catalog.times == [0.0, 60.0]


def test_watchers_that_come_and_go_make_no_hot_loop(poll, catalog, time):
    """A watcher that is made anew each second causes no more than a poll every ten seconds."""

    async def run() -> None:
        for _ in range(60):
            async with poll.subscribe(since(), lambda: 300.0):
                await time.run(1)

    asyncio.run(run())

    assert catalog.times == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]


def test_polls_are_known_by_their_key(time, catalog):
    """The same key and loop, the same poll; one that nobody uses any more is forgotten."""

    def make() -> SharedPoll:
        return SharedPoll(catalog.search, "watcher", clock=time, sleep=time.sleep)

    async def run() -> SharedPoll:
        poll = shared("a", make)
        async with poll.subscribe(since(), lambda: 60.0):
            assert shared("a", make) is poll
            assert shared("b", make) is not poll
            await time.run(1)
        assert shared("a", make) is poll
        await time.run(20)
        assert shared("a", make) is not poll
        return poll

    assert asyncio.run(run()) is not asyncio.run(run())
