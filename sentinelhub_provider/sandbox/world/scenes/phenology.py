"""The farming year. For each day it tells how green, how ripe and how much in flower each crop is.

The farming year runs from 1 November (day 0) to 31 October (day 364). Winter crops, which are sown before the end of
the calendar year, lie within one such year. Days are those of 46 degrees north. :func:`season_day` converts the days of
other latitudes and of the southern hemisphere.
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

DAYS: Final = 365
_START = date(2000, 11, 1)

Values = NDArray[np.float32]

_Curve = tuple[tuple[str, float], ...]


class Crop(NamedTuple):
    """One crop's year. Each curve is a list of (``"month-day"``, value 0..1) with straight lines between.

    ``green`` is the share of the ground under green leaves. ``ripe`` is the share under straw and stubble. ``bloom`` is
    the share of the green in yellow flower. ``weight`` is the relative number of fields with the crop.
    """

    name: str
    weight: float
    green: _Curve
    ripe: _Curve = (("11-01", 0.0),)
    bloom: _Curve = (("11-01", 0.0),)


CROPS: Final = (
    Crop(
        "winter wheat",
        0.24,
        green=(("11-01", 0.06), ("12-05", 0.3), ("02-25", 0.32), ("04-05", 0.66), ("05-05", 0.95), ("06-05", 0.9),
               ("07-08", 0.12), ("07-20", 0.02), ("08-20", 0.1), ("10-31", 0.08)),
        ripe=(("06-05", 0.05), ("07-05", 0.85), ("07-18", 0.9), ("07-24", 0.65), ("08-25", 0.45), ("09-15", 0.06)),
    ),
    Crop(
        "winter barley",
        0.1,
        green=(("11-01", 0.12), ("12-05", 0.36), ("02-25", 0.38), ("04-05", 0.75), ("04-28", 0.94), ("05-25", 0.7),
               ("06-18", 0.1), ("06-30", 0.02), ("08-05", 0.3), ("09-20", 0.6), ("10-31", 0.45)),
        ripe=(("05-20", 0.05), ("06-15", 0.88), ("06-26", 0.9), ("07-02", 0.6), ("08-01", 0.2), ("09-01", 0.0)),
    ),
    Crop(
        "rapeseed",
        0.12,
        green=(("11-01", 0.55), ("12-10", 0.6), ("02-20", 0.5), ("03-25", 0.8), ("04-15", 0.95), ("06-05", 0.9),
               ("07-01", 0.35), ("07-15", 0.04), ("08-20", 0.05), ("09-10", 0.25), ("10-31", 0.5)),
        ripe=(("06-12", 0.0), ("07-08", 0.6), ("07-20", 0.7), ("08-15", 0.4), ("08-25", 0.05)),
        bloom=(("04-16", 0.0), ("04-27", 0.75), ("05-12", 0.8), ("05-24", 0.1), ("05-30", 0.0)),
    ),
    Crop(
        "maize",
        0.26,
        green=(("11-01", 0.05), ("04-25", 0.06), ("05-18", 0.04), ("06-10", 0.35), ("07-05", 0.88), ("08-15", 0.94),
               ("09-10", 0.6), ("09-28", 0.15), ("10-10", 0.04)),
        ripe=(("08-25", 0.0), ("09-20", 0.5), ("10-05", 0.35), ("10-31", 0.2)),
    ),
    Crop(
        "sugar beet",
        0.08,
        green=(("11-01", 0.1), ("12-10", 0.02), ("04-20", 0.02), ("05-20", 0.2), ("06-20", 0.85), ("09-15", 0.93),
               ("10-15", 0.7), ("10-31", 0.3)),
    ),
    Crop(
        "spring barley",
        0.08,
        green=(("11-01", 0.3), ("12-20", 0.2), ("02-20", 0.12), ("03-25", 0.06), ("05-05", 0.7), ("05-28", 0.92),
               ("06-25", 0.4), ("07-15", 0.04), ("09-05", 0.3), ("10-31", 0.35)),
        ripe=(("06-15", 0.05), ("07-10", 0.82), ("07-25", 0.6), ("08-20", 0.25), ("09-05", 0.0)),
    ),
    Crop(
        "sunflower",
        0.05,
        green=(("11-01", 0.05), ("04-20", 0.04), ("05-15", 0.1), ("06-15", 0.7), ("07-15", 0.94), ("08-15", 0.7),
               ("09-10", 0.12), ("09-25", 0.02)),
        ripe=(("08-10", 0.0), ("09-05", 0.5), ("09-25", 0.3), ("10-31", 0.1)),
        bloom=(("07-02", 0.0), ("07-14", 0.4), ("07-28", 0.3), ("08-06", 0.0)),
    ),
    Crop(
        "clover",
        0.07,
        green=(("11-01", 0.6), ("01-15", 0.45), ("03-15", 0.6), ("04-25", 0.96), ("05-12", 0.97), ("05-16", 0.4),
               ("06-10", 0.94), ("06-24", 0.96), ("06-28", 0.42), ("07-25", 0.93), ("08-12", 0.94), ("08-16", 0.45),
               ("09-15", 0.88), ("10-31", 0.7)),
    ),
)  # fmt: skip

MEADOW: Final = Crop(
    "meadow",
    1.0,
    green=(("11-01", 0.62), ("01-20", 0.42), ("03-05", 0.45), ("04-15", 0.82), ("05-22", 0.95), ("05-27", 0.6),
           ("06-20", 0.86), ("07-18", 0.86), ("07-22", 0.58), ("08-20", 0.8), ("10-31", 0.66)),
)  # fmt: skip

BROADLEAF: Final = Crop(
    "broadleaf forest",
    1.0,
    green=(("11-01", 0.25), ("11-12", 0.06), ("04-08", 0.06), ("04-22", 0.4), ("05-08", 0.95), ("07-01", 1.0),
           ("09-10", 0.9), ("10-05", 0.72), ("10-31", 0.26)),
    ripe=(("09-25", 0.0), ("10-12", 0.28), ("10-31", 0.55), ("11-01", 0.55), ("11-14", 0.1), ("11-20", 0.0)),
)  # fmt: skip


def _day(month_day: str) -> int:
    month, day = map(int, month_day.split("-"))
    # 2001 follows the November of _START and has no 29 February.
    return (date(2000 if month >= 11 else 2001, month, day) - _START).days


def _daily(curve: _Curve) -> Values:
    points = sorted((_day(when), value) for when, value in curve)
    days, values = zip(*points, strict=True)
    daily: Values = np.interp(np.arange(DAYS), days, values).astype(np.float32)
    return daily


def table(crops: tuple[Crop, ...]) -> tuple[Values, Values, Values]:
    """Tabulate ``green``, ``ripe`` and ``bloom``, each of shape ``(crops, 365)``."""
    return (
        np.stack([_daily(crop.green) for crop in crops]),
        np.stack([_daily(crop.ripe) for crop in crops]),
        np.stack([_daily(crop.bloom) for crop in crops]),
    )


def season_year(when: date, southern: bool) -> int:
    """Return the number of the farming year, which is the calendar year of its harvest (in the north)."""
    shifted = when.toordinal() + (183 if southern else 0)
    moved = date.fromordinal(shifted)
    return moved.year + (1 if moved.month >= 11 else 0)


def season_day(when: date, latitude: Values) -> Values:
    """Return the day of the farming year (0..364) at each latitude in degrees. The south is half a year off.

    Each degree towards the pole delays spring by up to two days and advances autumn by as much.
    """
    north_day = (when.toordinal() - date(when.year, 1, 1).toordinal() - 304) % DAYS
    day = np.where(latitude < 0, np.float32((north_day + 183) % DAYS), np.float32(north_day))
    # The shift is 0 in mid-winter (day 75) and mid-summer (day 257), and largest in April and October.
    towards_pole = np.clip(np.abs(latitude) - np.float32(46), -14, 10)
    shift = np.sin((day - np.float32(75)) * np.float32(2 * np.pi / 365)) * towards_pole * np.float32(2)
    result: Values = np.clip(day - shift, 0, DAYS - 1)
    return result
