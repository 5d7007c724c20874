"""Check a request and its answer against Sentinel Hub's own OpenAPI descriptions.

The descriptions lie in the folder that the environment variable ``SENTINELHUB_OPENAPI`` names, or beside the
repository, in ``../shared/spec``. Which of the two describes a request follows from
its path: the current scheme is that of services.sentinel-hub.com, the legacy one that of the Copernicus Data Space.

Where a description is wrong, the deviation stands in ``DEVIATIONS`` with its reason; the test run prints that list.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

from sentinelhub_provider.sandbox.gateway.ledger import Exchange

SPEC_FOLDER = Path(os.environ.get("SENTINELHUB_OPENAPI") or Path(__file__).parents[3] / "shared" / "spec")
CURRENT = "sentinel-hub.openapi.yaml"
LEGACY = "copernicus-data-space.openapi.yaml"
#: ``servers`` of the descriptions.
HOSTS = {CURRENT: "https://services.sentinel-hub.com", LEGACY: "https://sh.dataspace.copernicus.eu"}

BINARY = ("image/png", "image/jpeg", "image/tiff", "application/x-tar", "multipart/mixed")

Part = Literal["request", "response"]


@dataclass(frozen=True)
class Deviation:
    """Where a description is wrong: a problem that matches is none."""

    part: Part
    path: str
    """Regular expression of the whole path."""
    problem: str
    """Regular expression, searched for in the problem's text."""
    reason: str
    asked: str = ""
    """Regular expression, searched for in the request's query and body."""


