"""The hook makes a connection's authorized calls, for tasks (blocking) and triggers (event loop)."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from airflow.sdk import BaseHook, Connection

from sentinelhub_provider.api.endpoints import is_repeatable, resolve_endpoint, spends_units
from sentinelhub_provider.api.values import read_number, read_seconds
from sentinelhub_provider.both_ways import at_once, awaited, in_thread
from sentinelhub_provider.connection import LONGEST_TIMEOUT, ConnectionSettings, settings_from_connection
from sentinelhub_provider.get_provider_info import CONN_FIELDS, UI_FIELD_BEHAVIOUR
from sentinelhub_provider.hooks.airflow_side import Meter, amask, ask_airflow, mask, named_if_missing
from sentinelhub_provider.hooks.costs import expected_cost
from sentinelhub_provider.transport.budget import Cost, SpendingLimits, Standing
from sentinelhub_provider.transport.policy import DEFAULT_DEADLINE, Call
from sentinelhub_provider.transport.request_body import header_fields
from sentinelhub_provider.transport.steps import Wait

if TYPE_CHECKING:
    import asyncio

    import httpx
    import requests

    from sentinelhub_provider.hooks.token_info import TokenInfo
    from sentinelhub_provider.transport.async_session import AsyncSentinelHubSession
    from sentinelhub_provider.transport.budget import Budget
    from sentinelhub_provider.transport.download import Download
    from sentinelhub_provider.transport.session import SentinelHubSession

# HTTP libraries are imported where they are needed: operators import this module while a DAG file is parsed.


class RequestOptions(TypedDict, total=False):
    """Options of a request besides method and endpoint.

    :param json: body, written as JSON.
    :param params: query parameters, added to those of the endpoint. A list repeats its parameter.
    :param data: body as text, bytes, a form's fields, or an open file.
    :param files: parts of a multipart body, as for ``requests``.
    :param headers: further header fields.
    :param accept: media type to ask for.
    :param timeout: seconds that the service may stay silent. Default: the connection's ``timeout``.
    :param deadline: seconds that the whole call may take, with waits and repetitions. Default: 600.
    :param longest_wait: longest single wait in seconds. If the service asks for more, a
        :class:`SentinelHubRateLimitError` is raised. Its ``retry_after`` is the wait that it asked for.
    :param units: processing units to reserve in a budget. Default: an estimate.
    :param samples: data samples per pixel that a budget counts, for an evalscript with mosaicking ``ORBIT`` or
        ``TILE``. Default: 1.
    :param repeat_silent: whether a call that may cost processing units is repeated once if the service stayed silent
        and may have charged for it. Default: true.
    """

    json: Any
    params: Any
    data: Any
    files: Any
    headers: Mapping[str, str] | None
    accept: str | None
    timeout: float | None
    deadline: float | None
    longest_wait: float | None
    units: float | None
    samples: float
    repeat_silent: bool


class SentinelHubHook(BaseHook):
    """Makes authorized calls with a ``sentinelhub`` connection.

    All users of the same client share one token, as far as the connection's ``auth_cache`` reaches: a process, a host
    or a fleet. The token is renewed shortly before it expires, or when the service refuses it.

    :param sentinelhub_conn_id: ID of the Airflow connection.
    """

    conn_name_attr = "sentinelhub_conn_id"
    default_conn_name = "sentinelhub_default"
    conn_type = "sentinelhub"
    hook_name = "Sentinel Hub"

    def __init__(self, sentinelhub_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sentinelhub_conn_id = sentinelhub_conn_id
        self._settings: ConnectionSettings | None = None
        self.meter = Meter(sentinelhub_conn_id)
        self.spending_limits = SpendingLimits()
        """Of a DAG run, besides the connection's own; set before the first call."""
        self._async_sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncSentinelHubSession] = (
            weakref.WeakKeyDictionary()
        )

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return one wtforms field for each extra field, by its key, for Airflow 3.1. Later ones read the metadata."""
        # Airflow 3.1 knows text, integer and boolean fields only. A drop-down becomes a text field with an ``any_of``
        # validator. A list of strings becomes a text field, whose value stays one string.
        from wtforms import BooleanField, IntegerField, StringField
        from wtforms.validators import Optional, any_of

        classes = {"boolean": BooleanField, "integer": IntegerField, "string": StringField, "array": StringField}
        widgets: dict[str, Any] = {}
        for key, field in CONN_FIELDS.items():
            schema = field["schema"]
            widgets[key] = classes[schema["type"][0]](
                label=field["label"],
                description=field["description"],
                default=schema.get("default"),
                validators=[Optional(), *([any_of(schema["enum"])] if "enum" in schema else [])],
            )
        return widgets

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the connection form's labels, placeholders and hidden fields, for Airflow 3.1."""
        return {name.replace("-", "_"): copy(value) for name, value in UI_FIELD_BEHAVIOUR.items()}

    @property
    def settings(self) -> ConnectionSettings:
        """The checked and frozen connection.

        :raises SentinelHubConfigurationError: names the wrong field.
        """
        return at_once(self._read(self.get_connection, mask))

    async def asettings(self) -> ConnectionSettings:
        """Return :attr:`settings` without blocking the event loop."""
        return await self._read(self._alook_up, amask)

    async def _read(self, look_up: Callable[[str], Any], mask: Callable[[str], Any]) -> ConnectionSettings:
        if self._settings is None:
            with named_if_missing(self.sentinelhub_conn_id, field="sentinelhub_conn_id"):
                connection = await awaited(look_up(self.sentinelhub_conn_id))
            settings = settings_from_connection(connection)
            if settings.cache_conn_id:
                with named_if_missing(settings.cache_conn_id, field="auth_cache"):
                    settings = settings.with_cache(await awaited(look_up(settings.cache_conn_id)))
            if settings.cache_password:
                await awaited(mask(settings.cache_password))
            self._settings = settings
        return self._settings

    async def _alook_up(self, conn_id: str) -> Any:
        """Look a connection up from an event loop."""
        # Before Airflow 3.3.2, its own asynchronous way masks secrets with a call that blocks the loop and may stop it
        # for good.
        if hasattr(Connection, "aextra_dejson"):  # came with masking that does not block
            return await self.aget_connection(conn_id)
        return await ask_airflow(self.get_connection, conn_id)

    def get_conn(self) -> SentinelHubSession:
        """Return an ``OAuth2Session`` that authorizes every call and renews its token. Threads may share it.

        ::

            hook.get_conn().get("/catalog/v1/collections").json()
        """
        return self._session

    @cached_property
    def _session(self) -> SentinelHubSession:
        from sentinelhub_provider.transport.session import SentinelHubSession

        return SentinelHubSession(
            **self._shared(self.settings),
            resolve=self.url_of,
            spends=spends_units,
            cost=self._expected_cost,
            on_token=mask,
        )

    async def _asession(self) -> AsyncSentinelHubSession:
        """Return the running loop's session. An event loop cannot use the connections of another one."""
        import asyncio

        from sentinelhub_provider.transport.async_session import AsyncSentinelHubSession

        settings = await self.asettings()
        loop = asyncio.get_running_loop()
        if loop not in self._async_sessions:
            self._async_sessions[loop] = AsyncSentinelHubSession(
                **self._shared(settings),
                fetch=lambda *arguments: self._session.fetch_new_token(*arguments),
                on_token=amask,
            )
        return self._async_sessions[loop]

    def _shared(self, settings: ConnectionSettings) -> dict[str, Any]:
        """Return the arguments that both kinds of sessions share."""
        from sentinelhub_provider.hooks.sharing import rate_limiter, token_broker

        return {
            "settings": settings,
            "broker": token_broker(settings),
            "limiter": rate_limiter(settings),
            "budget": self.budget,
            "on_wait": self._log_wait,
            "measure": self.meter,
        }

    async def aclose(self) -> None:
        """Close the connections that :meth:`arequest` opened on the running event loop."""
        import asyncio

        session = self._async_sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.aclose()
            if "_session" in vars(self):  # it was made to fetch a token
                self._session.close()

    def request(self, method: str, endpoint: str, **options: Unpack[RequestOptions]) -> requests.Response:
        """Make one authorized call and return its complete answer, which has a status below 300.

        The call waits out a 429. It repeats after a 5xx or a broken connection if that starts nothing twice.

        :param method: HTTP method.
        :param endpoint: a path in either spelling (``/process/v1`` or ``/api/v1/process``), or a URL on the
            connection's own host or one of its ``allowed_hosts``.
        :param options: see :class:`RequestOptions`.
        :raises SentinelHubError: the subclass says what to do. See :mod:`sentinelhub_provider.exceptions`.
        """
        call, content = self._call(method, endpoint, options)
        return self._session.call(call, **content)[0]

    async def arequest(self, method: str, endpoint: str, **options: Unpack[RequestOptions]) -> httpx.Response:
        """Do the same as :meth:`request` on the event loop. The answer is httpx's."""
        session = await self._asession()
        call, content = self._call(method, endpoint, options)
        return (await session.call(call, **content))[0]

    def download(self, method: str, endpoint: str, path: Any, **options: Unpack[RequestOptions]) -> Download:
        """Make one authorized call and stream its body to ``path``. The file appears only when it is complete.

        The path is checked for writing before the request is sent.

        :param path: a local path, a URL that Airflow's object storage knows (``s3://conn_id@bucket/key``,
            ``gs://...``), or an ``ObjectStoragePath``.
        :returns: path, size in bytes, sha256, content type and processing units.
        :raises SentinelHubOutputError: if the path cannot be written.
        :raises SentinelHubError: as :meth:`request`, which also describes the other arguments.
        """
        from sentinelhub_provider.hooks.output import target_for

        call, content = self._call(method, endpoint, options)
        with target_for(path) as receiver:
            response, answer = self._session.call(call, receiver, **content)
            return self._traced(receiver.complete_with(answer, response.url))

    def _traced(self, stored: Download) -> Download:
        """Report to Airflow's lineage collector which URL a file came from."""
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        from sentinelhub_provider.hooks.output import uri_of

        collector = get_hook_lineage_collector()  # type: ignore[no-untyped-call]
        collector.add_input_asset(context=self, uri=stored.url)
        collector.add_output_asset(context=self, uri=uri_of(stored.path))
        return stored

    async def adownload(self, method: str, endpoint: str, path: Any, **options: Unpack[RequestOptions]) -> Download:
        """Stream the body of one authorized call to ``path``, as :meth:`download` does, on an event loop.

        Threads do the blocking work of a disk or an object storage. A cancelled call leaves no file.
        """
        from sentinelhub_provider.hooks.output import target_for

        session = await self._asession()
        call, content = self._call(method, endpoint, options)
        receiver = await in_thread(target_for, path)
        try:
            await in_thread(receiver.restart)
            response, answer = await session.call(call, receiver, **content)
            stored = await in_thread(receiver.complete_with, answer, response.url)
            return await in_thread(self._traced, stored)  # the collector's first call loads Airflow's plugins
        finally:
            await in_thread(receiver.discard)

    def get_token(self) -> str:
        """Return a bearer token that works now, for libraries that make their own calls. Do not store it."""
        return self._session.current_token().value

    async def aget_token(self) -> str:
        """Return a bearer token that works now; see :meth:`get_token`."""
        session = await self._asession()
        return (await session.current_token()).value

    def token_info(self) -> TokenInfo:
        """Describe the current token, from its deployment's token info endpoint or from the token's own claims."""
        from sentinelhub_provider.hooks.token_info import token_info

        return token_info(self.settings, self.get_conn())

    def test_connection(self) -> tuple[bool, str]:
        """Try the connection: get a token and list the catalog's collections with it, in 15 seconds at most.

        :returns: whether it works, and a message for the user without any secret.
        """
        from sentinelhub_provider.hooks.connection_check import check_connection

        return check_connection(lambda: (self.settings, self.get_conn()))

    @property
    def has_budget(self) -> bool:
        """Whether the connection, or the task, has a budget."""
        settings = self.settings
        return bool(self.spending_limits or settings.processing_units_per_day or settings.processing_units_per_month)

    @property
    def budget(self) -> Budget | None:
        """The budgets of the connection and the task, ``None`` if they have no budget.

        :raises SentinelHubConfigurationError: if ``auth_cache`` cannot keep a budget.
        """
        from sentinelhub_provider.hooks.sharing import spending_budget

        return spending_budget(self.settings, self.spending_limits, self.meter)

    def budgets(self) -> list[Standing]:
        """Return the budgets in force, in the order day, month, DAG run.

        :returns: name, limit, PU spent, reserved and remaining, and the end of each. The list is empty without a
            budget.
        :raises SentinelHubConfigurationError: if ``auth_cache`` cannot keep a budget.
        :raises SentinelHubTransportError: if the budget cannot be read.
        """
        budget = self.budget
        return [] if budget is None else budget.standings()

    def url_of(self, endpoint: str) -> str:
        """Return the URL of an endpoint, such as ``/catalog/v1/collections``, at the connection's deployment."""
        settings = self.settings
        return resolve_endpoint(endpoint, base_url=settings.base_url, scheme=settings.path_scheme)

    def _call(self, method: str, endpoint: str, options: RequestOptions) -> tuple[Call, dict[str, Any]]:
        """Split a request's arguments into those for decisions and those to send."""
        unknown = options.keys() - RequestOptions.__annotations__.keys()
        if unknown:
            raise TypeError(
                f"unknown argument {min(unknown)!r}. A request takes {', '.join(RequestOptions.__annotations__)}"
            )
        url = self.url_of(endpoint)
        accept, longest_wait = options.get("accept"), options.get("longest_wait")
        samples, units = read_number(options.get("samples", 1), "samples", least=0), options.get("units")
        units = None if units is None else read_number(units, "units", least=0)
        content: dict[str, Any] = {name: options.get(name) for name in ("json", "params", "data", "files")}
        call = Call(
            method=method.upper(),
            url=url,
            trusted=self.settings.trusted_origins,
            repeatable=is_repeatable(method, url),
            accept=accept,
            rate_limited=True,
            spends=spends_units(url),
            cost=self._expected_cost(method.upper(), url, options.get("json") or options.get("data"), samples, units),
            read_timeout=_seconds(options, "timeout", self.settings.timeout),
            deadline=_seconds(options, "deadline", DEFAULT_DEADLINE),
            longest_wait=None if longest_wait is None else read_number(longest_wait, "longest_wait", least=0),
            has_body=any(content[name] is not None for name in ("json", "data", "files")),
            repeat_silent=options.get("repeat_silent", True),
        )
        content["headers"] = header_fields(options.get("headers"), accept=accept)
        return call, content

    def _expected_cost(
        self, method: str, url: str, body: Any, samples: float = 1, units: float | None = None
    ) -> Cost | None:
        """Return the expected cost of a call if a budget needs it."""
        if not self.has_budget:
            return None
        body = body if units is None else None  # no estimate is needed for given units
        cost = expected_cost(method, url, body, samples=samples, deployment=self.settings.deployment.name)
        return cost if cost is None or units is None else replace(cost, units=units)

    def _log_wait(self, wait: Wait) -> None:
        self.log.log(logging.DEBUG if wait.is_turn else logging.WARNING, "%s", wait)


def _seconds(options: RequestOptions, name: str, default: float) -> float:
    """Read a time-out. System calls need an end."""
    value = options.get(name)
    return default if value is None else min(read_seconds(value, name), LONGEST_TIMEOUT)
