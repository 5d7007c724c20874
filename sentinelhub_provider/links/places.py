"""Buttons that lead from a task instance to the Copernicus Browser, its output on the web, and its documentation."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

BROWSER = "https://browser.dataspace.copernicus.eu/"
DATASETS = {
    "sentinel-1-grd": "S1_CDAS_IW_VVVH",
    "sentinel-2-l1c": "S2_L1C_CDAS",
    "sentinel-2-l2a": "S2_L2A_CDAS",
    "sentinel-3-olci": "S3OLCI_CDAS",
    "sentinel-3-slstr": "S3SLSTR_CDAS",
}
"""Collections that the Copernicus Browser shows, with its names for them."""


def browser_url(facts: Mapping[str, Any]) -> str:
    """Return the address of the Copernicus Browser at the place, time and collection of a task.

    :param facts: see :func:`~sentinelhub_provider.api.imagery.facts_of_request`.
    :returns: empty if the Browser does not have the collection or the area is unknown.
    """
    dataset = next((DATASETS[name] for name in facts.get("collections") or () if name in DATASETS), None)
    positions = list(_positions((facts.get("footprint") or {}).get("coordinates") or ()))
    if dataset is None or not positions:
        return ""
    longitudes, latitudes = zip(*positions, strict=True)
    middle = (min(longitudes) + max(longitudes)) / 2
    span = max(max(longitudes) - min(longitudes), max(latitudes) - min(latitudes), 1e-3)
    query = {
        "zoom": max(3, min(16, round(math.log2(720 / span)))),  # the area fills half of a window of 720 px or so
        "lat": round((min(latitudes) + max(latitudes)) / 2, 5),
        "lng": round((middle + 180) % 360 - 180, 5),  # an area across the antimeridian goes on beyond 180
        "datasetId": dataset,
    }
    times = facts.get("time_range") or {}
    if times.get("from") and times.get("to"):
        query |= {"fromTime": times["from"], "toTime": times["to"]}
    return f"{BROWSER}?{urlencode(query)}"


def _positions(value: Any) -> Iterator[tuple[float, float]]:
    """Yield the positions of GeoJSON coordinates, however deep they lie."""
    if value and isinstance(value[0], int | float):
        yield value[0], value[1]
        return
    for one in value:
        yield from _positions(one)


class CopernicusBrowserLink(BaseOperatorLink):
    """Leads to the place, time and collection that the task requested. Copernicus shows them without an account."""

    name = "Copernicus Browser"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's names
        """Return the address, empty if there is none. An empty address gives no button."""
        return browser_url(getattr(operator, "facts", {}))


class OutputLink(BaseOperatorLink):
    """Leads to the task's output if that has an address on the web."""

    name = "Output"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's names
        """Return the address, empty for a local path or a bucket. An empty address gives no button."""
        path = str(getattr(operator, "facts", {}).get("path") or "")
        return path if path.startswith(("http://", "https://")) else ""


class DocumentationLink(BaseOperatorLink):
    """Leads to the operator's page in the documentation, if the installed distribution names an address for it."""

    name = "Documentation"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's names
        """Return the address, empty if there is none. An empty address gives no button."""
        urls = importlib.metadata.metadata("airflow-provider-sentinelhub").get_all("Project-URL") or ()
        root = dict(url.split(", ", 1) for url in urls).get("Documentation")
        page = f"reference/classes/{type(operator).__module__}.{type(operator).__name__}.html"
        return "" if root is None else f"{root.rstrip('/')}/{page}"
