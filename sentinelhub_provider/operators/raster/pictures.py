"""Pictures of the Process API: made by one request, known again when they are there, described by the task's result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubOutputError, SentinelHubRequestError

if TYPE_CHECKING:
    from sentinelhub_provider.api.process import ProcessRequest
    from sentinelhub_provider.operators.base import SentinelHubOperator
    from sentinelhub_provider.operators.raster.records import Record, Records
    from sentinelhub_provider.transport.download import Download

    Pictures = Mapping[str, tuple[str, Record]]
    """Path and record of each output by its identifier."""

ENDPOINT = "/process/v1"
IF_EXISTS = ("overwrite", "skip", "fail")


def download_picture(operator: SentinelHubOperator, request: ProcessRequest, path: Any) -> Download:
    """Make one request and stream its answer to a path."""
    return operator.hook.download(
        "POST", ENDPOINT, path, json=request.body, accept=request.accept, **operator.call_arguments
    )


def pictures_there(
    operator: SentinelHubOperator, records: Records, paths: Mapping[str, Any], digest: str, if_exists: str
) -> Pictures | None:
    """
    Return the outputs where all of them are there, made by this very request, and are to be kept; else ``None``.

    :param records: those of the task.
    :param paths: where each output goes, by its identifier.
    :param digest: that of the request.
    :param if_exists: one of :data:`IF_EXISTS`.
    :raises SentinelHubOutputError: where one is there that another task made, and ``if_exists`` is ``fail``.
    :raises SentinelHubRequestError: where ``if_exists`` is ``skip`` and there are no records.
    """
    from sentinelhub_provider.hooks.output import place_of
    from sentinelhub_provider.operators.raster.records import exists

    if if_exists == "overwrite":
        return None
    if if_exists == "skip" and not records.are_kept:
        raise SentinelHubRequestError(
            "if_exists is 'skip', which needs records of requests, but request_record is false. Give a folder for them "
            "as request_record, or another if_exists.",
            field="request_record",
        )
    found = {name: records.read(path) for name, path in paths.items()}
    if if_exists == "fail":
        for name, path in paths.items():
            if exists(path) and not records.is_of_task(found[name]):
                raise SentinelHubOutputError(
                    f"output_path {path} exists, and if_exists is 'fail'. Remove it, choose another path, or give "
                    "if_exists='skip' or 'overwrite'; nothing was sent."
                )
    kept = {
        name: (str(place_of(paths[name])), record)
        for name, record in found.items()
        if record is not None and records.is_of_request(record, digest)
    }
    if len(kept) == len(paths):
        operator.log.info("skipped: %s is there, made by this request", ", ".join(path for path, _ in kept.values()))
        return kept
    if any(exists(path) for path in paths.values()):
        operator.log.info("what is there was made by another request, or its record is missing: it is made anew")
    return None


def result_of(
    pictures: Pictures,
    digest: str,
    *,
    spent: float | None,
    estimated: float | None,
    skipped: bool = False,
    tiles: dict[str, int] | None = None,
) -> dict[str, Any]:
    """
    Return what a task returns that made pictures; see ``SentinelHubProcessOperator``.

    :param digest: that of the request.
    :param spent: PU, ``None`` where the service does not say.
    :param estimated: PU, ``None`` where that cannot be known.
    :param skipped: whether the pictures were there, and nothing was sent.
    :param tiles: how many tiles there are, and how many of them were fetched; ``None`` for a picture of one request.
    """
    outputs = {
        name: {"path": path, "size": record.size, "sha256": record.sha256, "content_type": record.content_type}
        for name, (path, record) in pictures.items()
    }
    return {
        "path": next(path for path, _ in pictures.values()) if len(pictures) == 1 else None,
        "outputs": outputs,
        "processing_units": spent,
        "estimated_processing_units": estimated,
        "request_sha256": digest,
        "skipped": skipped,
        "tiles": tiles,
        "coverage": next((record.coverage for _, record in pictures.values() if record.coverage is not None), None),
    }
