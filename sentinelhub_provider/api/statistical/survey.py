"""Builds one statistical request for many areas, and fills it in for each of them.

The common part (evalscript, collections, time, calculations) is checked with the first good area. Each further
one costs only the checks of its own bounds and size. The survey of the whole set before anything is sent tells which
areas are unusable and why, and the cost of the others.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

from sentinelhub_provider.api.arguments import StatisticsArguments
from sentinelhub_provider.api.datasets import Checks, member
from sentinelhub_provider.api.geo.bounds import SIZES, Bounds, Size, check_side, parse_bounds, parse_size, read_size
from sentinelhub_provider.api.geo.crs import Crs, check_named_crs
from sentinelhub_provider.api.geo.geometry import Feature
from sentinelhub_provider.api.processing_units import Estimate, check_budget, total
from sentinelhub_provider.api.statistical.request import (
    StatisticalRequest,
    build_statistical_request,
    read_statistical_request,
)
from sentinelhub_provider.api.statistical.table import joined_kind
from sentinelhub_provider.exceptions import SentinelHubRequestError

OF_AN_AREA = ("bbox", "geometry", "width", "height", "resolution")  # Arguments whose errors may lie in one area alone


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """The common part of the requests of all areas.

    ``wanted`` says the size, else a plain request does. ``crs`` is that of areas that do not name their own.
    """

    example: StatisticalRequest
    wanted: StatisticsArguments | None = None
    crs: Any = None

    def for_feature(self, feature: Feature) -> StatisticalRequest:
        """Return the request of an area."""
        bounds, size = self.area_of(feature)
        if bounds is self.example.bounds:
            return self.example
        return replace(self.example, body=self._body(bounds, size), bounds=bounds, size=size, warnings=bounds.warnings)

    def area_of(self, feature: Feature) -> tuple[Bounds, Size]:
        """Return the checked bounds and size of an area, which its cost depends on."""
        if feature.geometry is None and feature.bbox is None:
            return self.example.bounds, self.example.size
        bounds = parse_bounds(bbox=feature.bbox, geometry=feature.geometry, crs=self.crs)
        if (wanted := self.wanted) is not None:
            size = parse_size(bounds, width=wanted.width, height=wanted.height, resolution=wanted.resolution)
        else:
            size = read_size(self.example.body["aggregation"], bounds, path="aggregation")
            check_side(size, field="resolution")
        self.example.datasets.check_resolution(bounds, size, "resolution")
        return bounds, size

    def _body(self, bounds: Bounds | None, size: Size | None) -> dict[str, Any]:
        """Return the body for an area, or without one the part that all share."""
        body = self.example.body
        given = {name: value for name, value in body["input"].items() if name != "bounds"}
        aggregation = {name: value for name, value in body["aggregation"].items() if name not in SIZES}
        return {
            **body,
            "input": given if bounds is None else {**given, "bounds": bounds.to_json()},
            "aggregation": aggregation if size is None else {**aggregation, **size.to_json()},
        }

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of what is common to all areas."""
        text = json.dumps(self._body(None, None), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def area_key(bounds: Bounds, size: Size) -> str:
    """Return a digest of a request's bounds and size, which differ from others of its template."""
    return hashlib.sha256(bounds.key + repr(size).encode()).hexdigest()[:24]


def template_of_arguments(
    wanted: StatisticsArguments, feature: Feature, *, crs: Any = None, **checks: Any
) -> RequestTemplate:
    """Build the template from arguments, and check it with a first area. ``checks`` are ``deployment`` and ``now``."""
    example = build_statistical_request(wanted, bbox=feature.bbox, geometry=feature.geometry, crs=crs, **checks)
    return RequestTemplate(example, wanted, crs)


def template_of_request(body: Any, feature: Feature, *, crs: Any = None, **checks: Unpack[Checks]) -> RequestTemplate:
    """Make the template of a request's JSON, whose bounds, but for their CRS, give way to those of each area."""
    given = member(body, "input")
    bounds = given.get("bounds")
    properties = bounds.get("properties") if isinstance(bounds, Mapping) else None
    crs = crs or (properties.get("crs") if isinstance(properties, Mapping) else None)
    if feature.geometry is not None or feature.bbox is not None:
        area = parse_bounds(bbox=feature.bbox, geometry=feature.geometry, crs=crs)
        body = {**body, "input": {**given, "bounds": area.to_json()}}
    return RequestTemplate(read_statistical_request(body, **checks), crs=crs)


@dataclass(frozen=True, slots=True)
class Problem:
    """A feature without an answer. ``message`` says why, and ``is_final`` whether a repetition cannot help."""

    id: int | str
    message: str
    is_final: bool = True

    def __str__(self) -> str:
        return f"feature {self.id!r}: {self.message}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as results show it."""
        return {"feature_id": self.id, "error": self.message}


@dataclass(slots=True)
class Survey:
    """The findings before anything is sent, with a digest of each usable feature, and the problems of the others."""

    template: RequestTemplate
    keys: dict[int, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    estimate: Estimate | None = None
    largest: Estimate | None = None
    warnings: dict[str, None] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)

    def of_use(self, features: Iterable[Feature]) -> Iterator[tuple[Feature, str]]:
        """Yield the usable features, each with its key, in order."""
        for feature in features:
            key = self.keys.get(feature.number)
            if key is not None:
                yield feature, key

    @property
    def usable(self) -> int:
        """How many features can be requested."""
        return len(self.keys)

    def count_cost(self, sizes: Mapping[Size, int], samples: float) -> None:
        """Estimate the cost of so many features with a raster of each size."""
        example = self.template.example
        intervals = len(example.intervals)
        each = {size: replace(example, size=size).estimate(samples=samples, intervals=intervals) for size in sizes}
        known = {size: one for size, one in each.items() if one is not None}
        if known:
            self.estimate = total(one.repeated(sizes[size]) for size, one in known.items())
            self.largest = max(known.values(), key=lambda one: one.processing_units)

    def check_budget(self, max_processing_units: float | None) -> None:
        """Refuse what would cost more than it may. Raises :class:`SentinelHubBudgetError` with the arithmetic."""
        if max_processing_units is None:
            return
        if self.estimate is None or self.largest is None:
            raise SentinelHubRequestError(
                "max_processing_units needs an estimate, but the evalscript's setup() is not one plain literal, so its "
                "bands cannot be told. Write setup() as 'return {input: [...], output: [...]};', or leave "
                "max_processing_units out."
            )
        dearest = "" if self.usable == 1 else f" for the largest of {self.usable:,} features"
        advice = "Take a coarser resolution, fewer bands, features or intervals"
        arithmetic = f"{dearest}: {self.largest.explanation}"
        check_budget(self.estimate, max_processing_units, advice=advice, arithmetic=arithmetic)


def survey(
    features: Iterable[Feature],
    make_template: Callable[[Feature], RequestTemplate],
    *,
    crs: Any = None,
    named: Crs | None = None,
    samples: float = 1,
    is_one_area: bool = False,
) -> Survey:
    """Check all features before anything is sent. ``named`` is their own CRS. ``is_one_area`` is for an argument's."""
    check_named_crs(named, crs)
    found: Survey | None = None
    problems: list[Problem] = []
    sizes: Counter[Size] = Counter()
    seen: set[str] = set()
    kinds: dict[str, str | None] = {}
    for feature in features:
        for name, value in feature.properties.items():
            kinds[name] = joined_kind(kinds.get(name), value)
        problem = _fault(feature, seen)
        if problem is None:
            try:
                if found is None:
                    found = Survey(make_template(feature))
                    found.warnings.update(dict.fromkeys(found.template.example.time.warnings))
                bounds, size = found.template.area_of(feature)
                found.keys[feature.number] = area_key(bounds, size)
                found.warnings.update(dict.fromkeys(bounds.warnings))
                sizes[size] += 1
            except SentinelHubRequestError as error:
                if is_one_area or (found is None and error.field not in OF_AN_AREA):
                    raise
                problem = str(error)
        if problem is not None:
            problems.append(Problem(feature.id, problem))
    if found is None:
        raise SentinelHubRequestError(f"no feature is usable. {problems[0]}", field="features")
    found.problems = problems
    found.properties = {name: kind or "unknown" for name, kind in kinds.items()}
    found.count_cost(sizes, samples)
    return found


def _fault(feature: Feature, seen: set[str]) -> str | None:
    if feature.problem is not None:
        return feature.problem
    if str(feature.id) in seen:
        return "another feature has the same id; choose a property that tells them apart with id_property"
    seen.add(str(feature.id))
    return None
