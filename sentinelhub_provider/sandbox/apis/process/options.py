"""Options of Sentinel-1 and the elevation model only, which are their filters and ways of processing.

Names, values and defaults as the API reference has them (schemas ``S1Filtering``, ``S1Processing``, ``DEMFiltering``,
``DEMProcessing``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sentinelhub_provider.sandbox.errors import invalid

BACK_COEFFICIENTS: Final = ("BETA0", "SIGMA0_ELLIPSOID", "GAMMA0_ELLIPSOID", "GAMMA0_TERRAIN")
DEM_INSTANCES: Final = ("MAPZEN", "COPERNICUS", "COPERNICUS_30", "COPERNICUS_90")
SPECKLE_WINDOW: Final = (1, 7)
OVERSAMPLING: Final = (1.0, 4.0)

_RADAR_FILTERS: Final = {
    # field of dataFilter: (property of a scene, values)
    "acquisitionMode": ("sar:instrument_mode", ("SM", "IW", "EW", "WV", "EN", "AN", "IM")),
    "polarization": ("s1:polarization", ("SH", "SV", "DH", "DV", "HH", "HV", "VV", "VH")),
    "orbitDirection": ("sat:orbit_state", ("ASCENDING", "DESCENDING")),
    "resolution": ("s1:resolution", ("HIGH", "MEDIUM", "FULL")),
    "timeliness": (
        "s1:timeliness",
        ("NRT10m", "NRT1h", "NRT3h", "Fast24h", "Offline", "Reprocessing", "ArchNormal"),
    ),
}


def radar_filter(chosen: Mapping[str, Any], path: str) -> dict[str, str]:
    """Check Sentinel-1's part of ``dataFilter``. Return the values that STAC properties of a scene must have."""
    wanted: dict[str, str] = {}
    for name, (scene_property, values) in _RADAR_FILTERS.items():
        value = chosen.get(name)
        if value is None:
            continue
        if value not in values:
            raise invalid(f"{path}->{name}", f"must be one of {', '.join(values)}", value)
        wanted[scene_property] = str(value)
    return wanted


def radar_options(processing: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Check Sentinel-1's part of ``processing``. Return all options, with their defaults."""
    coefficient = choice(processing, path, "backCoeff", BACK_COEFFICIENTS, "GAMMA0_ELLIPSOID")
    orthorectify = switch(processing, path, "orthorectify")
    if coefficient == "GAMMA0_TERRAIN" and not orthorectify:
        raise invalid(f"{path}->backCoeff", "GAMMA0_TERRAIN needs orthorectify to be true", coefficient)
    oversampling = processing.get("radiometricTerrainOversampling")
    if oversampling is not None and not _number_in(oversampling, *OVERSAMPLING):
        low, high = OVERSAMPLING
        raise invalid(
            f"{path}->radiometricTerrainOversampling", f"must be a number from {low:g} to {high:g}", oversampling
        )
    return {
        "backCoeff": coefficient,
        "orthorectify": orthorectify,
        "demInstance": choice(processing, path, "demInstance", DEM_INSTANCES, "MAPZEN"),
        "speckleFilter": _speckle_filter(processing.get("speckleFilter"), f"{path}->speckleFilter"),
    }


def dem_options(
    chosen: Mapping[str, Any], filter_path: str, processing: Mapping[str, Any], processing_path: str
) -> dict[str, Any]:
    """Check the elevation model's part of ``dataFilter`` and ``processing``. Return all options."""
    return {
        "demInstance": choice(chosen, filter_path, "demInstance", DEM_INSTANCES, "MAPZEN"),
        "egm": switch(processing, processing_path, "egm"),
        "clampNegative": switch(processing, processing_path, "clampNegative"),
    }


def _speckle_filter(value: Any, path: str) -> dict[str, Any]:
    if value is None:
        return {"type": "NONE"}
    if not isinstance(value, Mapping):
        raise invalid(path, "must be an object with a type", value)
    kind = value.get("type")
    if kind not in ("NONE", "LEE"):
        raise invalid(f"{path}->type", "must be one of NONE, LEE", kind)
    if kind == "NONE":
        return {"type": "NONE"}
    sizes: dict[str, Any] = {"type": "LEE"}
    low, high = SPECKLE_WINDOW
    for name in ("windowSizeX", "windowSizeY"):
        size = value.get(name)
        if isinstance(size, bool) or not isinstance(size, int) or not low <= size <= high:
            raise invalid(f"{path}->{name}", f"is required and must be a whole number from {low} to {high}", size)
        sizes[name] = size
    return sizes


def choice(entry: Mapping[str, Any], path: str, name: str, allowed: tuple[str, ...], default: str) -> str:
    """Check a field that has one of a few values."""
    value = entry.get(name)
    if value is None:
        return default
    if value not in allowed:
        raise invalid(f"{path}->{name}", f"must be one of {', '.join(allowed)}", value)
    return str(value)


def switch(entry: Mapping[str, Any], path: str, name: str) -> bool:
    """Check a yes or no, which the documentation also writes as text. The default is ``False``."""
    value = entry.get(name)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value is not None and not isinstance(value, bool):
        raise invalid(f"{path}->{name}", "must be true or false", value)
    return bool(value)


def _number_in(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
