"""The page on databases: its DAG, twice, with PostgreSQL and with SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dag_runs import started_dag_runner
from doc_blocks import all_blocks
from postgres_server import missing_packages, postgres_server

(BLOCK,) = all_blocks("database")
FIELDS = "CREATE TABLE fields (id varchar(64), outline text)"
OUTLINES = [
    {"type": "Polygon", "coordinates": [[[20.5, y], [20.51, y], [20.51, y + 0.01], [20.5, y]]]} for y in (47.51, 47.5)
]
ROWS = [(name, json.dumps(outline)) for name, outline in zip(("north", "south"), OUTLINES, strict=True)]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the URL of an Airflow connection to a database with fields, and what opens it."""
    if request.param == "sqlite":
        file = tmp_path / "farm.db"
        with closing(sqlite3.connect(file)) as made:
            made.execute(FIELDS)
            made.executemany("INSERT INTO fields VALUES (?, ?)", ROWS)
            made.commit()
        yield json.dumps({"conn_type": "sqlite", "host": str(file)}), lambda: sqlite3.connect(file)
        return
    if missing_packages():
        pytest.skip("PostgreSQL is not installed")
    import psycopg2

    with postgres_server() as url:
        address = url.replace("postgresql+psycopg2", "postgresql")
        with closing(psycopg2.connect(address)) as made, made.cursor() as cursor:
            cursor.execute(FIELDS)
            cursor.executemany("INSERT INTO fields VALUES (%s, %s)", ROWS)
            made.commit()
        folder = address.partition("?host=")[2]
        yield f"postgres://postgres:@/airflow?host={folder}", lambda: psycopg2.connect(address)


def rows_of(connect: Any) -> list[tuple[Any, ...]]:
    """Return what the DAG stored."""
    with closing(connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT feature_id, interval_from, state, mean FROM ndvi ORDER BY 1, 2")
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def test_a_repeated_run_changes_nothing(database: tuple[str, Any], sentinelhub_sandbox_server, tmp_path: Path):
    """Fields come out of the database, and a row for each of them and each week goes into it, once."""
    address, connect = database
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "example.py").write_text(BLOCK.text.replace("~/sentinelhub", str(tmp_path)))
    with started_dag_runner(tmp_path / "airflow", AIRFLOW_CONN_FARM_DB=address) as runner:
        first = runner.run(sentinelhub_sandbox_server, tmp_path / "dags", tmp_path)
        assert first.runs["fields_in_a_database"]["state"] == "success", first.log[-5000:]
        stored = rows_of(connect)
        again = runner.run(sentinelhub_sandbox_server, tmp_path / "dags", tmp_path)
    assert again.runs["fields_in_a_database"]["state"] == "success", again.log[-5000:]
    assert rows_of(connect) == stored
    assert [row[0] for row in stored] == ["north"] * 4 + ["south"] * 4
    assert any(row[3] is not None for row in stored)
