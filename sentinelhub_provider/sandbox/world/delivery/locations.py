"""Locations in object storage, as requests name them, with their credentials. No answer shows the credentials."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from sentinelhub_provider.sandbox.errors import invalid

CREDENTIALS: Final = ("accessKey", "secretAccessKey", "credentials")
"""Fields of a request that hold credentials of a bucket."""

HIDDEN: Final = "(hidden)"

_URL: Final = re.compile(r"(s3|gs)://([a-z0-9][a-z0-9._-]{1,221}[a-z0-9])(?:/(.*))?", re.DOTALL)
_CREDENTIAL_IN_TEXT: Final = re.compile(
    rb'("(?:' + "|".join(CREDENTIALS).encode() + rb')"\s*:\s*)"(?:[^"\\]|\\.)*"',
)


@dataclass(frozen=True)
class Access:
    """The access to a bucket, by keys or by a role. If both are ``None``, only the bucket's policy applies."""

    access_key: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    role: str | None = None
    region: str | None = None


@dataclass(frozen=True)
class Location:
    """An object or a prefix of objects. ``key`` has no slash at its beginning and may be empty."""

    scheme: Literal["s3", "gs"]
    bucket: str
    key: str
    access: Access = field(default_factory=Access, repr=False)

    @property
    def url(self) -> str:
        """The address, ``s3://bucket/key``."""
        return f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")

    def at(self, key: str) -> Location:
        """Return another place in the same bucket."""
        return replace(self, key=key)

    def below(self, name: str) -> Location:
        """Return the location ``name`` below this one, as in a folder."""
        return self.at(f"{self.key.rstrip('/')}/{name}".lstrip("/"))


def parse_location(value: Any, path: str) -> Location:
    """Read ``{"s3": {...}}`` or ``{"gs": {...}}``. An ``ApiError`` (400) names the field, never its value."""
    if not isinstance(value, Mapping):
        raise invalid(path, "is required and must be an object with s3 or gs")
    given = [name for name in ("s3", "gs") if value.get(name) is not None]
    if len(given) != 1 or not isinstance(value[given[0]], Mapping):
        raise invalid(path, "must have exactly one of the objects s3 and gs")
    store, path = value[given[0]], f"{path}->{given[0]}"
    url = store.get("url")
    match = _URL.fullmatch(url) if isinstance(url, str) else None
    if match is None or match[1] != given[0]:
        raise invalid(f"{path}->url", f"is required and must be a URL such as {given[0]}://my-bucket/folder")
    access = _s3_access(store, path) if given[0] == "s3" else _gs_access(store, path)
    return Location("s3" if given[0] == "s3" else "gs", match[2], (match[3] or "").strip("/"), access)


def without_credentials(value: Any) -> Any:
    """Copy a request without the credentials of its buckets, which no answer shows."""
    if isinstance(value, Mapping):
        return {name: without_credentials(item) for name, item in value.items() if name not in CREDENTIALS}
    if isinstance(value, list):
        return [without_credentials(item) for item in value]
    return value


def hide_credentials(body: bytes) -> bytes:
    """Replace the credentials in the bytes of a request's body. Valid JSON stays valid."""
    return _CREDENTIAL_IN_TEXT.sub(rb'\1"' + HIDDEN.encode() + rb'"', body)


def _s3_access(store: Mapping[str, Any], path: str) -> Access:
    for name in ("accessKey", "secretAccessKey", "iamRoleARN", "region"):
        value = store.get(name)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise invalid(f"{path}->{name}", "must be a string that is not empty")
    key, secret, role = store.get("accessKey"), store.get("secretAccessKey"), store.get("iamRoleARN")
    if (key is None) != (secret is None):
        raise invalid(path, "needs accessKey and secretAccessKey together")
    if key is not None and role is not None:
        raise invalid(path, "takes either iamRoleARN or accessKey with secretAccessKey, not both")
    return Access(key, secret, role, store.get("region"))


def _gs_access(store: Mapping[str, Any], path: str) -> Access:
    credentials = store.get("credentials")
    try:
        account = json.loads(base64.b64decode(credentials, validate=True)) if isinstance(credentials, str) else None
    except (binascii.Error, ValueError):
        account = None
    if not isinstance(account, dict):
        raise invalid(f"{path}->credentials", "is required and must be the JSON of a service account in base64")
    return Access()
