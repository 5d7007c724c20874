"""The passes of two satellites, each over every place once in ten days.

The model simplifies Sentinel-2. Each of 143 relative orbits covers one swath of longitude, the same at every latitude.
A satellite sees a place every fifth day, and the swath to its west three days later.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from sentinelhub_provider.sandbox.world.scenes.noise import fraction

ORBITS: Final = 143
REVISIT_DAYS: Final = 5
FIRST_DAY: Final = date(2016, 1, 1)

_STEP: Final = 43
"""Relative orbits between a swath and its eastern neighbour. They take three days, at 14.3 orbits a day."""

_ORBITS_PER_DAY: Final = 14.3
_SECONDS_PER_DEGREE: Final = 100.6 * 60 / 360
"""Seconds that a satellite takes for a degree of latitude. An orbit takes 100.6 minutes."""

_LOCAL_TIME: Final = 10.5 * 3600
"""Local solar time of a pass (10:30) in seconds."""

_S2C_REPLACES_S2A: Final = date(2025, 1, 21)


def swath_of(longitude: float) -> int:
    """Return the number (0..142, from west to east) of the swath over a longitude in degrees."""
    return min(ORBITS - 1, max(0, math.floor((longitude + 180.0) / 360.0 * ORBITS)))


def relative_orbit(swath: int) -> int:
    """Return the relative orbit number (1..143) of a swath."""
    return (-_STEP * swath) % ORBITS + 1


def phase(swath: int) -> int:
    """Return the day (0..4) of the five-day cycle on which a satellite sees a swath."""
    return int((relative_orbit(swath) - 1) / _ORBITS_PER_DAY) % REVISIT_DAYS


def passes_on(swath: int, day: date) -> bool:
    """Tell whether a satellite passes over the swath on that day (of mean solar time at the swath)."""
    return (day.toordinal() - phase(swath)) % REVISIT_DAYS == 0


def platform(swath: int, day: date) -> str:
    """Return the letter of the satellite that passes. A and B alternate. C replaces A in January 2025."""
    turn = (day.toordinal() - phase(swath)) // REVISIT_DAYS % 2
    if turn:
        return "B"
    return "C" if day >= _S2C_REPLACES_S2A else "A"


def sensing_time(seed: int, swath: int, latitude: float, day: date) -> datetime:
    """Return the UTC time, in whole seconds, at which the pass of that day sees a latitude (degrees)."""
    longitude = (swath + 0.5) / ORBITS * 360.0 - 180.0
    seconds = _LOCAL_TIME - longitude * 240.0 + (45.0 - latitude) * _SECONDS_PER_DEGREE
    seconds += 240.0 * (fraction(seed, 90, swath, day.toordinal()) - 0.5)
    return datetime.combine(day, time(), UTC) + timedelta(seconds=round(seconds))


def solar_day(when: datetime, swath: int) -> date:
    """Return the local solar day of a pass from a UTC time of sensing. Near the date line it may not be the UTC day."""
    longitude = (swath + 0.5) / ORBITS * 360.0 - 180.0
    return (when + timedelta(seconds=longitude * 240.0)).date()


def sun_angles(when: datetime, longitude: float, latitude: float) -> tuple[float, float]:
    """Return the sun's azimuth (clockwise from north) and zenith angle in degrees, to about half a degree."""
    day = when.timetuple().tm_yday
    declination = math.radians(-23.44 * math.cos(2 * math.pi * (day + 10) / 365.25))
    hours = when.hour + when.minute / 60 + when.second / 3600
    hour_angle = math.radians((hours - 12) * 15 + longitude)
    phi = math.radians(latitude)
    cos_zenith = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour_angle)
    azimuth = math.atan2(
        -math.cos(declination) * math.sin(hour_angle),
        math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(declination) * math.cos(hour_angle),
    )
    return math.degrees(azimuth) % 360.0, math.degrees(math.acos(max(-1.0, min(1.0, cos_zenith))))
