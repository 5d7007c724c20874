"""An operator that turns areas and a time into a table of statistics."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import (
    SentinelHubRequestError,
)
from sentinelhub_provider.operators.arguments import (
    ESTIMATED_UNITS_KEY,
    SPENT_UNITS_KEY,
    geometry_of,
    json_of,
    task_identity,
    times_of_run,
    utc_now,
)
from sentinelhub_provider.operators.base import SentinelHubOperator
from sentinelhub_provider.operators.statistical.report import ON_ERROR, SHOWN, judge, listed, log_outcome, number_of
from sentinelhub_provider.operators.xcom import MAX_XCOM_SIZE

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from sentinelhub_provider.api.geo.feature import Feature
    from sentinelhub_provider.api.statistical.plan import Question, Survey
    from sentinelhub_provider.features import Features
    from sentinelhub_provider.operators.statistical.part_file import PartFile

    AnyFeatures = Features | list[Feature]

LEAST_ROW = 200
"""Bytes of JSON that a row of the result has at least: a result that is bound to be too large is refused unpaid."""


class SentinelHubStatisticsOperator(SentinelHubOperator):
    """
    Ask the Statistical API about one area or many, and make one tidy table of the answers.

    The table has a row for each feature, interval, output and band: ``feature_id``, ``interval_from``, ``interval_to``,
    ``output``, ``band``, ``state``, ``min``, ``max``, ``mean``, ``stdev``, ``count``, ``sample_count``,
    ``no_data_count``, percentiles such as ``p50``, ``histogram`` where there is one, and ``error``. ``state`` tells
    apart ``ok``, ``masked`` (scenes, but all pixels masked), ``not_a_number``, ``empty`` (no scene) and ``failed``.

    All features are checked and their cost is estimated before anything is sent. Intervals that the service failed to
    compute are asked for once more. Answers are kept on disk as they come: a task that was killed or failed goes on
    with its next try where it ended, and asks for nothing twice.

    The task's result is a dict with ``rows`` (how many), ``features`` (with an answer), ``failed`` (how many without),
    ``failed_features`` (the first of them), ``missing_intervals``, ``processing_units``,
    ``estimated_processing_units`` and, with ``output_path``,
    ``path``, ``size`` (bytes), ``sha256`` and ``content_type``, else ``table`` (the rows). The cost and its estimate
    are also pushed to XCom as ``processing_units`` and ``estimated_processing_units``.

    .. seealso:: :doc:`/operators/statistics`

    :param features: GeoJSON FeatureCollection, Feature, geometry, or a list of these, as dict or text; or the path of
        a file, GeoJSON, GeoPackage (``.gpkg``) or GeoParquet (``.parquet``): local, beside the DAG, or a URL such as
        ``s3://conn_id@bucket/fields.geojson``. (templated)
    :param geometry: one area instead, as GeoJSON or WKT, or the name of a file that holds it. (templated)
    :param bbox: one area instead: west, south, east, north. (templated)
    :param crs: CRS of the areas, such as ``EPSG:32634``; what GeoJSON names itself, else longitude and latitude, by
        default. (templated)
    :param id_property: property that becomes ``feature_id``; GeoJSON's ``id``, else the feature's number, by default.
    :param collection: a collection's id, such as ``sentinel-2-l2a``, or a list, whose data are fused. (templated)
    :param evalscript: a script, a ``.js`` file beside the DAG, or a name such as ``ndvi-clear``. It must have an output
        ``dataMask``. (templated)
    :param time_range: ``P7D`` for the seven days before the run, two dates, or start and end; the DAG run's data
        interval by default. (templated)
    :param aggregation_interval: ISO 8601 duration of at least a day, such as ``P1D`` or ``P1M``. (templated)
    :param last_interval: what becomes of a last interval that is not full: ``SKIP``, ``SHORTEN`` or ``EXTEND``. By
        default it is shortened where the run says the time, else skipped.
    :param resolution: metres per pixel. (templated)
    :param width: pixels, instead of ``resolution``.
    :param height: pixels.
    :param percentiles: per cent, 0 to 100.
    :param histogram: number of bins, list of their edges, or the API's definition.
    :param calculations: the API's ``calculations`` instead of the two above.
    :param mosaicking_order: ``mostRecent``, ``leastRecent`` or ``leastCC``.
    :param max_cloud_cover: per cent of a scene. (templated)
    :param upsampling: ``NEAREST``, ``BILINEAR`` or ``BICUBIC``.
    :param downsampling: the same.
    :param request: the API's JSON as dict, text or the name of a ``.json`` file beside the DAG, instead of all
        arguments from ``collection`` on; its bounds give way to those of ``features``. (templated)
    :param output_path: file for the table: a local path, or a URL that Airflow's object storage knows. (templated)
    :param output_format: ``csv``, ``jsonl`` or ``parquet``; what the path's ending says by default.
    :param on_error: ``fail``: an unusable feature fails the task before anything is sent; a feature or interval without
        an answer fails it after the table of all others is written. ``skip``: they are reported, and the task succeeds
        as long as there is any answer.
    :param concurrency: requests at a time.
    :param max_processing_units: PU; a task that may cost more fails before anything is sent.
    :param samples: samples to a pixel and interval, for the estimate of scripts whose mosaicking is ORBIT or TILE.
    :param part_folder: folder for answers on their way; beside a local ``output_path``, else the machine's temporary
        folder, by default. Where tries run on different workers, name one that they share. (templated)
    :param max_xcom_size: bytes of JSON that the task may return.
    :param kwargs: further arguments, of :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`, such as
        ``timeout``, ``deferrable`` and ``sentinelhub_conn_id``, and of any Airflow operator.
    """

    template_fields: Sequence[str] = (
        "features",
        "geometry",
        "bbox",
        "crs",
        "collection",
        "evalscript",
        "time_range",
        "aggregation_interval",
        "resolution",
        "max_cloud_cover",
        "request",
        "output_path",
        "part_folder",
        "sentinelhub_conn_id",
    )
    template_file_fields: Sequence[str] = ("evalscript", "request")
    template_fields_renderers = {"request": "json", "evalscript": "js"}  # noqa: RUF012 - Airflow's own form
    ui_color = "#d9efd5"

    def __init__(
        self,
        *,
        features: Any = None,
        geometry: Any = None,
        bbox: Any = None,
        crs: Any = None,
        id_property: str | None = None,
        collection: Any = None,
        evalscript: str | None = None,
        time_range: Any = None,
        aggregation_interval: Any = "P1D",
        last_interval: str | None = None,
        resolution: Any = None,
        width: Any = None,
        height: Any = None,
        percentiles: Sequence[float] | None = None,
        histogram: Any = None,
        calculations: Mapping[str, Any] | None = None,
        mosaicking_order: str | None = None,
        max_cloud_cover: float | str | None = None,
        upsampling: str | None = None,
        downsampling: str | None = None,
        request: Mapping[str, Any] | str | None = None,
        output_path: str | ObjectStoragePath | None = None,
        output_format: str | None = None,
        on_error: str = "fail",
        concurrency: int = 10,
        max_processing_units: float | None = None,
        samples: float = 1,
        part_folder: str | None = None,
        max_xcom_size: int = MAX_XCOM_SIZE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.geometry = geometry
        self.bbox = bbox
        self.crs = crs
        self.id_property = id_property
        self.collection = collection
        self.evalscript = evalscript
        self.time_range = time_range
        self.aggregation_interval = aggregation_interval
        self.last_interval = last_interval
        self.resolution = resolution
        self.width = width
        self.height = height
        self.percentiles = percentiles
        self.histogram = histogram
        self.calculations = calculations
        self.mosaicking_order = mosaicking_order
        self.max_cloud_cover = max_cloud_cover
        self.upsampling = upsampling
        self.downsampling = downsampling
        self.request = request
        self.output_path = output_path
        self.output_format = output_format
        self.on_error = on_error
        self.concurrency = concurrency
        self.max_processing_units = max_processing_units
        self.samples = samples
        self.part_folder = part_folder
        self.max_xcom_size = max_xcom_size

    def _result(self, context: Context) -> dict[str, Any]:
        self._check()
        with self._features() as features:
            found = self._survey(features, context)
            self._report_survey(found, context)
            return self._ask(features, found, context)

    def _check(self) -> None:
        """Refuse what is wrong with the operator itself."""
        if self.on_error not in ON_ERROR:
            raise SentinelHubRequestError(
                f"on_error is {self.on_error!r}. Give one of {', '.join(ON_ERROR)}.", field="on_error"
            )
        if type(self.concurrency) is not int or self.concurrency < 1:
            raise SentinelHubRequestError(
                f"concurrency is {self.concurrency!r}. Give a whole number, 1 or more.", field="concurrency"
            )
        if self.output_path is not None:
            from sentinelhub_provider.api.statistical.table import table_format

            if table_format(self.output_path, self.output_format) == "parquet":
                from sentinelhub_provider.operators.statistical.tables import require_parquet_table

                require_parquet_table()
        given = [name for name, value in self._words().items() if value is not None]
        if self.request is not None and given:
            raise SentinelHubRequestError(
                f"request and {', '.join(given)} are both given. Write it all in request, or leave request out.",
                field="request",
            )
        missing = [name for name in ("collection", "evalscript") if getattr(self, name) is None]
        if self.request is None and missing:
            raise SentinelHubRequestError(f"{missing[0]} is missing.", field=missing[0])

    def _words(self) -> dict[str, Any]:
        """Return the arguments that the API's JSON would have, but for those that have a default."""
        names = (
            "collection",
            "evalscript",
            "time_range",
            "resolution",
            "width",
            "height",
            "percentiles",
            "histogram",
            "calculations",
            "mosaicking_order",
            "max_cloud_cover",
            "upsampling",
            "downsampling",
        )
        return {name: getattr(self, name) for name in names}

    @contextmanager
    def _features(self) -> Iterator[AnyFeatures]:
        from sentinelhub_provider.api.geo.feature import Feature

        given = [name for name in ("features", "geometry", "bbox") if getattr(self, name) is not None]
        if len(given) > 1 or (not given and self.request is None):
            what = f"{' and '.join(given)} are given" if given else "no area is given"
            raise SentinelHubRequestError(
                f"{what}. Give one of features, geometry and bbox.", field=given[0] if given else "features"
            )
        if self.features is None:
            yield [Feature(0, 0, geometry_of(self, self.geometry, "geometry"), self.bbox)]
            return
        from sentinelhub_provider.features import open_features
        from sentinelhub_provider.features.files import template_folders

        with open_features(self.features, id_property=self.id_property, folders=template_folders(self)) as features:
            yield features

    def _survey(self, features: AnyFeatures, context: Context) -> Survey:
        from sentinelhub_provider.api.statistical.plan import ask_in_json, ask_in_words, survey

        deployment, now = self.hook.settings.deployment.name, utc_now()
        named = getattr(features, "crs", None)
        crs = self.crs if self.crs is not None else named

        body = json_of(self.request, "request")

        def ask(feature: Feature) -> Question:
            if body is not None:
                return ask_in_json(body, feature, crs=crs, deployment=deployment, now=now)
            words = self._words()
            words["collections"] = words.pop("collection")
            words["time_range"] = times_of_run(context, self.time_range, "time_range")
            more = {"aggregation_interval": self.aggregation_interval, "last_interval": self.last_interval}
            return ask_in_words({**words, **more, "crs": crs, "deployment": deployment, "now": now}, feature)

        found = survey(
            features, ask, crs=self.crs, named=named, samples=self.samples, is_one_area=self.features is None
        )
        if found.problems and self.on_error == "fail":
            raise SentinelHubRequestError(
                f"{listed(found.problems)}. Nothing was sent. Repair them, or ask about the others with "
                "on_error='skip'.",
                field="features",
            )
        found.check_budget(self.max_processing_units)
        return found

    def _report_survey(self, found: Survey, context: Context) -> None:
        intervals = len(found.question.template.intervals)
        estimate = found.estimate
        cost = "cost unknown" if estimate is None else f"at most {estimate.processing_units:.4g} PU"
        self.log.info("%s x %s, %s", number_of(found.usable, "feature"), number_of(intervals, "interval"), cost)
        if estimate is not None:
            context["ti"].xcom_push(key=ESTIMATED_UNITS_KEY, value=estimate.processing_units)
        for warning in list(found.warnings)[:SHOWN]:
            self.log.warning("%s", warning)
        if self.output_path is None and found.usable * intervals * LEAST_ROW > self.max_xcom_size:
            raise SentinelHubRequestError(
                f"The table of {found.usable:,} features x {intervals} intervals has more than "
                f"max_xcom_size={self.max_xcom_size:,} bytes; nothing was sent. XCom lives in Airflow's metadata "
                "database: give output_path, such as 's3://my_conn@my-bucket/{{ dag_run.run_after | ds }}.parquet'.",
                field="output_path",
            )

    def _ask(self, features: AnyFeatures, found: Survey, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.operators.statistical.asking import Asking
        from sentinelhub_provider.operators.statistical.part_file import PartFile, part_path

        path = part_path(
            self.output_path, self.part_folder, identity=task_identity(self, context), question=found.question.digest
        )
        with PartFile(path) as part:
            if len(part):
                self.log.info("%d answers are at hand from an earlier try (%.4g PU)", len(part), part.spent)
            asking = Asking(
                hook=self.hook,
                question=found.question,
                part=part,
                whole=found.usable,
                concurrency=self.concurrency,
                arguments=self.call_arguments,
                log=logging.getLogger(self.log.name),
            )
            try:
                asking.run(found.of_use(features))
            finally:
                context["ti"].xcom_push(key=SPENT_UNITS_KEY, value=part.spent)
            problems = sorted([*found.problems, *asking.problems], key=lambda problem: str(problem.id))
            result = self._write(features, found, part)
            result |= {"features": asking.done, "failed": len(problems), SPENT_UNITS_KEY: part.spent}
            result[ESTIMATED_UNITS_KEY] = None if found.estimate is None else found.estimate.processing_units
            result["failed_features"] = [problem.to_dict() for problem in problems[:SHOWN]]
            log_outcome(self, problems, result)
            judge(problems, result, self.on_error)
            part.remove()
        return result

    def _write(self, features: AnyFeatures, found: Survey, part: PartFile) -> dict[str, Any]:
        """Write the table, or return its rows; count them, and the intervals that are missing in it."""
        from sentinelhub_provider.operators.statistical.output import Tally, records, return_table, write_table

        tally = Tally()
        cells = tally.counted(records(features, found, part))
        if self.output_path is None:
            result: dict[str, Any] = {"table": return_table(cells, self.max_xcom_size)}
        else:
            result = write_table(cells, found, self.output_path, self.output_format)
        return {"rows": tally.rows, "missing_intervals": tally.missing, **result}
