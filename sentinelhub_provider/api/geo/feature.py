"""One area out of many, as requests and tables know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sentinelhub_provider.api.values import as_number


@dataclass(frozen=True, slots=True)
class Feature:
    """One area to ask about, not checked yet; ``number`` counts from 0, ``problem`` says why it cannot be asked."""

    number: int
    id: int | str
    geometry: Any = None
    bbox: Any = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None


def feature_id(value: Any) -> int | str | None:
    """Return an identifier: a text, or a whole number, also as 1.0, as pandas writes it; ``None`` for all else."""
    if isinstance(value, str):
        return str(value) or None
    return int(value) if as_number(value).is_integer() else None
