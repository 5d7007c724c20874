"""URLs with placeholders, with which a request names its results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sentinelhub_provider.sandbox.world.delivery.locations import Location

_PLACEHOLDER: Final = re.compile(r"<(\w+)>")


@dataclass(frozen=True)
class Template:
    """Where results go. ``root`` is the folder that the request names, before the first placeholder."""

    location: Location

    @classmethod
    def of(cls, location: Location, known: tuple[str, ...], default: str) -> Template:
        """Take a location whose key may hold ``known`` placeholders. If it has none, append ``default``."""
        if any(name in known for name in _PLACEHOLDER.findall(location.key)):
            return cls(location)
        return cls(location.below(default))

    @property
    def names(self) -> frozenset[str]:
        """The placeholders."""
        return frozenset(_PLACEHOLDER.findall(self.location.key))

    @property
    def root(self) -> Location:
        """The folder before the first segment with a placeholder."""
        segments = self.location.key.split("/")
        fixed = next((n for n, segment in enumerate(segments) if _PLACEHOLDER.search(segment)), len(segments) - 1)
        return self.location.at("/".join(segments[:fixed]))

    def fill(self, values: Mapping[str, str]) -> Location:
        """Return the location of one result. Placeholders without a value stay as they are."""
        return self.location.at(_PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), self.location.key))

    def folder(self, values: Mapping[str, str]) -> Location:
        """Return the folder of a request's own files, up to the first segment that these values do not fill."""
        filled = self.fill(values).key.split("/")
        kept = next((n for n, segment in enumerate(filled) if _PLACEHOLDER.search(segment)), len(filled) - 1)
        return self.location.at("/".join(filled[:kept]))
