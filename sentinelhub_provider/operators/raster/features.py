"""A picture of each of many features in one task. All are checked and priced before the first request is sent.

Earlier pictures of the same request stay, so a retry of the task requests only the missing ones. Features are read
twice, and only those under way are in memory.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.datasets import member
from sentinelhub_provider.api.geo.bounds import Bounds, Size, parse_bounds, parse_size, read_size
from sentinelhub_provider.api.geo.geometry import Feature, Geometry, buffered
from sentinelhub_provider.api.process import ProcessRequest, build_process_request, read_process_request
from sentinelhub_provider.api.processing_units import total
from sentinelhub_provider.api.statistical.survey import OF_AN_AREA, Problem
from sentinelhub_provider.api.values import read_flag, read_number
from sentinelhub_provider.exceptions import (
    SentinelHubBadRequestError,
    SentinelHubError,
    SentinelHubRateLimitError,
    SentinelHubRequestError,
    SentinelHubResponseError,
)
from sentinelhub_provider.operators.arguments import MAX_XCOM_SIZE, features_of, number_of
from sentinelhub_provider.operators.feature_statistics.feature_requests import (
    MOST_FAILURES_IN_A_ROW,
    is_of_one_feature,
)
from sentinelhub_provider.operators.raster.items import Items
from sentinelhub_provider.operators.raster.pictures import OUTPUT_FIELD, PictureOperator, refuse_what_is_there
from sentinelhub_provider.operators.raster.tiled import fetch_tiles

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.features import Features
    from sentinelhub_provider.transport.download import Download

FEATURE_FIELD = "{feature_id}"
"""Stands in ``output_path`` for the identifier of each feature."""

NAMED = 20  # problems that an error names
SHOWN = 100  # problems that the result lists
NAME_SIZE = 220  # bytes of a file's name; disks take 255, and the item's name needs some of them
PUBLISHED = 2_000  # pictures that are added to the Collection at a time


@dataclass(frozen=True, slots=True)
class Picture:
    """One feature's picture: its output's identifier, and the path of its file."""

    feature: Feature
    output: str
    path: str

    @property
    def paths(self) -> dict[str, str]:
        """The path of its one output."""
        return {self.output: self.path}

    @property
    def name(self) -> str:
        """The feature's identifier, for messages."""
        return str(self.feature.id)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A picture's request and file. ``size``: bytes. ``stored``: ``None`` if the file existed before."""

    request: ProcessRequest
    size: int
    sha256: str
    stored: Download | None = None


