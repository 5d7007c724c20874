"""
Many areas as users write them: GeoJSON, read one feature at a time.

A file of ten thousand fields is some megabytes of text, but ten times that as Python objects. So text stays text, and
each feature is decoded when its turn comes, as often as it comes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sentinelhub_provider.api.geo.crs import Crs, parse_crs
from sentinelhub_provider.exceptions import SentinelHubRequestError

_SPACE = re.compile(r"[\s\x1e\ufeff]*")
"""What may stand between values: RFC 8142 begins each feature of a sequence with a record separator."""

_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Feature:
    """
    One area to ask about.

    :param number: its place, counted from 0.
    :param id: what the table calls it: the property that was chosen, else GeoJSON's ``id``, else its number.
    :param geometry: as it was written, not checked yet; ``None`` where the request brings its own bounds.
    :param bbox: a box instead.
    :param problem: why it cannot be asked about.
    """

    number: int
    id: int | str
    geometry: Any = None
    bbox: Any = None
    problem: str | None = None


class Features:
    """
    The features of a GeoJSON document; can be iterated over more than once.

    :param value: FeatureCollection, Feature, geometry, or a list of these; as mapping, as JSON text, or as newline
        delimited GeoJSON; or anything with ``__geo_interface__``, such as a GeoDataFrame.
    :param id_property: the property that tells features apart.
    :param field: name of the argument, for errors.
    :raises SentinelHubRequestError: where it is no GeoJSON, or has no feature.
    """

    def __init__(self, value: Any, *, id_property: str | None = None, field: str = "features") -> None:
        self._id_property = id_property
        self._field = field
        self._text: str | None = None
        self._start: int | None = None
        self._items: Iterable[Any] = ()
        self.crs: Crs | None = None
        """What the collection itself names."""
        self._count = self._open_text(value) if isinstance(value, str) else self._open(value)
        if not self._count:
            raise SentinelHubRequestError(f"{field} is empty: it has no feature.", field=field)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Feature]:
        for number, item in enumerate(self._raw()):
            yield self._feature(number, item)

    def _raw(self) -> Iterator[Any]:
        if self._text is None:
            yield from self._items
        elif self._start is None:
            yield from _Cursor(self._text).documents()
        else:
            yield from _Cursor(self._text, self._start).elements()

    def _open(self, value: Any) -> int:
        value = getattr(value, "__geo_interface__", value)
        if isinstance(value, Mapping):
            self._name_crs(value.get("crs"))
            items = value.get("features") if value.get("type") == "FeatureCollection" else [value]
        else:
            items = value
        if not isinstance(items, list | tuple):
            raise SentinelHubRequestError(
                f"{self._field} is no list of features, but a {type(items).__name__}. Give a GeoJSON "
                "FeatureCollection, or the path of a file that holds one.",
                field=self._field,
            )
        self._items = items
        return len(items)

    def _open_text(self, text: str) -> int:
        """Go through the text once: that it is whole, how many features it has, and where they begin."""
        try:
            cursor = _Cursor(text)
            if cursor.peek() == "[":
                self._text, self._start = text, cursor.at
                count = sum(1 for _ in cursor.elements())
                cursor.finish()
                return count
            start, count, members = None, 0, {}
            for name in cursor.members():
                if name == "features" and cursor.peek() == "[":
                    start, count = cursor.at, sum(1 for _ in cursor.elements())
                else:
                    members[name] = cursor.value()
            is_sequence = cursor.peek() != ""
            if is_sequence:
                count = sum(1 for _ in _Cursor(text).documents())
        except ValueError as error:
            raise SentinelHubRequestError(
                f"{self._field} is no GeoJSON: {error}. Check that the file is whole.", field=self._field
            ) from error
        self._name_crs(members.get("crs"))
        if is_sequence or (start is not None and members.get("type") == "FeatureCollection"):
            self._text, self._start = text, None if is_sequence else start
            return count
        return self._open(members)

    def _name_crs(self, member: Any) -> None:
        """Read the ``crs`` member, which GeoJSON had until 2016 and desktop programs still write."""
        properties = member.get("properties") if isinstance(member, Mapping) else None
        name = properties.get("name") if isinstance(properties, Mapping) else None
        self.crs = None if name is None else parse_crs(name, f"{self._field}'s crs")

    def _feature(self, number: int, item: Any) -> Feature:
        item = getattr(item, "__geo_interface__", item)
        if not isinstance(item, Mapping):
            return Feature(number, number, problem=f"is no GeoJSON feature, but a {type(item).__name__}")
        if item.get("type") != "Feature":
            return Feature(number, number, item)
        identifier = item.get("id")
        if self._id_property is not None:
            properties = item.get("properties")
            identifier = properties.get(self._id_property) if isinstance(properties, Mapping) else None
            if not _is_id(identifier):
                return Feature(number, number, problem=f"has no property {self._id_property!r} with a text or number")
        name = identifier if isinstance(identifier, int | str) and _is_id(identifier) else number
        if item.get("geometry") is None:
            return Feature(number, name, problem="has no geometry")
        return Feature(number, name, item["geometry"])


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and value != ""


class _Cursor:
    """Goes through JSON text value by value. Raises ``json.JSONDecodeError``, a ``ValueError``, where it is none."""

    def __init__(self, text: str, at: int = 0) -> None:
        self._text, self.at = text, at

    def peek(self) -> str:
        """Return the next character that is no space; nothing at the end."""
        space = _SPACE.match(self._text, self.at)
        self.at = space.end() if space else self.at
        return self._text[self.at : self.at + 1]

    def take(self, character: str) -> None:
        """Go past a character that must be there."""
        if self.peek() != character:
            raise json.JSONDecodeError(f"Expecting {character!r}", self._text, self.at)
        self.at += 1

    def value(self) -> Any:
        """Decode the next value."""
        self.peek()
        value, self.at = _DECODER.raw_decode(self._text, self.at)
        return value

    def elements(self) -> Iterator[Any]:
        """Yield the elements of an array."""
        self.take("[")
        if self.peek() != "]":
            yield self.value()
            while self.peek() == ",":
                self.take(",")
                yield self.value()
        self.take("]")

    def members(self) -> Iterator[str]:
        """Yield the names of an object's members; whoever asks takes each value before the next name."""
        self.take("{")
        if self.peek() != "}":
            yield self._name()
            while self.peek() == ",":
                self.take(",")
                yield self._name()
        self.take("}")

    def documents(self) -> Iterator[Any]:
        """Yield values that follow each other to the end of the text."""
        while self.peek():
            yield self.value()

    def finish(self) -> None:
        """Check that nothing follows."""
        if self.peek():
            raise json.JSONDecodeError("Extra data", self._text, self.at)

    def _name(self) -> str:
        name = self.value()
        self.take(":")
        return str(name)
