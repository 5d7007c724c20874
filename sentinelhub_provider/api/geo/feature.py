"""One area out of many, as requests and tables know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int | str) and not isinstance(value, bool) and value != "":
        return value
    return None
