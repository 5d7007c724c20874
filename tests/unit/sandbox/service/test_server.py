"""Starting and stopping in process."""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
import requests

from sentinelhub_provider.sandbox.server import SandboxServer, SandboxStartError
from sentinelhub_provider.sandbox.settings import SandboxSettings


def test_a_server_accepts_connections_as_soon_as_it_has_started() -> None:
    """No polling is needed after ``start``; the port is free again after ``stop``."""
    server = SandboxServer().start()
    try:
        assert requests.get(f"{server.url}/catalog/v1/conformance", timeout=60).status_code == 200
    finally:
        server.stop()
    address = urlsplit(server.url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port), timeout=1)


def test_servers_do_not_share_state() -> None:
    """A token of one sandbox is garbage for another."""
    with SandboxServer() as one, SandboxServer() as other:
        form = {"grant_type": "client_credentials", "client_id": one.client_id, "client_secret": one.client_secret}
        token = requests.post(one.token_url(), data=form, timeout=60).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.get(f"{one.url}/configuration/v1/wms/instances", headers=headers, timeout=60).ok
        refused = requests.get(f"{other.url}/configuration/v1/wms/instances", headers=headers, timeout=60)
        assert refused.status_code == 401
        assert other.control.counters().token_requests == 0


def test_a_taken_port_is_said_in_one_line() -> None:
    """The error names the address and the way out."""
    with SandboxServer() as running:
        port = urlsplit(running.url).port
        with pytest.raises(SandboxStartError, match=f"cannot listen on 127.0.0.1:{port}.*choose another port"):
            SandboxServer(port=port).start()


def test_a_server_does_not_start_twice() -> None:
    """A second start is a mistake of the caller."""
    with SandboxServer() as server, pytest.raises(RuntimeError, match="runs already"):
        server.start()


def test_before_the_start_there_is_no_address() -> None:
    """Asking for it early is a mistake of the caller."""
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = SandboxServer().url


def test_settings_come_whole_or_as_fields() -> None:
    """Not both."""
    with pytest.raises(TypeError, match="not both"):
        SandboxServer(SandboxSettings(), token_lifetime=5)


def test_stopping_leaves_no_thread_even_with_a_request_that_hangs() -> None:
    """A client that waits for a silent answer does not keep the server alive."""
    before = set(threading.enumerate())
    server = SandboxServer().start()
    server.control.add_fault(action={"kind": "silence"})
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as raw:
        raw.sendall(b"GET /catalog/v1 HTTP/1.1\r\nHost: x\r\n\r\n")
        while not server.control.faults()[0].applied:
            threading.Event().wait(0.01)
        (running,) = (t for t in threading.enumerate() if t.name == "sentinelhub-sandbox" and t not in before)
        server.stop()
        assert raw.recv(100) == b""
    assert not running.is_alive()
    server.stop()


def test_ipv6_loopback_works() -> None:
    """The address is written with brackets."""
    with SandboxServer(host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        assert requests.get(f"{server.url}/catalog/v1/conformance", timeout=60).status_code == 200


def test_a_client_that_goes_away_leaves_no_traceback(server: SandboxServer, capfd, caplog) -> None:
    """It closes in the middle of its body: nothing is wrong with the sandbox."""
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    head = "POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\ngrant_type=".encode())
    deadline = time.monotonic() + 60
    while not server.control.requests() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.control.requests()[0].path == "/oauth/token"
    assert "Traceback" not in capfd.readouterr().err
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
