"""Lineage of tasks for OpenLineage: the collections and scenes that they read, their files, and their cost.

Only the OpenLineage provider calls this, so its client is installed. Datasets have the names of its naming conventions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.openlineage.facet import (
    Dataset,
    InputDataset,
    OutputDataset,
    OutputStatisticsOutputDatasetFacet,
    RunFacet,
    SchemaDatasetFacet,
    SchemaDatasetFacetFields,
)
from attrs import define

from sentinelhub_provider.api.collections import find_collection
from sentinelhub_provider.api.imagery import collections_of
from sentinelhub_provider.api.values import read_json
from sentinelhub_provider.exceptions import SentinelHubError
from sentinelhub_provider.hooks.output import uri_of

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


MOST = 100
"""Most scenes and files that one event names, because a task may have ten thousand of them."""


@define
class SentinelHubCostRunFacet(RunFacet):
    """Estimated and actual cost of a task in PU, ``None`` if unknown."""

    estimatedProcessingUnits: float | None = None  # noqa: N815 - as OpenLineage spells names
    processingUnits: float | None = None  # noqa: N815


@define
class SentinelHubJobRunFacet(RunFacet):
    """The remote job that a task waited for. ``api``: the API that runs it. ``state``: its last known state."""

    api: str | None = None
    id: str | None = None
    state: str | None = None


def lineage_of(operator: Any, result: Any) -> OperatorLineage[Any, Any]:
    """Return the lineage of a task that has ended.

    :param operator: a :class:`~sentinelhub_provider.operators.base.ConnectedOperator`, with its arguments rendered.
    :param result: the task's result, ``None`` if it failed or has none.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    found = result if isinstance(result, Mapping) else {}
    path = getattr(operator, "output_path", None)
    if isinstance(result, list) and path is not None:
        found = {"path": path, "rows": len(result)}  # of a search
    facets: dict[str, RunFacet] = {}
    spent = found.get("processing_units")
    if spent is None and "hook" in vars(operator):
        spent = getattr(operator, "spent", None)
    cost = SentinelHubCostRunFacet(found.get("estimated_processing_units"), spent)
    if (cost.estimatedProcessingUnits, cost.processingUnits) != (None, None):
        facets["sentinelhub_cost"] = cost
    kind = getattr(operator, "kind", None)
    if kind is not None and found.get("id") is not None:
        facets["sentinelhub_job"] = SentinelHubJobRunFacet(str(kind), found["id"], found.get("state"))
    return OperatorLineage(
        inputs=list(_inputs(operator, result)), outputs=list(_outputs(operator, found)), run_facets=facets
    )


def _inputs(operator: Any, result: Any) -> Iterator[Dataset]:
    """Yield the collections, the file of features, and the found scenes."""
    namespace, names = _namespace(operator), list(dict.fromkeys(_collections(operator)))
    for name in names:
        yield InputDataset(namespace=namespace, name=name)
    features = getattr(operator, "features", None)
    if isinstance(features, PurePath) or hasattr(type(features), "fs") or _is_path(features):
        yield _file(features, InputDataset)
    scenes = result if isinstance(result, list) else ()
    for scene in scenes[:MOST]:
        if isinstance(scene, Mapping) and scene.get("id") and len(names) == 1:
            yield InputDataset(namespace=namespace, name=f"{names[0]}/{scene['id']}")


def _collections(operator: Any) -> Iterator[str]:
    """Yield the names of the collections that a task requests, by its arguments or its ``request``."""
    wanted, request = getattr(operator, "collection", None), getattr(operator, "request", None)
    try:
        if wanted is not None:
            wanted = operator.structured("collection")
        elif request is not None:
            wanted = collections_of(read_json(request, "request"))
    except (SentinelHubError, LookupError, TypeError, AttributeError):
        return
    for entry in wanted if isinstance(wanted, list | tuple) else [wanted]:
        name = entry.get("type") if isinstance(entry, Mapping) else entry
        with suppress(SentinelHubError):
            yield find_collection(name, "custom").id  # this deployment gives no warning of an unknown collection


def _is_path(features: Any) -> bool:
    """Tell whether text is something else than GeoJSON."""
    return isinstance(features, str) and features.strip()[:1] not in ("", "{", "[")


def _outputs(operator: Any, result: Mapping[str, Any]) -> Iterator[Dataset]:
    """Yield the written files and folders."""
    columns = getattr(operator, "columns", None)
    schema: dict[str, Any] = {}
    if columns:
        fields = [SchemaDatasetFacetFields(name=name, type=kind) for name, kind in columns.items()]
        schema = {"schema": SchemaDatasetFacet(fields=fields)}
    files = result.get("outputs")
    told = list(files.values()) if isinstance(files, Mapping) else result.get("pictures") or [result]
    for one in told[:MOST]:
        if one.get("path") is not None:
            facet = OutputStatisticsOutputDatasetFacet(rowCount=result.get("rows"), size=one.get("size"))
            yield _file(one["path"], facets=schema, outputFacets={"outputStatistics": facet})
    for url in [*(result.get("files") or [])[:MOST], *filter(None, [result.get("delivery")])]:
        yield _file(url)
    if result.get("collection_id") is not None:
        yield OutputDataset(namespace=_namespace(operator), name=f"byoc-{result['collection_id']}")


def _namespace(operator: Any) -> str:
    """Return the namespace of collections, which is the deployment, as in the URIs of assets."""
    try:
        return f"sentinelhub://{operator.hook.settings.deployment.name}"
    except SentinelHubError:  # the task failed without a connection
        return "sentinelhub://unknown"


def _file(path: Any, kind: type[Dataset] = OutputDataset, **facets: Any) -> Dataset:
    """Return a file or folder by its path or URL in OpenLineage's form. Names may have a ``#`` or ``?``."""
    scheme, _, rest = uri_of(path).partition("://")
    host, _, key = rest.partition("/")
    if scheme == "file":
        return kind(namespace="file", name=f"/{key}", **facets)
    if scheme in ("http", "https"):
        key = re.split("[?#]", key)[0]  # a signature
    return kind(namespace=f"{scheme}://{host}", name=key.strip("/") or "/", **facets)