class FeaturePictures:
    """One execution of the Process operator with ``features``."""

    def __init__(self, operator: PictureOperator, context: Context, items: Items) -> None:
        self._operator, self._context, self._items = operator, context, items
        self._path = str(operator.output_path)
        self._example: ProcessRequest | None = None
        self._problems: list[Problem] = []
        self._unusable: set[int] = set()
        self._made: list[dict[str, Any]] = []
        self._done = self._skipped = self._in_a_row = 0
        self._are_all_begun = False

    def result(self) -> dict[str, Any]:
        """Fetch the missing pictures, and return the task's result."""
        operator = self._operator
        self._check()
        with features_of(operator) as features:
            estimate = self._survey(features)
            operator.check_estimate(self._context, estimate)
            operator.hook.get_conn()  # before the threads, which share it
            arrivals = fetch_tiles(
                self._pictures(features),
                partial(self._fetch, features),
                concurrency=operator.concurrency,
                attempts=operator.tile_attempts,
                is_hopeless=self._is_hopeless,
                on_lost=self._lost,
                finish=self._describe,
                what="the picture of",
            )
            try:
                for picture, fetched in arrivals:
                    self._count(picture, fetched)
            finally:
                self._items.publish()
        return self._judged(estimate)

    def _check(self) -> None:
        """Refuse arguments that cannot work, or that do not go together."""
        operator = self._operator
        self._buffer = 0.0 if operator.buffer is None else read_number(operator.buffer, "buffer")
        self._clip = read_flag(operator.clip, "clip")
        if isinstance(operator.output_path, Mapping):
            raise SentinelHubRequestError(
                f"output_path has a path for each output. For many features, give one path with {FEATURE_FIELD} in it."
            )
        if FEATURE_FIELD not in self._path:
            raise SentinelHubRequestError(
                f"output_path is {self._path!r}, for many features. Put {FEATURE_FIELD} into it, such as "
                "'/data/{feature_id}.png'."
            )
        for name in ("bbox", "geometry"):
            if getattr(operator, name) is not None:
                raise SentinelHubRequestError(f"{name} is given, and features too. Give one of them.")
        if operator.on_empty != "succeed":
            raise SentinelHubRequestError("on_empty has to be 'succeed' with features.")
        if not self._items.are_kept:
            raise SentinelHubRequestError(
                "stac is false, but a retry needs items to go on. Give a folder for them, or leave it out."
            )

    # --- before anything is sent -------------------------------------------------------------------------------------

    def _survey(self, features: Features) -> Estimate | None:
        """Check all features, and estimate what all of their pictures cost."""
        self._body = self._operator.whole_request(self._context)
        sizes, seen = Counter[Size](), set[str]()
        for feature in features:
            problem = feature.problem
            if problem is None and str(feature.id) in seen:
                problem = "another feature has the same id. Choose a unique property with id_property"
            seen.add(str(feature.id))
            if problem is None:
                try:
                    size = self._request_of(feature, features).size
                    self._check_path(self._path_of(feature))
                    sizes[size] += 1
                except SentinelHubRequestError as error:
                    if self._example is None and error.field not in OF_AN_AREA:
                        raise
                    problem = str(error)
            if problem is not None:
                self._unusable.add(feature.number)
                self._problems.append(Problem(feature.id, problem))
        if self._example is None:
            raise SentinelHubRequestError(f"no feature is usable. {self._problems[0]}", field="features")
        if self._problems and self._operator.on_error == "fail":
            raise SentinelHubRequestError(
                f"{_listed(self._problems)}. Nothing was sent. Repair them, or request pictures of the others with "
                "on_error='skip'.",
                field="features",
            )
        self._operator.log.info("pictures of %d features; the first: %s", sizes.total(), self._example)
        self._operator.time_range_sent = self._example.datasets.time_range
        self._operator.request_sent = self._example.body
        samples, each = self._operator.sample_count, []
        for size, count in sizes.items():
            one = replace(self._example, size=size).estimate(samples=samples)
            if one is None:
                return None
            each.append(one.repeated(count))
        return total(each)

    def _request_of(self, feature: Feature, features: Features) -> ProcessRequest:
        """Return the request of a feature. The first good one also checks the common arguments."""
        operator = self._operator
        crs = operator.crs if operator.crs is not None else features.crs
        bounds = self._bounds_of(parse_bounds(geometry=feature.geometry, crs=crs))
        body = self._body
        if self._example is None:
            if body is not None:
                given = {**body, "input": {**member(body, "input"), "bounds": bounds.to_json()}}
                self._example = read_process_request(given, **operator.checks)
            else:
                box = list(bounds.box) if bounds.has_bbox else None
                wanted = operator.wanted(self._context)
                wanted = replace(wanted, bbox=box, geometry=bounds.geometry, crs=bounds.crs)
                self._example = build_process_request(wanted, **operator.checks)
            if len(self._example.formats) > 1:
                raise SentinelHubRequestError("outputs: a feature has one picture. Ask for one output.")
        if body is not None:
            size = read_size(body.get("output") or {}, bounds)
        else:
            sides = {name: operator.structured(name) for name in ("width", "height", "resolution")}
            size = parse_size(bounds, **sides)
        self._example.datasets.check_resolution(bounds, size, "resolution")
        return self._example.of_area(bounds, size)

    def _path_of(self, feature: Feature) -> str:
        assert self._example is not None  # noqa: S101 - the feature's request comes first
        path = self._path.replace(OUTPUT_FIELD, next(iter(self._example.formats)))
        return path.replace(FEATURE_FIELD, _file_name(feature.id))

    def _check_path(self, path: str) -> None:
        """Check that a picture can be stored there, before anything is paid for."""
        size = max(len(part.encode()) for part in path.split("/"))
        if size > NAME_SIZE:
            raise SentinelHubRequestError(
                f"its id makes a file's name of {size} bytes, but at most {NAME_SIZE} are possible"
            )
        if self._operator.if_exists == "fail":
            name = next(iter(self._example.formats)) if self._example is not None else ""
            refuse_what_is_there(self._items, path, self._items.read({name: path}))

    def _bounds_of(self, bounds: Bounds) -> Bounds:
        """Return an area with the buffer around it, or without clipping the box around it."""
        assert bounds.geometry is not None  # noqa: S101 - it was read from one
        if self._buffer:
            shape = buffered(bounds.geometry.shape, bounds.crs, self._buffer)
            if shape.is_empty:
                raise SentinelHubRequestError(f"buffer={self._buffer:g} leaves nothing of it.", field="geometry")
            bounds = parse_bounds(geometry=Geometry(shape, bounds.crs))  # it may now cross the antimeridian
        return bounds if self._clip else replace(bounds, geometry=None, has_bbox=True)

    # --- the pictures ------------------------------------------------------------------------------------------------

    def _pictures(self, features: Features) -> Iterator[Picture]:
        """Yield the pictures of all usable features."""
        assert self._example is not None  # noqa: S101 - the survey found a usable feature
        (output,) = self._example.formats
        for feature in features:
            if feature.number not in self._unusable:
                yield Picture(feature, output, self._path_of(feature))
        self._are_all_begun = True

    def _fetch(self, features: Features, picture: Picture) -> Fetched:
        """Fetch a picture, unless this request made it before. Threads call this, so it changes nothing in here."""
        request = self._request_of(picture.feature, features)
        made = self._items.read(picture.paths)
        if made is not None and self._items.is_of_request(made, request.digest):
            self._items.keep(made)
            (output,) = made.outputs.values()
            return Fetched(request, output["size"], output["sha256"])
        self._items.check()
        self._items.drop(picture.paths)
        stored = self._operator.download_picture(request, picture.path)
        return Fetched(request, stored.size, stored.sha256, stored)

    def _describe(self, picture: Picture, fetched: Fetched) -> None:
        if fetched.stored is not None:
            self._items.write(
                fetched.request,
                picture.paths,
                {picture.output: fetched.stored},
                fetched.request.digest,
                cost=fetched.stored.processing_units,
                with_statistics=False,  # thousands of files would have to be opened once more
                feature_id=picture.feature.id,
            )

    def _is_hopeless(self, error: SentinelHubError) -> bool:
        if self._operator.deferrable and isinstance(error, SentinelHubRateLimitError):
            return True
        # Once all had a turn, the repeated ones fail in a row, which says nothing about the service.
        self._in_a_row += not self._are_all_begun
        return not is_of_one_feature(error) or self._in_a_row >= MOST_FAILURES_IN_A_ROW

    def _lost(self, picture: Picture, error: SentinelHubError) -> None:
        self._problems.append(Problem(picture.feature.id, str(error), error.final))

    def _count(self, picture: Picture, fetched: Fetched) -> None:
        is_old = fetched.stored is None
        if not is_old:
            self._in_a_row = 0
        self._skipped += is_old
        self._done += 1
        told = {"feature_id": picture.name, "path": picture.path, "size": fetched.size, "sha256": fetched.sha256}
        self._made.append({**told, "skipped": is_old})
        if self._done % PUBLISHED == 0:
            self._items.publish()
        if self._done % 500 == 0:
            self._operator.log.info("%d pictures are there, %d features failed", self._done, len(self._problems))

    def _judged(self, estimate: Estimate | None) -> dict[str, Any]:
        """Return the result. Raise if a feature has no picture and ``on_error`` says so."""
        problems = sorted(self._problems, key=lambda problem: str(problem.id))
        for problem in problems[:SHOWN]:
            self._operator.log.warning("no picture of %s", problem)
        if len(problems) > SHOWN:
            self._operator.log.warning("... and of %d features more", len(problems) - SHOWN)
        if not self._done or (problems and self._operator.on_error == "fail"):
            message = f"{_listed(problems)}. The others are there, and a next attempt requests only what is missing."
            is_final = all(problem.is_final for problem in problems)
            raise (SentinelHubBadRequestError if is_final else SentinelHubResponseError)(message)
        self._operator.log.info(
            "%d pictures are at %s: %d made, %d already there; %d features failed",
            *(self._done, self._path, self._done - self._skipped, self._skipped, len(problems)),
        )
        is_small = len(json.dumps(self._made)) <= MAX_XCOM_SIZE
        return {
            "path": self._path,
            "collection": self._items.collection,
            "features": self._done,
            "skipped": self._skipped,
            "failed": len(problems),
            "failed_features": [problem.to_dict() for problem in problems[:SHOWN]],
            "pictures": self._made if is_small else None,
            "processing_units": self._operator.spent if self._done > self._skipped else 0.0,
            "estimated_processing_units": None if estimate is None else estimate.processing_units,
        }


def _file_name(identifier: Any) -> str:
    """Return an identifier as a part of a file's name. Characters that no name may have are percent-encoded.

    The same holds for characters that end the path in a link, for dots alone, and for a leading tilde, which would lead
    to another folder.
    """
    name = re.sub(r"[%/\\#?\x00-\x1f\ud800-\udfff]|^~", lambda found: f"%{ord(found.group()):02X}", str(identifier))
    return name if name.strip(".") else name.replace(".", "%2E")


def _listed(problems: Iterable[Problem]) -> str:
    listed = list(problems)
    shown = "; ".join(str(problem).rstrip(".") for problem in listed[:NAMED])
    more = f"; and {len(listed) - NAMED:,} more" if len(listed) > NAMED else ""
    return f"{number_of(len(listed), 'feature')} without a picture: {shown}{more}"
