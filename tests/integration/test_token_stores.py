"""Hooks whose connection names each kind of token store, and Airflow Variables in a real Airflow."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from sentinelhub_provider.hooks.sharing import open_token_store
from sentinelhub_provider.oauth.broker import forget_tokens
from sentinelhub_provider.oauth.stores.file import usable_folder

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = "/catalog/v1/collections"


@pytest.fixture(name="auth_cache", params=["file", "folder", "redis"])
def fixture_auth_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a connection says: the default folder, one of its own with a blank in its name, or Redis."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    if request.param == "file":
        return "file"
    if request.param == "folder":
        return (tmp_path / "a folder").as_uri()
    return request.getfixturevalue("redis_server").url


def test_new_process_takes_the_token_that_is_kept(connect, auth_cache: str, sentinelhub_sandbox):
    """What one process fetched, the next uses."""
    for _ in range(3):
        hook = connect(extra={"auth_cache": auth_cache})
        assert hook.request("GET", COLLECTIONS).status_code == 200
        forget_tokens()  # as a new process starts
    assert sentinelhub_sandbox.control.counters().token_requests == 1


def test_task_and_trigger_share_a_store(connect, auth_cache: str, sentinelhub_sandbox):
    """A hook on an event loop takes the token that a blocking one fetched."""
    fetched = connect(extra={"auth_cache": auth_cache}).get_token()
    forget_tokens()
    hook = connect(extra={"auth_cache": auth_cache})

    async def taken() -> str:
        try:
            return await hook.aget_token()
        finally:
            await hook.aclose()

    assert asyncio.run(taken()) == fetched
    assert sentinelhub_sandbox.control.counters().token_requests == 1


def test_two_connections_with_one_client_share_its_token(connect, auth_cache: str, sentinelhub_sandbox):
    """The client makes the token, not the connection's name."""
    first, second = connect(extra={"auth_cache": auth_cache}), connect(extra={"auth_cache": auth_cache})
    second.sentinelhub_conn_id = "SENTINELHUB_DEFAULT"
    token = first.get_token()
    forget_tokens()
    assert second.get_token() == token
    assert sentinelhub_sandbox.control.counters().token_requests == 1


@pytest.mark.parametrize(
    ("auth_cache", "where"),
    [("file", "airflow/sentinelhub"), ("{folder}", "a folder")],
    ids=["airflow-home", "connection"],
)
def test_place_of_the_files(connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, auth_cache: str, where: str):
    """``AIRFLOW_HOME`` or the connection says where; only the owner may read there."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    connect(extra={"auth_cache": auth_cache.format(folder=(tmp_path / "a folder").as_uri())}).get_token()
    kept = list((tmp_path / where).glob("*.token"))
    assert len(kept) == 1
    assert kept[0].stat().st_mode & 0o777 == 0o600
    assert (tmp_path / where).stat().st_mode & 0o777 == 0o700


def test_home_that_cannot_be_written_costs_one_warning(
    make_caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sentinelhub_sandbox
):
    """Tokens are kept below the temporary folder instead, and shared there, pace and all."""
    (tmp_path / "airflow").write_text("a home in which nothing can be made")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    usable_folder.cache_clear()
    for _ in range(3):
        make_caller(extra={"auth_cache": "file"}).request("GET", COLLECTIONS)
        forget_tokens()
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "instead" in warnings[0]
    assert sentinelhub_sandbox.control.counters().token_requests == 1
    usable_folder.cache_clear()


def test_memory_shares_nothing(connect, sentinelhub_sandbox):
    """A process that is to keep its token to itself does."""
    assert open_token_store("memory") is None
    for _ in range(2):
        connect(extra={"auth_cache": "memory"}).get_token()
        forget_tokens()
    assert sentinelhub_sandbox.control.counters().token_requests == 2


# --- Airflow Variables -----------------------------------------------------------------------------------------------

DAG_FILE = """
from airflow.sdk import DAG, task

with DAG("variables", schedule=None):

    @task
    def call():
        from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
        from sentinelhub_provider.oauth.broker import forget_tokens

        forget_tokens()  # as every task starts with a process of its own
        return SentinelHubHook().request("GET", "/catalog/v1/collections").status_code

    @task
    def variables():
        from airflow.sdk import Variable
        from sentinelhub_provider.hooks.airflow_variables import VariableStore

        store = VariableStore()
        seen = [store.read("test")]
        store.write("test", b"one", 60.0)
        store.write("test", b"two", 60.0)
        seen.append(store.read("test").data.decode())
        Variable.delete("sentinelhub_cache_test")
        return [*seen, store.read("test")]

    call.override(task_id="first")() >> call.override(task_id="second")() >> variables()
"""


@pytest.fixture(name="airflow", scope="module")
def fixture_airflow(
    sentinelhub_sandbox_server, dag_runner, tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    """Run the DAG once in a real Airflow, its tokens in Variables; return what became of it."""
    server = sentinelhub_sandbox_server
    server.control.reset()
    home = tmp_path_factory.mktemp("variables-dag")
    dags = home / "dags"
    dags.mkdir()
    (dags / "variables_dag.py").write_text(DAG_FILE)
    ran = dag_runner.run(server, dags, home, auth_cache="variable")
    airflow_home = dag_runner.airflow_home
    with sqlite3.connect(airflow_home / "airflow.db") as database:
        rows = database.execute("SELECT key, val, is_encrypted, description FROM variable").fetchall()
    database.close()
    return SimpleNamespace(
        run=ran.runs["variables"],
        log=ran.log,
        rows=rows,
        database=b"".join(path.read_bytes() for path in airflow_home.glob("airflow.db*")),
        tokens=server.control.tokens(),
        token_requests=server.control.counters().token_requests,
        secret=server.client_secret,
    )


def test_tasks_share_a_token_through_variables(airflow: SimpleNamespace):
    """Both tasks succeed with the token that the first fetched."""
    assert airflow.run["state"] == "success", airflow.log[-5000:]
    assert airflow.token_requests == 1
    assert "cannot read the token store" not in airflow.log
    assert "cannot write the token store" not in airflow.log


def test_variables_are_read_and_set(airflow: SimpleNamespace):
    """What is not there, or is deleted by a person, is ``None``; a later value replaces the earlier."""
    assert airflow.run["results"]["variables[-1]"] == [None, "two", None]


def test_only_the_token_is_left_in_the_variables(airflow: SimpleNamespace):
    """One variable by client, whose description tells a person what it is."""
    ((key, _, _, description),) = airflow.rows
    assert key.startswith("sentinelhub_cache_")
    assert "airflow-provider-sentinelhub" in description


def test_reader_of_the_database_finds_no_token(airflow: SimpleNamespace):
    """Neither the token nor the secret is in any table, nor in what the tasks logged; nor is the value a token's."""
    (token,) = airflow.tokens
    ((_, value, _, _),) = airflow.rows
    for hidden in (token, *token.split("."), airflow.secret):
        assert hidden not in value
        assert hidden.encode() not in airflow.database
        assert hidden not in airflow.log
