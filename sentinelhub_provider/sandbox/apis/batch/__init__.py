"""Batch Process, version 2. It delivers rasters of many features to object storage."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    (
        "Batch Process: Zarr output is taken, and the job fails when it is to be written. Results are not "
        "ingested into a collection."
    ),
    (
        "Batch Process: tiles of the UTM grids are cut from the zone's origin and named after their 100 km "
        "square. The service's lie elsewhere."
    ),
    (
        "Batch Process: a feature without scenes costs nothing. Without a place to deliver to, features of a "
        "GeoPackage have the size of the defaults."
    ),
)
"""Features of the service that this lacks, and unknown behaviour of the service."""
