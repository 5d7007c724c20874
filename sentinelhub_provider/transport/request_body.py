"""The body and header fields of a request. The body can be sent more than once."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.oauth.token import AccessToken
from sentinelhub_provider.origins import without_query

# Header fields, in lower case, that a redirect does not take to another host.
_OWN_FIELDS = frozenset(
    {"authorization", "cookie", "proxy-authorization", "content-type", "content-length", "transfer-encoding"}
)


class RequestBody:
    """A request's body. A stream is rewound for each attempt, or read into memory if it cannot be rewound.

    :param data: text, bytes, a form's fields, an open file, or an iterator of bytes.
    :param json: a JSON value, instead of the others.
    :param files: parts of a multipart body, as for ``requests``. ``data`` then has its fields.
    """

    def __init__(self, *, data: Any = None, json: Any = None, files: Any = None) -> None:
        self.content_type: str | None = None
        self._start = 0
        # HTTP libraries would also read files whole, but only once.
        self.files = None if files is None else [(name, _part(part)) for name, part in _pairs(files, "files")]
        if json is not None:
            if data is not None or files is not None:
                raise SentinelHubRequestError(
                    "json (or evalscript) is given beside data or files, but a request has one body. Give one of them.",
                    field="json",
                )
            data, self.content_type = _encoded(json), "application/json"
        elif files is not None:
            fields: dict[str, list[Any]] = {}
            for name, value in _values(data or {}, "data"):
                fields.setdefault(name, []).append(value)
            data = fields
        elif isinstance(data, Mapping | list | tuple):
            # The HTTP libraries write booleans differently, and not all take pairs.
            data, self.content_type = urlencode(_values(data, "data")).encode(), "application/x-www-form-urlencoded"
        elif data is not None:
            data = self._readable(data)
        self._data = data

    def _readable(self, data: Any) -> Any:
        """Return bytes or a stream that can be read again."""
        if hasattr(data, "read"):
            if not getattr(data, "seekable", bool)():
                return data.read()
            self._start = data.tell()
            return data
        if hasattr(data, "__next__"):
            data = b"".join(piece.encode() if isinstance(piece, str) else piece for piece in data)
        if isinstance(data, bytes | bytearray | memoryview):
            return bytes(data)
        if isinstance(data, str):
            return data.encode()
        raise _wrong("data", data, "text, bytes, a form's fields, an open file or an iterator of bytes")

    def data(self) -> Any:
        """Return the body as bytes, or as a stream at its start, for HTTP libraries that read streams themselves."""
        if hasattr(self._data, "seek"):
            self._data.seek(self._start)
        return self._data

    def content(self) -> Any:
        """Return the body in memory, because an event loop must not wait for a file with each piece."""
        return _content(self.data())


def with_query(url: str, params: Any) -> str:
    """Add query parameters to those of a URL.

    :param params: a mapping or pairs. Values are text, numbers, booleans or lists of these, and ``None`` leaves a
        parameter out. Text is taken as an encoded query.
    """
    if not params:
        return url
    params = params.decode() if isinstance(params, bytes) else params
    query = params.lstrip("?&") if isinstance(params, str) else urlencode(_values(params, "params"))
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(part for part in (parts.query, query) if part)))


def header_fields(
    given: Mapping[str, str] | None,
    *,
    accept: str | None = None,
    content_type: str | None = None,
    token: AccessToken | None = None,
    is_foreign: bool = False,
) -> dict[str, Any]:
    """Build a request's header fields. Names are equal in any case.

    :param given: the caller's fields. The token replaces their ``Authorization``, their content type stays.
    :param is_foreign: whether it goes to another host. Then it has neither credentials nor a body.
    """
    fields = dict(_pairs(given or {}, "headers"))
    if accept:
        fields = {name: value for name, value in fields.items() if name.lower() != "accept"} | {"Accept": accept}
    for name, value in fields.items():
        if not isinstance(value, str | bytes | None):
            raise _wrong("headers", value, f"text as the value of {name}")
    if content_type and "content-type" not in {name.lower() for name in fields}:
        fields["Content-Type"] = content_type
    dropped = _OWN_FIELDS if is_foreign else {"authorization"} if token is not None else ()
    fields = {name: value for name, value in fields.items() if name.lower() not in dropped}
    if token is not None:
        fields["Authorization"] = f"Bearer {token.value}"
    return fields


def unsendable(error: Exception, url: str) -> SentinelHubRequestError:
    """Return the error for a URL or header field that an HTTP library cannot write."""
    # The library's words are not repeated or chained, because they quote header fields, and one is the token.
    return SentinelHubRequestError(
        f"the request to {without_query(url)} cannot be sent ({type(error).__name__}). "
        "Check its URL, query parameters and header fields for characters that are not allowed there.",
        field="endpoint",
    )


def _values(given: Any, field: str) -> list[tuple[str, Any]]:
    """Return the names and values of a query or a form. A list repeats its name."""
    return [
        (name, str(value).lower() if isinstance(value, bool) else value)
        for name, values in _pairs(given, field)
        for value in (values if isinstance(values, list | tuple | set | frozenset) else (values,))
        if value is not None
    ]


def _pairs(given: Any, field: str) -> list[tuple[str, Any]]:
    try:
        return [(name, value) for name, value in (given.items() if hasattr(given, "items") else given)]
    except (TypeError, ValueError):
        raise _wrong(field, given, "a mapping, or a list of pairs of name and value") from None


def _wrong(field: str, given: Any, wanted: str) -> SentinelHubRequestError:
    return SentinelHubRequestError(f"{field}: expected {wanted}, got {type(given).__name__}.", field=field)


def _encoded(document: Any) -> bytes:
    try:
        return dumps(document, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SentinelHubRequestError(f"json cannot be written as JSON: {error}", field="json") from error


def _part(part: Any) -> Any:
    """Read an open file of a multipart body, alone or second in a tuple."""
    if isinstance(part, tuple | list):
        return (part[0], _content(part[1]), *part[2:])
    return (Path(str(getattr(part, "name", "file"))).name, _content(part)) if hasattr(part, "read") else part


def _content(part: Any) -> Any:
    return part.read() if hasattr(part, "read") else part
