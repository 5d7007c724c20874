"""Hooks and operators that talk to a real sandbox over real sockets, in both ways: blocking and on an event loop."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clocks import FakeClock

if TYPE_CHECKING:  # the process that only shares the tests out reads this file, too
    import httpx
    import requests
    from s3_server import S3Server

    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
    from sentinelhub_provider.transport.download import Download

ENVIRONMENT_VARIABLE = "AIRFLOW_CONN_SENTINELHUB_DEFAULT"
EVALSCRIPT = """//VERSION=3
function setup() { return { input: ["B04"], output: { bands: 1 } } }
function evaluatePixel(sample) { return [sample.B04] }
"""


class BlockingCaller:
    """A hook as a task uses it. Waits are recorded, not waited."""

    name = "blocking"

    def __init__(self, hook: SentinelHubHook, clock: FakeClock) -> None:
        self.hook = hook
        self._clock = clock

    def request(self, method: str, endpoint: str, **kwargs: Any) -> requests.Response:
        """Make one call."""
        self.hook.get_conn()._sleep = self._clock.sleep
        return self.hook.request(method, endpoint, **kwargs)

    def download(self, method: str, endpoint: str, path: Any, **kwargs: Any) -> Download:
        """Make one call, and store its body."""
        self.hook.get_conn()._sleep = self._clock.sleep
        return self.hook.download(method, endpoint, path, **kwargs)

    def token(self) -> str:
        """Return a token."""
        return self.hook.get_token()


class AsyncCaller(BlockingCaller):
    """A hook as a trigger uses it: each call on an event loop of its own."""

    name = "async"

    def request(self, method: str, endpoint: str, **kwargs: Any) -> httpx.Response:  # type: ignore[override]
        """Make one call."""
        return self._run(lambda: self.hook.arequest(method, endpoint, **kwargs))

    def download(self, method: str, endpoint: str, path: Any, **kwargs: Any) -> Download:
        """Make one call, and store its body."""
        return self._run(lambda: self.hook.adownload(method, endpoint, path, **kwargs))

    def _run(self, make: Callable[[], Awaitable[Any]]) -> Any:
        async def call() -> Any:
            try:
                (await self.hook._asession())._sleep = self._clock.asleep
                self.hook.get_conn()._sleep = self._clock.sleep  # of the thread that fetches tokens
                return await make()
            finally:
                await self.hook.aclose()

        return asyncio.run(call())

    def token(self) -> str:
        """Return a token."""

        async def call() -> str:
            try:
                return await self.hook.aget_token()
            finally:
                await self.hook.aclose()

        return asyncio.run(call())


@pytest.fixture(name="operators")
def fixture_operators() -> Iterator[list[Any]]:
    """A list of operators, whose connections are closed in the end."""
    operators: list[Any] = []
    yield operators
    for operator in operators:
        operator.hook.get_conn().close()


@pytest.fixture(name="process")
def fixture_process(connect, ti, operators, tmp_path: Path, waits) -> Callable[..., dict[str, Any]]:
    """Render and execute the Process operator as a task would, with a data interval in June."""
    from task_instance import june, rendered

    from sentinelhub_provider.operators.process import SentinelHubProcessOperator

    connect()

    def run(*, run_id: str = "monday", **arguments: Any) -> dict[str, Any]:
        context = june(ti, run_id=run_id)
        operator = rendered(SentinelHubProcessOperator, context, tmp_path, **arguments)
        operators.append(operator)
        operator.hook.get_conn()._sleep = waits.sleep
        return operator.execute(context)

    return run


@pytest.fixture(name="waits")
def fixture_waits() -> FakeClock:
    """The clock by which waits pass at once."""
    return FakeClock()


@pytest.fixture(name="connect")
def fixture_connect(sentinelhub_sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SentinelHubHook]]:
    """Make a hook whose connection leads to the sandbox; keywords change the connection's fields or extra."""
    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

    hooks: list[SentinelHubHook] = []

    def connect(*, extra: dict[str, Any] | None = None, **fields: Any) -> SentinelHubHook:
        connection = sentinelhub_sandbox.airflow_connection(**{"auth_cache": "memory", **(extra or {})})
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, json.dumps({**connection, **fields}))
        hooks.append(SentinelHubHook())
        return hooks[-1]

    yield connect
    for hook in hooks:
        if "_session" in vars(hook):
            hook.get_conn().close()


@pytest.fixture(name="s3")
def fixture_s3(s3_for_all: S3Server, sentinelhub_sandbox, connect, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An empty bucket that the sandbox's short jobs deliver to, and connections to both."""
    from sentinelhub_provider.sandbox.world.delivery import stores

    connect()
    monkeypatch.setattr("sentinelhub_provider.api.jobs.lifecycle.SHORTEST_CHECK", timedelta(seconds=0.05))
    for module in ("lifecycle", "async_lifecycle"):  # deleted jobs are new, too
        monkeypatch.setattr(f"sentinelhub_provider.api.jobs.{module}.UNKNOWN_AT_FIRST", timedelta(0))
    monkeypatch.setattr("sentinelhub_provider.api.jobs.lifecycle.LISTING_DELAY", timedelta(seconds=0.01))
    monkeypatch.setenv("AIRFLOW_CONN_BUCKET", s3_for_all.connection())
    s3_for_all.empty()
    jobs = sentinelhub_sandbox.control.jobs
    jobs.set_delivery(s3_for_all.endpoint)
    jobs.set_durations(analysing=0.05, processing=0.1, stopping=0.0)
    monkeypatch.setattr(stores, "_make_client", _client_maker(stores._make_client))
    return s3_for_all


@functools.cache
def _client_maker(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return what makes each client once, for all tests: that takes longer than most of them."""
    return functools.cache(make)


@pytest.fixture(name="frozen")
def fixture_frozen(sentinelhub_sandbox, connect) -> Any:
    """Control over a sandbox where only published scenes are new."""
    connect()
    sentinelhub_sandbox.control.freeze_scenes()
    return sentinelhub_sandbox.control


@pytest.fixture(name="make_caller", params=[BlockingCaller, AsyncCaller], ids=lambda kind: kind.name)
def fixture_make_caller(request: pytest.FixtureRequest, connect, waits: FakeClock) -> Callable[..., BlockingCaller]:
    """Make a caller of either kind, as ``connect`` makes a hook."""
    return lambda **fields: request.param(connect(**fields), waits)


@pytest.fixture(name="caller")
def fixture_caller(make_caller) -> BlockingCaller:
    """A caller with the sandbox's own connection."""
    return make_caller()


@pytest.fixture(name="process_request")
def fixture_process_request() -> dict[str, Any]:
    """The body of a small Process request."""
    return {
        "input": {
            "bounds": {"bbox": [14.0, 46.0, 14.1, 46.1]},
            "data": [
                {
                    "type": "sentinel-2-l2a",
                    "dataFilter": {"timeRange": {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T00:00:00Z"}},
                }
            ],
        },
        "output": {
            "width": 16,
            "height": 16,
            "responses": [{"identifier": "default", "format": {"type": "image/png"}}],
        },
        "evalscript": EVALSCRIPT,
    }
