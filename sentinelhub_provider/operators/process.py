"""An operator that has pictures made: the Process API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import (
    SentinelHubRequestError,
)
from sentinelhub_provider.operators.arguments import (
    geometry_of,
    json_of,
    log_and_check_cost,
    log_and_push_spent,
    times_of_run,
    utc_now,
)
from sentinelhub_provider.operators.base import SentinelHubOperator
from sentinelhub_provider.operators.raster.pictures import check_if_exists, download_picture, pictures_there, result_of
from sentinelhub_provider.operators.raster.process_arguments import format_by_path, needs_no_time, output_paths

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from sentinelhub_provider.api.process import ProcessRequest
    from sentinelhub_provider.transport.download import Download

_NOT_WITH_REQUEST = (
    "collection",
    "evalscript",
    "time_range",
    "bbox",
    "geometry",
    "crs",
    "width",
    "height",
    "resolution",
    "mosaicking_order",
    "max_cloud_cover",
    "upsampling",
    "downsampling",
    "outputs",
)


class SentinelHubProcessOperator(SentinelHubOperator):
    """
    Have a picture made of satellite data, and store it.

    Say what is wanted with the arguments, or give the API's own JSON as ``request``. What cannot work is refused before
    it is sent and paid for. The picture is streamed to ``output_path``, where it appears only when it is complete;
    beside it, ``<output_path>.request.json`` records by which request it was made.

    Returned is a dict: ``path`` (of the picture, ``None`` where there are several), ``outputs`` (``path``, ``size`` in
    bytes, ``sha256`` and ``content_type`` of each, by identifier), ``processing_units`` spent (PU, ``None`` where the
    service does not say), ``estimated_processing_units``, ``request_sha256``, ``skipped``, and ``tiles`` (``total`` and
    ``fetched``, ``None`` without tiling). Both costs are pushed to XCom, too.

    .. seealso:: :doc:`/operators/process`

    :param output_path: file for the picture: a local path, or a URL that Airflow's object storage knows, such as
        ``s3://conn_id@bucket/{{ dag_run.run_after | ds }}.tif``. For several outputs, a path with ``{output}`` in it,
        or a dict of paths by output identifier. (templated)
    :param collection: a collection's id, an entry of ``input.data`` as the API has it, or a list of either, whose data
        are fused. (templated)
    :param evalscript: JavaScript; the name of a ``.js`` file beside the DAG; or one of ``true-colour``, ``ndvi``,
        ``ndvi-clear``, ``ndwi``, ``ndmi``, ``scl-mask``. In it, only ``{{ ... }}`` is a template. (templated)
    :param time_range: ``P7D`` for the seven days before the run, two dates, or two times, both included; the run's data
        interval by default. (templated)
    :param bbox: west, south, east, north in units of ``crs``. (templated)
    :param geometry: GeoJSON as a dict, WKT, or a file of either: beside the DAG, an absolute path, or a URL that
        Airflow's object storage knows, ending with ``.geojson``, ``.json`` or ``.wkt``. The picture has data only
        inside. (templated)
    :param crs: EPSG code of both, such as ``32633``; longitude and latitude by default. (templated)
    :param width: pixels; with ``height``, or alone. (templated)
    :param height: pixels. (templated)
    :param resolution: metres per pixel, instead of ``width`` and ``height``. (templated)
    :param mosaicking_order: ``mostRecent``, ``leastRecent`` or ``leastCC``. (templated)
    :param max_cloud_cover: per cent of a scene. (templated)
    :param upsampling: ``NEAREST``, ``BILINEAR`` or ``BICUBIC``, where pixels are finer than the data's. (templated)
    :param downsampling: the same, where they are coarser. (templated)
    :param outputs: format of the picture: ``png``, ``jpeg`` or ``tiff``; by default what ``output_path`` ends with. For
        several outputs of the evalscript, a dict of formats by identifier. (templated)
    :param request: the API's JSON: a dict, its text, or the name of a ``.json`` file beside the DAG. It is checked, and
        sent as it is; of the arguments above, only ``output_path`` goes with it. (templated)
    :param if_exists: what to do where ``output_path`` is there: ``overwrite`` it; ``skip`` the request if it is the one
        that made it, and overwrite otherwise; or ``fail``.
    :param tile: whether the area is fetched in tiles and made one TIFF, for areas that one request cannot deliver.
    :param mosaic: of the tiles: ``geotiff`` or ``cog`` (both need the extra ``raster``), or ``vrt``, which refers to
        the tiles and needs nothing; by default ``vrt`` where ``output_path`` ends so, else ``geotiff``.
    :param tile_size: largest side of a tile in pixels, 2500 at most.
    :param concurrency: tiles that are fetched at the same time.
    :param tile_attempts: how often a tile is tried before the task fails.
    :param max_processing_units: PU that the task may cost; over it, it fails before anything is sent.
    :param samples: data samples to a pixel that the estimate counts where the evalscript's mosaicking is ``ORBIT`` or
        ``TILE``: as many as there are orbits or tiles.
    :param kwargs: further arguments, of :class:`~sentinelhub_provider.operators.base.SentinelHubOperator`, such as
        ``timeout``, ``deferrable`` and ``sentinelhub_conn_id``, and of any Airflow operator.
    """

    template_fields: Sequence[str] = ("output_path", *_NOT_WITH_REQUEST, "request", "sentinelhub_conn_id")
    template_file_fields: Sequence[str] = ("evalscript", "request")
    template_fields_renderers = {  # noqa: RUF012 - Airflow's own form
        "collection": "json",
        "evalscript": "js",
        "bbox": "json",
        "geometry": "json",
        "outputs": "json",
        "request": "json",
    }
    ui_color = "#d6e9f8"

    def __init__(
        self,
        *,
        output_path: str | ObjectStoragePath | Mapping[str, Any],
        collection: Any = None,
        evalscript: str | None = None,
        time_range: Any = None,
        bbox: Any = None,
        geometry: Any = None,
        crs: Any = None,
        width: Any = None,
        height: Any = None,
        resolution: Any = None,
        mosaicking_order: str | None = None,
        max_cloud_cover: Any = None,
        upsampling: str | None = None,
        downsampling: str | None = None,
        outputs: Any = None,
        request: Mapping[str, Any] | str | None = None,
        if_exists: str = "overwrite",
        tile: bool = False,
        mosaic: str | None = None,
        tile_size: int = 2048,
        concurrency: int = 4,
        tile_attempts: int = 3,
        max_processing_units: float | None = None,
        samples: float = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        self.collection = collection
        self.evalscript = evalscript
        self.time_range = time_range
        self.bbox = bbox
        self.geometry = geometry
        self.crs = crs
        self.width = width
        self.height = height
        self.resolution = resolution
        self.mosaicking_order = mosaicking_order
        self.max_cloud_cover = max_cloud_cover
        self.upsampling = upsampling
        self.downsampling = downsampling
        self.outputs = outputs
        self.request = request
        self.if_exists = if_exists
        self.tile = tile
        self.mosaic = mosaic
        self.tile_size = tile_size
        self.concurrency = concurrency
        self.tile_attempts = tile_attempts
        self.max_processing_units = max_processing_units
        self.samples = samples

    def _result(self, context: Context) -> dict[str, Any]:
        check_if_exists(self.if_exists)
        request = self._checked_request(context)
        for warning in request.warnings:
            self.log.warning("%s", warning)
        if self.tile:
            from sentinelhub_provider.operators.raster.tiled import TiledProcess, Tiling

            wanted = {field.name: getattr(self, field.name) for field in fields(Tiling)}
            return TiledProcess(self, context, request, Tiling(**wanted)).result()
        return self._single(context, request)

    def _single(self, context: Context, request: ProcessRequest) -> dict[str, Any]:
        from sentinelhub_provider.operators.raster.records import Record, drop_record, write_record

        paths = output_paths(self.output_path, request.formats)
        kept = pictures_there(self, paths, request.digest, self.if_exists)
        if kept is not None:
            return result_of(kept, request.digest, spent=0.0, estimated=0.0, skipped=True)
        estimate = request.estimate(samples=self.samples)
        log_and_check_cost(self, context, estimate, self.max_processing_units)
        for path in paths.values():
            drop_record(path)
        stored, spent = self._fetch(request, paths)
        outputs = {}
        for name, output in stored.items():
            self.log.info("stored %d bytes (%s) at %s", output.size, output.content_type, output.path)
            outputs[name] = Record(request.digest, output.size, output.sha256, output.content_type)
            write_record(paths[name], outputs[name])
        log_and_push_spent(self, context, spent)
        return result_of(
            {name: (stored[name].path, record) for name, record in outputs.items()},
            request.digest,
            spent=spent,
            estimated=None if estimate is None else estimate.processing_units,
        )

    def _fetch(self, request: ProcessRequest, paths: Mapping[str, Any]) -> tuple[dict[str, Download], float | None]:
        if len(paths) == 1:
            ((name, path),) = paths.items()
            download = download_picture(self, request, path)
            return {name: download}, download.processing_units
        from sentinelhub_provider.operators.raster.archive import download_outputs

        return download_outputs(lambda archive: download_picture(self, request, archive), paths, request.formats)

    def _checked_request(self, context: Context) -> ProcessRequest:
        from sentinelhub_provider.api.geo.bounds import MAX_SIDE
        from sentinelhub_provider.api.process import build_process_request, read_process_request

        deployment = self.hook.settings.deployment.name
        max_side = None if self.tile else MAX_SIDE
        if self.request is not None:
            both = [name for name in _NOT_WITH_REQUEST if getattr(self, name) is not None]
            if both:
                raise SentinelHubRequestError(
                    f"request is given, and {', '.join(both)} too. The request is sent as it is: put that into it.",
                    field=both[0],
                )
            return read_process_request(
                json_of(self.request, "request"), deployment=deployment, now=utc_now(), max_side=max_side
            )
        missing = [name for name in ("collection", "evalscript") if getattr(self, name) is None]
        if missing:
            raise SentinelHubRequestError(
                f"{missing[0]} is missing. Give it, or the whole request as request.", field=missing[0]
            )
        return build_process_request(
            collections=self.collection,
            evalscript=str(self.evalscript),
            time_range=self._times(context),
            bbox=self.bbox,
            geometry=geometry_of(self, self.geometry, "geometry"),
            crs=self.crs,
            width=self.width,
            height=self.height,
            resolution=self.resolution,
            mosaicking_order=self.mosaicking_order,
            max_cloud_cover=self.max_cloud_cover,
            upsampling=self.upsampling,
            downsampling=self.downsampling,
            outputs=format_by_path(self.output_path, tile=self.tile) if self.outputs is None else self.outputs,
            deployment=deployment,
            now=utc_now(),
            max_side=max_side,
        )

    def _times(self, context: Context) -> Any:
        """Return the time range: what is given, else the data interval, which pictures without a time do not need."""
        given = [self.collection] if isinstance(self.collection, str | Mapping) else self.collection
        if self.time_range is None and isinstance(given, Sequence) and all(needs_no_time(item) for item in given):
            return None
        return times_of_run(context, self.time_range, "time_range")
