"""Asset URIs of satellite data: ``sentinelhub://copernicus-data-space/sentinel-2-l2a?bbox=20.5,47.5,20.62,47.56``.

The host is the deployment, the path the collection, and ``bbox`` the area in degrees. Airflow calls
:func:`sanitize_uri` for each such URI, so that all spellings of one place and collection become one URI.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from airflow.sdk import Asset

from sentinelhub_provider.api.collections import find_collection
from sentinelhub_provider.deployments import DEFAULT_DEPLOYMENT, DEPLOYMENTS
from sentinelhub_provider.exceptions import SentinelHubRequestError

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return the normal spelling of a URI.

    :raises ValueError: if deployment, collection or area cannot exist.
    """
    deployment, collection = uri.netloc.lower(), uri.path.strip("/")
    if deployment not in DEPLOYMENTS:
        raise ValueError(f"{uri.geturl()!r} names no deployment. Give one of {', '.join(DEPLOYMENTS)} as the host.")
    if not collection or "/" in collection:
        raise ValueError(f"{uri.geturl()!r} names no collection. Give one as the path, such as /sentinel-2-l2a.")
    try:
        found = find_collection(collection, deployment)
    except SentinelHubRequestError as error:
        raise ValueError(str(error)) from None
    query = dict(parse_qsl(uri.query))
    if "bbox" in query:
        query["bbox"] = _box(query["bbox"])
    text = urlencode(sorted(query.items()), safe=",")
    return uri._replace(netloc=deployment, path=f"/{found.id}", query=text, fragment="")


def create_asset(
    *,
    collection: str,
    deployment: str = DEFAULT_DEPLOYMENT,
    bbox: Sequence[float] | str | None = None,
    extra: dict[str, Any] | None = None,
) -> Asset:
    """Return the asset of a collection or of an area of it. Its name is its normalized URI.

    :param collection: the collection's ID, such as ``sentinel-2-l2a``.
    :param deployment: as in the connection.
    :param bbox: west, south, east, north in degrees.
    :param extra: extra of the asset.
    :raises ValueError: see :func:`sanitize_uri`.
    """
    given: Any = collection  # whatever the DAG's author wrote
    if not isinstance(given, str) or set(given) & set("/?#"):
        raise ValueError(f"collection is {collection!r}. Give a collection's id, such as 'sentinel-2-l2a'.")
    area = "" if bbox is None else f"bbox={_box(bbox)}"
    uri = urlunsplit(sanitize_uri(SplitResult("sentinelhub", str(deployment), f"/{collection}", area, "")))
    return Asset(name=uri, uri=uri, extra=extra or {})


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:  # noqa: ARG001 - Airflow names it
    """Return an asset's dataset in OpenLineage. It is the same as that of the tasks that read the collection."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    uri = urlsplit(asset.uri)
    return Dataset(namespace=f"sentinelhub://{uri.netloc}", name=uri.path.strip("/"))


def _box(given: Sequence[float] | str) -> str:
    try:
        parts = given.strip("[]() ").split(",") if isinstance(given, str) else given
        west, south, east, north = (float(part) + 0.0 for part in parts)  # -0.0 is 0.0
    except (TypeError, ValueError):
        raise ValueError(f"bbox is {given!r}. Give four numbers: west, south, east, north.") from None
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90 and west != east):
        raise ValueError(f"bbox is {given!r}. Give west, south, east, north in degrees.")
    return ",".join(f"{number:.9g}" for number in (west, south, east, north))
