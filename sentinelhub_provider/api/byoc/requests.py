"""Requests for BYOC collections, which hold a user's own files (API reference and documentation page "BYOC API")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sentinelhub_provider.api.processing_units import INGESTION, Estimate, Factor
from sentinelhub_provider.api.values import read_number, read_whole_number, shortened
from sentinelhub_provider.exceptions import SentinelHubRequestError, SentinelHubResponseError

COLLECTIONS: Final = "/byoc/v1/collections"  # Endpoint of all collections
PAGE_SIZE: Final = 100  # Items on a page of a list, the most that the API allows
MAX_BANDS: Final = 100
BIT_DEPTHS: Final = (8, 16, 32)
SAMPLE_FORMATS: Final = ("UINT", "INT", "FLOAT")
_PREFIX: Final = "byoc-"
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SAMPLE_TYPE: Final = re.compile(r"(UINT|INT|FLOAT)(8|16|32)", re.IGNORECASE)
_BAND_FIELDS: Final = ("bitDepth", "sampleFormat", "bandIndex", "source", "noData")
_JAVASCRIPT_NAME: Final = re.compile(r"[^\W\d][\w$]*|\$[\w$]*")

_Data = TypeVar("_Data", dict[str, Any], list[Any])


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection that exists, with a UUID as ``id``, or one to create, with an empty ``id``.

    ``bands`` are in the API's form. Without them, the first tile defines the bands.
    """

    id: str
    name: str
    s3_bucket: str
    no_data: float | None = None
    bands: Mapping[str, Mapping[str, Any]] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        """The request that creates it."""
        body: dict[str, Any] = {"name": self.name, "s3Bucket": self.s3_bucket}
        if self.no_data is not None:
            body["noData"] = self.no_data
        if self.bands is not None:
            body["additionalData"] = {"bands": {name: dict(band) for name, band in self.bands.items()}}
        return body


def read_collection_id(value: Any, field: str = "collection_id") -> str:
    """Read a collection's id, with or without the prefix ``byoc-`` that other APIs need."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if not _UUID.fullmatch(text.removeprefix(_PREFIX)):
        raise SentinelHubRequestError(
            f"{field} is {value!r}. Give the id of a BYOC collection, such as 12345678-1234-1234-1234-123456789abc, "
            "with or without 'byoc-' in front."
        )
    return text.removeprefix(_PREFIX)


def data_type(collection_id: str) -> str:
    """Return a collection's name in Process, Statistical and Catalog requests."""
    return f"{_PREFIX}{collection_id}"


def collection_endpoint(collection_id: str) -> str:
    """Return the endpoint of one collection."""
    return f"{COLLECTIONS}/{collection_id}"


def data_of(document: Any, kind: type[_Data]) -> _Data:
    """Return the item (``dict``) or page (``list``) in a BYOC answer, or raise :class:`SentinelHubResponseError`."""
    data = document.get("data") if isinstance(document, Mapping) else None
    if not isinstance(data, kind):
        raise SentinelHubResponseError(f"The BYOC API answered with JSON whose 'data' is not a {kind.__name__}.")
    return data


def build_collection(*, name: Any, s3_bucket: Any, no_data: Any = None, bands: Any = None) -> Collection:
    """Check the members of a new collection. Each band is in the API's form, or a word such as ``uint16``."""
    bucket = _text(s3_bucket, "s3_bucket")
    if "/" in bucket or ":" in bucket:
        raise SentinelHubRequestError(
            f"s3_bucket is {s3_bucket!r}. Give the bucket's name alone, without s3:// and without a path."
        )
    value = None if no_data is None else read_number(no_data, "no_data")
    described = None if bands is None else _bands(bands)
    if value is not None and any("noData" in band for band in (described or {}).values()):
        raise SentinelHubRequestError("no_data is given, and noData of single bands too. Give one of the two.")
    warnings = tuple(
        f"band {band!r} is no JavaScript name, so that evalscripts can hardly read it"
        for band in described or {}
        if not _JAVASCRIPT_NAME.fullmatch(band)
    )
    return Collection("", _text(name, "name"), bucket, value, described, warnings)


