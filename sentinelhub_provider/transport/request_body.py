"""What a request carries besides its address: a body that can be sent more than once, and its header fields."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from pathlib import Path
from typing import Any

from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.origins import without_query

# Header fields, in lower case, that no other host gets along a redirect.
_OWN_FIELDS = frozenset(
    {"authorization", "cookie", "proxy-authorization", "content-type", "content-length", "transfer-encoding"}
)


class RequestBody:
    """A request's body: a stream is rewound for each attempt, or read into memory where it cannot be.

    :param data: text, bytes, a form's fields, an open file, or an iterator of bytes.
    :param json: anything that can be written as JSON; not beside the others.
    :param files: parts of a multipart body, as ``requests`` takes them.
    """

    def __init__(self, *, data: Any = None, json: Any = None, files: Any = None) -> None:
        self.content_type: str | None = None
        self._start = 0
        if json is not None:
            if data is not None or files is not None:
                raise SentinelHubRequestError(
                    "json (or evalscript) is given beside data or files, but a request has one body. Give one of them.",
                    field="json",
                )
            data = _encoded(json)
            self.content_type = "application/json"
        if hasattr(data, "read"):
            if data.seekable():
                self._start = data.tell()
            else:
                data = data.read()
        elif hasattr(data, "__next__"):
            data = b"".join(data)
        self._data = data
        files = files.items() if hasattr(files, "items") else files
        # HTTP libraries read files whole in any case, but only once.
        self.files = None if files is None else [(name, _part(part)) for name, part in files]

    def data(self) -> Any:
        """Return the body as it was given, a stream at its start; for HTTP libraries that read streams themselves."""
        if hasattr(self._data, "seek"):
            self._data.seek(self._start)
        return self._data

    def content(self) -> Any:
        """Return the body in memory; for the event loop, which must not wait for a file with each piece."""
        return _content(self.data())


def header_fields(
    given: Mapping[str, str] | None,
    *,
    content_type: str | None = None,
    token: AccessToken | None = None,
    is_foreign: bool = False,
) -> dict[str, str]:
    """Put a request's header fields together; names are one in whichever case they are written.

    :param given: the caller's; their ``Authorization`` gives way to the token, their content type counts.
    :param is_foreign: whether it goes to another host: then without credentials and without a body.
    """
    fields = dict(given or {})
    if content_type and "content-type" not in {name.lower() for name in fields}:
        fields["Content-Type"] = content_type
    dropped = _OWN_FIELDS if is_foreign else {"authorization"} if token is not None else ()
    fields = {name: value for name, value in fields.items() if name.lower() not in dropped}
    if token is not None:
        fields["Authorization"] = f"Bearer {token.value}"
    return fields


def unsendable(error: Exception, url: str) -> SentinelHubRequestError:
    """Word what an HTTP library says of a URL or header field that it cannot write."""
    # Its own words are not repeated, and it is no cause to raise from: it quotes header fields, and one is the token.
    return SentinelHubRequestError(
        f"the request to {without_query(url)} cannot be sent ({type(error).__name__}). "
        "Check its URL, query parameters and header fields for characters that are not allowed there.",
        field="endpoint",
    )


def _encoded(document: Any) -> bytes:
    try:
        return dumps(document, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SentinelHubRequestError(f"json cannot be written as JSON: {error}", field="json") from error


def _part(part: Any) -> Any:
    """Read an open file of a multipart body: a file by itself, or a tuple with the file second."""
    if isinstance(part, tuple | list):
        return (part[0], _content(part[1]), *part[2:])
    return (Path(str(getattr(part, "name", "file"))).name, _content(part)) if hasattr(part, "read") else part


def _content(part: Any) -> Any:
    return part.read() if hasattr(part, "read") else part
