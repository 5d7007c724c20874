"""The arguments of requests as operators take them, each declared once: for all requests, imagery, and statistics.

From here come the templated fields of each operator, what ``request`` stands for instead, and what the builders of
requests get.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from sentinelhub_provider.api.arguments import ImageryArguments, RequestArguments, StatisticsArguments
from sentinelhub_provider.api.time_range import with_times_of_run
from sentinelhub_provider.api.values import check_json, read_json, read_number
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.operators.arguments import geometry_of, run_after, times_of_run, utc_now
from sentinelhub_provider.operators.base import ConnectedOperator, PaidOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.catalog import SearchRequest


class RequestOperator(PaidOperator):
    """An operator that makes a request of its arguments, or takes one as it is.

    :param collection: a collection's id, such as ``sentinel-2-l2a``; an entry of ``input.data`` as the API has it; or a
        list of either, whose data are fused. (templated)
    :param evalscript: JavaScript; the name of a ``.js`` file beside the DAG; or one of ``true-colour``, ``ndvi``,
        ``ndvi-clear``, ``ndwi``, ``ndmi``, ``scl-mask``. In it, only ``{{ ... }}`` is a template. For statistics it
        must have an output ``dataMask``. (templated)
    :param time_range: ``P7D`` for the seven days before the run, two dates, or two times, both included; the run's data
        interval by default. (templated)
    :param width: pixels; with ``height``, or alone. (templated)
    :param height: pixels. (templated)
    :param resolution: metres per pixel, instead of ``width`` and ``height``. (templated)
    :param mosaicking_order: ``mostRecent``, ``leastRecent`` or ``leastCC``. (templated)
    :param max_cloud_cover: per cent of a scene. (templated)
    :param upsampling: ``NEAREST``, ``BILINEAR`` or ``BICUBIC``, where pixels are finer than the data's. (templated)
    :param downsampling: the same, where they are coarser. (templated)
    :param request: the API's own JSON, instead of the arguments that describe it: a dict, its text, or the name of a
        ``.json`` file beside the DAG. It is checked, and sent as it is. (templated)
    :param samples: data samples to a pixel that the estimate counts where the evalscript's mosaicking is ``ORBIT`` or
        ``TILE``: as many as there are orbits or tiles. (templated)
    :param kwargs: ``max_processing_units``, ``timeout``, ``deferrable``, ``sentinelhub_conn_id`` and more, see
        :class:`~sentinelhub_provider.operators.base.PaidOperator`, and of any Airflow operator.
    """

    described_by: ClassVar[type[RequestArguments]] = RequestArguments
    """The arguments that describe a request, and go to its builder."""
    also_described_by: ClassVar[tuple[str, ...]] = ()
    """Further arguments that describe it; ``None`` by default, as those above but for a few."""

    def __init__(
        self,
        *,
        collection: Any = None,
        evalscript: str | None = None,
        time_range: Any = None,
        width: Any = None,
        height: Any = None,
        resolution: Any = None,
        mosaicking_order: str | None = None,
        max_cloud_cover: Any = None,
        upsampling: str | None = None,
        downsampling: str | None = None,
        request: Mapping[str, Any] | str | None = None,
        samples: float | str = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection, self.evalscript, self.time_range = collection, evalscript, time_range
        self.width, self.height, self.resolution = width, height, resolution
        self.mosaicking_order, self.max_cloud_cover = mosaicking_order, max_cloud_cover
        self.upsampling, self.downsampling = upsampling, downsampling
        self.request, self.samples = request, samples

    template_file_fields: Sequence[str] = ("evalscript", "request")
    template_fields_renderers = dict.fromkeys(("collection", "time_range", "request"), "json") | {"evalscript": "js"}

    @cached_property
    def checks(self) -> dict[str, Any]:
        """What builders and readers of requests check them against: the deployment and the present time."""
        return {"deployment": self.hook.settings.deployment.name, "now": utc_now()}

    @property
    def sample_count(self) -> float:
        """Data samples to a pixel that the estimate counts. Raises :class:`SentinelHubRequestError`."""
        return read_number(self.samples, "samples", least=0)

    @property
    def call_arguments(self) -> dict[str, Any]:
        """What each call of the hook gets: also the samples, for the budget that it is set aside from."""
        return {**super().call_arguments, "samples": self.sample_count}

    def whole_request(self, context: Context) -> Any:
        """Return ``request``, decoded, with relative time ranges counted back from the run; ``None`` where none is set.

        :raises SentinelHubRequestError: where it is no JSON, or arguments that it would have are there, too.
        """
        if self.request is None:
            return None
        defaults = {field.name: field.default for field in fields(self.described_by)}
        defaults |= dict.fromkeys(self.also_described_by)
        both = [name for name, default in defaults.items() if getattr(self, name) not in (None, default)]
        if both:
            raise SentinelHubRequestError(
                f"request is given, and {', '.join(both)} too. The request is sent as it is: put that into it.",
                field=both[0],
            )
        return with_times_of_run(read_json(self.request, "request"), run_after(context), "request")

    def described(self, context: Context, *required: str) -> Any:
        """Return the arguments that describe the request, as its builder takes them: a :attr:`described_by`.

        :param required: names of arguments that must be there.
        :raises SentinelHubRequestError: where one of them is missing.
        """
        missing = [name for name in required if getattr(self, name) is None]
        if missing:
            raise SentinelHubRequestError(
                f"{missing[0]} is missing. Give it, or the whole request as request.", field=missing[0]
            )
        values = {field.name: self.structured(field.name) for field in fields(self.described_by)}
        check_json(values.get("calculations"), "calculations")
        values["time_range"] = self.times(context)
        values["collection"] = with_times_of_run(values["collection"], run_after(context), "collection")
        if "geometry" in values:
            values["geometry"] = geometry_of(self, values["geometry"], "geometry")
        return self.described_by(**values)

    def times(self, context: Context) -> Any:
        """Return the time range, by default the run's data interval; a relative one is counted back from the run."""
        return times_of_run(context, self.structured("time_range"), "time_range")


