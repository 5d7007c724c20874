"""What the operators send and are answered is as Sentinel Hub's own descriptions say, and costs what they estimated.

Over a spread of questions, in both spellings of the paths, against the sandbox over real sockets.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from questions import PICTURES, SEARCHES, TABLES, execute

from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator
from sentinelhub_provider.operators.process import SentinelHubProcessOperator
from sentinelhub_provider.operators.statistics import SentinelHubStatisticsOperator
from sentinelhub_provider.sandbox.server import SandboxServer
from tests.contract.openapi import check, described

Ask = Callable[..., dict[str, Any]]
SCHEMES = ["current", "legacy"]
TOLERANCE = 1e-9
"""Relative; what is left is the order of multiplication."""


@pytest.fixture(name="ask", params=SCHEMES)
def fixture_ask(request: pytest.FixtureRequest, server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Execute an operator with a connection to the sandbox; check its exchanges; return its result."""
    extra = {
        "deployment": "custom", "auth_url": server.token_url(), "auth_cache": "memory", "path_scheme": request.param,
    }  # fmt: skip
    connection = {
        "conn_type": "sentinelhub", "login": server.client_id, "password": server.client_secret, "host": server.url,
        "extra": extra,
    }  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_SENTINELHUB_DEFAULT", json.dumps(connection))

    def ask(operator: type[Any], **arguments: Any) -> dict[str, Any]:
        done = execute(operator(task_id="t", **arguments))
        exchanges = [exchange for exchange in server.control.exchanges() if described(exchange.path)]
        assert exchanges
        for exchange in exchanges:
            assert exchange.path.startswith("/api/v1/") is (request.param == "legacy")
            check(exchange)
        return done

    return ask


def assert_costs_what_was_estimated(server: SandboxServer, done: dict[str, Any]) -> None:
    """Check the estimate against what the service said, and that against its own account of millionths."""
    pushed = done["pushed"]

    assert pushed["estimated_processing_units"] == pytest.approx(pushed["processing_units"], rel=TOLERANCE)
    assert pushed["processing_units"] == pytest.approx(server.control.counters().processing_units, abs=1e-6)
    assert done["result"]["processing_units"] == pushed["processing_units"] > 0


@pytest.mark.parametrize("question", PICTURES.values(), ids=PICTURES)
def test_pictures(server: SandboxServer, ask: Ask, question: dict[str, Any], tmp_path: Path) -> None:
    """The Process operator: areas, sizes, datasets, outputs, tiles."""
    name = "{output}" if isinstance(question["outputs"], dict) else "picture"
    done = ask(SentinelHubProcessOperator, output_path=f"{tmp_path}/{name}.tif", **question)

    assert all(Path(output["path"]).stat().st_size for output in done["result"]["outputs"].values())
    assert_costs_what_was_estimated(server, done)


@pytest.mark.parametrize("question", TABLES.values(), ids=TABLES)
def test_tables(server: SandboxServer, ask: Ask, question: dict[str, Any], tmp_path: Path) -> None:
    """The Statistics operator: areas, intervals, calculations, datasets."""
    done = ask(SentinelHubStatisticsOperator, part_folder=str(tmp_path), **question)

    assert {row["state"] for row in done["result"]["table"]} <= {"ok", "masked"}
    assert_costs_what_was_estimated(server, done)


@pytest.mark.parametrize("question", SEARCHES.values(), ids=SEARCHES)
def test_searches(ask: Ask, question: dict[str, Any]) -> None:
    """The Catalog search operator: areas, filters and extensions, page after page."""
    assert ask(SentinelHubCatalogSearchOperator, **question)["result"]


def test_plain_requests(server: SandboxServer, ask: Ask, tmp_path: Path) -> None:
    """The API's own JSON costs what the same question in words does."""
    ask(SentinelHubProcessOperator, output_path=f"{tmp_path}/a.tif", **PICTURES["fusion"])
    body = json.loads(server.control.exchanges()[-1].request_body)
    server.control.reset()
    server.control.record_exchanges()

    done = ask(SentinelHubProcessOperator, output_path=f"{tmp_path}/b.tif", request=body)

    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert_costs_what_was_estimated(server, done)


def test_samples_of_the_orbit_questions_are_the_catalogs_days(ask: Ask) -> None:
    """What ``samples`` says in the spread is not tuned to the charge: on so many days there are scenes."""
    question = PICTURES["every orbit"]
    days = ask(
        SentinelHubCatalogSearchOperator,
        collection=question["collection"],
        datetime=question["time_range"],
        bbox=[14.10, 46.004, 14.11, 46.01],
        distinct="date",
    )["result"]

    assert len(days) == question["samples"] == 2 * TABLES["every orbit"]["samples"]
