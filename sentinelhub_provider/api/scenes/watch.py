"""Decides which scenes of a watched area are new.

The Catalog searches by the time of sensing, not of publication, and scenes are published late and out of order. So
each poll searches a window of days that ends now, and the announced scenes of that window are remembered.

- A scene counts by the day it was sensed. Its id is remembered until its day leaves the window, ``lookback`` behind
  the present. Scenes that are published later are not announced.
- The window moves on only when a poll succeeds. After a stop of weeks, the first poll goes back all those weeks.
- The memory is bounded. Beyond :data:`MAX_KNOWN` scenes, the window is shortened day by day, down to two days.
- A scene that was processed anew has another id but tile and time of the old one. By default it does not count as new.

A batch of new scenes is numbered and stored **before** it is announced in one event. Airflow stores the number with the
event. After a crash, that number tells whether the batch was announced. Several watchers of one asset may overlap if
a triggerer was taken for dead. So each adopts the stored scenes of the others before it announces any.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sentinelhub_provider.api.time_range import time_or_none
from sentinelhub_provider.exceptions import SentinelHubRequestError

IGNORE, ANNOUNCE = REPROCESSED = ("ignore", "announce")
"""The choices for a new processing of an announced scene."""

DEFAULT_LOOKBACK = timedelta(days=7)
LONGEST_LOOKBACK = timedelta(days=366)

MAX_KNOWN = 5_000
"""Scenes that are remembered, in some 50 KB of JSON. Airflow's state store warns above 64 KB."""

KEPT_DAYS = 2
"""Days that stay in the window, however many scenes they have."""

BATCH = 250
"""Scenes of one event, in some 50 KB of JSON. A text column of MySQL holds 64 KB."""

FINAL_PAUSE = 900.0
"""Seconds between polls during an error that only a person can repair, such as a wrong secret."""

_VERSION = 1

_PROCESSINGS: tuple[re.Pattern[str], ...] = (
    # Sentinel-2: without baseline and product discriminator.
    re.compile(r"(S2[A-Z]_MSIL\w{2,3}_\d{8}T\d{6})_N\d{4}(_R\d{3}_T\w{5})_\w+"),
    # Sentinel-1: without the checksum at the end.
    re.compile(r"(S1[A-Z]_\w{2}_\w{4}_\w{4}_\d{8}T\d{6}_\d{8}T\d{6}_\d{6}_\w{6})_()\w+"),
    # Sentinel-3: without end and creation, so that "near real time" and "not time critical" are one.
    re.compile(r"(S3[A-Z]_\w{2}_\d_\w{6}_\d{8}T\d{6})_()\w+"),
    # Landsat: without the day of processing, collection number and tier.
    re.compile(r"(L[A-Z]\d{2}_\w{4}_\d{6}_\d{8})_\d{8}_()\w+"),
)


def acquisition(item: Mapping[str, Any]) -> str:
    """Return a scene's observation, which is the same for all its processings.

    Ids of Sentinel-1, -2, -3 and Landsat products are understood. Any other id is an observation of its own. The time
    to the second is part of it, as one pass may leave two products of a tile, with one half each.
    """
    scene_id = re.sub(r"\.(SAFE|SEN3)$", "", str(item.get("id")))  # endings of the Copernicus Data Space
    match = next((found for pattern in _PROCESSINGS if (found := pattern.fullmatch(scene_id))), None)
    return str(item.get("id")) if match is None else f"{match[1]}{match[2]}@{str(item.get('datetime'))[:19]}"


def check_lookback(value: Any) -> timedelta:
    """Return how far behind the present to search for scenes, from a ``timedelta`` or a number of days.

    :raises SentinelHubRequestError: for anything else, and for less than a day or more than a year.
    """
    length = value
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LONGEST_LOOKBACK.days:
        length = timedelta(days=value)
    if not isinstance(length, timedelta) or not timedelta(days=1) <= length <= LONGEST_LOOKBACK:
        raise SentinelHubRequestError(
            f"lookback is {value!r}. Give a number of days, from 1 to {LONGEST_LOOKBACK.days}, or a timedelta."
        )
    return length


def pause_between(poll_interval: float, jitter: float) -> float:
    """Return seconds until the next poll. A ``jitter`` in [0, 1) adds up to a tenth."""
    return poll_interval * (1 + 0.1 * jitter)


