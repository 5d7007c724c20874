"""The work of a Batch Statistical job. It analyses the request and then computes each polygon as Statistical does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sentinelhub_provider.sandbox.apis.batch_statistical.bodies import BatchStatisticalRequest
from sentinelhub_provider.sandbox.apis.jobs.model import JobError, Outcome, Part
from sentinelhub_provider.sandbox.apis.jobs.work import StoredWork
from sentinelhub_provider.sandbox.apis.process.raster import data_sources
from sentinelhub_provider.sandbox.apis.statistical.handlers import check_outputs, error_type, statistics
from sentinelhub_provider.sandbox.apis.statistical.state import IntervalErrors
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.delivery.geopackage import Feature, read_features
from sentinelhub_provider.sandbox.world.evalscripts.contract import STATISTICAL_RULES
from sentinelhub_provider.sandbox.world.evalscripts.engine import Evalscript
from sentinelhub_provider.sandbox.world.scenes.model import DATA_MASK

CRS_URI: Final = "http://www.opengis.net/def/crs/EPSG/0/{}"


@dataclass(kw_only=True)
class BatchStatisticalWork(StoredWork):
    """Work that reads from and delivers to a store."""

    request: BatchStatisticalRequest
    errors: IntervalErrors
    evalscript: str = ""

    def analyse(self) -> list[Part]:
        """Check the evalscript and list the polygons. Raises :class:`JobError`."""
        try:
            script = self.request.evalscript
            self.evalscript = (
                script if isinstance(script, str) else self.read_text(script, "aggregation.evalscriptReference")
            )
            check_script(self.evalscript, self.request)
        except ApiError as error:
            raise JobError(error.message) from error
        location = self.request.features
        try:
            features = read_features(self.read(location, "input.features"))
        except ValueError as error:
            raise JobError(f"input.features: {location.url}: {error}") from error
        if len({feature.epsg for feature in features}) > 1:
            raise JobError(f"input.features: {location.url}: all features must be in one CRS")
        return [Part(each.id, each.identifier or str(each.id), 0.0, each) for each in features]

    def process(self, part: Part) -> Outcome:
        """Compute and deliver the statistics of one polygon. Raises :class:`JobError` if they cannot be written."""
        feature: Feature = part.what
        try:
            result = statistics(self._statistical_request(feature), source=self.source, errors=self.errors)
        except ApiError as error:
            return self._failed(feature, error_type(error), error.message)
        self._deliver(feature, {"response": result.body})
        # The documentation names a minimum for Batch Statistical, but no discount.
        return Outcome(cost=result.processing_units)

    def fail_part(self, part: Part, cause: str) -> Outcome:
        """Let a polygon fail, and deliver the error."""
        return self._failed(part.what, "EXECUTION_ERROR", cause)

    def _failed(self, feature: Feature, kind: str, cause: str) -> Outcome:
        self._deliver(feature, {"error": {"type": kind}})
        return Outcome("FATAL", cause, delivered=True)

    def _statistical_request(self, feature: Feature) -> dict[str, Any]:
        body = self.request.body
        aggregation = {name: value for name, value in body["aggregation"].items() if name != "evalscriptReference"}
        request = {
            "input": {
                "bounds": {"geometry": feature.geometry, "properties": {"crs": CRS_URI.format(feature.epsg)}},
                "data": body["input"]["data"],
            },
            "aggregation": {**aggregation, "evalscript": self.evalscript},
        }
        calculations = body.get("calculations")
        return request if calculations is None else {**request, "calculations": calculations}

    def _deliver(self, feature: Feature, answer: Mapping[str, Any]) -> None:
        shown: dict[str, Any] = {"id": feature.id}
        if feature.identifier is not None:
            shown["identifier"] = feature.identifier
        place = self.request.template.fill({"REQUEST_ID": self.job_id, "ID": str(feature.id)})
        self.put_json(place, {**shown, **answer}, name="output", indent=None)


def check_script(evalscript: str, request: BatchStatisticalRequest) -> None:
    """Load the evalscript and check it against the request. Raises ``ApiError``."""
    with Evalscript(evalscript) as script:
        setup = script.setup(data_sources(request.datasets), STATISTICAL_RULES)
    check_outputs(setup)
    request.calculations.check([output for output in setup.outputs if output.id != DATA_MASK])
