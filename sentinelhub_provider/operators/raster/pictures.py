"""Pictures of the Process API: their paths, their requests, and the pictures that already exist.

Several outputs come as one tar archive. Its members are written to files while it is read.
"""

from __future__ import annotations

import tarfile
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubOutputError, SentinelHubRequestError, SentinelHubResponseError
from sentinelhub_provider.operators.arguments import telling_cost
from sentinelhub_provider.operators.raster.coverage import judge_coverage, scenes_of
from sentinelhub_provider.operators.request_arguments import ImageryOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.api.arguments import ImageryArguments
    from sentinelhub_provider.api.process import ProcessRequest
    from sentinelhub_provider.api.processing_units import Estimate
    from sentinelhub_provider.operators.raster.items import Items
    from sentinelhub_provider.operators.raster.told import Made
    from sentinelhub_provider.stac.item import SourceScene
    from sentinelhub_provider.transport.download import Download

ENDPOINT = "/process/v1"
IF_EXISTS = ("overwrite", "skip", "fail")

OUTPUT_FIELD = "{output}"
"""Stands in ``output_path`` for the identifier of each of several outputs."""

CHUNK = 1024 * 1024
"""Bytes that are copied at once."""


def needs_no_time(item: Any) -> bool:
    """Tell whether an entry of ``collection`` has its own time range, or data without a time."""
    from sentinelhub_provider.api.collections import COLLECTIONS

    if isinstance(item, Mapping):
        chosen = item.get("dataFilter")
        if isinstance(chosen, Mapping) and chosen.get("timeRange"):
            return True
        item = item.get("type")
    known = COLLECTIONS.get(str(item))
    return known is not None and known.is_timeless


def format_by_path(output_path: Any, *, tile: bool) -> str | dict[str, str] | None:
    """Return the format of a file's name, or formats by output for several, ``None`` if the name does not tell."""
    from sentinelhub_provider.api.process import FORMATS, USER_DATA

    if isinstance(output_path, Mapping):
        found = {name: format_by_path(path, tile=tile) for name, path in output_path.items()}
        known = {name: kind for name, kind in found.items() if isinstance(kind, str)}
        userdata = {USER_DATA: "json"} if USER_DATA in found else {}
        return {**known, **userdata} if len(known | userdata) == len(found) > 0 else None
    suffix = str(output_path).rpartition(".")[2].lower()
    return "tiff" if tile and suffix == "vrt" else suffix if suffix in FORMATS and suffix != "json" else None


def output_paths(output_path: Any, formats: Mapping[str, str]) -> dict[str, Any]:
    """Return the path of each output by its identifier.

    ``output_path``: see ``SentinelHubProcessOperator``. ``formats``: the outputs. Raises
    :class:`SentinelHubRequestError` if several outputs would go into one file, or an output has no path.
    """
    if isinstance(output_path, Mapping):
        if set(output_path) != set(formats):
            raise SentinelHubRequestError(
                f"output_path has paths for {', '.join(map(str, output_path)) or 'nothing'}, but the outputs are "
                f"{', '.join(formats)}. Give one path for each.",
                field="output_path",
            )
        paths = {name: output_path[name] for name in formats}
    elif OUTPUT_FIELD in str(output_path):
        paths = {name: str(output_path).replace(OUTPUT_FIELD, name) for name in formats}
    elif len(formats) == 1:
        paths = dict.fromkeys(formats, output_path)
    else:
        raise SentinelHubRequestError(
            f"there are {len(formats)} outputs ({', '.join(formats)}), but output_path is one file. Put {OUTPUT_FIELD} "
            "into it, such as '/data/{{ dag_run.run_after | ds }}-{output}.tif', or give a dict of paths by output.",
            field="output_path",
        )
    if len({str(path) for path in paths.values()}) < len(paths):
        raise SentinelHubRequestError(
            "output_path names one file for several outputs. Give each its own.", field="output_path"
        )
    return paths


class PictureOperator(ImageryOperator):
    """The part of the Process operator for pictures and tiles.

    :param kwargs: see :class:`~sentinelhub_provider.operators.request_arguments.ImageryOperator`.
    """

    output_path: Any
    if_exists: str
    on_empty: str
    mosaic: str | None
    tile_size: Any
    concurrency: Any
    tile_attempts: Any
    features: Any
    id_property: str | None
    layer: str | None
    buffer: Any
    clip: Any
    on_error: str

    @abstractmethod
    def wanted(self, context: Context) -> ImageryArguments:
        """Return the arguments of the request. Raises :class:`SentinelHubRequestError`."""

    def download_picture(self, request: ProcessRequest, path: Any) -> Download:
        """Send one request and stream its answer to a path."""
        with telling_cost(lambda: request.estimate(samples=self.sample_count)):
            return self.hook.download(
                "POST", ENDPOINT, path, json=request.body, accept=request.accept, **self.call_arguments
            )

    def check_scenes(self, request: ProcessRequest, estimate: Estimate | None) -> list[SourceScene]:
        """End the task if ``on_empty`` says so and the Catalog has no scene. Raises as :func:`judge_coverage`.

        Returns the scenes if the Catalog was asked.
        """
        scenes = None if self.on_empty == "succeed" else scenes_of(self, request, estimate)
        if scenes is not None and not scenes:
            judge_coverage(
                0, self.on_empty, "the Catalog has no scene of that area and time, so no picture was requested"
            )
        return scenes or []


