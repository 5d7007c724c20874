"""Takes calls through their flows, for both sessions."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sentinelhub_provider.both_ways import awaited
from sentinelhub_provider.connection import ConnectionSettings
from sentinelhub_provider.exceptions import SentinelHubRateLimitError, SentinelHubRequestError
from sentinelhub_provider.oauth.broker import Fetch, TokenBroker
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.transport import steps
from sentinelhub_provider.transport.answers import Answer
from sentinelhub_provider.transport.budget import Budget, Charge, Cost
from sentinelhub_provider.transport.policy import Call, Flow
from sentinelhub_provider.transport.rate_limit import Slot
from sentinelhub_provider.transport.rate_limiter import RateLimiter

# Seconds of the longest wait for the end of a budget's day or month here. For a longer one a task can be deferred.
LONGEST_WAIT_FOR_BUDGET = 60.0
CLOCKS_APART = 0.05  # seconds to wait longer, so that one wait is enough


class FlowDriver:
    """Carries out the steps of a flow. Functions that may wait are plain or coroutine functions, as the session needs.

    :param settings: the connection.
    :param broker: source of tokens.
    :param limiter: decides when requests may start.
    :param fetch: asks the token endpoint in a thread, for at most so many seconds, and puts the token into the list.
    :param on_token: gets every token that is new to this process before its use, and masks it in the logs.
    :param on_wait: gets every wait.
    :param sleep: waits so many seconds.
    :param budget: the budgets in force, ``None`` for no budget.
    :param measure: gets the numbers for the metrics. See :mod:`~sentinelhub_provider.transport.steps`.
    """

    def __init__(
        self,
        settings: ConnectionSettings,
        broker: TokenBroker,
        limiter: RateLimiter,
        *,
        fetch: Callable[[list[AccessToken], float], AccessToken],
        on_token: Callable[[str], Any],
        on_wait: Callable[[steps.Wait], None],
        sleep: Callable[[float], Any],
        budget: Budget | None = None,
        measure: steps.Measure = lambda _, __: None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._broker, self._limiter = settings, broker, limiter
        self._fetch, self._on_token, self._on_wait, self._measure = fetch, on_token, on_wait, measure
        self._clock, self._sleep, self._jitter = clock, sleep, jitter
        self._budget = budget
        self._process = os.getpid()

    def _from_broker(self, fetch: Fetch, **limits: Any) -> Any:
        """Get a token in the session's way."""
        return self._broker.get(fetch, **limits)

    def _limit(self, act: Callable[[], Any]) -> Any:
        """Let the rate limiter or the budget act."""
        return act()

    async def _token(self, rejected: AccessToken | None, timeout: float) -> AccessToken:
        fetched: list[AccessToken] = []
        if rejected is not None:
            self._broker.check_trust(self._settings.base_url)
        fetch = partial(self._fetch, fetched)
        token: AccessToken = await awaited(self._from_broker(fetch, rejected=rejected, patience=timeout))
        if self._broker.needs_masking(token):
            await awaited(self._on_token(token.value))
            self._broker.masked(token)
        if token not in fetched:
            self._measure(steps.TOKEN_CACHE_HIT, "")
        return token

    async def _set_aside(self, call: Call, step: steps.Send) -> Charge | None:
        """Reserve the expected cost of a request, ``None`` if there is no budget or no cost."""
        if self._budget is None or call.cost is None or not call.cost.may_be_refused or not _is_charged(step):
            return None
        budget, cost, charge = self._budget, call.cost, None

        def act() -> None:
            nonlocal charge  # set here, because a call that is cancelled meanwhile gets no answer
            charge = budget.set_aside(cost)

        longest = LONGEST_WAIT_FOR_BUDGET if call.longest_wait is None else call.longest_wait
        left = min(LONGEST_WAIT_FOR_BUDGET, longest, step.timeout)
        try:
            while charge is None:
                try:
                    await awaited(self._limit(act))
                except SentinelHubRateLimitError as error:  # the caller may wait for the window's end
                    seconds = (error.retry_after or 0.0) + CLOCKS_APART
                    if seconds > left:
                        raise
                    self._on_wait(steps.Wait(seconds, "the budget is spent", 1, call.max_attempts, left))
                    await awaited(self._sleep(seconds))
                    left -= seconds
        except BaseException:
            if charge is not None:  # nothing was sent
                await awaited(self._limit(partial(budget.settle, charge, 0.0)))
            raise
        return charge

    async def _charged(
        self, charge: Charge | None, cost: Cost | None, send: Callable[[steps.Send], Any], step: steps.Send
    ) -> Answer | steps.Failure:
        """Send and settle the reserved cost. A possible charge counts as spent."""
        spent: float | None = None
        try:
            outcome: Answer | steps.Failure = await awaited(send(step))
            if isinstance(outcome, steps.Failure):
                spent = None if outcome.kind.was_sent else 0.0
            else:
                spent = outcome.processing_units
                if spent is None and outcome.status >= 300:
                    spent = 0.0
                elif spent is None and charge is None and cost is not None:
                    spent = cost.units
            return outcome
        except SentinelHubRequestError:  # nothing was sent
            spent = 0.0
            raise
        finally:
            if self._budget is not None and (charge is not None or (spent and _is_charged(step))):
                await awaited(self._limit(partial(self._budget.settle, charge, spent)))

    def _report(self, step: steps.Step, outcome: Any, seconds: float, call: Call) -> None:
        for measurement in steps.measurements(step, outcome, seconds):
            self._measure(measurement, call.url)

    async def _drive(self, flow: Flow, send: Callable[[steps.Send], Any], call: Call) -> Answer:
        """Walk through a flow and carry out its steps."""
        event: Any = None
        held: Slot | None = None

        def reserve(step: steps.Reserve) -> Slot:
            nonlocal held  # set here, because a call that is cancelled meanwhile gets no answer
            held = self._limiter.reserve(step.previous, patience=step.patience, spends=step.spends)
            return held

        try:
            while True:
                step = flow.send(event)
                event, began = None, self._clock()
                match step:
                    case steps.Reserve():
                        event = await awaited(self._limit(partial(reserve, step)))
                    case steps.Settle(slot, status, retry_after, spent):
                        settle = partial(self._limiter.settle, status=status, retry_after=retry_after, spent=spent)
                        pace = await awaited(self._limit(partial(settle, slot)))
                        self._report(step, pace, 0.0, call)
                    case steps.Authorize(rejected, timeout):
                        event = await self._token(rejected, timeout)
                    case steps.Distrust(error):
                        self._broker.distrust(self._settings.base_url, error)
                    case steps.Send():
                        charge = await self._set_aside(call, step)  # if it fails, the slot is given back
                        held = None
                        event = await self._charged(charge, call.cost, send, step)
                    case steps.Wait(seconds):
                        self._on_wait(step)
                        await awaited(self._sleep(seconds))
                self._report(step, event, self._clock() - began, call)
        except StopIteration as done:
            answer: Answer = done.value
            return answer
        finally:
            if held is not None:  # the call gave up
                await awaited(self._limit(partial(self._limiter.give_back, held)))


def _is_charged(step: steps.Send) -> bool:
    """Tell whether a request goes to the service with the account's credentials."""
    return step.token is not None and not step.is_foreign
