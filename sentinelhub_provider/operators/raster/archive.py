"""Several outputs in one answer: a tar archive, taken apart into files of their own as it is read."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubResponseError

if TYPE_CHECKING:
    from sentinelhub_provider.transport.download import Download

CHUNK = 1024 * 1024
"""Bytes that are copied at a time."""


def download_outputs(
    download: Callable[[Path], Download], paths: Mapping[str, Any], formats: Mapping[str, str]
) -> dict[str, Download]:
    """
    Fetch an archive and store its members, which appear together once all of them are complete.

    That every path can be written is found out before the request is sent. The archive is kept on this machine's disk,
    not in memory.

    :param download: fetches the archive to a path.
    :param paths: where each output goes, by its identifier.
    :param formats: media type of each output, by its identifier.
    :returns: each output as it was stored.
    :raises SentinelHubResponseError: where the archive is broken or lacks an output; nothing is stored then.
    """
    from sentinelhub_provider.hooks.output import target_for
    from sentinelhub_provider.transport.download import DownloadReceiver

    with ExitStack() as stack:
        receivers = {name: stack.enter_context(DownloadReceiver(target_for(path))) for name, path in paths.items()}
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
    """
    Return the identifier of the output that a member of an archive holds; ``None`` for what was not requested.

    A member is named by identifier and format. An identifier may have dots itself: ``ndvi.v1`` is in ``ndvi.v1.tif``.

    :param member: name of the member, which may have folders in front.
    :param outputs: identifiers of the outputs.
    """
    path = member.removeprefix("./")
    names = (path, Path(path).name)
    possible = [*(name.rpartition(".")[0] for name in names), *names, Path(path).name.partition(".")[0]]
    return next((name for name in possible if name in outputs), None)
