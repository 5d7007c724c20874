"""
Where each Sentinel Hub lives.

Sources: the services' OpenAPI descriptions and documentation (authentication, data regions). All deployments that
Sinergise runs itself share the token endpoint of the main one; the Copernicus Data Space has its own.
"""

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
    """
    One Sentinel Hub installation.

    :param name: the connection's ``deployment`` value.
    :param title: how it is called in messages.
    :param base_url: where its APIs live; empty for ``custom``.
    :param auth_url: OAuth2 token endpoint; empty for ``custom``.
    :param path_scheme: the scheme that is used when the connection does not name one.
    :param token_info_path: path of the token info endpoint on the token endpoint's host, ``None`` where there is none.
    :param dashboard: where a user registers an OAuth client.
    """

    name: str
    title: str
    base_url: str
    auth_url: str
    path_scheme: PathScheme = PathScheme.CURRENT
    token_info_path: str | None = None
    dashboard: str = "the Sentinel Hub Dashboard (User settings > OAuth clients)"


_MAIN_AUTH_URL = "https://services.sentinel-hub.com/auth/realms/main/protocol/openid-connect/token"
_TOKEN_INFO_PATH = "/oauth/tokeninfo"  # noqa: S105 - a path, not a credential

_ALL = (
    Deployment(
        name="sentinel-hub",
        title="Sentinel Hub (AWS eu-central-1)",
        base_url="https://services.sentinel-hub.com",
        auth_url=_MAIN_AUTH_URL,
        token_info_path=_TOKEN_INFO_PATH,
    ),
    Deployment(
        name="sentinel-hub-us-west-2",
        title="Sentinel Hub (AWS us-west-2)",
        base_url="https://services-uswest2.sentinel-hub.com",
        auth_url=_MAIN_AUTH_URL,
        token_info_path=_TOKEN_INFO_PATH,
    ),
    Deployment(
        name="copernicus-data-space",
        title="Copernicus Data Space",
        base_url="https://sh.dataspace.copernicus.eu",
        auth_url="https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token",
        dashboard="the Copernicus Data Space dashboard (User settings > OAuth clients)",
    ),
    Deployment(
        name="creodias",
        title="Sentinel Hub on Creodias",
        base_url="https://creodias.sentinel-hub.com",
        auth_url=_MAIN_AUTH_URL,
        token_info_path=_TOKEN_INFO_PATH,
    ),
    Deployment(
        name="custom",
        title="custom Sentinel Hub",
        base_url="",
        auth_url="",
        dashboard="the dashboard of that deployment",
    ),
)

DEPLOYMENTS: Mapping[str, Deployment] = MappingProxyType({deployment.name: deployment for deployment in _ALL})
"""All known deployments by the name that the connection's ``deployment`` field takes."""

DEFAULT_DEPLOYMENT = "sentinel-hub"
