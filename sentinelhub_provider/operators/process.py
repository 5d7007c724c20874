"""An operator for the Process API, which renders pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.api.values import read_choice, read_flag, read_whole_number
from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.operators.raster import pictures
from sentinelhub_provider.operators.raster.coverage import ON_EMPTY, coverage_of, judge_coverage

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.arguments import ImageryArguments
    from sentinelhub_provider.api.process import ProcessRequest
    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.operators.argument_types import FeatureSource, FilePath
    from sentinelhub_provider.operators.raster.items import Items

MOST_AT_A_TIME = 100
"""Most tiles. Each has a thread and a connection of its own."""


class SentinelHubProcessOperator(pictures.PictureOperator):
    """Renders a picture of satellite data and stores it.

    Describe the picture with the arguments, or pass the API's own JSON as ``request``. A request that cannot work is
    refused before it is sent and paid for. The picture is streamed to ``output_path``, where it appears only when it is
    complete.

    It returns a dict with these members. Both costs are also pushed to XCom.

    - ``path`` of the picture, ``None`` if there are several
    - ``outputs`` by identifier, each with ``path``, ``size`` in bytes, ``sha256`` and ``content_type``
    - ``item``, the path of the STAC Item, ``None`` without one
    - ``processing_units`` spent (PU, ``None`` if the service does not name them) and ``estimated_processing_units``
    - ``request_sha256`` and ``skipped``
    - ``tiles`` with ``total`` and ``fetched``, ``None`` without tiling
    - ``coverage``, the share of the area with data, 0 to 1, ``None`` if unknown

    With ``features``, it returns a dict with these members instead.

    - ``features`` (number with a picture), ``skipped`` (number whose pictures were already there) and ``failed``
    - ``failed_features``, the first 100
    - ``pictures``, each with ``feature_id``, ``path``, ``size``, ``sha256`` and ``skipped``, ``None`` if that is too
      large for XCom
    - ``path`` as given, and ``collection``, the path of the STAC Collection
    - ``processing_units`` and ``estimated_processing_units``

    .. seealso:: :doc:`/how-to/operators/process`

    :param output_path: file for the picture, a local path or a URL that Airflow's object storage knows, such as
        ``s3://conn_id@bucket/{{ dag_run.run_after | ds }}.tif``. For several outputs, a path with ``{output}`` in it,
        or a dict of paths by output identifier. (templated)
    :param if_exists: what to do if ``output_path`` exists. ``overwrite`` replaces it. ``skip`` keeps a picture of the
        same request and overwrites any other file. ``fail`` fails the task, unless an earlier attempt of this task made
        the file. (templated)
    :param stac: place of the picture's STAC Item and of the Collection ``collection.json``. ``True`` writes
        ``<output_path>.stac.json``, ``False`` writes none, and a folder takes both. (templated)
    :param on_empty: what to do if no pixel has data, for lack of scenes or because of clouds: ``succeed``, ``skip`` or
        ``fail``. With the latter two, the Catalog is searched for scenes first if that is cheaper. Reading the pixels
        needs the extra ``raster``. (templated)
    :param features: render a picture of each of many features. GeoJSON, or a file of any kind that
        :func:`~sentinelhub_provider.features.open_features` reads. ``output_path`` then has ``{feature_id}`` in it.
        Earlier pictures of the same request stay. (templated)
    :param id_property: the property that names each feature. (templated)
    :param layer: layer of a file that has several. (templated)
    :param buffer: metres around each feature. A negative buffer shrinks the feature. (templated)
    :param clip: whether only the inside of each feature has data. Otherwise its whole box has data. (templated)
    :param on_error: ``fail`` fails the task for an unusable feature before anything is sent, and for a feature without
        a picture after all other pictures. ``skip`` reports such features, and the task succeeds if there is any
        picture. (templated)
    :param tile: whether to fetch the area in tiles and join them to one TIFF, for areas that are too large for one
        request. (templated)
    :param mosaic: format of the joined tiles. ``geotiff`` and ``cog`` need the extra ``raster``. ``vrt`` refers to the
        tiles and needs nothing. Default: ``vrt`` if ``output_path`` ends so, else ``geotiff``. (templated)
    :param tile_size: largest side of a tile in pixels, at most 2500. (templated)
    :param concurrency: number of tiles to fetch at the same time, at most 100. (templated)
    :param tile_attempts: number of tries for a tile before the task fails. (templated)
    :param kwargs: the request (``collection``, ``evalscript``, ``time_range``, ``bbox``, ``geometry``, ``resolution``,
        ``outputs`` and so on, or ``request``), see
        :class:`~sentinelhub_provider.operators.request_arguments.ImageryOperator`. ``outputs`` defaults to the ending
        of ``output_path``. Also the arguments of :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`.
    """

    def __init__(
        self,
        *,
        output_path: FilePath | Mapping[str, Any],
        if_exists: str = "overwrite",
        stac: bool | FilePath = True,
        on_empty: str = "succeed",
        features: FeatureSource | None = None,
        id_property: str | None = None,
        layer: str | None = None,
        buffer: float | str | None = None,
        clip: bool | str = True,
        on_error: str = "fail",
        tile: bool | str = False,
        mosaic: str | None = None,
        tile_size: int | str = 2048,
        concurrency: int | str = 4,
        tile_attempts: int | str = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_path, self.if_exists, self.on_empty = output_path, if_exists, on_empty
        self.stac = stac
        self.features, self.id_property, self.layer = features, id_property, layer
        self.buffer, self.clip, self.on_error = buffer, clip, on_error
        self.tile, self.mosaic = tile, mosaic
        self.tile_size, self.concurrency, self.tile_attempts = tile_size, concurrency, tile_attempts

    def estimate(self, context: Context) -> Estimate | None:
        """Estimate what the picture of one area costs, with ``tile`` in all of its tiles. Nothing is sent.

        :returns: ``None`` where the evalscript does not say plainly what it reads.
        :raises SentinelHubRequestError: where an argument is wrong.
        """
        is_tiled = self._check_arguments()
        request = self._checked_request(context, is_tiled=is_tiled)
        if not is_tiled:
            return request.estimate(samples=self.sample_count)
        from sentinelhub_provider.operators.raster.items import Items
        from sentinelhub_provider.operators.raster.tiled import TiledProcess

        return TiledProcess(self, context, request, Items(self, context, self.stac)).estimate()

    def _result(self, context: Context) -> dict[str, Any]:
        from sentinelhub_provider.hooks.output import parent
        from sentinelhub_provider.operators.raster.items import Items

        is_tiled = self._check_arguments()
        if self.features is not None:
            from sentinelhub_provider.operators.raster.features import FEATURE_FIELD, FeaturePictures

            if is_tiled:
                raise SentinelHubRequestError("tile is true, and features are given. Leave one of them out.")
            folder = parent(str(self.output_path).partition(FEATURE_FIELD)[0])
            return FeaturePictures(self, context, Items(self, context, self.stac, folder)).result()
        request = self._checked_request(context, is_tiled=is_tiled)
        for warning in request.warnings:
            self.log.warning("%s", warning)
        self.log.info("picture of %s", request)
        self.time_range_sent, self.request_sent = request.datasets.time_range, request.body
        items = Items(self, context, self.stac)
        if is_tiled:
            from sentinelhub_provider.operators.raster.tiled import TiledProcess

            result = TiledProcess(self, context, request, items).result()
        else:
            result = self._single(context, request, items)
        items.publish()
        if result["skipped"] and result["coverage"] is None:  # the task that made the picture did not need it
            paths = pictures.output_paths(self.output_path, request.formats)
            result["coverage"] = coverage_of(self, request, paths, self.on_empty)
        judge_coverage(result["coverage"], self.on_empty, f"no pixel has data in {', '.join(result['outputs'])}")
        return result

    def _check_arguments(self) -> bool:
        """Read the arguments that templates rendered as text. Return whether the area is fetched in tiles."""
        self.on_empty = read_choice(self.on_empty, ON_EMPTY, "on_empty")
        self.on_error = read_choice(self.on_error, ("fail", "skip"), "on_error")
        self.if_exists = read_choice(self.if_exists, pictures.IF_EXISTS, "if_exists")
        for name, most in (("tile_size", math.inf), ("concurrency", MOST_AT_A_TIME), ("tile_attempts", math.inf)):
            setattr(self, name, read_whole_number(getattr(self, name), name, most=most))
        return read_flag(self.tile, "tile")

    def _single(self, context: Context, request: ProcessRequest, items: Items) -> dict[str, Any]:
        paths = pictures.output_paths(self.output_path, request.formats)
        kept = pictures.picture_there(self, items, paths, request.digest)
        if kept is not None:
            return pictures.result_of(kept, request.digest, spent=0.0, estimated=0.0, skipped=True)
        estimate = request.estimate(samples=self.sample_count)
        self.check_estimate(context, estimate)
        items.check()
        scenes = self.check_scenes(request, estimate)
        items.drop(paths)
        if len(paths) == 1:
            stored = {name: self.download_picture(request, path) for name, path in paths.items()}
        else:
            stored = pictures.download_outputs(partial(self.download_picture, request), paths, request.formats)
        for output in stored.values():
            self.log.info("stored %s bytes (%s) at %s", f"{output.size:,}", output.content_type, output.path)
        coverage = coverage_of(self, request, paths, self.on_empty)
        made = items.write(request, paths, stored, request.digest, cost=self.spent, scenes=scenes, coverage=coverage)
        return pictures.result_of(
            made,
            request.digest,
            spent=self.spent,
            estimated=None if estimate is None else estimate.processing_units,
        )

    def _checked_request(self, context: Context, *, is_tiled: bool) -> ProcessRequest:
        from sentinelhub_provider.api.geo.bounds import MAX_SIDE
        from sentinelhub_provider.api.process import build_process_request, read_process_request

        max_side = None if is_tiled else MAX_SIDE
        whole = self.whole_request(context)
        if whole is not None:
            return read_process_request(whole, max_side=max_side, **self.checks)
        return build_process_request(self.wanted(context, tile=is_tiled), max_side=max_side, **self.checks)

    def wanted(self, context: Context, *, tile: bool = False) -> ImageryArguments:
        """Return the arguments of the request. The format defaults to the ending of ``output_path``."""
        wanted: ImageryArguments = self.described(context, "collection", "evalscript")
        if wanted.outputs is not None:
            return wanted
        return replace(wanted, outputs=pictures.format_by_path(self.output_path, tile=tile))

    def times(self, context: Context) -> Any:
        """Return the time range. Data without a time do not need one."""
        named = self.structured("collection")
        given = [named] if isinstance(named, str | Mapping) else named
        if (
            self.time_range is None
            and isinstance(given, Sequence)
            and all(pictures.needs_no_time(item) for item in given)
        ):
            return None
        return super().times(context)
