"""The addresses of each Sentinel Hub, from the OpenAPI descriptions and the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class PathScheme(StrEnum):
    """How a deployment spells its paths."""

    CURRENT = "current"
    """Service before version: ``/process/v1``."""
    LEGACY = "legacy"
    """Version before service: ``/api/v1/process``."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One Sentinel Hub installation. URLs are empty for ``custom``.

    :param path_scheme: the scheme to use if the connection does not name one.
    :param token_info_path: path on the token endpoint's host, ``None`` if there is no token info endpoint.
    :param dashboard: the place where you register an OAuth client.
    """

    name: str
    title: str
    base_url: str
    auth_url: str
    path_scheme: PathScheme = PathScheme.CURRENT
    token_info_path: str | None = None
    dashboard: str = ""


_DASHBOARD = "the {} (User settings > OAuth clients)"


def _of_sinergise(name: str, title: str, host: str) -> Deployment:
    return Deployment(
        name,
        title,
        f"https://{host}.sentinel-hub.com",
        "https://services.sentinel-hub.com/auth/realms/main/protocol/openid-connect/token",
        token_info_path="/oauth/tokeninfo",  # noqa: S106 - a path, not a credential
        dashboard=_DASHBOARD.format("Sentinel Hub Dashboard"),
    )


_ALL = (
    _of_sinergise("sentinel-hub", "Sentinel Hub (AWS eu-central-1)", "services"),
    _of_sinergise("sentinel-hub-us-west-2", "Sentinel Hub (AWS us-west-2)", "services-uswest2"),
    Deployment(
        "copernicus-data-space",
        "Copernicus Data Space",
        "https://sh.dataspace.copernicus.eu",
        "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token",
        dashboard=_DASHBOARD.format("Copernicus Data Space dashboard"),
    ),
    _of_sinergise("creodias", "Sentinel Hub on Creodias", "creodias"),
    Deployment("custom", "custom Sentinel Hub", "", "", dashboard="the dashboard of that deployment"),
)

# All known deployments, by the name in the connection's ``deployment`` field.
DEPLOYMENTS: Mapping[str, Deployment] = MappingProxyType({deployment.name: deployment for deployment in _ALL})
DEFAULT_DEPLOYMENT = "sentinel-hub"
