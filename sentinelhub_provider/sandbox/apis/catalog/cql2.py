"""The part of CQL2 that Sentinel Hub's Catalog understands, which is comparisons, ``between``, ``and`` and ``not``.

The library ``cql2`` reads ``cql2-text`` (``eo:cloud_cover < 20 AND gsd = 10``) and writes it as ``cql2-json``. Both
encodings then become the same small tree, which is checked against a collection's queryables and evaluated on an item's
properties. The library evaluates more than the service does, so its own evaluation would hide the service's refusals.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sentinelhub_provider.sandbox.apis.catalog.errors import bad_request

Scalar = float | str
MAX_DEPTH = 32
_PLACE = re.compile(r"--> \d+:(\d+)")

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
#: The documentation's prose names the operators in words, the API description as signs.
_WORDS = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


@dataclass(frozen=True)
class Property:
    """A reference to an item's property."""

    name: str


Operand = Property | float | str


class Expression(Protocol):
    """A boolean expression over an item's properties."""

    def matches(self, properties: Mapping[str, Any]) -> bool:
        """Tell whether an item with these properties passes. A property that it lacks passes no comparison."""
        ...

    def names(self) -> set[str]:
        """Return the names of all properties referred to."""
        ...


@dataclass(frozen=True)
class Comparison:
    """``left op right``."""

    op: str
    left: Operand
    right: Operand

    def matches(self, properties: Mapping[str, Any]) -> bool:
        """Compare numbers with numbers, and text with text only."""
        left, right = _value(self.left, properties), _value(self.right, properties)
        if left is None or right is None or isinstance(left, str) != isinstance(right, str):
            return False
        return _OPERATORS[self.op](left, right)

    def names(self) -> set[str]:
        """Return the names of the properties compared."""
        return {side.name for side in (self.left, self.right) if isinstance(side, Property)}


@dataclass(frozen=True)
class And:
    """All parts hold."""

    parts: tuple[Expression, ...]

    def matches(self, properties: Mapping[str, Any]) -> bool:
        """Tell whether every part holds."""
        return all(part.matches(properties) for part in self.parts)

    def names(self) -> set[str]:
        """Return the names in all parts."""
        return set().union(*(part.names() for part in self.parts))


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: Expression

    def matches(self, properties: Mapping[str, Any]) -> bool:
        """Tell whether the part does not hold."""
        return not self.part.matches(properties)

    def names(self) -> set[str]:
        """Return the names in the part."""
        return self.part.names()


def parse_filter(source: object, language: str | None) -> Expression:
    """Parse a ``filter``. ``language`` is ``filter-lang``. ``None`` goes by the filter's type.

    Raises ``ApiError`` (400) saying where the filter is wrong.
    """
    if language not in (None, "cql2-text", "cql2-json"):
        raise bad_request(f"filter-lang: must be cql2-text or cql2-json, not {language!r}")
    if isinstance(source, str):
        if language == "cql2-json":
            raise bad_request("filter: filter-lang says cql2-json, but the filter is text")
        return _parse_json(_read_text(source), depth=0)
    if isinstance(source, Mapping):
        if language == "cql2-text":
            raise bad_request("filter: filter-lang says cql2-text, but the filter is an object")
        return _parse_json(source, depth=0)
    raise bad_request("filter: must be a CQL2 text or a CQL2 JSON object")


def _read_text(source: str) -> Any:
    # It is loaded on first use, because searches without a filter do not need it.
    import cql2

    if source.count("(") + source.upper().count("NOT") > MAX_DEPTH:
        raise bad_request(f"filter: nested deeper than {MAX_DEPTH} levels")
    try:
        return cql2.parse_text(source).to_json()
    except cql2.ParseError as error:
        place = _PLACE.search(str(error))
        expected = str(error).rpartition(" = ")[2].strip()
        where = f" at character {place[1]}" if place else ""
        raise bad_request(f"filter: the CQL2 text cannot be read{where}: {expected}") from error


def check_queryables(expression: Expression, queryables: Collection[str]) -> None:
    """Raise ``ApiError`` (400) if the expression refers to a property that a collection cannot be filtered by."""
    if unknown := sorted(expression.names() - set(queryables)):
        known = ", ".join(sorted(queryables)) or "none"
        raise bad_request(f"filter: {', '.join(unknown)} cannot be filtered by; queryables here are: {known}")


def _value(operand: Operand, properties: Mapping[str, Any]) -> Scalar | None:
    value = properties.get(operand.name) if isinstance(operand, Property) else operand
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return value


def _between(value: Operand, low: Operand, high: Operand) -> Expression:
    return And((Comparison(">=", value, low), Comparison("<=", value, high)))


def _parse_json(node: object, *, depth: int) -> Expression:
    if depth > MAX_DEPTH:
        raise bad_request(f"filter: nested deeper than {MAX_DEPTH} levels")
    if not isinstance(node, Mapping) or not isinstance(node.get("op"), str) or not isinstance(node.get("args"), list):
        raise bad_request('filter: an expression must be an object like {"op": "<", "args": [...]}')
    op, args = node["op"].lower(), node["args"]
    if op == "and":
        if len(args) < 2:
            raise bad_request("filter: 'and' needs at least two args")
        return And(tuple(_parse_json(arg, depth=depth + 1) for arg in args))
    if op == "not":
        if len(args) != 1:
            raise bad_request("filter: 'not' needs exactly one arg")
        return Not(_parse_json(args[0], depth=depth + 1))
    if op == "between":
        if len(args) != 3:
            raise bad_request("filter: 'between' needs three args: a property, the lower and the upper bound")
        value, low, high = (_json_operand(arg) for arg in args)
        return _between(value, low, high)
    sign = _WORDS.get(op, op)
    if sign not in _OPERATORS:
        raise bad_request(f"filter: operator {node['op']!r} is not supported; use and, not, between, {_signs()}")
    if len(args) != 2:
        raise bad_request(f"filter: {node['op']!r} needs exactly two args")
    return Comparison(sign, _json_operand(args[0]), _json_operand(args[1]))


def _json_operand(node: object) -> Operand:
    if isinstance(node, Mapping) and isinstance(node.get("property"), str):
        return Property(node["property"])
    if isinstance(node, str) or (isinstance(node, int | float) and not isinstance(node, bool)):
        return node
    raise bad_request(f'filter: {node!r} is neither a number, a text, nor {{"property": name}}')


def _signs() -> str:
    return ", ".join(_OPERATORS)
