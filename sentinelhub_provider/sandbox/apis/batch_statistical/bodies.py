"""Bodies of Batch Statistical requests, checked field by field. The analysis checks the evalscript."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.jobs.bodies import parse_script
from sentinelhub_provider.sandbox.apis.process.datasets import Dataset, parse_datasets
from sentinelhub_provider.sandbox.apis.statistical.bodies import parse_intervals
from sentinelhub_provider.sandbox.apis.statistical.calculations import Calculations, parse_calculations
from sentinelhub_provider.sandbox.errors import invalid
from sentinelhub_provider.sandbox.world.delivery.locations import Location, parse_location
from sentinelhub_provider.sandbox.world.delivery.templates import Template
from sentinelhub_provider.sandbox.world.scenes.model import SceneSource

PLACEHOLDERS: Final = ("REQUEST_ID", "ID")
DEFAULT_TEMPLATE: Final = "<REQUEST_ID>/<ID>.json"


@dataclass(frozen=True)
class BatchStatisticalRequest:
    """A checked request. ``evalscript`` is a text or a location."""

    body: Mapping[str, Any] = field(repr=False)
    features: Location
    datasets: tuple[Dataset, ...]
    evalscript: str | Location
    calculations: Calculations
    template: Template


def parse_request(body: Mapping[str, Any], source: SceneSource) -> BatchStatisticalRequest:
    """Check the body of a request. Raises ``ApiError`` (400) that names the first field at fault."""
    where, aggregation = body.get("input"), body.get("aggregation")
    if not isinstance(where, Mapping):
        raise invalid("input", "is required and must be an object with features and data")
    if not isinstance(aggregation, Mapping):
        raise invalid("aggregation", "is required and must be an object with timeRange and aggregationInterval")
    parse_intervals(aggregation)
    return BatchStatisticalRequest(
        body,
        parse_location(where.get("features"), "input->features"),
        parse_datasets(where.get("data"), source),
        parse_script(aggregation, "aggregation"),
        parse_calculations(body.get("calculations")),
        Template.of(parse_location(body.get("output"), "output"), PLACEHOLDERS, DEFAULT_TEMPLATE),
    )
