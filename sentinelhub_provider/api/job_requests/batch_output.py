"""The delivery of a Batch Process job, which is a raster for each tile and output, or one Zarr group of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from sentinelhub_provider.api.evalscripts import Setup
from sentinelhub_provider.api.job_requests.batch_input import Features, Tiles
from sentinelhub_provider.api.job_requests.delivery import RASTER, ZARR, Keyring, Location, read_location
from sentinelhub_provider.api.values import read_flag
from sentinelhub_provider.exceptions import SentinelHubRequestError

ZARR_ARRAY = "zarr/array"  # Format of all outputs of a Zarr group
TIFF = "image/tiff"

RASTER_MEMBERS = {
    "overwrite": "overwrite",
    "skip_existing": "skipExisting",
    "cog": "cogOutput",
    "cog_parameters": "cogParameters",
    "create_collection": "createCollection",
    "collection_id": "collectionId",
}
"""Arguments of raster output, with their names in the API."""

_RESAMPLING = ("nearest", "average", "gauss", "cubic", "cubicspline", "lanczos", "average_magphase", "mode")
_COG = ("overviewLevels", "overviewMinSize", "resamplingAlgorithm", "blockxsize", "blockysize", "usePredictor")
_DTYPES = ("|u1", "|i1", "<u2", ">u2", "<i2", ">i2", "<f4", ">f4", "<f8", ">f8")
_ARRAY = ("dtype", "chunks", "order", "fill_value")


def build_output(
    delivery: Location,
    cut: Tiles | Features,
    formats: Mapping[str, str],
    setup: Setup | None,
    *,
    zarr: Any = None,
    deployment: str | None = None,
    **members: Any,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return ``output`` of a request, without credentials, and warnings.

    For ``members`` of rasters, see :data:`RASTER_MEMBERS`. ``zarr`` is for a group of arrays, named as the outputs.
    """
    template = RASTER if zarr is None else ZARR
    delivery.check("delivery", template=template, outputs=len(formats), needs_access=True, deployment=deployment)
    given = {name: value for name, value in members.items() if value is not None}
    if zarr is None:
        names = {member: name for name, member in RASTER_MEMBERS.items()}
        read = _read_raster({RASTER_MEMBERS[name]: value for name, value in given.items()}, formats, setup, names)
        return {"type": "raster", "delivery": delivery.to_json(), **read}, _warnings(delivery, read)
    for name in given:
        raise SentinelHubRequestError(f"{name} is of rasters; a Zarr group has no such thing.")
    if not isinstance(zarr, Mapping):
        raise SentinelHubRequestError(f"zarr is {zarr!r}. Give a mapping with arrayParameters.")
    if unknown := set(zarr) - {"group", "arrayParameters", "arrayOverrides"}:
        raise SentinelHubRequestError(
            f"zarr has {', '.join(sorted(map(str, unknown)))}. Give arrayParameters, arrayOverrides and group."
        )
    output = {"group": {"zarr_format": 2}, **zarr}
    _check_zarr(output, cut, tuple(formats), "zarr")
    return {"type": "zarr", "delivery": delivery.to_json(), **output}, _warnings(delivery, {}, is_zarr=True)


def read_output(
    output: Mapping[str, Any],
    keys: Keyring,
    formats: Mapping[str, str],
    setup: Setup | None,
    *,
    cut: Tiles | Features,
    deployment: str | None = None,
) -> tuple[dict[str, Any], Location, tuple[str, ...]]:
    """Check ``output`` of a request's JSON. Return it with its booleans read, the place of results, and warnings."""
    kind = output.get("type")
    if kind not in ("raster", "zarr"):
        raise SentinelHubRequestError(f"request: output.type is {kind!r}. Give 'raster' or 'zarr'.")
    location = read_location(
        output.get("delivery"),
        keys,
        field="request",
        path=("output", "delivery"),
        template=RASTER if kind == "raster" else ZARR,
        outputs=len(formats),
        needs_access=True,
        deployment=deployment,
    )
    if kind == "zarr":
        _check_zarr(output, cut, tuple(formats), "request: output")
        return dict(output), location, _warnings(location, {}, is_zarr=True)
    names = {member: f"request: output.{member}" for member in RASTER_MEMBERS.values()}
    output = _read_raster(output, formats, setup, names)
    return output, location, _warnings(location, output)


def _read_raster(
    given: Mapping[str, Any], formats: Mapping[str, str], setup: Setup | None, names: Mapping[str, str]
) -> dict[str, Any]:
    """Read the booleans of raster output, and check its members. ``names`` are their names in messages."""
    read = dict(given)
    for member in ("overwrite", "skipExisting", "cogOutput", "createCollection"):
        if read.get(member) is not None:
            read[member] = read_flag(read[member], names[member])
    is_cog, parameters = read.get("cogOutput", False), read.get("cogParameters")
    if is_cog:
        _check_cog(formats, setup, names["cogOutput"])
    if parameters is not None:
        _check_cog_parameters(parameters, is_cog=is_cog, name=names["cogParameters"], needs=names["cogOutput"])
        if parameters.get("usePredictor") is not None:
            predicts = read_flag(parameters["usePredictor"], names["cogParameters"], "usePredictor")
            read["cogParameters"] = {**parameters, "usePredictor": predicts}
    for member in ("createCollection", "collectionId"):
        if read.get(member) and not is_cog:
            _refuse(names[member], f"needs Cloud Optimized GeoTIFFs. Set {names['cogOutput']} to true.")
    return read


