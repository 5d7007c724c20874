"""Reads GeoJSON of any size, also newline delimited or as a text sequence (RFC 8142).

A file of a hundred thousand fields has some tens of megabytes of text, but ten times as much as Python objects. So it
is read from the disk piece by piece, and each iteration decodes one feature at a time.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from sentinelhub_provider.api.geo.crs import Crs
from sentinelhub_provider.api.geo.geometry import named_crs
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.features.files import ABSENT, Row, plain

CHUNK = 1 << 18  # Characters that are read at a time

LONGEST_TOKEN = 1000
"""Characters. An error farther from the end of the text read so far is a real one, not due to the missing rest."""

_SPACE = re.compile(r"[\s\x1e\ufeff]*")
"""Characters between values. RFC 8142 begins each feature of a sequence with a record separator."""

_DECODER = json.JSONDecoder()


class GeoJson:
    """The features of a GeoJSON value, text or file, as written. You can iterate over them more than once.

    Raises ``ValueError``, which says what is wrong with a text and where.
    """

    def __init__(self, value: Any, field: str = "features") -> None:
        self.count, self.columns = 0, dict[str, None]()
        self.crs: Crs | None = None
        self._items: Sequence[Any] | None = None
        self._is_stream = False
        self._open: Callable[[], IO[str]] = lambda: io.StringIO(value)
        if isinstance(value, Path):
            self._open = lambda: value.open(encoding="utf-8-sig", newline="")
        found = value
        if isinstance(value, str | Path):
            found = {}
            try:
                self._survey(self._walk(found))
            except UnicodeDecodeError as error:
                raise ValueError(f"it is not text in UTF-8 ({error}). Save it as UTF-8") from error
            except (ValueError, RecursionError) as error:
                raise ValueError(f"it is not GeoJSON: {error}. Check that it is whole") from error
            if self._is_stream:
                self.crs = named_crs(found, field)
                return
        items = [found] if isinstance(found, Mapping) else found
        if isinstance(found, Mapping):
            self.crs = named_crs(found, field)
            items = found.get("features") if found.get("type") == "FeatureCollection" else items
        if not isinstance(items, Sequence) or isinstance(items, str | bytes):
            raise SentinelHubRequestError(
                f"{field} is not a list of features, but a {type(items).__name__}. Give a GeoJSON FeatureCollection, "
                "or the path of a file that holds one."
            )
        self._items = list(items)  # those of mapped tasks are fetched one by one, each time they are read
        self._survey(self._items)

    def _survey(self, items: Iterable[Any]) -> None:
        """Count features, and note which properties they have."""
        self.count, self.columns = 0, {}
        for item in items:
            self.count += 1
            properties = item.get("properties") if isinstance(item, Mapping) else None
            if isinstance(properties, Mapping):
                self.columns.update(dict.fromkeys(properties))

    def __iter__(self) -> Iterator[Any]:
        return self._walk({}) if self._items is None else iter(self._items)

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """Yield the features as rows, with the properties that are wanted."""
        for item in self:
            item = getattr(item, "__geo_interface__", item)
            if not isinstance(item, Mapping):
                yield ABSENT, f"is not a GeoJSON feature, but a {type(item).__name__}", {}
            elif item.get("type") != "Feature":
                yield ABSENT, item, {}
            else:
                found = item.get("properties")
                cells = found if isinstance(found, Mapping) else {}
                own, geometry = item.get("id"), item.get("geometry")
                if geometry is not None and not isinstance(geometry, Mapping):
                    geometry = f"has a {type(geometry).__name__} where its geometry belongs"
                yield ABSENT if own is None else own, geometry, {name: plain(cells.get(name)) for name in wanted}

    def _walk(self, members: dict[str, Any]) -> Iterator[Any]:
        """Yield the features of the text. Other members of its first object go into ``members``."""
        with self._open() as file:
            cursor = _Cursor(file)
            if cursor.peek() == "[":
                self._is_stream = True
                yield from cursor.elements()
                if cursor.peek():
                    raise cursor.fault("nothing more was expected")
                return
            has_list = False
            for name in cursor.members():
                if name == "features" and cursor.peek() == "[":
                    has_list = True
                    yield from cursor.elements()
                else:
                    members[name] = cursor.value()
            is_sequence = cursor.peek() != ""
            self._is_stream = is_sequence or (has_list and members.get("type") == "FeatureCollection")
            if is_sequence:
                yield members
            while cursor.peek():
                yield cursor.value()


class _Cursor:
    """Goes through JSON text value by value. Raises ``ValueError`` with the place of a fault."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._text, self._at, self._before = file, "", 0, 0

    def peek(self) -> str:
        """Return the next character other than space, and nothing at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, character: str) -> None:
        """Go past a character that must be there."""
        if self.peek() != character:
            raise self.fault(f"{character!r} was expected")
        self._at += 1

    def value(self) -> Any:
        """Decode the next value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                may_go_on = error.msg.startswith("Unterminated") or error.pos > len(self._text) - LONGEST_TOKEN
                if may_go_on and self._more():
                    continue
                raise self.fault(error.msg, error.pos) from error
            if end < len(self._text) or not self._more():
                self._at = end
                return value

    def elements(self) -> Iterator[Any]:
        """Yield the elements of an array."""
        return self._series("[", "]", self.value)

    def members(self) -> Iterator[str]:
        """Yield the names of an object's members. The caller takes each value before the next name."""
        return self._series("{", "}", self._name)

    def _series(self, opening: str, closing: str, one: Callable[[], Any]) -> Iterator[Any]:
        self.take(opening)
        separator = closing
        while self.peek() != closing or separator == ",":
            yield one()
            separator = self.peek()
            if separator != ",":
                break
            self.take(",")
        self.take(closing)

    def _name(self) -> str:
        name = self.value()
        self.take(":")
        return str(name)

    def _more(self) -> bool:
        """Read on, and forget the text before the current position."""
        rest = self._text[self._at :]
        new = self._file.read(max(CHUNK, len(rest)))
        if not new:
            return False
        self._before += self._at
        self._text, self._at = rest + new, 0
        return True

    def fault(self, what: str, at: int | None = None) -> ValueError:
        """Return an error that names the place."""
        place = self._before + (self._at if at is None else at)
        return ValueError(f"{what} at character {place:,}")
