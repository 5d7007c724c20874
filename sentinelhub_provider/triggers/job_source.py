"""What a triggerer's poll loop polls jobs with: a connection's hook, kept for as long as the loop runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, TypeVar

from sentinelhub_provider.api.jobs.job import Job, JobKind
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubConfigurationError,
    SentinelHubError,
    SentinelHubTransportError,
)
from sentinelhub_provider.hooks.jobs import aget_job, aget_page
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.transport.steps import Wait

_Result = TypeVar("_Result")

REQUEST_DEADLINE = 60.0
"""Seconds that one poll may take, repetitions included; after that the loop backs off and tells those who wait."""


class QuietHook(SentinelHubHook):
    """A hook whose waits are told at debug level: its caller has one line for the whole of an outage."""

    def _log_wait(self, wait: Wait) -> None:
        self.log.debug("%s", wait)


class HookJobSource:
    """
    Polls jobs over an Airflow connection.

    The connection is looked up once, and again when its client is refused: its secret may have been changed since.

    :param make_hook: makes a hook for the connection.
    """

    def __init__(self, kind: JobKind, conn_id: str, *, make_hook: Callable[[str], SentinelHubHook] = QuietHook) -> None:
        self._kind = kind
        self._conn_id = conn_id
        self._make_hook = make_hook
        self._hook: SentinelHubHook | None = None
        self._former: list[SentinelHubHook] = []
        self._one_at_a_time = asyncio.Lock()

    async def job(self, job_id: str) -> Job:
        """Check the status of one job."""
        return await self._call(lambda hook: aget_job(hook, self._kind, job_id, deadline=REQUEST_DEADLINE))

    async def page(self, token: str | None) -> tuple[Any, str | None]:
        """Return one page of the listing, newest first, and the token of the next."""
        return await self._call(lambda hook: aget_page(hook, self._kind, token, deadline=REQUEST_DEADLINE))

    async def aclose(self) -> None:
        """Close all connections."""
        for hook in [*self._former, *([self._hook] if self._hook else [])]:
            await hook.aclose()

    async def _call(self, act: Callable[[SentinelHubHook], Awaitable[_Result]]) -> _Result:
        hook = await self._current()
        try:
            return await act(hook)
        except SentinelHubAuthenticationError:
            renewed = await self._changed_since(hook)
            if renewed is None:
                raise
            return await act(renewed)

    async def _current(self) -> SentinelHubHook:
        async with self._one_at_a_time:
            if self._hook is None:
                self._hook = await self._looked_up()
            return self._hook

    async def _changed_since(self, hook: SentinelHubHook) -> SentinelHubHook | None:
        """Return a hook for the connection as it is now, ``None`` where it is as it was."""
        async with self._one_at_a_time:
            if self._hook is not hook:
                return self._hook
            renewed = await self._looked_up()
            if await renewed.asettings() == await hook.asettings():
                return None
            self._former.append(hook)  # closed with the others: a request may still be under way on it
            self._hook = renewed
            return renewed

    async def _looked_up(self) -> SentinelHubHook:
        """
        Look the connection up.

        :raises SentinelHubConfigurationError: where there is none of that id, or it cannot work.
        :raises SentinelHubTransportError: where Airflow could not tell.
        """
        from airflow.providers.common.compat.sdk import AirflowNotFoundException

        hook = self._make_hook(self._conn_id)
        # An HTTP library takes half a second to load: not on the loop that all triggers run on.
        await asyncio.to_thread(import_module, "sentinelhub_provider.transport.async_session")
        try:
            await hook.asettings()
        except SentinelHubError:
            raise
        except AirflowNotFoundException as error:
            raise SentinelHubConfigurationError(
                f"There is no connection {self._conn_id!r}. Create it, or give the id of another one.",
                field="sentinelhub_conn_id",
            ) from error
        except Exception as error:
            raise SentinelHubTransportError(
                f"Airflow could not look up the connection {self._conn_id!r} ({type(error).__name__})."
            ) from error
        return hook