def _check_cog(formats: Mapping[str, str], setup: Setup | None, name: str) -> None:
    if others := [output for output, kind in formats.items() if kind != TIFF]:
        _refuse(name, f"needs TIFF of all outputs, but {', '.join(others)} has {formats[others[0]]}.")
    for output in () if setup is None else setup.outputs:
        if output.sample_type == "INT8" and output.id in formats:
            _refuse(name, f"cannot hold samples of INT8, which output {output.id!r} has. Take INT16.")


def _check_cog_parameters(parameters: Any, *, is_cog: bool, name: str, needs: str) -> None:
    if not is_cog:
        _refuse(name, f"is given, but {needs} is not true.")
    unknown = [each for each in parameters if each not in _COG] if isinstance(parameters, Mapping) else [parameters]
    if unknown:
        _refuse(name, f"has {', '.join(map(str, unknown))}. There are {', '.join(_COG)}.")
    method = parameters.get("resamplingAlgorithm", "average")
    if method not in _RESAMPLING:
        _refuse(name, f"has the resamplingAlgorithm {method!r}. Give one of {', '.join(_RESAMPLING)}.")


def _warnings(delivery: Location, given: Mapping[str, Any], *, is_zarr: bool = False) -> tuple[str, ...]:
    """Warn of a place where a second job finds the files of the first. It fails unless it may replace or skip them."""
    # Rasters get folders of their own below a folder without placeholders. A Zarr group is written directly into it.
    is_own_folder = "<requestId>" in delivery.url or ("<" not in delivery.url and not is_zarr)
    if is_own_folder or given.get("overwrite") or given.get("skipExisting"):
        return ()
    advice = "Put <requestId> into it" + ("." if is_zarr else ", or set overwrite or skip_existing.")
    return (
        f"delivery {delivery.url} has no <requestId>: a second job meets the files of the first and fails. {advice}",
    )


def _check_zarr(output: Mapping[str, Any], cut: Tiles | Features, outputs: Sequence[str], name: str) -> None:
    if isinstance(cut, Features) or cut.grid.crs == "UTM":
        what = "the features of a GeoPackage" if isinstance(cut, Features) else f"tiling grid {cut.grid}"
        _refuse(name, f"needs all tiles in one CRS, which {what} has not. Take a tiling grid of WGS84 or LAEA: 3, 6 "
                "or 7.")  # fmt: skip
    group = output.get("group")
    if not isinstance(group, Mapping) or group.get("zarr_format") != 2:
        _refuse(name, "must have group: {'zarr_format': 2}; there is no other version.")
    common = output.get("arrayParameters")
    overrides = output.get("arrayOverrides") or {}
    members = [common or {}, *overrides.values()] if isinstance(overrides, Mapping) else [overrides]
    if not all(isinstance(each, Mapping) for each in members):
        _refuse(name, "must have mappings as arrayParameters and arrayOverrides.")
    for array in overrides:
        if array not in outputs:
            _refuse(name, f"has arrayOverrides for {array!r}; the outputs are {', '.join(outputs)}.")
    for array in outputs:
        own = overrides.get(array) or {}
        _check_array({**(common or {}), **own}, array, cut, name)


def _check_array(parameters: Mapping[str, Any], array: str, cut: Tiles, name: str) -> None:
    missing = [member for member in _ARRAY if member not in parameters]
    if missing:
        _refuse(name, f"has no {', '.join(missing)} for array {array!r}. Give them in arrayParameters.")
    if parameters["dtype"] not in _DTYPES:
        _refuse(name, f"has dtype {parameters['dtype']!r} for array {array!r}. Give one of {', '.join(_DTYPES)}.")
    if parameters["order"] != "C":
        _refuse(name, f"has order {parameters['order']!r}; only 'C' is supported.")
    chunks = parameters["chunks"] if isinstance(parameters["chunks"], list | tuple) else ()
    sides = (1, cut.size.height, cut.size.width)
    divides = [
        type(chunk) is int and chunk > 0 and side % chunk == 0 for chunk, side in zip(chunks, sides, strict=False)
    ]
    if len(chunks) != 3 or not all(divides):
        _refuse(
            name,
            f"has chunks {parameters['chunks']!r} for array {array!r}. Give [1, y, x], where y and x divide the "
            f"{cut.size.height} x {cut.size.width} pixels of a tile, such as [1, {cut.size.height // 10}, "
            f"{cut.size.width // 10}].",
        )


def _refuse(name: str, what: str) -> NoReturn:
    raise SentinelHubRequestError(f"{name} {what}")
