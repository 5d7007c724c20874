"""Certificates, proxies and forked children, on real sockets: the same blocking and on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority, forward_proxy
from loopback import Received, Reply, loopback_server

from sentinelhub_provider.exceptions import SentinelHubConfigurationError, SentinelHubTransportError
from sentinelhub_provider.transport.network import CA_VARIABLES, proxy_for, ssl_context

FAR_HOST = "sh.example.test"
"""A name that no name server knows: only a proxy gets there."""


@pytest.fixture(name="authority")
def fixture_authority(tmp_path: Path) -> Authority:
    """A certificate authority that nobody knows."""
    return Authority(tmp_path)


@pytest.fixture(name="clean", autouse=True)
def fixture_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no setting of the machine in the way."""
    proxies = [f"{scheme}_proxy" for scheme in ("http", "https", "all", "no")]
    for name in (*CA_VARIABLES, *proxies, *(proxy.upper() for proxy in proxies)):
        monkeypatch.delenv(name, raising=False)


# --- certificates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_environment_names_the_authorities(make_caller, authority: Authority, monkeypatch, variable: str):
    """Each variable counts in both worlds."""
    path = authority.bundle
    if variable == "SSL_CERT_DIR":
        path = authority.bundle.parent / "hashed"
        path.mkdir()
        (path / "authority.pem").write_bytes(authority.bundle.read_bytes())
        subprocess.run(["openssl", "rehash", str(path)], check=True)
    monkeypatch.setenv(variable, str(path))
    with loopback_server(certificate=authority.certificate("127.0.0.1")) as server:
        assert make_caller(host=server.url).request("GET", "/x").status_code == 200


def test_connection_overrules_the_environment(make_caller, authority: Authority, tmp_path: Path, monkeypatch):
    """A bundle of the environment that does not know the host is not asked."""
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path / "other").bundle))
    with loopback_server(certificate=authority.certificate("127.0.0.1")) as server:
        caller = make_caller(host=server.url, extra={"verify": str(authority.bundle)})
        assert caller.request("GET", "/x").status_code == 200
        with pytest.raises(SentinelHubTransportError, match="the TLS connection failed"):
            make_caller(host=server.url).request("GET", "/x")