@dataclass(slots=True)
class SceneLedger:
    """The announced scenes of one watched area.

    Call :meth:`adopt` first. For each poll, call :meth:`search_from` and :meth:`new_scenes`. For each batch of the new
    ones, call :meth:`adopt`, :meth:`begin`, and :meth:`commit` once it is announced. End the poll by :meth:`move_on`.
    :meth:`to_json` may be stored at any moment, and must be between :meth:`begin` and the announcement.

    :param start: the first poll announces the scenes sensed since then. With ``None`` it announces none, so that only
        scenes published later are announced.
    :param lookback: how far behind the present to search for scenes.
    :param reprocessed: ``ignore`` or ``announce``.
    :param writer: tells this ledger from others of the same watch.
    """

    start: datetime | None = None
    lookback: timedelta = DEFAULT_LOOKBACK
    reprocessed: str = IGNORE
    writer: str = field(default_factory=lambda: secrets.token_hex(4))
    _since: date | None = None
    _number: int = 0
    _known: dict[date, set[str]] = field(default_factory=dict)
    _pending: list[tuple[date, str]] = field(default_factory=list)

    @property
    def is_blank(self) -> bool:
        """Whether no poll was made yet."""
        return self._since is None

    @property
    def known(self) -> int:
        """The number of remembered scenes."""
        return sum(len(prints) for prints in self._known.values())

    def adopt(self, stored: Any, announced: int = 0) -> None:
        """Add a stored memory of any writer to this one.

        :param stored: the result of :meth:`to_json`, or ``None`` if nothing is stored.
        :param announced: the highest number that is known to be announced. A stored batch with a higher one counts as
            not announced.
        :raises ValueError: if ``stored`` is anything else, in which case nothing is adopted.
        """
        # Numbers go on even if the memory was deleted, as an old number must not stand for a new scene.
        self._number = max(self._number, announced)
        if stored is None:
            return
        try:
            if stored["version"] != _VERSION:
                raise ValueError(f"version {stored['version']!r}")
            number = int(stored["number"])
            pending = [(date.fromisoformat(day), str(fingerprint)) for day, fingerprint in stored["pending"]]
            known = {date.fromisoformat(day): set(prints.split()) for day, prints in stored["known"].items()}
            since = date.fromisoformat(stored["since"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no memory of announced scenes ({type(error).__name__}: {error})") from error
        for day, prints in known.items():
            self._known.setdefault(day, set()).update(prints)
        if number <= announced:
            self._remember(pending)
        self._number = max(self._number, number)
        self._forget_before(max(since, self._since or since))

    def to_json(self) -> dict[str, Any]:
        """Return the memory as JSON values to store. Raises ``ValueError`` before the first poll."""
        if self._since is None:
            raise ValueError("no poll was made yet")
        return {
            "version": _VERSION,
            "writer": self.writer,
            "since": self._since.isoformat(),
            "number": self._number,
            "known": {day.isoformat(): " ".join(sorted(prints)) for day, prints in sorted(self._known.items())},
            "pending": [[day.isoformat(), fingerprint] for day, fingerprint in self._pending],
        }

    def search_from(self, now: datetime) -> datetime:
        """Return the time of sensing from which to search, which is the midnight (UTC) that begins the window."""
        first = now - self.lookback if self.start is None else min(self.start, now)
        return datetime.combine(self._since or first.astimezone(UTC).date(), time(), UTC)

    def new_scenes(self, items: Iterable[Mapping[str, Any]], now: datetime) -> list[Mapping[str, Any]]:
        """Return the scenes of a poll to announce, oldest first, and only the latest of several processings.

        Without a ``start``, the very first poll remembers every scene and returns none.
        """
        begins = self.search_from(now)
        is_first, self._since = self.is_blank, begins.date()
        new: dict[str, Mapping[str, Any]] = {}
        for item in items:
            moment = time_or_none(item.get("datetime"))
            if moment is None or moment < begins or self._knows(item):
                continue
            fingerprint = self._fingerprint(item)
            if is_first and self.start is None:
                self._remember([(moment.date(), fingerprint)])
            elif (self.start is None or moment >= self.start) and str(item["id"]) > str(
                new.get(fingerprint, {}).get("id", "")
            ):
                new[fingerprint] = item
        return sorted(new.values(), key=lambda item: (str(item["datetime"]), str(item["id"])))

    def begin(self, scenes: Sequence[Mapping[str, Any]]) -> tuple[int, list[Mapping[str, Any]]]:
        """Begin a batch of the unknown ones among some scenes, and return its number and these scenes."""
        if self._pending:
            raise ValueError("the batch before is still under way")
        batch = [scene for scene in scenes if not self._knows(scene)]
        if batch:
            self._number += 1
            self._pending = [self._entry(scene) for scene in batch]
        return self._number, batch

    def commit(self, *, is_announced: bool = True) -> None:
        """End the batch that is under way, and remember it if it is announced."""
        if is_announced:
            self._remember(self._pending)
        self._pending = []

    def move_on(self, now: datetime) -> date | None:
        """Move the window on after a poll whose scenes are all announced.

        :returns: the first day of the window if it had to be shortened, as too many scenes are in it.
        """
        since = max(self._since or date.min, (now - self.lookback).date())
        shortened = None
        days = sorted(day for day in self._known if day >= since)
        total = sum(len(self._known[day]) for day in days)
        while total > MAX_KNOWN and days and days[0] <= now.date() - timedelta(days=KEPT_DAYS):
            total -= len(self._known[days[0]])
            since = shortened = days.pop(0) + timedelta(days=1)
        self._forget_before(since)
        return shortened

    def _forget_before(self, since: date) -> None:
        self._since = since
        self._known = {day: prints for day, prints in self._known.items() if day >= since}

    def _remember(self, entries: Iterable[tuple[date, str]]) -> None:
        for day, fingerprint in entries:
            self._known.setdefault(day, set()).add(fingerprint)

    def _knows(self, item: Mapping[str, Any]) -> bool:
        day, fingerprint = self._entry(item)
        return fingerprint in self._known.get(day, ())

    def _fingerprint(self, item: Mapping[str, Any]) -> str:
        name = acquisition(item) if self.reprocessed == IGNORE else str(item["id"])
        # With 48 bits, two of 5,000 scenes share a fingerprint in one of some 20 million memories.
        return base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()[:6]).decode()

    def _entry(self, item: Mapping[str, Any]) -> tuple[date, str]:
        moment = time_or_none(item.get("datetime"))
        if moment is None:
            raise ValueError(f"{item.get('id')} has no time")
        return moment.date(), self._fingerprint(item)


def is_under_way(stored: Any, announced: int, writer: str) -> bool:
    """Tell whether a stored memory holds a batch of another writer that may still become an event."""
    return (
        isinstance(stored, Mapping)
        and bool(stored.get("pending"))
        and stored.get("writer") != writer
        and isinstance(stored.get("number"), int)
        and stored["number"] > announced
    )
