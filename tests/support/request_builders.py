"""Calls the builders of requests with plain keyword arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

from sentinelhub_provider.api.arguments import argument_names


def build_with(builder: Callable[..., Any], **given: Any) -> Any:
    """Call a builder: what its class of arguments declares goes there, the rest to the builder itself."""
    kind = get_type_hints(builder)["wanted"]
    declared = {name: given.pop(name) for name in argument_names(kind) if name in given}
    return builder(kind(**declared), **given)
