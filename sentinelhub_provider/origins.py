"""The host of a URL, and the hosts that may get a bearer token."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Parsers disagree about ``https://a\\@b``. For some it names host b, for others (urllib3) host a.
_AMBIGUOUS = re.compile(r"[\\\x00-\x20\x7f]")


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` is this machine, that is ``localhost``, ``*.localhost``, ``127.0.0.0/8`` or ``::1``."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL (RFC 6454) in normal form: lower case and always with a port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Read the origin of an absolute http or https URL. Raises ``ValueError`` for other text."""
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        if scheme not in _DEFAULT_PORTS or not parts.hostname or _AMBIGUOUS.search(url):
            raise ValueError(f"{url!r} is not an absolute http or https URL")
        return cls(scheme, parts.hostname.rstrip(".").lower(), parts.port or _DEFAULT_PORTS[scheme])

    @property
    def is_protected(self) -> bool:
        """Whether a secret may travel there, because the way is encrypted or does not leave this machine."""
        return self.scheme == "https" or is_loopback(self.host)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


@dataclass(frozen=True, slots=True)
class TrustedOrigins:
    """The hosts that may get a token: the connection's own, and hosts as ``host`` (port 443) or ``host:port``."""

    own: Origin
    allowed_hosts: frozenset[str] = frozenset()

    @classmethod
    def for_urls(cls, base_url: str, allowed_hosts: Iterable[str] = ()) -> TrustedOrigins:
        """Trust the origin of ``base_url`` and the hosts listed."""
        return cls(Origin.of(base_url), frozenset(host.lower() for host in allowed_hosts))

    def __contains__(self, url: object) -> bool:
        origin = protected_origin(str(url))
        if origin is None:
            return False
        if origin == self.own or f"{origin.host}:{origin.port}" in self.allowed_hosts:
            return True
        return origin.port == _DEFAULT_PORTS[origin.scheme] and origin.host in self.allowed_hosts


def protected_origin(url: str) -> Origin | None:
    """Return the origin of a URL that a request may go to, ``None`` if others can read along or it is not a URL."""
    try:
        origin = Origin.of(url)
    except ValueError:
        return None
    # Some HTTP libraries would replace the bearer token by Basic authentication with the user info.
    return origin if origin.is_protected and "@" not in urlsplit(url).netloc else None


def without_query(url: str) -> str:
    """Return ``url`` without user info, query and fragment, which may hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
