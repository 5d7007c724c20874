from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import requests

from sentinelhub_provider.sandbox.server import SandboxServer
from tests.contract import openapi

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is checked against the descriptions, and skip it visibly where they are not at hand."""
    for item in items:
        if "tests/contract" not in item.path.as_posix():
            continue
        item.add_marker(pytest.mark.contract)
        if not openapi.SPEC_FOLDER.is_dir():
            advice = "SENTINELHUB_OPENAPI names no folder of Sentinel Hub's OpenAPI descriptions (CONTRIBUTING.md)"
            item.add_marker(pytest.mark.skip(reason=advice))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print where the descriptions are wrong."""
    if not openapi.met:
        return
    terminalreporter.section("deviations from the OpenAPI descriptions")
    for line in openapi.report():
        terminalreporter.write_line(line)


@pytest.fixture
def server(sentinelhub_sandbox_server: SandboxServer) -> Iterator[SandboxServer]:
    """A sandbox that records every exchange."""
    control = sentinelhub_sandbox_server.control
    control.reset()
    control.record_exchanges()
    yield sentinelhub_sandbox_server
    control.reset()


@pytest.fixture
def bearer(server: SandboxServer) -> dict[str, str]:
    """The header of an authorized request."""
    form = {"grant_type": "client_credentials", "client_id": server.client_id, "client_secret": server.client_secret}
    token = requests.post(server.token_url(), data=form, timeout=60).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}
