"""Calls the builders of requests with plain keyword arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from job_requests import with_member

from sentinelhub_provider.api.job_requests.delivery import Access
from sentinelhub_provider.api.processing_units import FeatureSizes
from sentinelhub_provider.exceptions import SentinelHubRequestError


def build_with(builder: Callable[..., Any], **given: Any) -> Any:
    """Call a builder: what its class of arguments declares goes there, the rest to the builder itself."""
    kind = get_type_hints(builder)["wanted"]
    declared = {field.name: given.pop(field.name) for field in fields(kind) if field.name in given}
    return builder(kind(**declared), **given)


def check_json_is_refused(
    read: Callable[..., Any], body: dict[str, Any], path: tuple[str, ...], value: Any, words: str
) -> None:
    """Fail unless a reader of bodies refuses one with a value at a path, and names the member."""
    with pytest.raises(SentinelHubRequestError, match=words) as refused:
        read(with_member(body, path, value), delivery=lambda _: Access("AKIAEXAMPLE", "a-secret-key"))
    assert refused.value.field == "request"


def alike(count: int, width: int, height: int) -> FeatureSizes:
    """Return the sizes of features that all have the same."""
    sizes = FeatureSizes()
    sizes.add(width, height, count)
    return sizes


JUNE_NDVI = {"collection": "sentinel-2-l2a", "time_range": "2024-06-01/2024-06-30", "evalscript": "ndvi"}
"""What is asked for, without where."""
