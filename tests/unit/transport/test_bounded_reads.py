"""Answers that come byte by byte, from a bare socket: every read ends when the time is over, whatever it reads."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import urllib3
from loopback import self_signed_certificate

from sentinelhub_provider.transport.bounded_reads import BoundedAdapter, bounded_reads

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ANSWERS = {
    "status-line": (b"", b"HTTP/1.1 200 " + b"O" * 1000),
    "header-field": (HEAD, b"X-Long: " + b"a" * 1000),
    "header-fields": (HEAD, b"A: b\r\n" * 1000),
    "body-until-the-end": (HEAD + b"\r\n", b"a" * 1000),
    "body-with-length": (HEAD + b"Content-Length: 1000\r\n\r\n", b"a" * 1000),
    "chunk-size": (CHUNKED, b"0" * 1000),
    "chunks": (CHUNKED, b"1\r\na\r\n" * 1000),
    "nothing-more": (HEAD + b"\r\n", b""),
}
"""What is sent at once, and what follows a byte every ten milliseconds."""


def accepted(listener: socket.socket, certificate: Path | None) -> socket.socket:
    """Accept one connection, over TLS where there is a certificate."""
    connection, _ = listener.accept()
    if certificate is None:
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context.wrap_socket(connection, server_side=True)


@contextlib.contextmanager
def trickling_server(at_once: bytes, slowly: bytes, certificate: Path | None = None) -> Iterator[str]:
    """Answer one connection that way, then leave it open until the block ends."""
    done = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError), accepted(listener, certificate) as connection:
            connection.recv(10_000)
            connection.sendall(at_once)
            for byte in slowly:
                if done.wait(0.01):
                    return
                connection.sendall(bytes([byte]))
            done.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{listener.getsockname()[1]}/"
        done.set()
        thread.join()


@contextlib.contextmanager
def bounded_session() -> Iterator[requests.Session]:
    """A session whose reads can be bounded."""
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", BoundedAdapter())
        session.mount("https://", BoundedAdapter())
        yield session


def read_all(response: requests.Response) -> None:
    """Read the body as it comes."""
    while response.raw.read1(1000):
        pass


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_trickle_ends_when_the_time_is_over(tmp_path: Path, scheme: str, answer: tuple[bytes, bytes]):
    """No single read takes long, so that no read timeout would ever end it."""
    certificate = self_signed_certificate(tmp_path) if scheme == "https" else None
    with trickling_server(*answer, certificate) as url, bounded_session() as session:
        began = time.monotonic()
        errors = (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError, urllib3.exceptions.HTTPError)
        with pytest.raises(errors) as error, bounded_reads(lambda: began + 0.2 - time.monotonic()):
            read_all(session.get(url, timeout=60, stream=True, verify=str(certificate or "")))

        assert any(words in str(error.value) for words in ("timed out", "the deadline passed"))


def test_bound_holds_for_reads_after_the_block(tmp_path: Path):
    """The body is read when the block is left; a bound belongs to the answer."""
    with trickling_server(*ANSWERS["body-with-length"]) as url, bounded_session() as session:
        ends = [time.monotonic() + 60]
        with bounded_reads(lambda: ends[0] - time.monotonic()):
            response = session.get(url, timeout=60, stream=True)
        ends[0] = time.monotonic() + 0.2
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            read_all(response)


def test_reads_outside_a_block_are_not_bounded():
    """A plain request with the same session has its read timeout and nothing else."""
    with trickling_server(HEAD + b"Content-Length: 10\r\n\r\n", b"0123456789") as url, bounded_session() as session:
        with bounded_reads(lambda: -1.0):
            pass

        assert session.get(url, timeout=60).content == b"0123456789"


@contextlib.contextmanager
def slow_reader(certificate: Path | None, *, first: float = 0, each: float = 0) -> Iterator[str]:
    """Take a request 10,000 bytes at a time, with pauses before the first and before each; answer when it is there."""
    done = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError, ValueError), accepted(listener, certificate) as connection:
            size = 0
            done.wait(first)
            while size < UPLOAD and not done.wait(each):
                size += len(connection.recv(10_000))
            connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
            done.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{listener.getsockname()[1]}/"
        done.set()
        thread.join()


UPLOAD = 20_000_000
"""Bytes: more than what the buffers of two sockets hold."""


@pytest.mark.parametrize("kind", ["bytes", "file"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_upload_ends_when_the_time_is_over(tmp_path: Path, scheme: str, kind: str):
    """Each piece is taken soon, so that no time-out for one would ever end it; a file is not read to its end."""
    certificate = self_signed_certificate(tmp_path) if scheme == "https" else None
    file = io.BytesIO(b"0" * UPLOAD)
    body = file if kind == "file" else file.getvalue()
    with slow_reader(certificate, each=0.01) as url, bounded_session() as session:
        ends = time.monotonic() + 0.5
        with (
            pytest.raises((requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError)),
            bounded_reads(lambda: ends - time.monotonic()),
        ):
            session.post(url, data=body, timeout=60, verify=str(certificate or ""))

    assert file.tell() < UPLOAD


def test_upload_may_take_longer_than_to_connect():
    """A service that is busy for a moment takes the rest later."""
    with slow_reader(None, first=0.3) as url, bounded_session() as session:
        ends = time.monotonic() + 60
        with bounded_reads(lambda: ends - time.monotonic()):
            assert session.post(url, data=b"0" * UPLOAD, timeout=(0.1, 30)).content == b"{}"
