"""Pytest fixtures with a sandbox for the tests of a project that uses Sentinel Hub.

It is registered under pytest's entry point, and every pytest run in the environment loads it. Therefore it imports no
heavy library. The server starts with the first test that requests it and stops with the session.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest

if TYPE_CHECKING:
    from sentinelhub_provider.sandbox.control.handlers import Control
    from sentinelhub_provider.sandbox.server import SandboxServer

CONNECTION_TYPE = "sentinelhub"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class SandboxHandle:
    """The sandbox of one test, with fresh counters, no faults, and an OAuth client of its own.

    The client is new for each test, so that no client library uses a token that it cached in an earlier test.
    """

    url: str
    """Base URL, without a slash at the end."""
    client_id: str
    client_secret: str = field(repr=False)
    control: Control = field(repr=False)
    """Counters, issued tokens, limits, faults."""

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.url}/auth/realms/main/protocol/openid-connect/token"

    def airflow_connection(self, **extra: Any) -> dict[str, Any]:
        """Return an Airflow connection to this sandbox as a dict. Keywords are added to its extra.

        ``json.dumps(sandbox.airflow_connection())`` is a value for ``AIRFLOW_CONN_...``.
        """
        return {
            "conn_type": CONNECTION_TYPE,
            "login": self.client_id,
            "password": self.client_secret,
            "host": self.url,
            "extra": {"deployment": "custom", "auth_url": self.token_url, **extra},
        }

    def connection_json(self, **extra: Any) -> str:
        """Return the connection as JSON, for ``AIRFLOW_CONN_...``."""
        return json.dumps(self.airflow_connection(**extra))

    def connection_uri(self, **extra: Any) -> str:
        """Return the connection as a URI, for ``AIRFLOW_CONN_...``."""
        connection = self.airflow_connection(**extra)
        login, password, host = (quote(connection[name], safe="") for name in ("login", "password", "host"))
        query = urlencode({"__extra__": json.dumps(connection["extra"])})
        return f"{CONNECTION_TYPE}://{login}:{password}@{host}/?{query}"


@pytest.fixture(scope="session")
def sentinelhub_sandbox_server() -> Iterator[SandboxServer]:
    """Provide one server for the session, which ``sentinelhub_sandbox`` uses. Override it for other settings."""
    from sentinelhub_provider.sandbox.server import SandboxServer

    with SandboxServer(control=True) as server:
        yield server


@pytest.fixture
def sentinelhub_sandbox(sentinelhub_sandbox_server: SandboxServer) -> Iterator[SandboxHandle]:
    """Provide an embedded Sentinel Hub with ``url``, ``client_id``, ``client_secret``, ``control`` and connections."""
    server = sentinelhub_sandbox_server
    server.control.reset()
    name = f"pytest-client-{next(_numbers)}"
    client = server.control.add_client(name, f"{name}-secret")
    yield SandboxHandle(server.url, client.client_id, client.client_secret, server.control)
    server.control.reset()
