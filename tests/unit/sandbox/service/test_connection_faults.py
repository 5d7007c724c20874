"""Faults as a client sees them: real connections, a blocking and an asynchronous HTTP library."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import requests
import urllib3

from sentinelhub_provider.sandbox.gateway.faults.model import (
    Delay,
    Empty,
    ErrorJson,
    Html,
    RateLimit,
    Redirect,
    Reset,
    ResetMidBody,
    RevokeTokens,
    RotateKey,
    Silence,
    Status,
    TokenAnswer,
    Trickle,
    Truncate,
)
from sentinelhub_provider.sandbox.server import SandboxServer

LANDING = "/catalog/v1"


def _get(server: SandboxServer, path: str = LANDING, **options: Any) -> requests.Response:
    return requests.get(server.url + path, timeout=options.pop("timeout", 10), **options)


def test_a_status_is_sent_in_the_apis_own_shape(server: SandboxServer) -> None:
    """Without a body of its own, a fault looks like the service's error; then the service is itself again."""
    server.control.add_fault(path="/configuration/*", action=Status(status=503))
    first, second = (_get(server, "/configuration/v1/wms/instances") for _ in range(2))
    assert first.status_code == 503
    assert first.json()["error"]["reason"] == "Service Unavailable"
    assert second.status_code == 401


def test_a_status_may_bring_its_own_body_and_headers(server: SandboxServer) -> None:
    """Body, content type and headers are sent as given."""
    server.control.add_fault(
        action=Status(status=502, text="<h1>Bad</h1>", content_type="text/html", headers={"X-A": "b"})
    )
    answer = _get(server)
    assert (answer.status_code, answer.text, answer.headers["X-A"]) == (502, "<h1>Bad</h1>", "b")
    server.control.add_fault(action=Status(status=400, body={"a": 1}))
    assert _get(server).json() == {"a": 1}


@pytest.mark.parametrize("value", ["3398", "2.5", "Wed, 21 Oct 2026 07:28:00 GMT", "soon", "-1", None])
def test_a_rate_limit_comes_with_any_form_of_retry_after(server: SandboxServer, value: str | None) -> None:
    """The header is sent as it is, or not at all."""
    server.control.add_fault(action=RateLimit(retry_after=value))
    answer = _get(server)
    assert answer.status_code == 429
    assert answer.headers.get("Retry-After") == value
    assert answer.json()["code"] == "RATE_LIMIT_EXCEEDED"


