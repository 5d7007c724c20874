"""The declarations of an evalscript's ``setup()``, checked against the collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sentinelhub_provider.sandbox.world.evalscripts.errors import script_error
from sentinelhub_provider.sandbox.world.scenes.model import DATA_MASK, BandInfo, CollectionInfo

MOSAICKINGS: Final = ("SIMPLE", "ORBIT", "TILE")
SAMPLE_TYPES: Final = ("AUTO", "INT8", "UINT8", "INT16", "UINT16", "UINT32", "FLOAT32")
DEFAULT_OUTPUT: Final = "default"
MAX_OUTPUT_BANDS: Final = 1000
"""The sandbox's own limit. It stops an evalscript that would exhaust memory."""


@dataclass(frozen=True)
class InputBand:
    """A band that the evalscript reads, in ``unit``. Values in the band's default unit times ``factor`` are in it."""

    info: BandInfo
    unit: str
    factor: float

    @property
    def name(self) -> str:
        """Name of the band."""
        return self.info.name


@dataclass(frozen=True)
class DataSource:
    """A dataset of the request that an evalscript may read, with its collection and its ``input.data[n].id``."""

    collection: CollectionInfo
    id: str | None = None


@dataclass(frozen=True)
class Input:
    """An input object, the bands of the dataset with the index ``dataset`` in the request's ``input.data``.

    :param key: name under which a fused evalscript finds the samples, or ``None`` for a single dataset.
    :param has_bounds: whether the metadata of tiles have the bounds of their data.
    """

    dataset: int
    key: str | None
    mosaicking: str
    bands: tuple[InputBand, ...]
    has_bounds: bool = False


