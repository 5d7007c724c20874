"""
Which scenes of a watched area are new.

The Catalog can be asked when a scene was sensed, not when it was published, and scenes are published late and out of
order. So each look searches a window of days that ends now, and what was announced in that window is remembered:

- A scene counts by the day it was sensed. Its id is remembered until its day leaves the window, ``lookback`` behind
  the present. What is published later than that is not announced.
- The window moves on only as looks succeed: after a stop of weeks, the first look goes back all those weeks.
- The memory is bounded: beyond :data:`MAX_KNOWN` scenes the window is shortened, day by day, down to two days.
- A scene that was processed anew has another id but tile and time of the old one. By default it is no new scene.

A batch of new scenes is numbered and written down **before** it is announced. Whoever stores an announcement stores
its number with it; after a crash that number tells which of the batch were announced, and the others are announced
again.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sentinelhub_provider.api.time_range import parse_time
from sentinelhub_provider.exceptions import SentinelHubRequestError

IGNORE, ANNOUNCE = REPROCESSED = ("ignore", "announce")
"""What becomes of a scene that is a new processing of one that was announced."""

DEFAULT_LOOKBACK = timedelta(days=7)
LONGEST_LOOKBACK = timedelta(days=366)

MAX_KNOWN = 5_000
"""Scenes that are remembered: some 50 KB of JSON, within the 64 KB that Airflow's state store likes."""

KEPT_DAYS = 2
"""Days that stay in the window however many scenes they have."""

BATCH = 100
"""Scenes that are announced before their announcement is waited for."""

FINAL_PAUSE = 900.0
"""Seconds between looks while an error stands that only a person can cure, such as a wrong secret."""

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
    """
    Name what a scene is a processing of: the same for all processings of one observation.

    Ids of Sentinel-1, -2, -3 and Landsat products are understood; of other products each id is one of its own. The
    time to the second belongs to it: one pass may leave two products of a tile, with one half each.
    """
    scene_id = str(item.get("id"))
    match = next((found for pattern in _PROCESSINGS if (found := pattern.fullmatch(scene_id))), None)
    return scene_id if match is None else f"{match[1]}{match[2]}@{str(item.get('datetime'))[:19]}"


def check_reprocessed(value: Any) -> str:
    """
    Return what shall become of new processings.

    :raises SentinelHubRequestError: for another choice.
    """
    if value not in REPROCESSED:
        raise SentinelHubRequestError(
            f"reprocessed is {value!r}. Give one of {', '.join(REPROCESSED)}.", field="reprocessed"
        )
    return str(value)


def check_lookback(value: Any) -> timedelta:
    """
    Return how far behind the present scenes are looked for, from a ``timedelta`` or a number of days.

    :raises SentinelHubRequestError: for anything else, less than a day or more than a year.
    """
    length = value
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LONGEST_LOOKBACK.days:
        length = timedelta(days=value)
    if not isinstance(length, timedelta) or not timedelta(days=1) <= length <= LONGEST_LOOKBACK:
        raise SentinelHubRequestError(
            f"lookback is {value!r}. Give a number of days, from 1 to {LONGEST_LOOKBACK.days}, or a timedelta.",
            field="lookback",
        )
    return length


