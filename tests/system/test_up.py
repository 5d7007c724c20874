"""``make up``: an Airflow to look at, of which nothing stays when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from environment import free_port
from up_process import make_up

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system


def test_it_answers_when_it_says_so_and_leaves_nothing_behind(tmp_path: Path):
    """Ready means that login and connection work; ctrl-C ends every process that it started."""
    with make_up(tmp_path, free_port()) as up:
        with httpx.Client(base_url=up.url, trust_env=False) as client:
            login = client.post("/auth/token", json={"username": up.user, "password": up.password})
            authorization = {"Authorization": f"Bearer {login.json()['access_token']}"}
            connection = client.get("/api/v2/connections/sentinelhub_default", headers=authorization)
        with pytest.raises(AssertionError, match=r"an Airflow runs in .* already"), make_up(tmp_path, free_port()):
            pass  # two of them on one database would break both
        started = psutil.Process(up.process.pid).children(recursive=True)

        status = up.interrupt()

    assert login.status_code == 201
    assert connection.json()["conn_type"] == "sentinelhub"
    assert len(started) >= 6  # sandbox, standalone and Airflow's four components
    assert status == 0
    assert [process for process in started if process.is_running()] == []
    assert processes_that_mention(tmp_path) == []


def test_a_taken_port_is_refused_at_once(tmp_path: Path):
    """Somebody else's server on the port is not mistaken for Airflow."""
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(AssertionError, match=f"port {port} is taken"), make_up(tmp_path, port):
            pass


def processes_that_mention(home: Path) -> list[psutil.Process]:
    """Return running processes whose environment or command line names this Airflow's home."""
    found = []
    for process in psutil.process_iter():
        try:
            text = " ".join([*process.cmdline(), *process.environ().values()])
        except psutil.Error:
            continue
        if str(home) in text:
            found.append(process)
    return found