def test_certificate_of_another_name_is_refused(make_caller, authority: Authority, waits):
    """Final: nothing is sent, nothing is repeated."""
    with loopback_server(certificate=authority.certificate("elsewhere.example.test")) as server:
        caller = make_caller(host=server.url, extra={"verify": str(authority.bundle)})
        with pytest.raises(SentinelHubTransportError, match="the TLS connection failed") as error:
            caller.request("GET", "/x")
    assert isinstance(error.value.__cause__, ssl.SSLCertVerificationError)
    assert server.requests == []
    assert waits.waits == []


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\xfe", "folder"])
@pytest.mark.parametrize("named_by", ["verify", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_unreadable_authorities_are_a_typed_error(
    make_caller, tmp_path: Path, monkeypatch, waits, content: bytes | str | None, named_by: str
):
    """It names the path and what names it, before anything is sent."""
    path = tmp_path / "bundle.pem"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    extra = {}
    if named_by == "verify":
        extra["verify"] = str(path)
    else:
        monkeypatch.setenv(named_by, str(path))
    with loopback_server() as server, pytest.raises(SentinelHubConfigurationError) as error:
        make_caller(host="https://" + server.url.removeprefix("http://"), extra=extra).request("GET", "/x")

    assert error.value.field == "verify"
    assert str(path) in str(error.value)
    assert named_by in str(error.value)
    assert waits.waits == []


def test_tls_settings_are_made_once(authority: Authority):
    """For each setting, in a process; a bundle that has changed is read anew."""
    assert ssl_context(True) is ssl_context(True)
    assert ssl_context(False) is ssl_context(False)
    first = ssl_context(str(authority.bundle))
    assert ssl_context(str(authority.bundle)) is first
    os.utime(authority.bundle, ns=(1, 1))
    assert ssl_context(str(authority.bundle)) is not first


def test_handshake_that_breaks_passes(make_caller, authority: Authority, waits):
    """Nothing was sent: even the start of a job is tried again."""
    broken = []

    def break_first(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _address = listener.accept()
            broken.append(connection)
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=break_first, args=(listener,), daemon=True)
        thread.start()
        host = f"https://127.0.0.1:{listener.getsockname()[1]}"
        caller = make_caller(host=host, extra={"verify": False})
        waits_before = len(waits.waits)

        def stop(seconds: float) -> None:
            if len(broken) == 2:
                raise KeyboardInterrupt

        caller._clock.sleep = lambda seconds: (waits.waits.append(seconds), stop(seconds))
        with contextlib.suppress(KeyboardInterrupt):
            caller.request("POST", "/batch/v2/process", json={})
        thread.join(60)
    assert len(broken) == 2
    assert len(waits.waits) > waits_before


# --- proxies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("spelling", ["{url}", "{address}"], ids=["url", "address"])
def test_proxy_leads_to_the_service(make_caller, authority: Authority, monkeypatch, variable: str, spelling: str):
    """A tunnel to the host, in which its certificate is verified."""
    with (
        loopback_server(certificate=authority.certificate(FAR_HOST)) as server,
        forward_proxy(int(server.url.rpartition(":")[2])) as (url, targets),
    ):
        monkeypatch.setenv(variable, spelling.format(url=url, address=url.removeprefix("http://")))
        caller = make_caller(host=f"https://{FAR_HOST}", extra={"verify": str(authority.bundle)})
        assert caller.request("GET", "/x").status_code == 200

    assert targets == [f"CONNECT {FAR_HOST}:443"]


@pytest.mark.parametrize(
    ("no_proxy", "exempt"),
    [
        (FAR_HOST, True),
        (f".{FAR_HOST}", True),
        ("example.test", True),
        ("*.example.test", True),
        ("EXAMPLE.test", True),
        ("other, example.test", True),
        ("other example.test", True),
        ("*", True),
        (f"{FAR_HOST}:443", True),
        (f"{FAR_HOST}:8443", False),
        ("ample.test", False),
        ("other", False),
        (".", False),
        ("", False),
    ],
)
def test_hosts_that_need_no_proxy(monkeypatch, no_proxy: str, exempt: bool):
    """By name, domain, port, or all."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(f"https://{FAR_HOST}/x") is None) is exempt


@pytest.mark.parametrize(
    ("host", "no_proxy", "exempt"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("[fd00::1]", "fd00::/8", True),
        ("[fd00::1]", "[fd00::1]", True),
        ("[fd00::1]", "[fd00::1]:443", True),
        ("[fd00::1]", "10.0.0.0/8", False),
        *((host, "", True) for host in ("localhost", "LOCALHOST.", "a.localhost", "127.0.0.2", "[::1]")),
        ("[::ffff:127.0.0.1]", "", True),
    ],
)
def test_addresses_that_need_no_proxy(monkeypatch, host: str, no_proxy: str, exempt: bool):
    """By address or network; this machine always."""
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example.org:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(f"https://{host}/x") is None) is exempt


@pytest.mark.parametrize(
    "value", ["http://", "http://proxy:port", "ftp://proxy", "http://[::1", "socks4://user:the-password@proxy:1080"]
)
def test_proxy_that_cannot_be_is_a_typed_error(make_caller, monkeypatch, waits, value: str):
    """It names the variable, and not its value, which may hold a password."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(SentinelHubConfigurationError, match="HTTPS_PROXY") as error:
        make_caller(host=f"https://{FAR_HOST}").request("GET", "/x")
    assert "the-password" not in str(error.value)
    assert waits.waits == []


def test_socks_proxy_without_its_packages_is_a_typed_error(make_caller, monkeypatch):
    """Both libraries need one; the message says what to install."""
    monkeypatch.setattr("sentinelhub_provider.transport.network.find_spec", lambda _: None)
    monkeypatch.setenv("ALL_PROXY", "socks5h://proxy.example.org:1080")
    with pytest.raises(SentinelHubConfigurationError, match=r"requests\[socks\]"):
        make_caller(host=f"https://{FAR_HOST}").request("GET", "/x")


# --- forked children -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def child(act) -> Iterator[int]:
    """Fork; the child acts and ends."""
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child's coverage is lost
        code = 1
        with contextlib.suppress(BaseException):
            code = 0 if act() else 2
        os._exit(code)
    yield pid
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_child_opens_connections_of_its_own(connect, sentinelhub_sandbox):
    """On a shared one, each would read what the other was answered."""

    def answer(received: Received) -> Reply:
        return Reply(body=b'{"path": "%s"}' % received.path.encode())

    with loopback_server(answer) as server:
        hook = connect(host=server.url)

        def paths(who: str) -> bool:
            return all(
                hook.request("GET", f"/{who}/{number}").json() == {"path": f"/{who}/{number}"} for number in range(20)
            )

        assert paths("before")
        opened = server.connections
        with child(lambda: paths("child")):
            assert paths("parent")

        assert server.connections > opened


def test_child_opens_asynchronous_connections_of_its_own(connect, sentinelhub_sandbox):
    """The same for a session that was made before the fork."""
    with loopback_server() as server:
        hook = connect(host=server.url)
        loop = asyncio.new_event_loop()

        async def call() -> bool:
            return (await hook.arequest("GET", "/x")).status_code == 200

        assert loop.run_until_complete(call())
        session = loop.run_until_complete(hook._asession())
        before = list(session._transports.values())
        with child(lambda: session._transport(f"{server.url}/x") not in before):
            pass
        loop.run_until_complete(hook.aclose())
        loop.close()