@dataclass(frozen=True)
class Output:
    """An output raster. ``nodata`` is the value for GDAL's no data tag, or ``None``.

    ``band_names`` are the names of the bands in ``setup()``, or ``None`` if it gave their number.
    """

    id: str
    bands: int
    sample_type: str
    nodata: float | None
    band_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Setup:
    """A checked ``setup()``."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]

    @property
    def fused(self) -> bool:
        """Whether samples arrive as an object with one array for each dataset."""
        return self.inputs[0].key is not None

    @property
    def bands(self) -> tuple[InputBand, ...]:
        """Bands of all inputs."""
        return tuple(band for each in self.inputs for band in each.bands)


@dataclass(frozen=True)
class Rules:
    """The differences of the APIs in the default sample type of an output, and in whether its bands may have names."""

    sample_type: str = "AUTO"
    named_bands: bool = False


PROCESS_RULES: Final = Rules()
STATISTICAL_RULES: Final = Rules(sample_type="FLOAT32", named_bands=True)
"""Documented under "Statistical API and evalscript"."""


def parse_setup(declared: Mapping[str, Any], sources: Sequence[DataSource], rules: Rules = PROCESS_RULES) -> Setup:
    """Check what ``setup()`` returned against the request's datasets.

    An :class:`~..errors.ApiError` (``RENDERER_EXCEPTION``) says which property is wrong.
    """
    mosaicking = _mosaicking(declared.get("mosaicking"), "SIMPLE")
    return Setup(
        inputs=_inputs(declared.get("input"), sources, mosaicking),
        outputs=_outputs(declared.get("output"), rules),
    )


def _mosaicking(value: Any, default: str) -> str:
    if value is None:
        return default
    if value not in MOSAICKINGS:
        raise script_error(f"setup(): mosaicking is {value!r}; it must be one of {', '.join(MOSAICKINGS)}.")
    return str(value)


def _inputs(value: Any, sources: Sequence[DataSource], mosaicking: str) -> tuple[Input, ...]:
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list) or not value:
        raise script_error("setup(): input must be an array of band names or of input objects.")
    if all(isinstance(item, str) for item in value):
        value = [{"bands": value}]
    if not all(isinstance(item, Mapping) for item in value):
        raise script_error("setup(): input must hold either only band names or only input objects.")
    if len(value) > len(sources):
        raise script_error(f"setup(): input has {len(value)} objects, but the request has {len(sources)} dataset(s).")
    inputs = tuple(_input(item, place, sources, mosaicking) for place, item in enumerate(value))
    for one in inputs:
        if sum(other.dataset == one.dataset for other in inputs) > 1:
            raise script_error(f"setup(): input->data[{one.dataset}] of the request is named by two input objects.")
    return inputs


def _input(item: Mapping[str, Any], place: int, sources: Sequence[DataSource], mosaicking: str) -> Input:
    name = item.get("datasource")
    if name is not None:
        place = next((number for number, source in enumerate(sources) if source.id == name), -1)
        if place < 0:
            known = ", ".join(repr(source.id) for source in sources)
            raise script_error(f"setup(): Dataset with id: {name} not found; the request's input->data has {known}.")
    key = (str(place) if name is None else str(name)) if len(sources) > 1 else None
    collection = sources[place].collection
    names = item.get("bands")
    if not isinstance(names, list) or not names or not all(isinstance(band, str) for band in names):
        raise script_error("setup(): input.bands must be an array of one or more band names.")
    units = item.get("units")
    if units is None or isinstance(units, str):
        units = [units] * len(names)
    if not isinstance(units, list) or len(units) != len(names):
        raise script_error("setup(): input.units must be a string, or an array with one unit for each band.")
    bands = [_band(band, unit, collection) for band, unit in zip(names, units, strict=True)]
    chosen = _mosaicking(item.get("mosaicking"), mosaicking)
    if chosen not in collection.mosaickings:
        raise script_error(
            f"setup(): mosaicking {chosen} is not supported for collection {collection.short_name}; "
            f"it knows {', '.join(collection.mosaickings)}."
        )
    metadata = item.get("metadata")
    if metadata not in (None, [], ["bounds"]):
        raise script_error(f"setup(): input.metadata is {metadata!r}; it must be an array that may hold 'bounds'.")
    return Input(place, key, chosen, tuple({band.name: band for band in bands}.values()), bool(metadata))


def _band(name: str, unit: Any, collection: CollectionInfo) -> InputBand:
    info = collection.band(name)
    if info is None:
        known = ", ".join(band.name for band in collection.bands)
        raise script_error(
            f"setup(): band '{name}' does not exist in collection {collection.short_name}; it has {known}."
        )
    default = info.units[0]
    if unit is None or name == DATA_MASK:
        return InputBand(info, default, 1.0)
    wanted = str(unit).upper()
    if wanted not in info.units:
        if default in ("PERCENT", "DEGREES") and wanted in ("REFLECTANCE", "DN"):
            return InputBand(info, default, 1.0)
        raise script_error(
            f"Invalid script! Band '{name}' of collection '{collection.short_name}' requested in unsupported units "
            f"'{unit}'! Supported units for this band: [{', '.join(info.units)}]."
        )
    return InputBand(info, wanted, 1.0 if wanted == default else info.dn_factor)


def _outputs(value: Any, rules: Rules) -> tuple[Output, ...]:
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(item, Mapping) for item in value):
        raise script_error("setup(): output must be an output object or an array of output objects.")
    outputs = tuple(_output(item, rules) for item in value)
    ids = [output.id for output in outputs]
    for identifier in ids:
        if ids.count(identifier) > 1:
            raise script_error(f"setup(): output id '{identifier}' occurs more than once; ids must be unique.")
    return outputs


def _output(item: Mapping[str, Any], rules: Rules) -> Output:
    identifier = item.get("id")
    if identifier is None:
        identifier = DEFAULT_OUTPUT
    if not isinstance(identifier, str) or not identifier:
        raise script_error(f"setup(): output.id is {identifier!r}; it must be a string that is not empty.")
    sample_type = item.get("sampleType")
    if sample_type is None:
        sample_type = rules.sample_type
    if sample_type not in SAMPLE_TYPES:
        raise script_error(
            f"setup(): output '{identifier}' has sampleType {sample_type!r}; "
            f"it must be one of {', '.join(SAMPLE_TYPES)}."
        )
    nodata = item.get("nodataValue")
    if nodata in ("NaN", "Infinity", "-Infinity"):
        nodata = float(nodata)
    if nodata is not None and (isinstance(nodata, bool) or not isinstance(nodata, int | float)):
        raise script_error(f"setup(): output '{identifier}' has nodataValue {nodata!r}; it must be a number.")
    bands, names = item.get("bands"), None
    if rules.named_bands and isinstance(bands, list):
        names = _band_names(identifier, bands)
        bands = len(names)
    count = band_count(identifier, bands)
    return Output(identifier, count, str(sample_type), None if nodata is None else float(nodata), names)


def _band_names(identifier: str, names: list[Any]) -> tuple[str, ...]:
    if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise script_error(f"setup(): output '{identifier}' has bands {names!r}; the names must be different strings.")
    return tuple(names)


def band_count(identifier: str, value: Any) -> int:
    """Check an output's number of bands, as ``setup()`` or ``updateOutput()`` gave it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_OUTPUT_BANDS:
        raise script_error(
            f"Output '{identifier}' has bands {value!r}; it must be a whole number from 1 to {MAX_OUTPUT_BANDS}."
        )
    return value
