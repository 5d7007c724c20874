"""The common facts of a Batch Process job's pictures, from the request that the service returns with the job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sentinelhub_provider.api.datasets import Datasets, RasterRequest, member, read_datasets
from sentinelhub_provider.api.evalscripts import Setup, parse_setup
from sentinelhub_provider.api.geo.bounds import Bounds, Size
from sentinelhub_provider.api.process import formats_of, read_responses

COG = "image/tiff; application=geotiff; profile=cloud-optimized"


@dataclass(frozen=True, slots=True)
class BatchPictures:
    """The requests of a job's pictures without their places.

    ``media_types`` are those by output. ``skips_existing`` tells whether existing pictures stay.
    """

    body: Mapping[str, Any]
    datasets: Datasets
    setup: Setup | None
    media_types: dict[str, str]
    skips_existing: bool

    @classmethod
    def of(cls, request: Any) -> BatchPictures:
        """Read a job's request. Raises :class:`SentinelHubRequestError` if it has another shape."""
        process = member(request, "processRequest")
        datasets = read_datasets(member(process, "input", "processRequest.input").get("data"))
        formats = formats_of(
            read_responses(member(process, "output", "processRequest.output"), "processRequest.output")
        )
        output = member(request, "output")
        is_cog = output.get("cogOutput") is True
        types = {name: COG if is_cog and kind == "image/tiff" else kind for name, kind in formats.items()}
        setup = parse_setup(str(process.get("evalscript")))
        return cls(process, datasets, setup, types, output.get("skipExisting") is True)

    def raster(self, bounds: Bounds, size: Size) -> RasterRequest:
        """Return the request of one picture."""
        return RasterRequest(body=dict(self.body), bounds=bounds, size=size, datasets=self.datasets, setup=self.setup)
