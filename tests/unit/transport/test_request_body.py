"""Bodies that can be sent again, and header fields that are one in whichever case."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.transport.request_body import RequestBody, header_fields, unsendable

TOKEN = AccessToken("value", 9e9, 3600)


class Pipe(io.BytesIO):
    """A stream that can be read once."""

    def seekable(self) -> bool:
        """Say no."""
        return False


def _stream() -> io.BytesIO:
    stream = io.BytesIO(b"skip body")
    stream.seek(5)
    return stream


@pytest.mark.parametrize(
    "make",
    [lambda: b"body", _stream, lambda: Pipe(b"body"), lambda: iter([b"bo", b"dy"])],
    ids=["bytes", "stream", "pipe", "iterator"],
)
def test_body_can_be_read_for_each_attempt(make):
    """From where it stood when it was given."""
    body = RequestBody(data=make())

    assert [body.content() for _ in range(3)] == [b"body"] * 3
    again = [body.data() for _ in range(2)][-1]
    assert (again.read() if hasattr(again, "read") else again) == b"body"


def test_form_fields_are_encoded():
    """Here and not by the HTTP libraries; beside files they are parts of their own."""
    body = RequestBody(data={"a": "b"})

    assert (body.content(), body.content_type) == (b"a=b", "application/x-www-form-urlencoded")
    assert RequestBody(data=[("a", 1), ("a", "2")], files={"f": b"x"}).content() == {"a": [1, "2"]}


def test_document_is_written_as_json():
    """With the content type that says so."""
    body = RequestBody(json={"a": [1, None]})

    assert (body.content(), body.content_type) == (b'{"a": [1, null]}', "application/json")


@pytest.mark.parametrize("document", [{"a": float("nan")}, {"a": {1}}, {"a": object()}, {(1, 2): 3}])
def test_document_that_is_not_json_is_refused(document: Any):
    """Before anything is sent."""
    with pytest.raises(SentinelHubRequestError, match="json cannot be written as JSON") as error:
        RequestBody(json=document)

    assert error.value.field == "json"


@pytest.mark.parametrize("other", [{"data": b"x"}, {"files": {"a": b"x"}}])
def test_two_bodies_are_refused(other: dict[str, Any]):
    """One of them would be dropped without a word."""
    with pytest.raises(SentinelHubRequestError, match="one body"):
        RequestBody(json={}, **other)


def test_files_are_read_for_good(tmp_path: Path):
    """A repeated request sends them again; only the name of the file goes along, not its folder."""
    path = tmp_path / "evalscript.js"
    path.write_bytes(b"//VERSION=3")
    with path.open("rb") as bare, path.open("rb") as named:
        body = RequestBody(files={"a": bare, "b": ("b.js", named, "text/javascript"), "c": b"raw", "d": (None, "x")})

    assert body.files == [
        ("a", ("evalscript.js", b"//VERSION=3")),
        ("b", ("b.js", b"//VERSION=3", "text/javascript")),
        ("c", b"raw"),
        ("d", (None, "x")),
    ]


def test_token_replaces_any_authorization():
    """One header of that name goes out, in whichever case it was given."""
    fields = header_fields({"authorization": "Basic x", "AUTHORIZATION": "y", "X": "1"}, token=TOKEN)

    assert fields == {"X": "1", "Authorization": "Bearer value"}


def test_authorization_stays_without_a_token():
    """The token request itself may carry Basic credentials."""
    assert header_fields({"Authorization": "Basic x"}) == {"Authorization": "Basic x"}


def test_callers_content_type_wins():
    """GeoJSON is JSON, too."""
    assert header_fields({"content-type": "application/geo+json"}, content_type="application/json") == {
        "content-type": "application/geo+json"
    }
    assert header_fields(None, content_type="application/json") == {"Content-Type": "application/json"}


def test_unsendable_request_quotes_no_header():
    """HTTP libraries quote the header field that they cannot write, and one is the token."""
    error = unsendable(ValueError("Invalid header value b'Bearer value'"), "https://a.example/b?c=d")

    assert "value" not in str(error)
    assert "https://a.example/b cannot be sent (ValueError)" in str(error)
