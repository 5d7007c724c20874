"""Types of operators' arguments. Only type checkers and the documentation read this module.

A text may be a template. An ``XComArg`` is the result of another task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import PurePath
from typing import Any, Protocol

from airflow.sdk import ObjectStoragePath, XComArg


class HasGeoInterface(Protocol):
    """A geometry or features of another library, such as shapely or geopandas."""

    @property
    def __geo_interface__(self) -> Mapping[str, Any]: ...


Box = Sequence[float] | str | XComArg
Crs = int | str | XComArg
FilePath = str | PurePath | ObjectStoragePath
Geometry = Mapping[str, Any] | HasGeoInterface | str | XComArg
FeatureSource = Mapping[str, Any] | Sequence[Any] | HasGeoInterface | FilePath | XComArg
Interval = str | timedelta | int
Period = str | date | timedelta | Sequence[str | date | timedelta | None] | Mapping[str, Any] | XComArg
Tiles = Sequence[str | Mapping[str, Any]] | str | XComArg