def read_collection(document: Any) -> Collection:
    """Read a collection as the API writes it. Raises :class:`SentinelHubResponseError` for anything else."""
    if not isinstance(document, Mapping) or not _UUID.fullmatch(str(document.get("id"))):
        raise SentinelHubResponseError("The BYOC API answered with a collection that has no id.")
    additional = document.get("additionalData")
    bands = additional.get("bands") if isinstance(additional, Mapping) else None
    return Collection(
        str(document["id"]),
        str(document.get("name")),
        str(document.get("s3Bucket")),
        document.get("noData"),
        bands if isinstance(bands, Mapping) else None,
    )


def named(collections: Iterable[Collection], name: str) -> Collection | None:
    """Find the collection of exactly that name. Raise if there are several."""
    found = [collection for collection in collections if collection.name == name]
    if len(found) > 1:
        ids = ", ".join(collection.id for collection in found)
        raise SentinelHubRequestError(
            f"name {name!r} is that of {len(found)} collections: {ids}. Rename or delete all but one, or use one by "
            "its id."
        )
    return found[0] if found else None


def check_same(found: Collection, wanted: Collection) -> None:
    """Refuse an existing collection that differs from the wanted one."""
    for argument, is_, shall in (
        ("s3_bucket", found.s3_bucket, wanted.s3_bucket),
        ("no_data", found.no_data, found.no_data if wanted.no_data is None else wanted.no_data),
        ("bands", _comparable(found.bands), _comparable(found.bands if wanted.bands is None else wanted.bands)),
    ):
        if is_ != shall:
            raise SentinelHubRequestError(
                f"{argument}: the collection {found.name!r} is there already ({found.id}), with {is_!r} instead of "
                f"{shall!r}. Change {argument}, take another name, or delete that collection."
            )


def estimate_requests(count: int) -> Estimate:
    """Return the cost of ``count`` requests to the BYOC API other than GET."""
    if count == 0:
        return Estimate(0.0)
    return Estimate(count * INGESTION, (Factor("request", INGESTION, "other than GET"),), count, INGESTION)


def _bands(bands: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(bands, Mapping) or not bands or len(bands) > MAX_BANDS:
        raise SentinelHubRequestError(
            f"bands is {shortened(repr(bands), 80)}. Give 1 to {MAX_BANDS} bands by name, such as "
            "{'B04': 'uint16'}, or leave it out to take them from the first tile."
        )
    return {_text(name, "bands"): _band(name, band) for name, band in bands.items()}


def _band(name: str, band: Any) -> dict[str, Any]:
    where = f"bands[{name!r}]"
    if isinstance(band, str):
        match = _SAMPLE_TYPE.fullmatch(band.strip())
        if match is None or (match[1].upper() == "FLOAT" and match[2] != "32"):
            raise SentinelHubRequestError(
                f"{where} is {band!r}. Give uint8, uint16, uint32, int8, int16, int32 or float32."
            )
        return {"bitDepth": int(match[2]), "sampleFormat": match[1].upper()}
    if not isinstance(band, Mapping):
        raise SentinelHubRequestError(f"{where} is {band!r}. Give a word such as 'uint16', or a dict.")
    for key, known in (("bitDepth", BIT_DEPTHS), ("sampleFormat", SAMPLE_FORMATS)):
        if band.get(key) not in known:
            raise SentinelHubRequestError(
                f"{where}: {key} is {band.get(key)!r}. Give one of {', '.join(map(str, known))}."
            )
    unknown = [key for key in band if key not in _BAND_FIELDS]
    if unknown:
        raise SentinelHubRequestError(
            f"{where} has {unknown[0]!r}, which no band has. There are {', '.join(_BAND_FIELDS)}."
        )
    read: dict[str, float] = {
        "bandIndex": read_whole_number(band.get("bandIndex", 1), "bands", name=f"{where}: bandIndex")
    }
    if "noData" in band:
        read["noData"] = read_number(band["noData"], "bands", name=f"{where}: noData")
    return {**band, **{name: value for name, value in read.items() if name in band}}


def _comparable(bands: Mapping[str, Mapping[str, Any]] | None) -> dict[str, dict[str, Any]]:
    """Return bands with the API's defaults, and only with the members that users may set."""
    return {
        name: {"bandIndex": 1, "source": name}
        | {key: value for key, value in band.items() if key in _BAND_FIELDS and value is not None}
        for name, band in (bands or {}).items()
    }


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SentinelHubRequestError(f"{field} is {value!r}. Give a text that is not empty.")
    return value.strip()