_SEARCH = r".*/search"
_JOBS = r".*/(batch(/v\d)?/process|statistics/batch(/v1)?|async(/v1)?/process)(/[^/]+)?"
DEVIATIONS = [
    Deviation(
        "response",
        _SEARCH,
        r"\[code\] 400 is not of type 'string'",
        "An error's code is described as a word; the service was seen to answer 400 for a reversed time.",
    ),
    Deviation(
        "request",
        _SEARCH,
        r"\[filter\]",
        "Only CQL2 JSON is described for a search body, but the documentation shows CQL2 text there too, "
        "and filter-lang has it in its enumeration.",
        asked=r'"filter": ?"',
    ),
    Deviation(
        "response",
        _SEARCH,
        r"\[features",
        "Items of an answer must be complete, but the Fields extension is there to leave attributes out.",
        asked=r'"fields"|fields=',
    ),
    Deviation(
        "response",
        _SEARCH,
        r"\[features",
        "Results must be items, but with 'distinct' they are plain values.",
        asked=r'"distinct"|distinct=',
    ),
    Deviation(
        "request",
        _SEARCH,
        r"\[filter\].*is not valid under any of the given schemas",
        "An operand of a CQL2 comparison must be exactly one of a text and a number expression, but a property is "
        "both, so that no comparison with a property passes.",
        asked=r'"property"',
    ),
    Deviation(
        "request",
        r".*/(process|statistics)(/v1)?",
        r"\[input\.data\.\d+\].*is valid under each of.*BYOCDataset",
        "Exactly one kind of dataset must match, but that of BYOC takes any type, so that a dataset without filters of "
        "its own matches twice.",
    ),
    Deviation(
        "request",
        r".*/process(/v1)?",
        r"\[output\.responses\.\d+\.identifier\].*is not one of",
        "The placeholder '<identifier>' stands in the enumeration; what is meant is any name of an output.",
    ),
    Deviation(
        "request",
        _JOBS,
        r"\[(processRequest\.)?input\.data\.\d+\].*is valid under each of.*BYOCDataset",
        "Exactly one kind of dataset must match, but that of BYOC takes any type.",
    ),
    Deviation(
        "response",
        _JOBS,
        r"\[(data\.\d+\.)?(request\.)?(processRequest\.)?input\.data\.\d+\].*is valid under each of.*BYOCDataset",
        "The same, where the answer repeats the request.",
    ),
    Deviation(
        "request",
        _JOBS,
        r"\[(processRequest\.)?output\.responses\.\d+\.identifier\].*is not one of",
        "The placeholder '<identifier>' stands in the enumeration; what is meant is any name of an output.",
    ),
    Deviation(
        "response",
        _JOBS,
        r"\[(data\.\d+\.)?(request\.)?processRequest\.output\.responses\.\d+\.identifier\].*is not one of",
        "The same, where the answer repeats the request.",
    ),
    Deviation(
        "request",
        _JOBS,
        r"\[processRequest\.input\] 'bounds' is a required property",
        "Bounds are required, but the documentation says that they may be left out with a GeoPackage.",
        asked='"geopackage"',
    ),
    Deviation(
        "response",
        _JOBS,
        r"\[(data\.\d+\.)?(request\.)?processRequest\.input\] 'bounds' is a required property",
        "The same, where the answer repeats the request.",
    ),
    Deviation(
        "response",
        _JOBS,
        r"\[(data\.\d+\.)?(request\.)?output\].*'gs': \{'url': '[^']*'\}.*is not valid under any",
        "Credentials are required of a Google bucket, but an answer must not repeat them.",
    ),
    Deviation(
        "response",
        r".*/statistics/batch(/v1)?/[^/]+/stop",
        r"^status 400 is not described$",
        "A job that is over, or not begun, cannot be stopped; the reference lists 400 for analyse and start, and for "
        "this one in Batch Process.",
    ),
    Deviation(
        "request",
        r".*/statistics(/batch)?(/v1)?",
        r"percentiles\.k\.\d+\] \S+ is greater than the maximum of 1",
        "Percentiles are described as shares up to 1, but the documentation's examples and their answers have percent.",
    ),
    Deviation(
        "response",
        r".*/process(/v1)?",
        r"mimetype not found: application/tar\.",
        "An archive is described as application/x-tar only, but the text about the Accept header beside it has "
        "application/tar, too, and that is what the official client asks for.",
    ),
    Deviation(
        "response",
        r".*/statistics(/v1)?",
        r"\.stats\..*\] '(NaN|Infinity|-Infinity)' is not of type 'number'",
        "JSON has no number for what has no value, so that the service writes it as a string.",
    ),
    Deviation(
        "response",
        r".*/collections(/[^/]+)?",
        r"\[.*extent\.temporal\.interval\.\d+\.1\] None is not of type 'string'",
        "The open end of a temporal extent is null (STAC); the older description says so with 'nullable', a word that "
        "OpenAPI 3.1 does not have.",
    ),
    Deviation(
        "response",
        r".*",
        r"\[error\.errors\].*is not of type 'object'",
        "Details of an error are described as an object only, but Sentinel Hub's own BYOC tool reads lists of them "
        "too.",
    ),
    Deviation(
        "response",
        r".*",
        r"^status (401|403|404|405|413|415|429) is not described$",
        "Answers of the gateway in front of the services (token, permission, limits, method, media type) are listed "
        "for few operations or none.",
    ),
]
#: Requirements that are taken out of the descriptions as they are loaded: schema, field, reason.
MENDED = [
    (
        "BatchV2RasterOutput",
        "group",
        "A group is required of raster output, where there is no such field; it belongs to Zarr output.",
    ),
]
#: How often each deviation was met, by its place in the list.
met: Counter[int] = Counter()


class ContractError(AssertionError):
    """A request or an answer that its description does not allow."""


def described(path: str) -> bool:
    """Tell whether a path is in one of the descriptions; the token endpoints are not."""
    return _find(path) is not None


def check(exchange: Exchange, *, request: bool = True) -> None:
    """Raise ``ContractError`` unless the request (where asked for) and the answer are as described."""
    found = _find(exchange.path)
    if found is None:
        raise ContractError(f"{exchange.path} is in none of the descriptions")
    name, template = found
    spec = _load(name)
    asked = _request(exchange, HOSTS[name], template)
    given = MockResponse(
        exchange.response_body,
        status_code=exchange.status,
        headers=dict(exchange.response_headers),
        content_type=exchange.response_headers.get("content-type", ""),
    )
    problems: list[tuple[Part, str]] = []
    with warnings.catch_warnings():
        # The library knows no OAuth2; tokens are the sandbox's own tests' affair.
        warnings.filterwarnings("ignore", message="Unsupported scheme type")
        if request:
            problems += [("request", text) for text in _problems(lambda: spec.validate_request(asked), exchange)]
        problems += [("response", text) for text in _problems(lambda: spec.validate_response(asked, given), exchange)]
    left = [f"{part}: {text}" for part, text in problems if not _is_known(part, text, exchange)]
    if left:
        raise ContractError(f"{exchange.method} {exchange.path} -> {exchange.status}\n" + "\n".join(left))


