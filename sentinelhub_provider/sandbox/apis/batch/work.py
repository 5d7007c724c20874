"""The work of a Batch Process job. It analyses the request and then renders each feature as Process does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.batch.bodies import BatchRequest, FeaturesInput
from sentinelhub_provider.sandbox.apis.batch.cog import to_cog
from sentinelhub_provider.sandbox.apis.batch.manifest import write_execution, write_manifest
from sentinelhub_provider.sandbox.apis.batch.plan import Target, check_script, divide
from sentinelhub_provider.sandbox.apis.jobs.costs import BATCH_FACTOR, discounted
from sentinelhub_provider.sandbox.apis.jobs.model import JobError, Outcome, Part
from sentinelhub_provider.sandbox.apis.jobs.work import StoredWork, unpacked
from sentinelhub_provider.sandbox.apis.process.formats import TAR
from sentinelhub_provider.sandbox.apis.process.mosaic import Scenes
from sentinelhub_provider.sandbox.apis.process.render import process
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.delivery.geopackage import read_features
from sentinelhub_provider.sandbox.world.delivery.locations import Location
from sentinelhub_provider.sandbox.world.delivery.stores import DeliveryError
from sentinelhub_provider.sandbox.world.evalscripts.contract import Setup
from sentinelhub_provider.sandbox.world.grid import Grid

MAX_PIXELS: Final = 50_000_000
"""Most pixels that a job renders, in some minutes. The limit is the sandbox's own."""

MAX_TILE_SIDE: Final = 10_200
"""Side in pixels of a tile of 1 degree at the finest resolution, with a buffer."""

NO_DATA: Final = "No data"


@dataclass(kw_only=True)
class BatchWork(StoredWork):
    """Work that reads from and delivers to a store. ``rasters`` tells whether features are really rendered."""

    request: BatchRequest
    shown: Mapping[str, Any]
    rasters: Callable[[], bool]
    setup: Setup | None = None

    def accept(self) -> None:
        """Keep a copy of the request in the bucket."""
        self.put_json(self._own_file("request", "json"), {"id": self.job_id, "request": self.shown})

    def analyse(self) -> list[Part]:
        """Check the evalscript and the bucket, and publish the list of features. Raises :class:`JobError`."""
        self.accept()
        if self.request.output.zarr:
            raise JobError("The sandbox does not write Zarr; ask for output of type raster")
        try:
            self.setup = check_script(self.request)
        except ApiError as error:
            raise JobError(error.message) from error
        features: Any = 0
        if isinstance(self.request.input, FeaturesInput):
            features = self._read_features(self.request.input.features)
        parts = divide(self.request, self.setup, features)
        pixels = sum(part.what.width * part.what.height for part in parts)
        if self.rasters() and pixels > MAX_PIXELS:
            raise JobError(
                f"{len(parts)} features with {pixels} pixels in all are more than this sandbox renders in a job "
                f"({MAX_PIXELS}); take a smaller area or a coarser resolution, or tell it to make no rasters"
            )
        if parts:
            outputs = [response.identifier for response in self.request.responses]
            manifest = write_manifest(parts, outputs, lambda part, output: self._target(part, output).url)
            self.put(self._own_file("featureManifest", "gpkg"), manifest)
        return parts

    def process(self, part: Part) -> Outcome:
        """Render and deliver one feature. Raises :class:`JobError` if the bucket or its files prevent it."""
        target: Target = part.what
        if not self.rasters():
            return Outcome(delivered=False)
        if self._is_there(part):
            return Outcome()
        if not self._has_scenes(target):
            return Outcome(error=NO_DATA, delivered=False, cost=0.0)
        try:
            result = process(self._process_request(target), accept=TAR, source=self.source, max_side=MAX_TILE_SIDE)
        except ApiError as error:
            return Outcome("FATAL", error.message, delivered=False)
        for name, content in unpacked(result.content):
            identifier = name.rpartition(".")[0]
            if self.request.output.cog and name.endswith(".tif"):
                content = to_cog(content, self.request.output.cog_parameters)
            self.put(self._target(part, identifier), content)
        return Outcome(cost=discounted(result.processing_units, target.width * target.height, BATCH_FACTOR))

    def report(self, parts: Sequence[Part]) -> None:
        """Publish the execution database. Raises :class:`JobError`."""
        if parts:
            self.put(self._own_file("execution", "sqlite"), write_execution(parts))

    def _process_request(self, target: Target) -> dict[str, Any]:
        made = self.request.process["output"]
        return {
            "input": {"bounds": target.request_bounds, "data": self.request.process["input"]["data"]},
            "output": {"width": target.width, "height": target.height, "responses": made["responses"]},
            "evalscript": self.request.evalscript,
        }

    def _is_there(self, part: Part) -> bool:
        """Tell whether a feature's files stay as they are. Raises :class:`JobError` if they may not be replaced."""
        output = self.request.output
        if output.overwrite and not output.skip_existing:
            return False
        places = [self._target(part, response.identifier) for response in self.request.responses]
        try:
            there = [place for place in places if self.store.exists(place)]
        except DeliveryError as error:
            raise JobError(str(error)) from error
        if output.skip_existing and len(there) == len(places):
            return True
        if there and not output.overwrite:
            raise JobError(f"{there[0].url} exists already; set overwrite or skipExisting")
        return False

    def _has_scenes(self, target: Target) -> bool:
        box = Grid.from_bounds(target.epsg, target.bounds, target.width, target.height).lonlat_bounds()
        return any(Scenes(self.source, dataset, box).any() for dataset in self.request.datasets)

    def _read_features(self, location: Location) -> Any:
        try:
            return read_features(self.read(location, "input.features"))
        except ValueError as error:
            raise JobError(f"input.features: {location.url}: {error}") from error

    def _target(self, part: Part, identifier: str) -> Location:
        response = next((each for each in self.request.responses if each.identifier == identifier), None)
        return self.request.output.template.fill(
            {
                "requestId": self.job_id,
                "tileName": part.name,
                "outputId": identifier,
                "format": "tif" if response is None else response.format.extension,
            }
        )

    def _own_file(self, name: str, extension: str) -> Location:
        return self.request.output.template.root.below(f"{name}-{self.job_id}.{extension}")
