"""Requests the statistics of many features, several at a time, and writes each answer to disk as it comes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from sentinelhub_provider.api.geo.geometry import Feature
from sentinelhub_provider.api.statistical.request import StatisticalRequest
from sentinelhub_provider.api.statistical.survey import Problem, RequestTemplate
from sentinelhub_provider.api.statistical.table import Failure, failures, joined, merge, progress_line, timed_out
from sentinelhub_provider.api.values import decode_answer
from sentinelhub_provider.exceptions import (
    SentinelHubBadRequestError,
    SentinelHubError,
    SentinelHubNotFoundError,
    SentinelHubResponseError,
    SentinelHubServerError,
    SentinelHubTransportError,
)
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.operators.arguments import telling_cost
from sentinelhub_provider.operators.feature_statistics.answers import PartFile
from sentinelhub_provider.transport.answers import UNITS_HEADER, spent_units

ENDPOINT = "/statistics/v1"

OF_ONE_FEATURE = (
    SentinelHubBadRequestError,
    SentinelHubNotFoundError,
    SentinelHubResponseError,
    SentinelHubServerError,
)
"""Errors that may concern one feature alone, as silence may. All others would come for each feature."""

GATEWAY_TIMEOUT = 504

MOST_FAILURES_IN_A_ROW = 25
"""After this many features in a row without an answer, the fault is not theirs, and no more are requested."""

MOST_FAILED_REPEATS = 3
"""Failed intervals of a feature are requested once more, until this many in a row have failed again."""

Pending = Iterator[tuple[Feature, str]]  # features to request, each with its key


@dataclass
class FeatureRequests:
    """The requests of one attempt.

    ``part`` takes the answers and has those of earlier attempts. ``whole``: number of all features. ``concurrency``:
    simultaneous requests. ``arguments`` returns the options of the next call, and raises if the task's time is over.
    ``samples``: samples per pixel, for estimates. ``clock``: returns monotonic seconds. ``progress_every``: seconds
    between two log lines about the progress.
    """

    hook: SentinelHubHook
    template: RequestTemplate
    part: PartFile
    whole: int
    concurrency: int
    arguments: Callable[[], dict[str, Any]]
    log: logging.Logger
    samples: float = 1
    clock: Callable[[], float] = time.monotonic
    progress_every: float = 30.0
    problems: list[Problem] = field(default_factory=list)
    done: int = 0
    requested: int = 0
    _areas: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _in_a_row: int = 0
    _stopped_by: SentinelHubError | None = None
    _began: float = 0.0
    _told: float = 0.0

    def run(self, pending: Pending) -> None:
        """Request all features that have no complete answer yet.

        :raises SentinelHubError: the first error that would come for every feature. Nothing is sent after it. Requests
            under way are completed and kept, as they are paid for.
        """
        self._began = self._told = self.clock()
        # The settings are read here, where it may block. The loop then has the connection at hand.
        _ = self.hook.settings
        try:
            asyncio.run(self._run(pending))
        except BaseExceptionGroup as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise error from None
        self._tell(at_once=True)
        if self._stopped_by is not None:
            raise self._stopped_by

    async def _run(self, pending: Pending) -> None:
        # The workers share the iterator, so that requests exist only while they are sent.
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.concurrency):
                    group.create_task(self._work(pending))
        finally:
            await self.hook.aclose()

    async def _work(self, pending: Pending) -> None:
        for feature, key in pending:
            # Features with the same area share one answer, so that it is paid for once.
            async with self._areas.setdefault(key, asyncio.Lock()):
                if self._stopped_by is not None:
                    return
                if self.part.is_complete(key):
                    self.done += 1
                    continue
                try:
                    await self._request(key, self.template.for_feature(feature))
                except SentinelHubError as error:
                    self._failed(feature, error)
                else:
                    self._in_a_row = 0
                    self.done += 1
            self.requested += 1
            self._tell()

    def _failed(self, feature: Feature, error: SentinelHubError) -> None:
        """Note a feature without an answer. Stop if no other feature would get one."""
        if is_of_one_feature(error):
            self.problems.append(Problem(feature.id, str(error), error.final))
            self._in_a_row += 1
            if self._in_a_row < MOST_FAILURES_IN_A_ROW:
                return
        self._stopped_by = self._stopped_by or error

    async def _request(self, key: str, request: StatisticalRequest) -> None:
        """Get and store the answer for a feature, or the part that an earlier answer lacks."""
        answer, units = self.part.get(key), 0.0
        if answer is None:
            answer, units = await self._post_or_split(key, request)
        failed = _repeatable(answer)
        if failed:
            if key not in self.part:
                self.part.add(key, answer, units=units, is_complete=False)
                units = 0.0
            answer, spent = await self._repeat(request, answer, failed)
            units += spent
            failed = _repeatable(answer)
        self.part.add(key, answer, units=units, is_complete=not failed)

    async def _repeat(
        self, request: StatisticalRequest, answer: dict[str, Any], failed: list[Failure]
    ) -> tuple[dict[str, Any], float]:
        """Request failed intervals one by one. Return the completed answer and the cost."""
        again: list[dict[str, Any]] = []
        units, failed_repeats = 0.0, 0
        for failure in failed:
            try:
                one, spent = await self._post(request.of_interval(failure.interval))
                units += spent
                has_failed = bool(failures(one))  # raises for an unusable answer
                without_scenes = {"data": [{"interval": failure.interval.to_half_open_json(), "outputs": {}}]}
                again.append(one if one["data"] else without_scenes)
            except SentinelHubError as error:
                if not is_of_one_feature(error):
                    raise
                self.log.debug("interval %s failed again: %s", failure.interval.to_interval(), error)
                has_failed = True
            failed_repeats = failed_repeats + 1 if has_failed else 0
            if failed_repeats >= MOST_FAILED_REPEATS:
                break
        return merge(answer, again), units

    async def _post_or_split(self, key: str, request: StatisticalRequest) -> tuple[dict[str, Any], float]:
        """Get the answer to a request. If it takes the service too long, get answers to smaller pieces of it.

        Pieces without an answer become failed intervals if another piece has an answer.
        """
        waiting, answers, units, in_a_row = deque([request]), list[dict[str, Any]](), 0.0, 0
        while waiting:
            piece = waiting.popleft()
            try:
                answer, spent = await self._post(piece)
            except SentinelHubError as error:
                in_a_row += 1
                smaller = piece.pieces() if is_unanswered(error) and in_a_row <= MOST_FAILED_REPEATS else []
                if smaller:
                    self.log.info("%d intervals took too long: split into %d", len(piece.intervals), len(smaller))
                    waiting.extendleft(reversed(smaller))
                    continue
                if not answers:
                    raise
                if not is_of_one_feature(error):
                    rest = [timed_out(one.intervals) for one in (piece, *waiting)]
                    self.part.add(key, joined([*answers, *rest]), units=units, is_complete=False)
                    raise
                given_up = [piece, *waiting] if in_a_row > MOST_FAILED_REPEATS else [piece]
                answers += [timed_out(one.intervals) for one in given_up]
                if len(given_up) > 1:
                    break
            else:
                answers.append(answer)
                units, in_a_row = units + spent, 0
        return (answers[0] if len(answers) == 1 else joined(answers)), units

    async def _post(self, request: StatisticalRequest) -> tuple[dict[str, Any], float]:
        with telling_cost(lambda: request.estimate(samples=self.samples)):
            response = await self.hook.arequest("POST", ENDPOINT, json=request.body, **self.arguments())
        answer = decode_answer(response.content, "The Statistical API")
        return answer, spent_units(response.headers.get(UNITS_HEADER)) or 0.0

    def _tell(self, *, at_once: bool = False) -> None:
        now = self.clock()
        if not at_once and now - self._told < self.progress_every:
            return
        self._told = now
        counts = {"done": self.done, "requested": self.requested, "whole": self.whole, "failed": len(self.problems)}
        self.log.info("%s", progress_line(**counts, seconds=now - self._began, units=self.part.spent))


def is_unanswered(error: SentinelHubError) -> bool:
    """Tell whether the service had a request and did not answer it in time, by a gateway's time-out or silence."""
    return error.status == GATEWAY_TIMEOUT or (isinstance(error, SentinelHubTransportError) and error.was_sent)


def is_of_one_feature(error: SentinelHubError) -> bool:
    """Tell whether an error may concern one feature alone."""
    return isinstance(error, OF_ONE_FEATURE) or is_unanswered(error)


def _repeatable(answer: Any) -> list[Failure]:
    """List the failed intervals that may still get an answer. Raises for an unusable answer."""
    return [failure for failure in failures(answer) if failure.is_repeatable]
