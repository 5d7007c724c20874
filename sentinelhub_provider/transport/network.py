"""The way to a host: trusted certificates and proxies, the same for requests and httpx.

The environment variables mean what their users expect, from ``REQUESTS_CA_BUNDLE`` to ``NO_PROXY``. A setting that
cannot work is a :class:`SentinelHubConfigurationError` that names the variable or field.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import certifi

from sentinelhub_provider.exceptions import SentinelHubConfigurationError
from sentinelhub_provider.origins import Origin, is_loopback

CONNECT_TIMEOUT = 10.0  # seconds until a connection must stand
# Variables that name trusted certificates. The first one that is set counts.
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXY_PACKAGES = {"http": (), "https": (), "socks5": ("socks", "socksio"), "socks5h": ("socks", "socksio")}
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d+")


def ssl_context(verify: bool | str | os.PathLike[str]) -> ssl.SSLContext:
    """Return the TLS settings of a connection. Loading all authorities takes long, so a process does it once.

    :param verify: ``False`` accepts every certificate. ``True`` trusts the certificates that the environment names,
        else certifi's. A path names a file or folder of trusted certificates.
    """
    if verify is False:
        return _unverified()
    if verify is True:
        variable = next((name for name in CA_VARIABLES if os.environ.get(name)), None)
        named_by = f"the environment variable {variable}" if variable else "certifi"
        path = os.environ[variable] if variable else certifi.where()
    else:
        named_by, path = "the connection's field 'verify'", os.fspath(verify)
    try:
        changed = Path(path).expanduser().stat().st_mtime_ns
    except (OSError, ValueError, RuntimeError):  # reading it below raises the error
        changed = 0
    return _verified(path, named_by, changed)


@lru_cache(maxsize=1)
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@lru_cache(maxsize=16)
def _verified(path: str, named_by: str, changed: int) -> ssl.SSLContext:  # noqa: ARG001 - a new file is read anew
    try:
        place = Path(path).expanduser()
        if not place.is_dir():
            return ssl.create_default_context(cafile=place)
        if not any(_HASHED_NAME.fullmatch(entry.name) for entry in place.iterdir()):
            raise ValueError("the folder holds no hashed certificates, as 'openssl rehash' makes them")
        return ssl.create_default_context(capath=place)
    except (OSError, ValueError, RuntimeError) as error:  # an SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise SentinelHubConfigurationError(
            f"No trusted certificates can be read from {path!r}, which {named_by} names: {reason}. "
            "Enter the path of a file with certificates in PEM form.",
            field="verify",
        ) from None


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy that the environment names for a URL, ``None`` for a direct connection."""
    # Calls to this machine never use a proxy. Plain http is allowed there only because nobody listens on the way.
    origin = Origin.of(url)
    if is_loopback(origin.host):
        return None
    proxies = getproxies()
    exempt = [entry for entry in re.split(r"[\s,]+", proxies.get("no", "").lower()) if entry]
    if any(_names_host(entry, origin.host, origin.port) for entry in exempt):
        return None
    for name in (origin.scheme, "all"):
        if proxies.get(name):
            return _checked_proxy(proxies[name].strip(), f"{name}_proxy")
    return None


def _names_host(entry: str, host: str, port: int) -> bool:
    """Tell whether an entry of ``NO_PROXY`` names a host.

    It can be a name, a domain, an address or a network, and may have a port.
    """
    # requests changes the environment while it looks, and requests and httpx disagree, so this is written here.
    with_port = re.fullmatch(r"(\[.*\]|[^:]*):(\d+)", entry)
    if with_port:
        entry = with_port[1]
        if int(with_port[2]) != port:
            return False
    entry = entry.strip("[]")
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        with suppress(ValueError):
            return address in ipaddress.ip_network(entry, strict=False)
    if entry == "*":
        return True
    entry = entry.removeprefix("*").strip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))


def _checked_proxy(proxy: str, variable: str) -> str:
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    named = f"The environment variable {variable} (or {variable.upper()})"  # its value may hold a password
    try:
        parts = urlsplit(proxy)
        scheme, has_host = parts.scheme.lower(), bool(parts.hostname) and parts.port != 0
    except ValueError:
        scheme, has_host = "", False
    if not has_host or scheme not in _PROXY_PACKAGES:
        raise SentinelHubConfigurationError(
            f"{named} is not the URL of a proxy. Set it to one like http://proxy.example.org:3128, or unset it.",
            field=variable,
        )
    missing = [package for package in _PROXY_PACKAGES[scheme] if find_spec(package) is None]
    if missing:
        raise SentinelHubConfigurationError(
            f"{named} names a SOCKS proxy, which needs more packages. Install requests[socks] and httpx[socks].",
            field=variable,
        )
    return proxy


def root_cause(error: BaseException) -> BaseException | None:
    """Return the error of the operating system or of TLS below an HTTP library's exception, ``None`` if it has none."""
    # The libraries' own texts quote the URL with its query. The errors below them do not.
    found: BaseException | None = None
    seen: set[int] = set()
    pending: list[Any] = [error]
    while pending:
        current = pending.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, OSError) and type(current).__module__.partition(".")[0] in ("builtins", "ssl", "socket"):
            found = current
        pending += [getattr(current, "reason", None), *current.args, *getattr(current, "exceptions", ())]
        pending += [current.__cause__, current.__context__]
    return found