def test_a_rate_limit_may_be_wrapped(server: SandboxServer) -> None:
    """Some of the service's doors wrap the body, some do not."""
    server.control.add_fault(action=RateLimit(wrapped=True))
    assert _get(server).json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    ("action", "content_type", "content"),
    [
        (Html(), "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        (Empty(), None, b""),
        (ErrorJson(), "application/json", b'{"error"'),
    ],
)
def test_an_answer_of_success_may_hold_none(
    server: SandboxServer, action: Any, content_type: str | None, content: bytes
) -> None:
    """HTML, nothing, or an error under status 200."""
    server.control.add_fault(action=action)
    answer = _get(server)
    assert answer.status_code == 200
    assert answer.headers.get("content-type") == content_type
    assert answer.content.startswith(content)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_leads_where_it_says(server: SandboxServer, status: int) -> None:
    """To another host as well."""
    server.control.add_fault(action=Redirect(location="http://other.test/x", status=status))
    answer = _get(server, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (status, "http://other.test/x")


def test_a_delay_answers_late(server: SandboxServer) -> None:
    """The request is handled, later."""
    server.control.add_fault(action=Delay(seconds=0.1))
    started = time.perf_counter()
    assert _get(server).status_code == 200
    assert time.perf_counter() - started >= 0.1


def test_silence_lasts_until_the_client_gives_up(server: SandboxServer) -> None:
    """A read timeout is the client's only way out; the server goes on serving others."""
    server.control.add_fault(action=Silence())
    with pytest.raises(requests.exceptions.ReadTimeout):
        _get(server, timeout=(60, 0.1))
    server.control.add_fault(action=Silence())
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(server.url + LANDING, timeout=httpx.Timeout(60, read=0.1))
    assert _get(server).status_code == 200


def test_silence_may_end_without_an_answer(server: SandboxServer) -> None:
    """After its time the connection is closed."""
    server.control.add_fault(action=Silence(seconds=0.05))
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(server.url + LANDING, timeout=60)


def test_a_reset_is_a_reset(server: SandboxServer) -> None:
    """Both libraries see a connection reset by peer, not an orderly end."""
    server.control.add_fault(action=Reset(), times=2)
    with pytest.raises(requests.exceptions.ConnectionError, match=r"reset by peer"):
        _get(server)
    with pytest.raises(httpx.ReadError):
        httpx.get(server.url + LANDING, timeout=60)
    assert _get(server).status_code == 200


def test_a_reset_sends_rst(server: SandboxServer) -> None:
    """On the socket itself: reading fails with ECONNRESET instead of returning nothing."""
    server.control.add_fault(action=Reset())
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as raw:
        raw.sendall(f"GET {LANDING} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            raw.recv(1000)


def test_a_truncated_answer_announces_more_than_it_sends(server: SandboxServer) -> None:
    """The length is that of the whole, the body ends after so many bytes, in order."""
    whole = _get(server)
    server.control.add_fault(action=Truncate(after_bytes=20), times=2)
    with requests.get(server.url + LANDING, timeout=60, stream=True) as answer:
        assert answer.headers["Content-Length"] == whole.headers["Content-Length"]
        assert answer.raw.read(20) == whole.content[:20]
        with pytest.raises(urllib3.exceptions.ProtocolError):
            answer.raw.read()
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        httpx.get(server.url + LANDING, timeout=60)


def test_half_an_answer_is_cut_by_default(server: SandboxServer) -> None:
    """Without a number, half of the body is sent."""
    whole = _get(server)
    server.control.add_fault(action=Truncate())
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match=f"{len(whole.content) // 2} bytes read"):
        _get(server)


def test_a_reset_in_the_middle_of_a_body(server: SandboxServer) -> None:
    """The headers and a part of the body arrive, then the connection is reset."""
    server.control.add_fault(action=ResetMidBody(after_bytes=10), times=2)
    with pytest.raises((requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        _get(server)
    with (
        httpx.stream("GET", server.url + LANDING, timeout=60) as answer,
        pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)),
    ):
        answer.read()


def test_a_trickle_arrives_whole_but_slowly(server: SandboxServer) -> None:
    """Piece by piece the same body arrives."""
    whole = _get(server).content
    server.control.add_fault(action=Trickle(chunk_bytes=len(whole) // 4, interval=0.02))
    started = time.perf_counter()
    assert _get(server).content == whole
    assert time.perf_counter() - started >= 0.08


def test_a_head_may_trickle(server: SandboxServer) -> None:
    """Status line and header fields arrive byte by byte, which no read timeout notices, then the body at once."""
    whole = _get(server)
    server.control.add_fault(action=Trickle(chunk_bytes=40, interval=0.01, part="head"), times=2)
    started = time.perf_counter()
    answer = _get(server, timeout=60)
    assert time.perf_counter() - started >= 0.03
    assert (answer.status_code, answer.content) == (200, whole.content)
    assert answer.headers["x-sentinelhub-sandbox"] == whole.headers["x-sentinelhub-sandbox"]
    assert httpx.get(server.url + LANDING, timeout=60).content == whole.content
    assert _get(server).status_code == 200


def test_a_trickling_head_ends_with_its_client(server: SandboxServer) -> None:
    """Nobody listens any more: the server goes on to others."""
    server.control.add_fault(action=Trickle(interval=0.01, part="head"))
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as raw:
        raw.sendall(f"GET {LANDING} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert raw.recv(1) == b"H"
    assert _get(server).status_code == 200


@pytest.mark.parametrize("action", [Truncate(chunked=True), ResetMidBody(chunked=True)], ids=lambda action: action.kind)
def test_a_body_in_chunks_may_be_cut(server: SandboxServer, action: Any) -> None:
    """No length is announced: the last chunk, which would say that this was all, never comes."""
    whole = _get(server)
    server.control.add_fault(action=action, times=2)
    with requests.get(server.url + LANDING, timeout=60, stream=True) as answer:
        assert "Content-Length" not in answer.headers
        assert answer.headers["Transfer-Encoding"] == "chunked"
        with pytest.raises(urllib3.exceptions.ProtocolError):
            answer.raw.read()
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        httpx.get(server.url + LANDING, timeout=60)
    assert _get(server).content == whole.content


@pytest.mark.parametrize("action", [RevokeTokens(), RotateKey()], ids=lambda action: action.kind)
def test_tokens_go_bad_in_the_middle_of_a_run(
    server: SandboxServer, new_token: Callable[..., str], action: Any
) -> None:
    """The request that is affected is the first to be refused; a new token is good."""
    path = "/configuration/v1/wms/instances"
    server.control.add_fault(path=path, after=2, action=action)

    def statuses(token: str) -> list[int]:
        headers = {"Authorization": f"Bearer {token}"}
        return [_get(server, path, headers=headers).status_code for _ in range(4)]

    assert statuses(new_token()) == [200, 200, 401, 401]
    assert statuses(new_token()) == [200] * 4


def test_a_keep_alive_connection_survives_its_neighbours_fault(server: SandboxServer) -> None:
    """A session goes on after an orderly fault on the same connection."""
    with requests.Session() as session:
        server.control.add_fault(action=Status(status=500))
        statuses = [session.get(server.url + LANDING, timeout=60).status_code for _ in range(3)]
    assert statuses == [500, 200, 200]


@pytest.mark.parametrize(
    ("variant", "check"),
    [
        ("no_access_token", lambda body: "access_token" not in body),
        ("string_expires_in", lambda body: body["expires_in"] == "3600"),
        ("not_an_object", lambda body: isinstance(body, list)),
    ],
)
def test_a_spoiled_token_answer(server: SandboxServer, variant: Any, check: Callable[[Any], bool]) -> None:
    """The token endpoint answers 200 with something a client must not trust."""
    server.control.add_fault(path="*/token", action=TokenAnswer(variant=variant))
    form = {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    answer = requests.post(server.token_url(), data=form, timeout=60)
    assert answer.status_code == 200
    assert check(answer.json())


def test_a_refused_login_is_not_spoiled(server: SandboxServer) -> None:
    """A refusal stays what it is."""
    server.control.add_fault(path="*/token", action=TokenAnswer(variant="no_access_token"))
    form = {"grant_type": "client_credentials", "client_id": "nobody", "client_secret": "x"}
    answer = requests.post(server.token_url(), data=form, timeout=60)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_requests_with_faults_are_noted(server: SandboxServer) -> None:
    """Each request says which fault it met, if any."""
    server.control.add_fault(action=Reset())
    with pytest.raises(requests.exceptions.ConnectionError):
        _get(server)
    _get(server)
    noted = [(record.fault, record.status) for record in server.control.requests()]
    assert noted == [("reset", None), (None, 200)]


def test_a_client_that_goes_away_does_no_harm(server: SandboxServer) -> None:
    """A connection reset by the client in the middle of a large answer leaves the server well."""
    form = {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    token = requests.post(server.token_url(), data=form, timeout=60).json()["access_token"]
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request = (
            f"GET /sandbox/control/payload?size=100000000 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        raw.sendall(request.encode())
        raw.recv(1000)
    assert _get(server).status_code == 200
