"""The work of an Async Process job. It renders one picture as Process does and writes the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sentinelhub_provider.sandbox.apis.async_process.bodies import MAX_SIDE, AsyncRequest
from sentinelhub_provider.sandbox.apis.jobs.costs import ASYNC_FACTOR, discounted
from sentinelhub_provider.sandbox.apis.jobs.model import JobError, Outcome, Part
from sentinelhub_provider.sandbox.apis.jobs.states import Status
from sentinelhub_provider.sandbox.apis.jobs.work import StoredWork, unpacked
from sentinelhub_provider.sandbox.apis.process.formats import TAR
from sentinelhub_provider.sandbox.apis.process.render import process
from sentinelhub_provider.sandbox.errors import ApiError, rest_body
from sentinelhub_provider.sandbox.world.delivery.locations import Location


@dataclass(kw_only=True)
class AsyncWork(StoredWork):
    """Work that reads from and delivers to a store. It first reads the evalscript when it renders."""

    request: AsyncRequest
    shown: Mapping[str, Any]
    problem: ApiError | None = None

    def accept(self) -> None:
        """Keep a copy of the request in the bucket."""
        self.put_json(self._own_file(f"request-{self.job_id}.json"), {"id": self.job_id, "request": self.shown})

    def analyse(self) -> list[Part]:
        """Return the only part, without an analysis."""
        return [Part(1, self.job_id, 0.0)]

    def process(self, part: Part) -> Outcome:
        """Render and deliver. Raises :class:`JobError` for every error."""
        del part
        try:
            script = self.request.evalscript
            evalscript = script if isinstance(script, str) else self.read_text(script, "evalscriptReference")
            body = {**self.request.body, "evalscript": evalscript}
            result = process(body, accept=TAR, source=self.source, max_side=MAX_SIDE)
        except ApiError as error:
            self.problem = error
            raise JobError(error.message) from error
        for name, content in unpacked(result.content):
            self.put(self._target(name), content)
        grid = self.request.process.grid
        return Outcome(cost=discounted(result.processing_units, grid.width * grid.height, ASYNC_FACTOR))

    def fail_part(self, part: Part, cause: str) -> Outcome:
        """Let the job fail."""
        del part
        raise JobError(cause)

    def finish(self, status: Status, error: str | None, cost: float) -> None:
        """Write ``error.json``, or add the cost to the copy of the request."""
        if status == "DONE":
            copy = {"id": self.job_id, "request": self.shown, "costPU": round(cost, 6)}
            self.put_json(self._own_file(f"request-{self.job_id}.json"), copy)
            return
        problem = self.problem or ApiError(500, "COMMON_EXCEPTION", error or f"The request was {status.lower()}")
        self.put_json(self._own_file("error.json"), {"id": self.job_id, **rest_body(problem)})

    def _target(self, name: str) -> Location:
        identifier = name.rpartition(".")[0]
        # A template with its own suffix needs no other.
        own_suffix = "<OUTPUT>." in self.request.template.location.key
        return self.request.template.fill({"REQUEST_ID": self.job_id, "OUTPUT": identifier if own_suffix else name})

    def _own_file(self, name: str) -> Location:
        return self.request.template.folder({"REQUEST_ID": self.job_id}).below(name)
