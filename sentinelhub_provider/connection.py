"""An Airflow connection of type ``sentinelhub`` from the form, JSON or a URI, checked and frozen."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from sentinelhub_provider.deployments import DEFAULT_DEPLOYMENT, DEPLOYMENTS, Deployment, PathScheme
from sentinelhub_provider.exceptions import SentinelHubConfigurationError
from sentinelhub_provider.get_provider_info import CONN_FIELDS
from sentinelhub_provider.origins import Origin, TrustedOrigins

log = logging.getLogger(__name__)

# Seconds that the service may stay silent within one answer; the largest Process requests take over a minute.
DEFAULT_TIMEOUT = 120.0
LONGEST_TIMEOUT = 1e6  # seconds, because system calls do not take every number
DEFAULT_PREFIX = "sentinelhub"  # start of the names of Redis keys, unless the connection names another
_AUTH_CACHE_KINDS = ("memory", "file", "variable")
_AUTH_CACHE_SCHEMES = ("redis", "rediss")
_CONNECTION_ID = re.compile(r"[\w.-]+")
_HOST_PATTERN = re.compile(r"(?!-)[a-z0-9.-]+(:\d{1,5})?", re.IGNORECASE)
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


class ClientAuth(StrEnum):
    """How the client authenticates at the token endpoint (RFC 6749 section 2.3.1, names of OpenID Connect)."""

    SECRET_POST = "client_secret_post"  # noqa: S105 - a method's name
    SECRET_BASIC = "client_secret_basic"  # noqa: S105 - a method's name


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """A connection's checked settings: the fields of the form, which ``get_provider_info`` describes, and these.

    :param base_url: address of the APIs, without trailing slash.
    :param auth_url: OAuth2 token endpoint.
    :param token_info_url: token info endpoint, ``None`` if the deployment has none.
    :param auth_cache: as in the form, or the URL of a folder (``file:///folder``).
    :param verify: as in the form, or the path of a CA bundle.
    """

    conn_id: str
    client_id: str
    client_secret: str = field(repr=False)
    deployment: Deployment
    base_url: str
    auth_url: str
    token_info_url: str | None = None
    client_auth: ClientAuth = ClientAuth.SECRET_POST
    scope: str | None = None
    path_scheme: PathScheme = PathScheme.CURRENT
    auth_cache: str = field(default="file", repr=False)  # a Redis URL may carry a password
    auth_cache_prefix: str = DEFAULT_PREFIX
    requests_per_minute: float | None = None
    processing_units_per_minute: float | None = None
    processing_units_per_day: float | None = None
    processing_units_per_month: float | None = None
    timeout: float = DEFAULT_TIMEOUT
    verify: bool | str = True
    allowed_hosts: tuple[str, ...] = ()

    @property
    def trusted_origins(self) -> TrustedOrigins:
        """The places that may see this connection's token."""
        return TrustedOrigins.for_urls(self.base_url, self.allowed_hosts)

    @property
    def cache_password(self) -> str | None:
        """The password in a Redis URL, which must be masked. ``None`` if the URL has no password."""
        password = urlsplit(self.auth_cache).password
        return None if password is None else unquote(password)

    @property
    def cache_conn_id(self) -> str | None:
        """The ID of the Airflow connection that ``auth_cache`` names, ``None`` if it holds another kind of value."""
        names_connection = ":" not in self.auth_cache and self.auth_cache not in _AUTH_CACHE_KINDS
        return self.auth_cache if names_connection else None

    def with_cache(self, connection: Any) -> ConnectionSettings:
        """Return these settings with the URL of a Redis connection as ``auth_cache``."""
        read = _FieldReader(self.conn_id, {})
        options = _FieldReader(connection.conn_id, read_extra(connection))
        host = options.as_text("host", connection.host)
        if not host:
            raise read.error("auth_cache", f"connection {connection.conn_id!r} names no host.")
        user = quote(options.as_text("login", connection.login), safe="")
        password = options.as_text("password", connection.password)
        secret = f":{quote(password, safe='')}" if password else ""
        scheme = "rediss" if options.switch("ssl") else "redis"
        credentials = f"{user}{secret}@" if user or secret else ""
        port, number = connection.port or 6379, options.raw("db") or 0
        return replace(self, auth_cache=f"{scheme}://{credentials}{_bracketed(host)}:{port}/{number}")


def settings_from_connection(connection: Any) -> ConnectionSettings:
    """Check an Airflow connection and freeze it. A :class:`SentinelHubConfigurationError` names the wrong field."""
    # The extra is read as text, because Airflow registers each value as a secret when it returns a dict.
    extra = read_extra(connection)
    read = _FieldReader(connection.conn_id, extra)
    if connection.conn_type not in (None, "", "sentinelhub", "generic"):
        # A slip in the ID must not send the password of a database to the token endpoint.
        raise read.error(
            "conn_type", f"it is of type {connection.conn_type!r}. Name one of type 'sentinelhub', or change it."
        )
    for name in extra.keys() - CONN_FIELDS.keys():
        _warn_of_unknown(connection.conn_id, name)
    deployment = _deployment(read, connection)

    client_id = read.as_text("login", connection.login).strip()
    if not client_id:
        raise read.error(
            "login", f"the client ID is empty. Register an OAuth client in {deployment.dashboard} and enter its ID."
        )
    # The secret is not stripped. White space at its ends is always a slip of copying.
    client_secret = read.as_text("password", connection.password)
    if not client_secret.strip():
        raise read.error(
            "password",
            "the client secret is empty. It is shown once, when you register an OAuth client. "
            f"If it is lost, create a new client in {deployment.dashboard}.",
        )
    if client_secret != client_secret.strip():
        raise read.error("password", "the client secret starts or ends with white space. Copy it again without it.")

    base_url = _base_url(read, connection) or deployment.base_url
    if not base_url:
        raise read.error(
            "host", "deployment 'custom' needs the base URL of the service, such as https://sh.example.org."
        )
    auth_url = read.text("auth_url")
    auth_url = deployment.auth_url if auth_url is None else read.checked_url("auth_url", auth_url)
    if not auth_url:
        raise read.error("auth_url", "deployment 'custom' needs the URL of its OAuth2 token endpoint.")

    return ConnectionSettings(
        conn_id=connection.conn_id,
        client_id=client_id,
        client_secret=client_secret,
        deployment=deployment,
        base_url=base_url,
        auth_url=auth_url,
        token_info_url=f"{Origin.of(auth_url)}{deployment.token_info_path}" if deployment.token_info_path else None,
        client_auth=ClientAuth(read.choice("client_auth", ClientAuth) or ClientAuth.SECRET_POST),
        scope=read.as_text("scope", read.raw("scope")) or None,
        path_scheme=PathScheme(read.choice("path_scheme", PathScheme) or deployment.path_scheme),
        auth_cache=_auth_cache(read),
        auth_cache_prefix=read.text("auth_cache_prefix") or DEFAULT_PREFIX,
        requests_per_minute=read.positive_number("requests_per_minute"),
        processing_units_per_minute=read.positive_number("processing_units_per_minute"),
        processing_units_per_day=read.positive_number("processing_units_per_day"),
        processing_units_per_month=read.positive_number("processing_units_per_month"),
        timeout=min(read.positive_number("timeout") or DEFAULT_TIMEOUT, LONGEST_TIMEOUT),
        verify=_verify(read),
        allowed_hosts=_allowed_hosts(read),
    )


def read_extra(connection: Any) -> Mapping[str, Any]:
    """Read the extra of any connection. Airflow returns an empty one if it is not a JSON object."""
    text = (connection.extra or "").strip()
    if not text:
        return {}
    try:
        extra = json.loads(text)
        if isinstance(extra, str):  # encoded twice, as some tools do
            extra = json.loads(extra)
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise _FieldReader(connection.conn_id, {}).error(
            "extra", 'it is not a JSON object. Enter one like {"name": "value"}, or leave it empty.'
        )
    return extra


@lru_cache(maxsize=1024)
def _warn_of_unknown(conn_id: str, name: str) -> None:
    """Warn once of an unknown member of the extra."""
    close = get_close_matches(str(name).lower(), CONN_FIELDS, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known names: {', '.join(CONN_FIELDS)}."
    log.warning("Connection %r: the extra's %r is unknown and has no effect. %s", conn_id, name, hint)


class _FieldReader:
    """Reads fields of the extra in any shape and writes the errors about them."""

    def __init__(self, conn_id: str, extra: Mapping[str, Any]) -> None:
        self._conn_id = conn_id
        self._extra = extra

    def error(self, name: str, problem: str) -> SentinelHubConfigurationError:
        return SentinelHubConfigurationError(f"Connection {self._conn_id!r}, field {name!r}: {problem}", field=name)

    def raw(self, name: str) -> Any:
        """The field's value. ``None`` for absent, ``null`` and blank, which the form does not distinguish."""
        value = self._extra.get(name)
        if isinstance(value, str):
            value = value.strip()
        return None if value in ("", [], ()) else value

    def text(self, name: str) -> str | None:
        value = self.raw(name)
        if value is None or isinstance(value, str):
            return value
        raise self.error(name, f"expected text, got {type(value).__name__}.")

    def choice(self, name: str, known: Iterable[str]) -> str | None:
        value = self.text(name)
        if value is not None and value not in (names := list(known)):
            close = get_close_matches(value.lower(), names, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise self.error(name, f"unknown value {value!r}. {hint}Choose one of: {', '.join(names)}.")
        return value

    def positive_number(self, name: str) -> float | None:
        value = self.raw(name)
        if value is None:
            return None
        try:
            number = 0.0 if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = 0.0
        if not 0 < number < float("inf"):
            raise self.error(name, f"expected a number greater than 0, got {value!r}. Leave it empty for the default.")
        return number

    def as_text(self, name: str, value: object) -> str:
        """Read text that a tool may have written as a whole number. Errors do not show it, as it may be a secret."""
        if value is None or isinstance(value, str):
            return value or ""
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise self.error(name, f"expected text, got {type(value).__name__}. Put it in quotes.")

    def switch(self, name: str) -> bool | None:
        """Read true or false from a boolean, a number or a word. Return ``None`` for anything else."""
        value = str(self.raw(name)).lower()
        return True if value in _TRUE else False if value in _FALSE else None

    def checked_url(self, name: str, value: str) -> str:
        """Refuse a URL to which no secret or token may travel."""
        if "@" in value.partition("?")[0]:  # checked first, because the next message repeats the value
            raise self.error(name, "the URL holds a user name or password. Enter it without.")
        try:
            origin = Origin.of(value)
        except ValueError:
            raise self.error(name, f"{value!r} is not a URL. Enter one that starts with https://.") from None
        if not origin.is_protected:
            raise self.error(
                name,
                f"{value!r} would send the client secret and tokens unencrypted. "
                "Use https://. Plain http:// is for this machine (localhost) only.",
            )
        return value


def _deployment(read: _FieldReader, connection: Any) -> Deployment:
    """Return the deployment that the connection names or its host belongs to."""
    name = read.choice("deployment", DEPLOYMENTS)
    base_url = _base_url(read, connection)
    place = base_url and Origin.of(base_url)
    homes = {Origin.of(known.base_url): known for known in DEPLOYMENTS.values() if known.base_url}
    at_host = homes.get(place) if place else None
    # The form saves the default even if nobody chose it, so the default does not contradict the host.
    if at_host is None or name == "custom" or name == at_host.name:
        return DEPLOYMENTS[name or DEFAULT_DEPLOYMENT]
    if name not in (None, DEFAULT_DEPLOYMENT):
        raise read.error(
            "host",
            f"{base_url} belongs to deployment {at_host.name!r}, but the connection names {name!r}. "
            "Leave the host empty, or choose the other deployment.",
        )
    return at_host


def _base_url(read: _FieldReader, connection: Any) -> str | None:
    """Build the base URL from host, port and schema. A connection URI splits it into these fields."""
    host = read.as_text("host", connection.host).strip()
    if not host:
        return None
    # A URI's path arrives as the schema field. Airflow writes http as `sentinelhub://...@localhost:9080/http`.
    scheme = read.as_text("schema", connection.schema).strip().lower()
    if "://" not in host:
        if scheme not in ("", "http", "https"):
            raise read.error("schema", f"expected 'https', 'http' or nothing, got {scheme!r}.")
        host = f"{scheme or 'https'}://{_bracketed(host)}"
    url = read.checked_url("host", host)
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise read.error("host", "the URL has a query or a fragment. Enter the part before it.")
    if connection.port and parts.port is None:
        url = parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
    return url.rstrip("/")


def _bracketed(host: str) -> str:
    """Restore the brackets of an IPv6 address, which a URL needs and Airflow removes."""
    return f"[{host}]" if host.count(":") > 1 and re.fullmatch(r"[0-9a-fA-F:.]+", host) else host


def _auth_cache(read: _FieldReader) -> str:
    value = read.text("auth_cache") or "file"
    try:
        parts = urlsplit(value)
        # The port is read here, because it may be the rest of a password with a slash.
        is_redis = parts.scheme in _AUTH_CACHE_SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        parts, is_redis = urlsplit(""), False
    is_folder = parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc
    is_slip = get_close_matches(value.lower(), _AUTH_CACHE_KINDS, n=1, cutoff=0.7)
    if value in _AUTH_CACHE_KINDS or is_folder or is_redis or (_CONNECTION_ID.fullmatch(value) and not is_slip):
        return value
    # The value is not repeated, because a mistyped Redis URL may hold a password.
    raise read.error(
        "auth_cache",
        "tokens cannot be kept there. Choose file, memory or variable, or enter a URL like redis://host:6379/0 "
        "or file:///var/lib/airflow/sentinelhub, or the ID of an Airflow connection of type Redis. "
        "In a URL, write special characters of a password as %XX.",
    )


def _verify(read: _FieldReader) -> bool | str:
    value, switch = read.raw("verify"), read.switch("verify")
    if value is None or switch is not None:
        return True if switch is None else switch
    if isinstance(value, str) and ("/" in value or value.endswith((".pem", ".crt"))):
        return value
    raise read.error("verify", f"expected true, false or the path of a CA bundle, got {value!r}.")


def _allowed_hosts(read: _FieldReader) -> tuple[str, ...]:
    value = read.raw("allowed_hosts")
    if value is None:
        return ()
    hosts = re.split(r"[\s,]+", value) if isinstance(value, str) else value
    if not isinstance(hosts, list | tuple) or not all(isinstance(host, str) for host in hosts):
        raise read.error("allowed_hosts", "expected a list of host names.")
    hosts = [host.strip() for host in hosts if host.strip()]
    for wrong in (host for host in hosts if not _HOST_PATTERN.fullmatch(host)):
        raise read.error(
            "allowed_hosts",
            f"{wrong!r} is not a host name. Enter names like data.example.org or data.example.org:8443, "
            "without https:// and without wildcards.",
        )
    return tuple(hosts)
