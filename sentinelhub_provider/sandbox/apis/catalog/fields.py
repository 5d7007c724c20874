"""The Fields extension, which selects the attributes of an answer's items.

The rules are those of the Catalog's documentation, which differ a little from the STAC extension's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sentinelhub_provider.sandbox.apis.catalog.errors import bad_request

DEFAULT_INCLUDE = ("id", "type", "geometry", "bbox", "links", "assets", "properties.datetime")


@dataclass(frozen=True)
class Fields:
    """Members to include and exclude, as dotted paths such as ``properties.eo:cloud_cover``."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def apply(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return the item with the requested attributes.

        Without both lists, these are the default set. ``include`` alone adds to it, ``exclude`` alone removes from it.
        With both, the included attributes that are not excluded remain.
        """
        if self.include and self.exclude:
            included: Iterable[str] = self.include
        else:
            included = (*DEFAULT_INCLUDE, *self.include)
        shaped: dict[str, Any] = {}
        for path in included:
            _copy(item, shaped, path)
        for path in self.exclude:
            _remove(shaped, path)
        return shaped


def parse_fields(value: object) -> Fields | None:
    """Read ``fields`` from a search body (``{include, exclude}``) or a query (``id,-geometry``).

    ``None`` (not given) returns ``None``, which means all attributes. Raises ``ApiError`` (400).
    """
    if value is None:
        return None
    if isinstance(value, str):
        names = [name.strip() for name in value.split(",") if name.strip()]
        return Fields(
            tuple(name.removeprefix("+") for name in names if not name.startswith("-")),
            tuple(name[1:] for name in names if name.startswith("-")),
        )
    if not isinstance(value, Mapping) or (unknown := set(value) - {"include", "exclude"}):
        detail = f"; unknown: {', '.join(sorted(map(str, unknown)))}" if isinstance(value, Mapping) else ""
        raise bad_request(f"fields: must be an object with include and exclude{detail}")
    return Fields(_names(value, "include"), _names(value, "exclude"))


def _names(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = value.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise bad_request(f"fields.{key}: must be an array of strings")
    return tuple(names)


def _split(path: str) -> tuple[str, str]:
    """Only ``properties`` and ``assets`` are split, because property names may hold dots themselves."""
    head, _, tail = path.partition(".")
    return head, tail


def _copy(source: Mapping[str, Any], target: dict[str, Any], path: str) -> None:
    head, tail = _split(path)
    if head not in source:
        return
    if not tail:
        value = source[head]
        target[head] = dict(value) if isinstance(value, Mapping) else value
    elif isinstance(source[head], Mapping) and tail in source[head]:
        inner = target.setdefault(head, {})
        inner[tail] = source[head][tail]


def _remove(target: dict[str, Any], path: str) -> None:
    head, tail = _split(path)
    if not tail:
        target.pop(head, None)
    elif isinstance(target.get(head), dict):
        target[head] = {name: value for name, value in target[head].items() if name != tail}
