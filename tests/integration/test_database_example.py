"""The page on databases: its DAG, twice, with SQLite and with PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from dag_runs import DagRunner
from doc_blocks import all_blocks
from postgres_server import missing_packages, postgres_server

(BLOCK,) = all_blocks("database")
FIELDS = "CREATE TABLE fields (id varchar(64), outline text)"
OUTLINES = [
    {"type": "Polygon", "coordinates": [[[20.5, y], [20.51, y], [20.51, y + 0.01], [20.5, y]]]} for y in (47.51, 47.5)
]
ROWS = [(name, json.dumps(outline)) for name, outline in zip(("north", "south"), OUTLINES, strict=True)]


@contextmanager
def sqlite_database(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield the URL of an Airflow connection to a database with fields, and what opens it."""
    file = folder / "farm.db"
    with closing(sqlite3.connect(file)) as made:
        made.execute(FIELDS)
        made.executemany("INSERT INTO fields VALUES (?, ?)", ROWS)
        made.commit()
    yield json.dumps({"conn_type": "sqlite", "host": str(file)}), lambda: sqlite3.connect(file)


@contextmanager
def postgresql_database(_: Path) -> Iterator[tuple[str, Any]]:
    """Yield the same of PostgreSQL."""
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


@pytest.mark.skipif(bool(missing_packages()), reason="PostgreSQL is not installed")
def test_a_repeated_run_changes_nothing(dag_runner: DagRunner, sentinelhub_sandbox_server, tmp_path: Path):
    """Fields come out of each database, and a row for each of them and each week goes into it, once."""
    dags = tmp_path / "dags"
    dags.mkdir()
    with ExitStack() as stack:
        connections, opened = {}, {}
        for kind in (sqlite_database, postgresql_database):
            name = kind.__name__.partition("_")[0]
            connections[f"AIRFLOW_CONN_{name.upper()}"], opened[name] = stack.enter_context(kind(tmp_path))
            text = BLOCK.text.replace("farm_db", name).replace("fields_in_a_database", name)
            (dags / f"{name}.py").write_text(text.replace("~/sentinelhub", f"{tmp_path}/{name}"))
        first = dag_runner.run(sentinelhub_sandbox_server, dags, tmp_path, environment=connections)
        assert {first.runs[name]["state"] for name in opened} == {"success"}, first.log[-5000:]
        stored = {name: rows_of(connect) for name, connect in opened.items()}
        again = dag_runner.run(sentinelhub_sandbox_server, dags, tmp_path, environment=connections)
        assert {again.runs[name]["state"] for name in opened} == {"success"}, again.log[-5000:]
        assert {name: rows_of(connect) for name, connect in opened.items()} == stored
    for rows in stored.values():
        assert [row[0] for row in rows] == ["north"] * 4 + ["south"] * 4
        assert any(row[3] is not None for row in rows)
