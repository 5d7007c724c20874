"""Several outputs in one answer: a tar archive, taken apart into files of their own as it is read."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Mapping
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
) -> tuple[dict[str, Download], float | None]:
    """
    Fetch an archive and store its members, which appear together once all of them are complete.

    That every path can be written is found out before the request is sent. The archive is kept on this machine's disk,
    not in memory.

    :param download: fetches the archive to a path.
    :param paths: where each output goes, by its identifier.
    :param formats: media type of each output, by its identifier.
    :returns: each output as it was stored, and what the request cost in PU.
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
                    name = Path(member.name).name.partition(".")[0]
                    content = members.extractfile(member)
                    if content is None or name not in receivers:
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
        stored = {
            name: receiver.complete(content_type=formats[name], processing_units=None, url=archive.url)
            for name, receiver in receivers.items()
        }
        return stored, archive.processing_units
