"""What an evalscript's ``setup()`` declares, checked against the collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sentinelhub_provider.sandbox.scenes.model import BandInfo, CollectionInfo

from .errors import script_error

MOSAICKINGS: Final = ("SIMPLE", "ORBIT", "TILE")
SAMPLE_TYPES: Final = ("AUTO", "INT8", "UINT8", "INT16", "UINT16", "UINT32", "FLOAT32")
DEFAULT_OUTPUT: Final = "default"
MAX_OUTPUT_BANDS: Final = 1000
"""A guard of the sandbox's own against an evalscript that exhausts memory."""


@dataclass(frozen=True)
class InputBand:
    """A band that the evalscript reads, in ``unit``; ``factor`` turns the band's default unit into it."""

    info: BandInfo
    unit: str
    factor: float

    @property
    def name(self) -> str:
        """Name of the band."""
        return self.info.name


@dataclass(frozen=True)
class Output:
    """An output raster. ``nodata``: value for GDAL's no data tag, or ``None``."""

    id: str
    bands: int
    sample_type: str
    nodata: float | None


@dataclass(frozen=True)
class Setup:
    """A checked ``setup()``."""

    mosaicking: str
    bands: tuple[InputBand, ...]
    outputs: tuple[Output, ...]


def parse_setup(declared: Mapping[str, Any], collection: CollectionInfo, data_id: str | None) -> Setup:
    """Check what ``setup()`` returned. ``data_id``: the request's ``input.data[0].id``.

    Raises :class:`~..errors.ApiError` (``RENDERER_EXCEPTION``) saying which property is wrong.
    """
    return Setup(
        mosaicking=_mosaicking(declared.get("mosaicking")),
        bands=_input(declared.get("input"), collection, data_id),
        outputs=_outputs(declared.get("output")),
    )


def _mosaicking(value: Any) -> str:
    if value is None:
        return "SIMPLE"
    if value not in MOSAICKINGS:
        raise script_error(f"setup(): mosaicking is {value!r}; it must be one of {', '.join(MOSAICKINGS)}.")
    return str(value)


def _input(value: Any, collection: CollectionInfo, data_id: str | None) -> tuple[InputBand, ...]:
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list) or not value:
        raise script_error("setup(): input must be an array of band names or of input objects.")
    if all(isinstance(item, str) for item in value):
        value = [{"bands": value}]
    if not all(isinstance(item, Mapping) for item in value):
        raise script_error("setup(): input must hold either only band names or only input objects.")
    if len(value) > 1:
        raise script_error(
            f"setup(): input has {len(value)} objects, but the request has one dataset; the sandbox does not fuse data."
        )
    item = value[0]
    source = item.get("datasource")
    if source is not None and source != data_id:
        raise script_error(
            f"setup(): Dataset with id: {source} not found; the request's input->data[0]->id is {data_id!r}."
        )
    names = item.get("bands")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise script_error("setup(): input.bands must be an array of one or more band names.")
    units = item.get("units")
    if units is None or isinstance(units, str):
        units = [units] * len(names)
    if not isinstance(units, list) or len(units) != len(names):
        raise script_error("setup(): input.units must be a string, or an array with one unit for each band.")
    bands = [_band(name, unit, collection) for name, unit in zip(names, units, strict=True)]
    return tuple({band.name: band for band in bands}.values())


def _band(name: str, unit: Any, collection: CollectionInfo) -> InputBand:
    info = collection.band(name)
    if info is None:
        known = ", ".join(band.name for band in collection.bands)
        raise script_error(
            f"setup(): band '{name}' does not exist in collection {collection.short_name}; it has {known}."
        )
    default = info.units[0]
    if unit is None or default == "DN":
        # A unit given for all bands does not touch masks and classifications, which know only their numbers.
        return InputBand(info, default, 1.0)
    wanted = str(unit).upper()
    if wanted not in info.units:
        if default in ("PERCENT", "DEGREES") and wanted in ("REFLECTANCE", "DN"):
            return InputBand(info, default, 1.0)
        raise script_error(f"setup(): band '{name}' has unsupported units '{unit}'; it knows {', '.join(info.units)}.")
    return InputBand(info, wanted, 1.0 if wanted == default else info.dn_factor)


def _outputs(value: Any) -> tuple[Output, ...]:
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(item, Mapping) for item in value):
        raise script_error("setup(): output must be an output object or an array of output objects.")
    outputs = tuple(_output(item) for item in value)
    ids = [output.id for output in outputs]
    for identifier in ids:
        if ids.count(identifier) > 1:
            raise script_error(f"setup(): output id '{identifier}' occurs more than once; ids must be unique.")
    return outputs


def _output(item: Mapping[str, Any]) -> Output:
    identifier = item.get("id")
    if identifier is None:
        identifier = DEFAULT_OUTPUT
    if not isinstance(identifier, str) or not identifier:
        raise script_error(f"setup(): output.id is {identifier!r}; it must be a string that is not empty.")
    sample_type = item.get("sampleType")
    if sample_type is None:
        sample_type = "AUTO"
    if sample_type not in SAMPLE_TYPES:
        raise script_error(
            f"setup(): output '{identifier}' has sampleType {sample_type!r}; "
            f"it must be one of {', '.join(SAMPLE_TYPES)}."
        )
    nodata = item.get("nodataValue")
    if nodata is not None and (isinstance(nodata, bool) or not isinstance(nodata, int | float)):
        raise script_error(f"setup(): output '{identifier}' has nodataValue {nodata!r}; it must be a number.")
    bands = band_count(identifier, item.get("bands"))
    return Output(identifier, bands, str(sample_type), None if nodata is None else float(nodata))


def band_count(identifier: str, value: Any) -> int:
    """Check an output's number of bands, as ``setup()`` or ``updateOutput()`` gave it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_OUTPUT_BANDS:
        raise script_error(
            f"Output '{identifier}' has bands {value!r}; it must be a whole number from 1 to {MAX_OUTPUT_BANDS}."
        )
    return value
