"""The look of the land on a day, with crops, leaves and snow."""

from __future__ import annotations

import math
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sentinelhub_provider.sandbox.world.scenes import phenology
from sentinelhub_provider.sandbox.world.scenes.landscape import Land
from sentinelhub_provider.sandbox.world.scenes.noise import Values, derive, fraction, rehash, unit

_GREEN, _RIPE, _BLOOM = phenology.table(phenology.CROPS)
_MEADOW = phenology.table((phenology.MEADOW,))[0]
_LEAVES, _AUTUMN, _ = phenology.table((phenology.BROADLEAF,))
_LOTS: Final = 1024
_CROP_OF: Final[NDArray[np.int32]] = np.searchsorted(
    np.cumsum([crop.weight for crop in phenology.CROPS]) / sum(crop.weight for crop in phenology.CROPS),
    (np.arange(_LOTS) + 0.5) / _LOTS,
).astype(np.int32)


def surfaces(seed: int, land: Land, when: date) -> dict[str, Values]:
    """Return the shares of the surfaces of :data:`.spectra.SURFACES` in every pixel on a day. They add up to 1."""
    day = phenology.season_day(when, land.latitude)
    year_seed = np.where(
        land.latitude < 0,
        np.uint32(derive(seed, 70, phenology.season_year(when, southern=True))),
        np.uint32(derive(seed, 70, phenology.season_year(when, southern=False))),
    )
    # In warm places something always grows, so that the seasons differ less.
    warm = np.clip((np.float32(24) - np.abs(land.latitude)) * np.float32(0.06), 0, 0.8)

    turn = rehash(land.field ^ year_seed, 1)
    crop = _CROP_OF[(turn >> np.uint32(22)).astype(np.int32)]
    own_pace = (unit(rehash(turn, 2)) - np.float32(0.5)) * np.float32(22)
    lookup = crop * phenology.DAYS + np.clip(day + own_pace, 0, phenology.DAYS - 1).astype(np.int32)
    green, ripe, bloom = _GREEN.ravel()[lookup], _RIPE.ravel()[lookup], _BLOOM.ravel()[lookup]
    mown = np.clip(day + own_pace * np.float32(1.4), 0, phenology.DAYS - 1).astype(np.int32)
    grass = _MEADOW[0][mown] * land.vigour
    year_round = day.astype(np.int32)
    leaves, autumn = _LEAVES[0][year_round], _AUTUMN[0][year_round]

    green = np.clip(green * land.vigour * (1 - warm) + np.float32(0.72) * land.vigour * warm, 0, 1)
    ripe = np.minimum(ripe * (1 - warm), 1 - green)
    leaves = np.clip(leaves + warm, 0, 1)
    autumn = np.minimum(autumn * (1 - warm), 1 - leaves)

    dry_land = 1 - land.water
    town = land.town * dry_land
    road = land.road * dry_land
    wood = np.minimum(land.forest * dry_land, 1 - land.water)
    rest = np.clip(dry_land - np.maximum(town, wood), 0, 1)
    wood = np.clip(dry_land - rest - town, 0, 1)
    # Roads replace the shares of the land below them.
    keep = 1 - road
    town, wood, rest = town * keep, wood * keep, rest * keep
    roofs, gardens = town * land.roof, town * (1 - land.roof)
    meadow_share = np.maximum(land.meadow, land.margin)
    meadows, fields = rest * meadow_share + gardens, rest * (1 - meadow_share)
    grass = np.clip(grass, 0, 1)
    broadleaf, conifer = wood * (1 - land.conifer), wood * land.conifer
    bare = fields * (1 - green - ripe)
    red = (land.roof_kind < np.float32(0.62)).astype(np.float32)
    bright = (land.roof_kind > np.float32(0.95)).astype(np.float32)

    shares = {
        "crop": fields * green * (1 - bloom),
        "flowering": fields * green * bloom,
        "straw": fields * ripe + meadows * (1 - grass) * np.float32(0.55),
        "brown soil": bare * (1 - land.pale_soil) + meadows * (1 - grass) * np.float32(0.45),
        "pale soil": bare * land.pale_soil,
        "meadow": meadows * grass,
        "broadleaf": broadleaf * leaves,
        "autumn leaves": broadleaf * autumn,
        "bare trees": broadleaf * (1 - leaves - autumn),
        "conifer": conifer,
        "clear water": land.water * (1 - land.turbid),
        "turbid water": land.water * land.turbid,
        "road": road,
        "red roof": roofs * red,
        "grey roof": roofs * (1 - red - bright),
        "bright roof": roofs * bright,
    }
    snow = snow_cover(seed, land, when)
    if snow is not None:
        for name, share in shares.items():
            # Snow slides off trees and melts on water and roads.
            hold = 0.35 if name in ("conifer", "broadleaf", "bare trees") else 0.0 if "water" in name else 0.95
            shares[name] = share * (1 - np.float32(hold) * snow)
        shares["snow"] = 1 - sum(shares.values())
    return shares


def snow_cover(seed: int, land: Land, when: date) -> Values | None:
    """Return the share of the ground under snow (0..1), or ``None`` if there is no snow at all."""
    day_of_year = when.timetuple().tm_yday
    # The coldest day is 20 January. The weather of the week adds up to 4.5 degrees either way.
    swing = math.cos((day_of_year - 20) / 365.25 * 2 * math.pi)
    weather = (fraction(seed, 80, when.toordinal() // 7) - 0.5) * 9.0
    latitude = np.abs(land.latitude)
    mean = np.float32(31) - np.float32(0.47) * latitude
    amplitude = np.clip(latitude - np.float32(12), 0, 45) * np.float32(0.31)
    season = np.where(land.latitude < 0, np.float32(-swing), np.float32(swing))
    temperature = mean - amplitude * season - np.float32(5.5) * land.height + np.float32(weather)
    snow: Values = np.clip(
        (np.float32(-2.0) + land.texture * np.float32(0.35) + (land.vigour - 1) * 5 - temperature) * np.float32(0.45),
        0,
        1,
    )
    return snow if snow.any() else None


def brightness(land: Land) -> Values:
    """Return a factor around 1 on the reflectance of every pixel, from texture, canopy and field."""
    factor: Values = 1 + land.texture * np.float32(0.035) + land.canopy * land.forest * np.float32(0.2)
    factor += (
        ((land.field >> np.uint32(9) & np.uint32(255)).astype(np.float32) - 128)
        * (1 - land.forest)
        * np.float32(0.0011)
    )
    return factor
