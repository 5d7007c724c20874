"""Bodies of Async Process requests, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.jobs.bodies import parse_script
from sentinelhub_provider.sandbox.apis.process.bodies import ProcessRequest
from sentinelhub_provider.sandbox.apis.process.bodies import parse_request as parse_process_request
from sentinelhub_provider.sandbox.errors import invalid
from sentinelhub_provider.sandbox.world.delivery.locations import Location, parse_location
from sentinelhub_provider.sandbox.world.delivery.templates import Template
from sentinelhub_provider.sandbox.world.scenes.model import SceneSource

MAX_SIDE: Final = 10_000
"""Largest width and height in pixels."""

PLACEHOLDERS: Final = ("REQUEST_ID", "OUTPUT")
DEFAULT_TEMPLATE: Final = "<REQUEST_ID>/<OUTPUT>"
_ANY_SCRIPT: Final = "//VERSION=3"


@dataclass(frozen=True)
class AsyncRequest:
    """A checked request. ``evalscript`` is a text or a location. ``process`` has the other fields."""

    body: Mapping[str, Any] = field(repr=False)
    process: ProcessRequest
    evalscript: str | Location
    template: Template


def parse_request(body: Mapping[str, Any], source: SceneSource) -> AsyncRequest:
    """Check the body of a request. Raises ``ApiError`` (400) that names the first field at fault."""
    output = body.get("output")
    if not isinstance(output, Mapping):
        raise invalid("output", "is required and must be an object with delivery")
    evalscript = parse_script(body)
    location = parse_location(output.get("delivery"), "output->delivery")
    process = parse_process_request({**body, "evalscript": _ANY_SCRIPT}, source, max_side=MAX_SIDE)
    template = Template.of(location, PLACEHOLDERS, DEFAULT_TEMPLATE)
    if "OUTPUT" not in template.names and len(process.responses) > 1:
        raise invalid("output->delivery", "a URL template must contain <OUTPUT> where there are several outputs")
    return AsyncRequest(body, process, evalscript, template)
