"""The arguments of requests, declared once: for all requests, imagery, and statistics.

They give each operator its templated fields, the fields that ``request`` replaces, and the input of the builders of
requests.
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
    from sentinelhub_provider.operators.argument_types import Box, Crs, Geometry, Interval, Period


class RequestOperator(PaidOperator):
    """An operator that builds a request from its arguments or takes a complete one.

    :param collection: a collection's ID, such as ``sentinel-2-l2a``, an entry of the API's ``input.data``, or a list of
        either to fuse their data. (templated)
    :param evalscript: JavaScript, the name of a ``.js`` file beside the DAG, or one of ``true-colour``, ``ndvi``,
        ``ndvi-clear``, ``ndwi``, ``ndmi``, ``scl-mask``. Only ``{{ ... }}`` is a template in it. For statistics it must
        have an output ``dataMask``. (templated)
    :param time_range: ``P7D`` for the seven days before the run, two dates, or two times, both included. Default: the
        run's data interval. (templated)
    :param width: pixels, with ``height`` or alone. (templated)
    :param height: pixels. (templated)
    :param resolution: metres per pixel, instead of ``width`` and ``height``. (templated)
    :param mosaicking_order: ``mostRecent``, ``leastRecent`` or ``leastCC``. (templated)
    :param max_cloud_cover: per cent of a scene. (templated)
    :param upsampling: ``NEAREST``, ``BILINEAR`` or ``BICUBIC``, for pixels finer than the data's. (templated)
    :param downsampling: the same, for coarser pixels. (templated)
    :param request: the API's own JSON instead of the arguments above: a dict, its text, or the name of a ``.json`` file
        beside the DAG. It is checked and sent as it is. (templated)
    :param samples: data samples per pixel for the estimate, for an evalscript with mosaicking ``ORBIT`` or ``TILE``.
        There are as many as orbits or tiles. (templated)
    :param kwargs: ``max_processing_units``, ``timeout``, ``deferrable``, ``sentinelhub_conn_id`` and the other
        arguments of :class:`~sentinelhub_provider.operators.base.PaidOperator` and of any Airflow operator.
    """

    described_by: ClassVar[type[RequestArguments]] = RequestArguments
    """The arguments of a request, which go to its builder."""
    also_described_by: ClassVar[tuple[str, ...]] = ()
    """More arguments of a request. Like those above, most are ``None`` by default."""

    def __init__(
        self,
        *,
        collection: str | Mapping[str, Any] | Sequence[Any] | None = None,
        evalscript: str | None = None,
        time_range: Period | None = None,
        width: int | str | None = None,
        height: int | str | None = None,
        resolution: float | str | None = None,
        mosaicking_order: str | None = None,
        max_cloud_cover: float | str | None = None,
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
        """The facts to check requests against: the deployment and the present time."""
        return {"deployment": self.hook.settings.deployment.name, "now": utc_now()}

    @property
    def sample_count(self) -> float:
        """Data samples per pixel for the estimate. Raises :class:`SentinelHubRequestError`."""
        return read_number(self.samples, "samples", least=0)

    @property
    def call_arguments(self) -> dict[str, Any]:
        """Options of each call of the hook, with the samples for the budget."""
        return {**super().call_arguments, "samples": self.sample_count}

    def whole_request(self, context: Context) -> Any:
        """Return ``request``, decoded and with the run's times in place of relative ranges, ``None`` if there is none.

        :raises SentinelHubRequestError: if it is not JSON, or is given together with arguments that it would contain.
        """
        if self.request is None:
            return None
        defaults = {field.name: field.default for field in fields(self.described_by)}
        defaults |= dict.fromkeys(self.also_described_by)
        given = {name: value for name in defaults if (value := getattr(self, name)) is not None}
        # A default is text. Arrays and data frames do not compare to one truth.
        both = [name for name, value in given.items() if not isinstance(value, str) or value != defaults[name]]
        if both:
            raise SentinelHubRequestError(
                f"request is given, and {', '.join(both)} too. The request is sent as it is, so put that into it.",
                field=both[0],
            )
        return with_times_of_run(read_json(self.request, "request"), run_after(context), "request")

    def described(self, context: Context, *required: str) -> Any:
        """Return the arguments of the request for its builder, a :attr:`described_by`.

        :param required: names of required arguments.
        :raises SentinelHubRequestError: if one of them is missing.
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
        """Return the time range.

        It defaults to the run's data interval. A relative range is counted back from the run.
        """
        return times_of_run(context, self.structured("time_range"), "time_range")