def report() -> Iterator[str]:
    """Yield the list of deviations as lines, with how often each was met."""
    for index, deviation in enumerate(DEVIATIONS):
        yield f"{deviation.part} {deviation.path} ({met[index]} times): {deviation.reason}"
    for schema, name, reason in MENDED:
        yield f"schema {schema}, {name} (mended): {reason}"


def _is_known(part: Part, problem: str, exchange: Exchange) -> bool:
    asked = exchange.query + exchange.request_body.decode("utf-8", "replace")
    for index, deviation in enumerate(DEVIATIONS):
        if (
            deviation.part == part
            and re.fullmatch(deviation.path, exchange.path)
            and re.search(deviation.problem, problem)
            and re.search(deviation.asked, asked)
        ):
            met[index] += 1
            return True
    return False


def _problems(validate: Any, exchange: Exchange) -> list[str]:
    try:
        validate()
    except OpenAPIError as error:
        if type(error).__name__ == "ResponseNotFound":
            return [f"status {exchange.status} is not described"]
        return list(_texts(error))
    return []


def _texts(error: BaseException) -> Iterator[str]:
    """Name each fault with its place instead of printing whole bodies."""
    cause: BaseException | None = error
    while cause is not None:
        schema_errors = list(getattr(cause, "schema_errors", ()))
        if schema_errors:
            for fault in schema_errors:
                place = ".".join(str(step) for step in fault.absolute_path)
                yield f"[{place}] {fault.message[:1000]}"
            return
        cause = cause.__cause__
    yield str(error)[:300]


def _request(exchange: Exchange, host: str, template: str) -> MockRequest:
    from urllib.parse import parse_qs

    names = re.findall(r"{(\w+)}", template)
    match = re.fullmatch(re.sub(r"{\w+}", "([^/]+)", template), exchange.path)
    assert match is not None
    return MockRequest(
        host,
        exchange.method.lower(),
        exchange.path,
        view_args=dict(zip(names, match.groups(), strict=True)),
        args=parse_qs(exchange.query),
        headers=dict(exchange.request_headers),
        data=exchange.request_body or None,
        content_type=exchange.request_headers.get("content-type", ""),
    )


@cache
def _load(name: str) -> OpenAPI:
    text = (SPEC_FOLDER / name).read_text(encoding="utf-8")
    data = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for schema, field, _ in MENDED:
        data["components"]["schemas"][schema]["required"].remove(field)
    config = Config(
        spec_validator_cls=None,
        extra_media_type_deserializers={
            "application/geo+json": json.loads,
            "application/schema+json": json.loads,
            # Files are described as strings: any byte is a character of Latin-1.
            **dict.fromkeys(BINARY, lambda content: content.decode("latin-1")),
        },
    )
    return OpenAPI.from_dict(data, config=config)


def _paths(name: str) -> list[str]:
    return list((_load(name).spec / "paths").keys())


def operations() -> Iterator[tuple[str, set[str]]]:
    """Yield each path of both descriptions with its methods."""
    for name in (CURRENT, LEGACY):
        for template in _paths(name):
            methods = (_load(name).spec / "paths" / template).keys()
            yield str(template), {"get", "post", "put", "delete", "patch"} & set(map(str, methods))


@cache
def _templates() -> list[tuple[str, str]]:
    # A fixed segment comes before a parameter in the same place.
    pairs = [(name, str(template)) for name in (CURRENT, LEGACY) for template in _paths(name)]
    return sorted(pairs, key=lambda pair: pair[1].count("{"))


@cache
def _find(path: str) -> tuple[str, str] | None:
    for name, template in _templates():
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            return name, template
    return None