def pause_between(poll_interval: float, jitter: float) -> float:
    """Return seconds until the next look; ``jitter`` in [0, 1) makes it up to a tenth longer."""
    return poll_interval * (1 + 0.1 * jitter)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A scene to announce, with the number under which it is written down."""

    number: int
    scene: Mapping[str, Any]


@dataclass(slots=True)
class SceneLedger:
    """
    What was announced of one watched area.

    Order of calls: :meth:`restore`; then for each look :meth:`search_from`, :meth:`new_scenes`; for each batch of the
    new ones :meth:`begin`, and :meth:`commit` once all of it is announced; :meth:`move_on` at the end of the look.
    :meth:`to_json` may be stored at any moment, and must be between :meth:`begin` and the first announcement.

    :param start: the first look announces the scenes sensed since then; ``None``: it announces none, so that only
        scenes published from now on are.
    :param lookback: how far behind the present scenes are looked for.
    :param reprocessed: ``ignore`` or ``announce``.
    """

    start: datetime | None = None
    lookback: timedelta = DEFAULT_LOOKBACK
    reprocessed: str = IGNORE
    _since: date | None = None
    _number: int = 0
    _known: dict[date, set[str]] = field(default_factory=dict)
    _pending: list[tuple[date, str]] = field(default_factory=list)

    @property
    def is_blank(self) -> bool:
        """Whether nothing was looked at yet."""
        return self._since is None

    @property
    def known(self) -> int:
        """How many scenes are remembered."""
        return sum(len(marks) for marks in self._known.values())

    def restore(self, stored: Any, announced: int = 0) -> None:
        """
        Go on from what :meth:`to_json` returned, or begin where it is ``None``.

        :param announced: the highest number that is known to be announced. Of the batch that was under way, scenes
            with higher numbers count as not announced.
        :raises ValueError: for anything else than what :meth:`to_json` returns.
        """
        if stored is None:
            # Numbers go on even where the memory was deleted: an old one must not stand for a new scene.
            self._number = announced
            return
        try:
            if stored["version"] != _VERSION:
                raise ValueError(f"version {stored['version']!r}")
            number = int(stored["number"])
            pending = [(date.fromisoformat(day), str(mark)) for day, mark in stored["pending"]]
            known = {date.fromisoformat(day): set(marks.split()) for day, marks in stored["known"].items()}
            since = date.fromisoformat(stored["since"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no memory of announced scenes ({type(error).__name__}: {error})") from error
        first = number - len(pending) + 1
        for offset, (day, mark) in enumerate(pending):
            if first + offset <= announced:
                known.setdefault(day, set()).add(mark)
        self._since, self._known = since, known
        self._number = max(number, announced)
        self._pending = []

    def to_json(self) -> dict[str, Any]:
        """Return what to store. Raises ``ValueError`` before the first look."""
        if self._since is None:
            raise ValueError("nothing was looked at yet")
        return {
            "version": _VERSION,
            "since": self._since.isoformat(),
            "number": self._number,
            "known": {day.isoformat(): " ".join(sorted(marks)) for day, marks in sorted(self._known.items())},
            "pending": [[day.isoformat(), mark] for day, mark in self._pending],
        }

    def search_from(self, now: datetime) -> datetime:
        """Return from which time of sensing on to search: the midnight (UTC) that begins the window."""
        return datetime.combine(self._since or self._first_day(now), time(), UTC)

    def new_scenes(self, items: Iterable[Mapping[str, Any]], now: datetime) -> list[Mapping[str, Any]]:
        """
        Return the scenes of a look that are to be announced, oldest first; of several processings the latest.

        The first look of all without a ``start`` remembers every scene and returns none.
        """
        begins = self.search_from(now)
        is_first, self._since = self.is_blank, begins.date()
        new: dict[str, Mapping[str, Any]] = {}
        for item in items:
            moment = _moment(item)
            if moment is None or moment < begins:
                continue
            mark = self._mark(item)
            if mark in self._known.get(moment.date(), ()):
                continue
            if is_first and self.start is None:
                self._known.setdefault(moment.date(), set()).add(mark)
            elif (self.start is None or moment >= self.start) and str(item["id"]) > str(
                new.get(mark, {}).get("id", "")
            ):
                new[mark] = item
        return sorted(new.values(), key=lambda item: (str(item["datetime"]), str(item["id"])))

    def begin(self, batch: Sequence[Mapping[str, Any]]) -> list[Announcement]:
        """Number a batch of new scenes, which is under way from now on."""
        if self._pending:
            raise ValueError("the batch before is still under way")
        announcements = []
        for scene in batch:
            self._number += 1
            self._pending.append(self._entry(scene))
            announcements.append(Announcement(self._number, scene))
        return announcements

    def commit(self) -> None:
        """Remember the batch that is under way as announced."""
        for day, mark in self._pending:
            self._known.setdefault(day, set()).add(mark)
        self._pending = []

    def move_on(self, now: datetime) -> date | None:
        """
        Let the window go on after a look of which everything is announced.

        :returns: the first day of the window where it had to be shortened, as too many scenes are in it.
        """
        since = max(self._since or date.min, (now - self.lookback).date())
        shortened = None
        days = sorted(day for day in self._known if day >= since)
        total = sum(len(self._known[day]) for day in days)
        while total > MAX_KNOWN and days and days[0] <= now.date() - timedelta(days=KEPT_DAYS):
            total -= len(self._known[days[0]])
            since = shortened = days.pop(0) + timedelta(days=1)
        self._since = since
        self._known = {day: marks for day, marks in self._known.items() if day >= since}
        return shortened

    def _first_day(self, now: datetime) -> date:
        return (now - self.lookback if self.start is None else min(self.start, now)).astimezone(UTC).date()

    def _mark(self, item: Mapping[str, Any]) -> str:
        name = acquisition(item) if self.reprocessed == IGNORE else str(item["id"])
        # 48 bits: among 5,000 scenes, two share a mark once in some 20 million memories.
        return base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()[:6]).decode()

    def _entry(self, item: Mapping[str, Any]) -> tuple[date, str]:
        moment = _moment(item)
        if moment is None:
            raise ValueError(f"{item.get('id')} has no time")
        return moment.date(), self._mark(item)


def batches(scenes: Sequence[Mapping[str, Any]], size: int = BATCH) -> list[Sequence[Mapping[str, Any]]]:
    """Cut a list into batches."""
    return [scenes[begin : begin + size] for begin in range(0, len(scenes), size)]


def _moment(item: Mapping[str, Any]) -> datetime | None:
    try:
        return parse_time(item.get("datetime"))
    except SentinelHubRequestError:
        return None
