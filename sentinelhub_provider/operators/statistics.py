"""An operator that computes a table of statistics of areas over time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.values import read_choice, read_whole_number
from sentinelhub_provider.exceptions import (
    SentinelHubBadRequestError,
    SentinelHubRequestError,
    SentinelHubResponseError,
)
from sentinelhub_provider.operators.arguments import (
    ESTIMATED_UNITS_KEY,
    MAX_XCOM_SIZE,
    SPENT_UNITS_KEY,
    check_xcom_size,
    features_of,
    geometry_of,
    number_of,
    push,
    task_identity,
)
from sentinelhub_provider.operators.feature_statistics.table_operator import StatisticsTableOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.geo.geometry import Feature
    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.api.statistical.survey import Problem, RequestTemplate, Survey
    from sentinelhub_provider.features import Features
    from sentinelhub_provider.operators.argument_types import Box, Crs, FeatureSource, FilePath, Geometry
    from sentinelhub_provider.operators.feature_statistics.answers import PartFile

    AnyFeatures = Features | list[Feature]

SHOWN = 100  # problems that the log and the result show; the others are counted
NAMED = 20  # problems that an error names

FAILED_FEATURES_KEY = "failed_features"
"""Key of the first features without statistics, each with its error, in XCom and in the result."""

ON_ERROR = ("fail", "skip")

LEAST_ROW = 200
"""Least bytes of JSON of a row in the result. A result that is bound to be too large is refused before it is paid."""


class SentinelHubStatisticsOperator(StatisticsTableOperator):
    """Requests statistics of one area or many, and writes one tidy table of the answers.

    The table has a row for each feature, interval, output and band. Its columns are ``feature_id``, ``interval_from``,
    ``interval_to``, ``output``, ``band``, ``state``, ``min``, ``max``, ``mean``, ``stdev``, ``count``,
    ``sample_count``, ``no_data_count``, percentiles such as ``p50``, ``histogram`` if requested, and ``error``.
    ``state`` is ``ok``, ``masked`` (scenes, but all pixels masked), ``not_a_number``, ``empty`` (no scene) or
    ``failed``.

    The task checks all features and estimates their cost before anything is sent. It repeats the request for intervals
    that the service failed to compute once. It keeps answers on disk as they come. A task that was killed or failed
    goes on with its next attempt where it ended, and requests nothing twice.

    It returns a dict with these members. ``processing_units`` and ``estimated_processing_units`` are also pushed to
    XCom.

    - ``rows``, the number of rows
    - ``features`` and ``failed``, the numbers of features with and without an answer
    - ``failed_features``, the first of them
    - ``missing_intervals``, ``processing_units`` and ``estimated_processing_units``
    - with ``output_path``: ``path``, ``size`` (bytes), ``sha256`` and ``content_type``
    - with ``partition_by``: ``path`` and ``partitions``
    - without ``output_path``: ``table``, the rows

    .. seealso:: :doc:`/how-to/operators/statistics`

    :param features: GeoJSON FeatureCollection, Feature, geometry, or a list of these, as dict or text. Or the path of a
        file of GeoJSON, WKT, GeoParquet, Shapefile (also zipped), GeoPackage, FlatGeobuf or KML. The file is local,
        beside the DAG, or at a URL such as ``s3://conn_id@bucket/fields.geojson``. (templated)
    :param geometry: one area instead, as GeoJSON or WKT, or the name of a file with it. (templated)
    :param bbox: one area instead, as west, south, east, north. (templated)
    :param crs: CRS of the areas, such as ``EPSG:32634``. Default: the CRS that GeoJSON names itself, else longitude and
        latitude. (templated)
    :param id_property: property that becomes ``feature_id``. Default: GeoJSON's ``id``, else the feature's number.
        (templated)
    :param properties: names of features' properties that become columns of the table, such as ``crop``. (templated)
    :param layer: layer of a file that has several. (templated)
    :param on_error: ``fail`` fails the task for an unusable feature before anything is sent. For a feature or interval
        without an answer, it fails the task after the table of all others is written. ``skip`` reports them, and the
        task succeeds if there is any answer. (templated)
    :param concurrency: number of simultaneous requests. (templated)
    :param part_folder: path or URL of a folder for answers until the table is written. Default: the folder of
        ``output_path``, or the machine's temporary one without it. (templated)
    :param max_xcom_size: bytes of JSON that the task may return. (templated)
    :param kwargs: ``output_path``, ``output_format`` and ``partition_by`` of
        :class:`~sentinelhub_provider.operators.feature_statistics.table_operator.StatisticsTableOperator`. The request
        of each feature (``collection``, ``evalscript``, ``time_range``, ``aggregation_interval``, ``resolution``,
        ``percentiles`` and so on, or ``request``), see
        :class:`~sentinelhub_provider.operators.request_arguments.StatisticsRequestOperator`. The bounds of ``features``
        replace those of ``request``. Also the arguments of
        :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`.
    """

    ui_color = "#d9efd5"
    concurrency: Any
    max_xcom_size: Any
    progress_every = 30.0
    """Seconds between two log lines about the progress."""

    def __init__(
        self,
        *,
        features: FeatureSource | None = None,
        geometry: Geometry | None = None,
        bbox: Box | None = None,
        crs: Crs | None = None,
        id_property: str | None = None,
        properties: Sequence[str] | str | None = None,
        layer: str | None = None,
        on_error: str = "fail",
        concurrency: int | str = 10,
        part_folder: FilePath | None = None,
        max_xcom_size: int | str = MAX_XCOM_SIZE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features, self.id_property = features, id_property
        self.properties, self.layer = properties, layer
        self.geometry, self.bbox, self.crs = geometry, bbox, crs
        self.on_error, self.concurrency = on_error, concurrency
        self.part_folder, self.max_xcom_size = part_folder, max_xcom_size

    template_fields_renderers = dict.fromkeys(("bbox", "geometry", "properties"), "json")

    def estimate(self, context: Context) -> Estimate | None:
        """Estimate what the statistics cost. It reads and checks the features, and sends nothing.

        :returns: ``None`` if the evalscript does not plainly name its inputs.
        :raises SentinelHubRequestError: if an argument is wrong, or a feature is unusable.
        """
        self._check()
        with self._features() as features:
            return self._survey(features, context).estimate

    def _result(self, context: Context) -> dict[str, Any]:
        self._check()
        with self._features() as features:
            found = self._survey(features, context)
            self._report_survey(found, context)
            self.request_sent = found.template.example.body
            self.time_range_sent = self.request_sent["aggregation"]["timeRange"]
            return self._request_all(features, found, context)

    def _check(self) -> None:
        """Refuse wrong arguments of the operator itself."""
        self.on_error = read_choice(self.on_error, ON_ERROR, "on_error")
        self.concurrency = read_whole_number(self.concurrency, "concurrency")
        self.max_xcom_size = read_whole_number(self.max_xcom_size, "max_xcom_size", least=0)
        self.check_table_arguments()

    @contextmanager
    def _features(self) -> Iterator[AnyFeatures]:
        from sentinelhub_provider.api.geo.geometry import Feature

        given = [name for name in ("features", "geometry", "bbox") if getattr(self, name) is not None]
        if len(given) > 1 or (not given and self.request is None):
            what = f"{' and '.join(given)} are given" if given else "no area is given"
            raise SentinelHubRequestError(
                f"{what}. Give one of features, geometry and bbox.", field=given[0] if given else "features"
            )
        if self.features is None:
            yield [Feature(0, 0, geometry_of(self, self.structured("geometry"), "geometry"), self.structured("bbox"))]
            return
        from sentinelhub_provider.api.statistical.table import check_property_names

        with features_of(self, self.structured("properties") or ()) as features:
            check_property_names(features.properties)
            yield features

    def _survey(self, features: AnyFeatures, context: Context) -> Survey:
        from sentinelhub_provider.api.statistical.survey import survey, template_of_arguments, template_of_request

        named = getattr(features, "crs", None)
        crs = self.crs if self.crs is not None else named
        body = self.whole_request(context)
        make_template: Callable[..., RequestTemplate] = partial(template_of_request, body)
        if body is None:
            make_template = partial(template_of_arguments, self.described(context, "collection", "evalscript"))
        found = survey(
            features,
            partial(make_template, crs=crs, **self.checks),
            crs=self.crs,
            named=named,
            samples=self.sample_count,
            is_one_area=self.features is None,
        )
        if found.problems and self.on_error == "fail":
            self._report_problems(context, found.problems)
            raise SentinelHubRequestError(
                f"{listed(found.problems)}. Nothing was sent. Repair them, or request the others with on_error='skip'.",
                field="features",
            )
        found.check_budget(self.budget)
        return found

    def _report_survey(self, found: Survey, context: Context) -> None:
        intervals = len(found.template.example.intervals)
        estimate = found.estimate
        cost = "cost unknown" if estimate is None else f"at most {estimate.processing_units:.4g} PU"
        whole = f"{number_of(found.usable, 'feature')} x {number_of(intervals, 'interval')}"
        self.log.info("statistics of %s, %s; the first: %s", whole, cost, found.template.example)
        if estimate is not None:
            push(self, context, ESTIMATED_UNITS_KEY, estimate.processing_units)
        for warning in list(found.warnings)[:SHOWN]:
            self.log.warning("%s", warning)
        if self.output_path is None and found.usable * intervals * LEAST_ROW > self.max_xcom_size:
            raise SentinelHubRequestError(
                f"The table of {found.usable:,} features x {intervals} intervals has more than "
                f"max_xcom_size={self.max_xcom_size:,} bytes. Nothing was sent. XCom lives in Airflow's metadata "
                "database. Give output_path, such as 's3://my_conn@my-bucket/{{ dag_run.run_after | ds }}.parquet'.",
                field="output_path",
            )

    def _request_all(self, features: AnyFeatures, found: Survey, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.operators.feature_statistics.answers import part_file
        from sentinelhub_provider.operators.feature_statistics.feature_requests import FeatureRequests

        found.properties = dict(self.check_table(found.template.example.body, found.properties))
        identity = task_identity(self, context)
        digest, is_shared = found.template.digest, self.partition_by is not None
        with part_file(
            self.output_path, self.part_folder, identity=identity, digest=digest, is_shared=is_shared
        ) as part:
            if len(part):
                self.log.info("%d answers are at hand from an earlier attempt (%.4g PU)", len(part), part.spent)
            requests = FeatureRequests(
                hook=self.hook,
                template=found.template,
                part=part,
                whole=found.usable,
                concurrency=self.concurrency,
                arguments=lambda: self.call_arguments,
                log=logging.getLogger(self.log.name),
                samples=self.sample_count,
                progress_every=self.progress_every,
            )
            self.spent_before = max(self.spent_before or 0.0, part.spent)  # only the first one has failed calls
            requests.run(found.of_use(features))
            problems = sorted([*found.problems, *requests.problems], key=lambda problem: str(problem.id))
            result = self._write(features, found, part)
            result |= {"features": requests.done, "failed": len(problems), SPENT_UNITS_KEY: self.spent}
            result[ESTIMATED_UNITS_KEY] = None if found.estimate is None else found.estimate.processing_units
            result[FAILED_FEATURES_KEY] = [problem.to_dict() for problem in problems[:SHOWN]]
            self._report_problems(context, problems)
            self._judge(problems, result)
            part.remove()
        return result

    def _write(self, features: AnyFeatures, found: Survey, part: PartFile) -> dict[str, Any]:
        """Write the table, or return its rows. Count them and the missing intervals."""
        from sentinelhub_provider.api.statistical.chart import Chart
        from sentinelhub_provider.api.statistical.table import json_record
        from sentinelhub_provider.operators.feature_statistics.answers import records

        states: Counter[str] = Counter()
        self.chart = Chart()
        cells = self.chart.watch(records(features, found, part, states))
        if self.output_path is None:
            result: dict[str, Any] = {"table": [json_record(one) for one in cells]}
            check_xcom_size(
                result["table"], self.max_xcom_size, what="The table", advice="Give output_path.", field="output_path"
            )
        else:
            result = self.write_table(cells, found.template.example.body, found.properties)
        return {"rows": states.total(), "missing_intervals": states["failed"], **result}

    def _report_problems(self, context: Context, problems: Sequence[Problem]) -> None:
        """Log the features without statistics and push the first of them to XCom."""
        for problem in problems[:SHOWN]:
            self.log.warning("no statistics of %s", problem)
        if len(problems) > SHOWN:
            self.log.warning("... and of %d more features", len(problems) - SHOWN)
        if problems:
            push(self, context, FAILED_FEATURES_KEY, [problem.to_dict() for problem in problems[:SHOWN]])

    def _judge(self, problems: Sequence[Problem], result: dict[str, Any]) -> None:
        """Log the content of the table. Fail the task if ``on_error`` or an empty table says so.

        :raises SentinelHubBadRequestError: if another try would fail in the same way.
        :raises SentinelHubResponseError: if another try may succeed. The answers stay for it.
        """
        missing, is_stored = result["missing_intervals"], "path" in result
        if missing:
            self.log.warning("%d intervals are missing. See state 'failed' in the table", missing)
        where = f", at {result['path']}" if is_stored else ""
        self.log.info("%s rows of %s features%s", f"{result['rows']:,}", f"{result['features']:,}", where)
        if result["features"] and (self.on_error == "skip" or not (problems or missing)):
            return
        kept = f"the table of the others is at {result['path']}" if is_stored else "the other answers are kept"
        lost = [listed(problems)] if problems else []
        lost += [f"{number_of(missing, 'interval')} failed twice"] if missing else []
        message = f"{'; '.join(lost)}; {kept}, and a next attempt requests only what is missing."
        is_final = bool(problems) and not missing and all(problem.is_final for problem in problems)
        raise (SentinelHubBadRequestError if is_final else SentinelHubResponseError)(message)


def listed(problems: Sequence[Problem]) -> str:
    """Name the first problems, and count the others."""
    shown = "; ".join(str(problem).rstrip(".") for problem in problems[:NAMED])
    more = f"; and {len(problems) - NAMED:,} more" if len(problems) > NAMED else ""
    return f"{number_of(len(problems), 'feature')} without statistics: {shown}{more}"
