"""Where each service lives under a deployment's base URL, in both spellings of its path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from sentinelhub_provider.deployments import PathScheme
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.origins import Origin


@dataclass(frozen=True, slots=True)
class Service:
    """An API and its path in both schemes. With ``only_reads``, its POST requests start nothing and may be repeated."""

    name: str
    current: str
    legacy: str
    only_reads: bool = False

    def prefix(self, scheme: PathScheme) -> str:
        """Return the path prefix in a scheme."""
        return self.legacy if scheme is PathScheme.LEGACY else self.current


# Longest prefixes first within each column: /api/v1/statistics/batch is not below /api/v1/statistics.
SERVICES = (
    Service("batch-statistical", "/statistics/batch/v1", "/api/v1/statistics/batch"),
    Service("statistical", "/statistics/v1", "/api/v1/statistics", only_reads=True),
    Service("async-process", "/async/v1/process", "/api/v1/async/process"),
    Service("process", "/process/v1", "/api/v1/process", only_reads=True),
    Service("batch", "/batch/v2", "/api/v2/batch"),
    Service("catalog", "/catalog/v1", "/api/v1/catalog/1.0.0", only_reads=True),
    Service("byoc", "/byoc/v1", "/api/v1/byoc"),
    Service("zarr", "/zarr/v1", "/api/v1/zarr"),
    Service("accounting", "/api/v1/accounting", "/api/v1/accounting"),
)
"""Services whose path has two spellings, or of which more is known. Others are sent as they are written."""

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that may be repeated by definition (RFC 9110 section 9.2.2)."""


_PREFIXES = {prefix: service for service in SERVICES for prefix in (service.current, service.legacy)}
_PREFIX = re.compile(rf"({'|'.join(map(re.escape, _PREFIXES))})(?=[/?]|\Z)")


def service_of(path: str) -> tuple[Service, str] | None:
    """Return the service that a path belongs to, in either spelling, and the rest of the path behind its prefix."""
    found = _PREFIX.match(path)
    return None if found is None else (_PREFIXES[found[1]], path[found.end() :])


def resolve_endpoint(endpoint: str, *, base_url: str, scheme: PathScheme) -> str:
    """Return the URL to call for a path in either spelling. An absolute URL stays as it is."""
    endpoint = endpoint.strip()
    if not endpoint:
        raise SentinelHubRequestError("endpoint is empty. Give a path such as '/catalog/v1/search'.")
    if endpoint.startswith("//") or "://" in endpoint.partition("?")[0]:
        try:
            Origin.of(endpoint)
        except ValueError as error:
            raise SentinelHubRequestError(
                f"endpoint {endpoint!r} is neither a path nor an http(s) URL. Give a path like '/catalog/v1/search'."
            ) from error
        return endpoint
    path = f"/{endpoint.lstrip('/')}"
    found = service_of(path)
    if found:
        service, rest = found
        path = f"{service.prefix(scheme)}{rest}"
    return f"{base_url}{path}"


def is_repeatable(method: str, url: str) -> bool:
    """Tell whether a request may be sent again after an unclear failure without doing anything twice."""
    if method.upper() in _IDEMPOTENT:
        return True
    found = _service_within(url)
    return found is not None and found[0].only_reads


def spends_units(url: str) -> bool:
    """Tell whether a request may cost processing units, as rendering, statistics and unknown paths do."""
    return service_name(url) in (None, "process", "statistical")


def service_name(url: str) -> str | None:
    """Return the name of the service that a URL or path belongs to, ``None`` where there is none."""
    found = _service_within(url)
    return found[0].name if found else None


def path_within(url: str) -> str:
    """Return the part of a URL or path after that of its service, empty if there is none."""
    found = _service_within(url)
    return found[1] if found else ""


def _service_within(url: str) -> tuple[Service, str] | None:
    """Find the service of a URL or path, whose deployment may live below a path of its own, as behind a gateway."""
    path = f"/{urlsplit(url).path.lstrip('/')}"
    found = _PREFIX.search(path)
    return None if found is None else (_PREFIXES[found[1]], path[found.end() :])
