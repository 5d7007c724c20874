"""The collections that the synthetic source offers, as data.

Bands, units and resolutions are those that Sentinel Hub documents.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from sentinelhub_provider.sandbox.world.scenes.model import DATA_MASK, BandInfo, CollectionInfo

LOCAL_INCIDENCE: Final = "localIncidenceAngle"
_REFLECTANCE = ("REFLECTANCE", "DN")

_OPTICAL: Final = (
    # name, description, metres per pixel, common name, wavelength in micrometres
    ("B01", "Coastal aerosol", 60, "coastal", 0.4427),
    ("B02", "Blue", 10, "blue", 0.4924),
    ("B03", "Green", 10, "green", 0.5598),
    ("B04", "Red", 10, "red", 0.6646),
    ("B05", "Vegetation red edge", 20, "rededge", 0.7041),
    ("B06", "Vegetation red edge", 20, "rededge", 0.7405),
    ("B07", "Vegetation red edge", 20, "rededge", 0.7828),
    ("B08", "Near infrared", 10, "nir", 0.8328),
    ("B8A", "Narrow near infrared", 20, "nir08", 0.8647),
    ("B09", "Water vapour", 60, "nir09", 0.9451),
    ("B10", "Short-wave infrared, cirrus", 60, "cirrus", 1.3735),
    ("B11", "Short-wave infrared", 20, "swir16", 1.6137),
    ("B12", "Short-wave infrared", 20, "swir22", 2.2024),
)

_BANDS: Final = tuple(
    BandInfo(name, what, resolution, _REFLECTANCE, 10_000.0, common_name, wavelength)
    for name, what, resolution, common_name, wavelength in _OPTICAL
)

_ANGLES: Final = (
    BandInfo("sunAzimuthAngles", "Sun azimuth angle", 5_000, ("DEGREES",)),
    BandInfo("sunZenithAngles", "Sun zenith angle", 5_000, ("DEGREES",)),
    BandInfo("viewAzimuthMean", "Viewing azimuth angle", 5_000, ("DEGREES",)),
    BandInfo("viewZenithMean", "Viewing zenith angle", 5_000, ("DEGREES",)),
)

_CLOUD_PROBABILITY: Final = (
    BandInfo("CLP", "Cloud probability, 0 to 255", 160, ("DN",)),
    BandInfo("CLM", "Cloud mask: 0 clear, 1 cloud, 255 no data", 160, ("DN",)),
)

_MASK: Final = (BandInfo(DATA_MASK, "Data mask: 0 no data, 1 data", None, ("DN",)),)

SENTINEL_2_L2A: Final = CollectionInfo(
    id="sentinel-2-l2a",
    short_name="S2L2A",
    title="Sentinel-2 L2A",
    description="Synthetic surface reflectance in the manner of Sentinel-2 L2A, about every five days, everywhere.",
    bands=(
        *(band for band in _BANDS if band.name != "B10"),
        BandInfo("AOT", "Aerosol optical thickness", 10, ("OPTICAL_DEPTH", "DN"), 1_000.0),
        BandInfo("SCL", "Scene classification", 20, ("DN",)),
        BandInfo("SNW", "Snow probability", 20, ("PERCENT",)),
        BandInfo("CLD", "Cloud probability", 20, ("PERCENT",)),
        *_CLOUD_PROBABILITY,
        *_ANGLES,
        *_MASK,
    ),
    extent=(-180.0, -80.0, 180.0, 84.0),
    start=datetime(2016, 1, 1, tzinfo=UTC),
    end=None,
    platforms=("sentinel-2a", "sentinel-2b", "sentinel-2c"),
    constellation="sentinel-2",
    instruments=("msi",),
    gsd=10,
    max_metres_per_pixel=1500.0,
)

SENTINEL_2_L1C: Final = replace(
    SENTINEL_2_L2A,
    id="sentinel-2-l1c",
    short_name="S2L1C",
    title="Sentinel-2 L1C",
    description="Synthetic reflectance at the top of the atmosphere in the manner of Sentinel-2 L1C, "
    "about every five days, everywhere.",
    bands=(*_BANDS, *_CLOUD_PROBABILITY, *_ANGLES, *_MASK),
)

SENTINEL_1_GRD: Final = CollectionInfo(
    id="sentinel-1-grd",
    short_name="S1GRD",
    title="Sentinel-1 GRD",
    description="Synthetic radar backscatter in the manner of Sentinel-1 GRD (IW, VV and VH), every sixth day in each "
    "direction, everywhere.",
    bands=(
        BandInfo("VV", "Backscatter, sent and received vertically", 10, ("LINEAR_POWER",)),
        BandInfo("VH", "Backscatter, sent vertically and received horizontally", 10, ("LINEAR_POWER",)),
        BandInfo("HH", "Backscatter, sent and received horizontally", 10, ("LINEAR_POWER",)),
        BandInfo("HV", "Backscatter, sent horizontally and received vertically", 10, ("LINEAR_POWER",)),
        BandInfo(LOCAL_INCIDENCE, "Angle between the radar's look and the slope", 10, ("DEGREES",)),
        *_MASK,
    ),
    extent=SENTINEL_2_L2A.extent,
    start=SENTINEL_2_L2A.start,
    end=None,
    platforms=("sentinel-1a", "sentinel-1b", "sentinel-1c"),
    constellation="sentinel-1",
    instruments=("c-sar",),
    gsd=10,
    max_metres_per_pixel=1500.0,
    mosaickings=("SIMPLE", "ORBIT"),
)

DEM: Final = CollectionInfo(
    id="dem",
    short_name="DEM",
    title="Elevation model",
    description="Heights of the synthetic landscape in metres.",
    bands=(BandInfo("DEM", "Height in metres", 30, ("METERS", "DN")), *_MASK),
    extent=SENTINEL_2_L2A.extent,
    start=datetime(2020, 1, 1, tzinfo=UTC),
    end=None,
    platforms=(),
    constellation="",
    instruments=(),
    gsd=30,
    # The service's limit is not published.
    max_metres_per_pixel=10_000.0,
    cataloged=False,
)

SENTINEL_2: Final = (SENTINEL_2_L2A, SENTINEL_2_L1C)
COLLECTIONS: Final = (*SENTINEL_2, SENTINEL_1_GRD, DEM)
PRODUCT_TYPES: Final = {"sentinel-2-l2a": "MSIL2A", "sentinel-2-l1c": "MSIL1C"}