def picture_there(operator: PictureOperator, items: Items, paths: Mapping[str, Any], digest: str) -> Made | None:
    """Return the existing picture if it is complete, of this very request, and to be kept. Otherwise return ``None``.

    :param paths: path of each output by its identifier.
    :raises SentinelHubOutputError: if another task made one of them and ``if_exists`` is ``fail``.
    :raises SentinelHubRequestError: if ``if_exists`` is ``skip`` and there are no items.
    """
    from sentinelhub_provider.hooks.output import exists

    if operator.if_exists == "overwrite":
        return None
    if operator.if_exists == "skip" and not items.are_kept:
        raise SentinelHubRequestError(
            "if_exists is 'skip', which needs the items of pictures, but stac is false. Give a folder for them as "
            "stac, or another if_exists.",
            field="stac",
        )
    found = items.read(paths)
    if operator.if_exists == "fail":
        for name, path in paths.items():
            refuse_what_is_there(items, path, found if found is not None and name in found.outputs else None)
    if found is not None and len(found.outputs) == len(paths) and items.is_of_request(found, digest):
        there = ", ".join(output["path"] for output in found.outputs.values())
        operator.log.info("skipped, because %s is there and of this request", there)
        items.keep(found)
        return found
    if any(exists(path) for path in paths.values()):
        operator.log.info("the file there is of another request, or its item is missing, so it is made again")
    return None


def refuse_what_is_there(items: Items, path: Any, made: Made | None) -> None:
    """Raise :class:`SentinelHubOutputError` if another task made the file."""
    from sentinelhub_provider.hooks.output import exists

    if exists(path) and not items.is_of_task(made):
        raise SentinelHubOutputError(
            f"output_path {path} exists, and if_exists is 'fail'. Remove it, choose another path, or give "
            "if_exists='skip' or 'overwrite'. Nothing was sent."
        )


def result_of(
    made: Made,
    digest: str,
    *,
    spent: float | None,
    estimated: float | None,
    skipped: bool = False,
    tiles: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Return the task's result for a new picture. See ``SentinelHubProcessOperator``."""
    return {
        "path": next(one["path"] for one in made.outputs.values()) if len(made.outputs) == 1 else None,
        "outputs": made.outputs,
        "item": made.item,
        "processing_units": spent,
        "estimated_processing_units": estimated,
        "request_sha256": digest,
        "skipped": skipped,
        "tiles": tiles,
        "coverage": made.coverage,
    }


def download_outputs(
    download: Callable[[Path], Download], paths: Mapping[str, Any], formats: Mapping[str, str]
) -> dict[str, Download]:
    """Fetch an archive and store its members. They appear together when all are complete.

    Every path is checked for writing before the request is sent. The archive is kept on this machine's disk, not in
    memory. ``download``: fetches the archive to a path. ``paths``: path of each output by its identifier. ``formats``:
    media type of each output by its identifier. Returns each output as stored. Raises :class:`SentinelHubResponseError`
    if the archive is broken or lacks an output. Nothing is stored then.
    """
    from sentinelhub_provider.hooks.output import target_for

    with ExitStack() as stack:
        receivers = {name: stack.enter_context(target_for(path)) for name, path in paths.items()}
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sentinelhub-")))
        archive = download(folder / "outputs.tar")
        fed: set[str] = set()
        try:
            with tarfile.open(archive.path, "r|*") as members:
                for member in members:
                    name = output_of(member.name, receivers)
                    content = members.extractfile(member)
                    if content is None or name is None:
                        continue
                    receivers[name].restart()
                    while chunk := content.read(CHUNK):
                        receivers[name].feed(chunk)
                    fed.add(name)
        except tarfile.TarError as error:
            raise SentinelHubResponseError(
                f"{archive.url} answered with an archive that cannot be read: {error}."
            ) from error
        missing = [name for name in receivers if name not in fed]
        if missing:
            raise SentinelHubResponseError(f"{archive.url} answered with an archive that has no {', '.join(missing)}.")
        return {
            name: receiver.complete(content_type=formats[name], processing_units=None, url=archive.url)
            for name, receiver in receivers.items()
        }


def output_of(member: str, outputs: Collection[str]) -> str | None:
    """Return the identifier of the output in a member of an archive, ``None`` for an output that was not requested.

    A member is named by identifier and format. An identifier may have dots, such as ``ndvi.v1`` in ``ndvi.v1.tif``.
    ``member``: name of the member, possibly with folders in front. ``outputs``: identifiers of the outputs.
    """
    path = member.removeprefix("./")
    names = (path, Path(path).name)
    possible = [*(name.rpartition(".")[0] for name in names), *names, Path(path).name.partition(".")[0]]
    return next((name for name in possible if name in outputs), None)