class ImageryOperator(RequestOperator):
    """An operator that renders imagery.

    :param bbox: west, south, east, north in units of ``crs``. (templated)
    :param geometry: GeoJSON as a dict, WKT, or a file of either. Only its inside has data. A file ends with
        ``.geojson``, ``.json`` or ``.wkt``. It is a name beside the DAG, an absolute path, or a URL that Airflow's
        object storage knows. (templated)
    :param crs: EPSG code of both, such as ``32633``. Default: longitude and latitude. (templated)
    :param outputs: format of the picture, ``png``, ``jpeg`` or ``tiff``. For several outputs of the evalscript, a dict
        of formats by identifier. (templated)
    :param kwargs: see :class:`RequestOperator`.
    """

    described_by = ImageryArguments

    def __init__(
        self,
        *,
        bbox: Box | None = None,
        geometry: Geometry | None = None,
        crs: Crs | None = None,
        outputs: Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bbox, self.geometry, self.crs, self.outputs = bbox, geometry, crs, outputs

    template_fields_renderers = dict.fromkeys(("bbox", "geometry", "outputs"), "json")


class StatisticsRequestOperator(RequestOperator):
    """An operator that computes statistics.

    :param aggregation_interval: ISO 8601 duration of at least a day, such as ``P1D`` or ``P1M``. (templated)
    :param last_interval: what to do with an incomplete last interval: ``SKIP``, ``SHORTEN`` or ``EXTEND``. Default:
        shorten it if the time range comes from the run, else skip it. (templated)
    :param percentiles: per cent, such as ``[10, 50, 90]``. (templated)
    :param histogram: number of bins, list of their edges, or the API's definition, for each band. (templated)
    :param calculations: the API's ``calculations``, instead of the two above. (templated)
    :param kwargs: see :class:`RequestOperator`.
    """

    described_by = StatisticsArguments

    def __init__(
        self,
        *,
        aggregation_interval: Interval = "P1D",
        last_interval: str | None = None,
        percentiles: Sequence[float] | str | None = None,
        histogram: int | Sequence[float] | Mapping[str, Any] | str | None = None,
        calculations: Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.aggregation_interval, self.last_interval = aggregation_interval, last_interval
        self.percentiles, self.histogram, self.calculations = percentiles, histogram, calculations

    template_fields_renderers = dict.fromkeys(("percentiles", "histogram", "calculations"), "json")


class SearchOperator(ConnectedOperator):
    """An operator or sensor that searches the Catalog.

    :param collection: a collection's ID, such as ``sentinel-2-l2a``. (templated)
    :param datetime: start and end of sensing, as a pair or in STAC's form, where ``..`` is an open end. Default: the
        run's data interval. (templated)
    :param bbox: west, south, east, north in degrees. Use ``intersects`` instead, or neither for everywhere. (templated)
    :param intersects: GeoJSON as a dict, WKT, or a file of either. A file ends with ``.geojson``, ``.json`` or
        ``.wkt``. It is a name beside the DAG, an absolute path, or a URL that Airflow's object storage knows.
        (templated)
    :param max_cloud_cover: per cent. (templated)
    :param filter: CQL2, as text or as JSON in a dict. (templated)
    :param kwargs: see :class:`~sentinelhub_provider.operators.base.ConnectedOperator`.
    """

    def __init__(
        self,
        *,
        collection: str,
        datetime: Period | None = None,
        bbox: Box | None = None,
        intersects: Geometry | None = None,
        max_cloud_cover: float | str | None = None,
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
