"""An operator that turns areas and a time into a table of statistics."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import (
    SentinelHubBadRequestError,
    SentinelHubRequestError,
    SentinelHubResponseError,
)
from sentinelhub_provider.operators.arguments import (
    ESTIMATED_UNITS_KEY,
    SPENT_UNITS_KEY,
    data_interval,
    geometry_of,
    utc_now,
)
from sentinelhub_provider.operators.failing import without_vain_retries
from sentinelhub_provider.operators.http import MAX_XCOM_SIZE
from sentinelhub_provider.operators.templating import RequestTemplatingOperator

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from sentinelhub_provider.api.features import Feature, Features
    from sentinelhub_provider.api.statistics_plan import Problem, Question, Survey
    from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
    from sentinelhub_provider.operators.feature_tables import TableFeatures
    from sentinelhub_provider.operators.part_file import PartFile

    AnyFeatures = Features | TableFeatures | list[Feature]

LEAST_ROW = 200
"""Bytes of JSON that a row of the result has at least: a result that is bound to be too large is refused unpaid."""

SHOWN = 20
"""Problems that the log and the result show; the others are counted."""


class SentinelHubStatisticsOperator(RequestTemplatingOperator):
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
    :param time_range: start and end; the DAG run's data interval by default. (templated)
    :param aggregation_interval: ISO 8601 duration of at least a day, such as ``P1D`` or ``P1M``. (templated)
    :param last_interval: what becomes of a last interval that is not full: ``SKIP``, ``SHORTEN`` or ``EXTEND``.
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
    :param timeout: seconds that the service may stay silent; the connection's ``timeout`` by default.
    :param deadline: seconds that one call may take in all, waiting and repeating included; 600 by default.
    :param sentinelhub_conn_id: the connection.
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
        last_interval: str = "SKIP",
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
        timeout: float | None = None,
        deadline: float | None = None,
        sentinelhub_conn_id: str = "sentinelhub_default",
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
        self.timeout = timeout
        self.deadline = deadline
        self.sentinelhub_conn_id = sentinelhub_conn_id

    @cached_property
    def hook(self) -> SentinelHubHook:
        """The hook that makes the calls."""
        from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook

        return SentinelHubHook(self.sentinelhub_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask, and write the table; see the class for what is returned."""
        with without_vain_retries():
            self._check()
            with self._features() as features:
                found = self._survey(features, context)
                self._report_survey(found, context)
                return self._ask(features, found, context)

    def _check(self) -> None:
        """Refuse what is wrong with the operator itself."""
        if self.on_error not in ("fail", "skip"):
            raise SentinelHubRequestError(f"on_error is {self.on_error!r}. Give 'fail' or 'skip'.", field="on_error")
        if type(self.concurrency) is not int or self.concurrency < 1:
            raise SentinelHubRequestError(
                f"concurrency is {self.concurrency!r}. Give a whole number, 1 or more.", field="concurrency"
            )
        if self.output_path is not None:
            from sentinelhub_provider.api.statistics_table import table_format

            if table_format(self.output_path, self.output_format) == "parquet":
                from sentinelhub_provider.operators.tables import require_pyarrow

                require_pyarrow()
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
        from sentinelhub_provider.api.features import Feature

        given = [name for name in ("features", "geometry", "bbox") if getattr(self, name) is not None]
        if len(given) > 1 or (not given and self.request is None):
            what = f"{' and '.join(given)} are given" if given else "no area is given"
            raise SentinelHubRequestError(
                f"{what}. Give one of features, geometry and bbox.", field=given[0] if given else "features"
            )
        if self.features is None:
            yield [Feature(0, 0, geometry_of(self, self.geometry, "geometry"), self.bbox)]
            return
        from sentinelhub_provider.operators.feature_files import open_features

        with open_features(self.features, id_property=self.id_property, folders=self._folders()) as features:
            yield features

    def _folders(self) -> list[str]:
        """Return where templates lie: a file of features may lie there, too."""
        loader = self.get_template_env().loader
        return [str(folder) for folder in getattr(loader, "searchpath", ())]

    def _survey(self, features: AnyFeatures, context: Context) -> Survey:
        from sentinelhub_provider.api.statistics_plan import ask_in_json, ask_in_words, survey

        deployment, now = self.hook.settings.deployment.name, utc_now()
        named = getattr(features, "crs", None)
        crs = self.crs if self.crs is not None else named

        def ask(feature: Feature) -> Question:
            if self.request is not None:
                return ask_in_json(self._body(), feature, crs=crs, deployment=deployment, now=now)
            words = self._words()
            words["collections"] = words.pop("collection")
            words["time_range"] = data_interval(context, "time_range") if self.time_range is None else self.time_range
            more = {"aggregation_interval": self.aggregation_interval, "last_interval": self.last_interval}
            return ask_in_words({**words, **more, "crs": crs, "deployment": deployment, "now": now}, feature)

        found = survey(features, ask, crs=self.crs, named=named, samples=self.samples)
        if found.problems and self.on_error == "fail":
            raise SentinelHubRequestError(
                f"{_listed(found.problems)}. Nothing was sent. Repair them, or ask about the others with "
                "on_error='skip'.",
                field="features",
            )
        found.check_budget(self.max_processing_units)
        return found

    def _body(self) -> Any:
        if not isinstance(self.request, str):
            return self.request
        try:
            return json.loads(self.request)
        except ValueError as error:
            raise SentinelHubRequestError(
                f"request is not JSON: {error}. Check the rendered template.", field="request"
            ) from error

    def _report_survey(self, found: Survey, context: Context) -> None:
        intervals = len(found.question.template.intervals)
        estimate = found.estimate
        cost = "cost unknown" if estimate is None else f"at most {estimate.processing_units:.4g} PU"
        self.log.info("%s x %s, %s", _number(found.usable, "feature"), _number(intervals, "interval"), cost)
        if estimate is not None:
            context["ti"].xcom_push(key=ESTIMATED_UNITS_KEY, value=estimate.processing_units)
        for warning in list(found.warnings)[:SHOWN]:
            self.log.warning("%s", warning)
        if self.output_path is None and found.usable * intervals * LEAST_ROW > self.max_xcom_size:
            raise SentinelHubRequestError(
                f"The table of {found.usable:,} features x {intervals} intervals has more than "
                f"max_xcom_size={self.max_xcom_size:,} bytes; nothing was sent. XCom lives in Airflow's metadata "
                "database: give output_path, such as 's3://my_conn@my-bucket/{{ ds }}.parquet'.",
                field="output_path",
            )

    def _ask(self, features: AnyFeatures, found: Survey, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.operators.asking import Asking
        from sentinelhub_provider.operators.part_file import PartFile

        with PartFile(self._part_path(found, context)) as part:
            if len(part):
                self.log.info("%d answers are at hand from an earlier try (%.4g PU)", len(part), part.spent)
            asking = Asking(
                hook=self.hook,
                question=found.question,
                part=part,
                whole=found.usable,
                concurrency=self.concurrency,
                arguments={"timeout": self.timeout, "deadline": self.deadline},
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
            self._report(problems, result)
            self._judge(problems, result)
            part.remove()
        return result

    def _part_path(self, found: Survey, context: Context) -> Path:
        """Name the file for answers on their way: the same for each try of a task, and for it alone."""
        place = str(self.output_path) if self.output_path is not None else _identity(context, self.task_id)
        name = f".{Path(place).name}.{_digest(place, found.question.digest)}.part"
        if self.part_folder is not None:
            return Path(self.part_folder).expanduser() / name
        if self.output_path is not None and "://" not in place:
            return Path(place).expanduser().absolute().parent / name
        return Path(tempfile.gettempdir()) / f"sentinelhub-statistics-{os.getuid()}" / name

    def _write(self, features: AnyFeatures, found: Survey, part: PartFile) -> dict[str, Any]:
        """Write the table, or return its rows; count them, and the intervals that are missing in it."""
        from sentinelhub_provider.operators.statistics_output import Tally, records, return_table, write_table

        tally = Tally()
        cells = tally.counted(records(features, found, part))
        if self.output_path is None:
            result: dict[str, Any] = {"table": return_table(cells, self.max_xcom_size)}
        else:
            result = write_table(cells, found, self.output_path, self.output_format)
        return {"rows": tally.rows, "missing_intervals": tally.missing, **result}

    def _report(self, problems: list[Problem], result: dict[str, Any]) -> None:
        for problem in problems[:SHOWN]:
            self.log.warning("no statistics of %s", problem)
        if len(problems) > SHOWN:
            self.log.warning("... and of %d features more", len(problems) - SHOWN)
        if result["missing_intervals"]:
            self.log.warning("%d intervals are missing: see state 'failed' in the table", result["missing_intervals"])
        self.log.info(
            "%d rows of %d features, %.4g PU spent%s",
            result["rows"],
            result["features"],
            result["processing_units"],
            f", at {result['path']}" if "path" in result else "",
        )

    def _judge(self, problems: list[Problem], result: dict[str, Any]) -> None:
        """Fail the task where its ``on_error`` or an empty table says so; answers stay for the next try."""
        missing = result["missing_intervals"]
        if result["features"] and (self.on_error == "skip" or not (problems or missing)):
            return
        kept = f"the table of the others is at {result['path']}" if "path" in result else "the other answers are kept"
        lost = [_listed(problems)] if problems else []
        lost += [f"{_number(missing, 'interval')} failed twice"] if missing else []
        message = f"{'; '.join(lost)}; {kept}, and a next try asks only for what is missing."
        is_final = bool(problems) and not missing and all(problem.is_final for problem in problems)
        raise (SentinelHubBadRequestError if is_final else SentinelHubResponseError)(message)


def _listed(problems: list[Problem]) -> str:
    shown = "; ".join(str(problem).rstrip(".") for problem in problems[:3])
    more = f"; and {len(problems) - 3:,} more" if len(problems) > 3 else ""
    return f"{_number(len(problems), 'feature')} without statistics: {shown}{more}"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _identity(context: Context, task_id: str) -> str:
    """Return what all tries of one task instance have in common."""
    ti: Any = context["ti"]
    parts = [getattr(ti, name, None) for name in ("dag_id", "run_id", "map_index")]
    return f"{task_id}-{_digest(*(str(part) for part in parts))}"