class ImageryOperator(RequestOperator):
    """An operator that has imagery made.

    :param bbox: west, south, east, north in units of ``crs``. (templated)
    :param geometry: GeoJSON as a dict, WKT, or a file of either: beside the DAG, an absolute path, or a URL that
        Airflow's object storage knows, ending with ``.geojson``, ``.json`` or ``.wkt``. There are data only inside.
        (templated)
    :param crs: EPSG code of both, such as ``32633``; longitude and latitude by default. (templated)
    :param outputs: format of the picture: ``png``, ``jpeg`` or ``tiff``; for several outputs of the evalscript, a dict
        of formats by identifier. (templated)
    :param kwargs: see :class:`RequestOperator`.
    """

    described_by = ImageryArguments

    def __init__(
        self, *, bbox: Any = None, geometry: Any = None, crs: Any = None, outputs: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.bbox, self.geometry, self.crs, self.outputs = bbox, geometry, crs, outputs

    template_fields_renderers = dict.fromkeys(("bbox", "geometry", "outputs"), "json")


class StatisticsRequestOperator(RequestOperator):
    """An operator that has statistics made.

    :param aggregation_interval: ISO 8601 duration of at least a day, such as ``P1D`` or ``P1M``. (templated)
    :param last_interval: what becomes of a last interval that is not whole: ``SKIP``, ``SHORTEN`` or ``EXTEND``.
        By default it is shortened where the run says the time, else skipped. (templated)
    :param percentiles: per cent, such as ``[10, 50, 90]``. (templated)
    :param histogram: of each band: number of bins, list of their edges, or the API's definition. (templated)
    :param calculations: the API's ``calculations``, instead of the two above. (templated)
    :param kwargs: see :class:`RequestOperator`.
    """

    described_by = StatisticsArguments

    def __init__(
        self,
        *,
        aggregation_interval: Any = "P1D",
        last_interval: str | None = None,
        percentiles: Sequence[float] | str | None = None,
        histogram: Any = None,
        calculations: Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.aggregation_interval, self.last_interval = aggregation_interval, last_interval
        self.percentiles, self.histogram, self.calculations = percentiles, histogram, calculations

    template_fields_renderers = dict.fromkeys(("percentiles", "histogram", "calculations"), "json")


class SearchOperator(ConnectedOperator):
    """An operator or sensor that searches the Catalog.

    :param collection: a collection's id, such as ``sentinel-2-l2a``. (templated)
    :param datetime: start and end of sensing: a pair, or a text as STAC writes it, where ``..`` is an open end; the
        run's data interval by default. (templated)
    :param bbox: west, south, east, north in degrees; or give ``intersects``, or neither for everywhere. (templated)
    :param intersects: GeoJSON as a dict, WKT, or a file of either: beside the DAG, an absolute path, or a URL that
        Airflow's object storage knows, ending with ``.geojson``, ``.json`` or ``.wkt``. (templated)
    :param max_cloud_cover: per cent. (templated)
    :param filter: CQL2, as text or as JSON in a dict. (templated)
    :param kwargs: see :class:`~sentinelhub_provider.operators.base.ConnectedOperator`.
    """

    def __init__(
        self,
        *,
        collection: str,
        datetime: Any = None,
        bbox: Any = None,
        intersects: Any = None,
        max_cloud_cover: Any = None,
        filter: str | Mapping[str, Any] | None = None,  # noqa: A002 - the field's name in STAC
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection, self.datetime = collection, datetime
        self.bbox, self.intersects = bbox, intersects
        self.max_cloud_cover, self.filter = max_cloud_cover, filter

    template_fields_renderers = dict.fromkeys(("datetime", "bbox", "intersects", "filter"), "json")

    def search(self, context: Context, **more: Any) -> SearchRequest:
        """Return the checked search.

        :param more: further arguments of :func:`~sentinelhub_provider.api.catalog.build_search`.
        :raises SentinelHubRequestError: names the argument.
        """
        from sentinelhub_provider.api.catalog import build_search

        return build_search(
            collection=self.collection,
            datetime=times_of_run(context, self.structured("datetime"), "datetime"),
            bbox=self.structured("bbox"),
            intersects=geometry_of(self, self.structured("intersects"), "intersects"),
            max_cloud_cover=self.max_cloud_cover,
            filter=self.structured("filter"),
            deployment=self.hook.settings.deployment.name,
            **more,
        )
