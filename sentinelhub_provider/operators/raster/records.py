"""What is kept of an output: by which request it was made, so that no other picture is mistaken for it.

The record of ``ndvi.tif`` is ``ndvi.tif.request.json``, beside it or in a folder of records. It names no request from
before a new picture comes until after it has come, so that a record always describes the file that it belongs to.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.exceptions import SentinelHubRequestError
from sentinelhub_provider.hooks.output import beside, place_of, store
from sentinelhub_provider.operators.arguments import task_identity
from sentinelhub_provider.transport.download import storing

if TYPE_CHECKING:
    from airflow.sdk import Context

    from sentinelhub_provider.operators.base import SentinelHubOperator
    from sentinelhub_provider.transport.download import Download

SUFFIX = ".request.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """How an output came to be.

    :param request_sha256: digest of the request, as hexadecimal digits; empty while the output is made anew.
    :param size: bytes of the output.
    :param sha256: of the output, hexadecimal.
    :param content_type: media type.
    :param tiles: name of the folder with the tiles that a mosaic was made of, within ``<output>.tiles``.
    :param service: base URL of the deployment that made it.
    :param task: digest of what names the task in its run.
    :param coverage: share of the area that has data, 0 to 1; ``None`` where that is not known.
    """

    request_sha256: str
    size: int
    sha256: str
    content_type: str
    tiles: str | None = None
    service: str | None = None
    task: str | None = None
    coverage: float | None = None


class Records:
    """The records of one task's outputs.

    ``operator``: the task. ``where``: ``True`` for beside the outputs, ``False`` for nowhere, or a folder.
    """

    def __init__(self, operator: SentinelHubOperator, context: Context, where: Any) -> None:
        self._where = {"true": True, "false": False}.get(str(where).strip().lower(), where)
        if not isinstance(self._where, bool) and (where in (None, 0, 1) or str(where).strip() in ("", "None")):
            raise SentinelHubRequestError(
                f"request_record is {where!r}. Give true, false or a folder.", field="request_record"
            )
        self._operator, self._context = operator, context

    @cached_property
    def _service(self) -> str:
        return self._operator.hook.settings.base_url

    @cached_property
    def _task(self) -> str:
        return digest_of(*task_identity(self._operator, self._context))

    @property
    def are_kept(self) -> bool:
        """Whether there are any."""
        return self._where is not False

    def read(self, path: Any) -> Record | None:
        """Return the record of an output that is there as the record says; ``None`` for any other."""
        if not self.are_kept:
            return None
        with storing(path):
            output, record = place_of(path), place_of(self._place(path))
            if not output.exists() or not record.exists():
                return None
            try:
                found = Record(**json.loads(record.read_text(encoding="utf-8")))
            except (ValueError, TypeError):
                return None
            return found if output.stat().st_size == found.size else None

    def write(
        self, path: Any, output: Download, request: str, tiles: str | None = None, *, coverage: float | None = None
    ) -> Record:
        """Record an output that is complete, and paid for: where that fails, it is logged.

        ``request``: the request's digest. ``coverage``: share of the area that has data.
        """
        made = (request, output.size, output.sha256, output.content_type, tiles)
        record = Record(*made, service=self._service, task=self._task, coverage=coverage)
        if self.are_kept:
            self._try(path, lambda place: _store(record, place))
        return record

    def drop(self, path: Any) -> None:
        """Forget by which request an output was made, for it is about to change. Whose it is stays known."""
        if not self.are_kept:
            return
        try:
            former = self.read(path)
        except Exception:  # of the storage's library: the record is removed below, or that is logged
            former = None
        if former is None:
            self._try(path, lambda place: place_of(place).exists() and place_of(place).unlink())
        else:
            self._try(path, lambda place: _store(replace(former, request_sha256="", tiles=None), place))

    def is_of_request(self, record: Record | None, request: str) -> bool:
        """Tell whether this very request, to this deployment, made an output."""
        return record is not None and (record.request_sha256, record.service) == (request, self._service)

    def is_of_task(self, record: Record | None) -> bool:
        """Tell whether an earlier attempt of this task made an output."""
        return record is not None and record.task == self._task

    def _try(self, path: Any, act: Any) -> None:
        try:
            act(self._place(path))
        except Exception as error:  # of the storage's library, whichever that is
            log.warning("the record of %s cannot be kept, and the picture is made anew next time: %s", path, error)

    def _place(self, path: Any) -> Any:
        if self._where is True:
            return beside(path, SUFFIX)
        name = str(path).rpartition("/")[2]
        return f"{str(self._where).rstrip('/')}/{name}-{digest_of(str(path))[:16]}{SUFFIX}"


def exists(path: Any) -> bool:
    """Tell whether there is a file."""
    with storing(path):
        return bool(place_of(path).exists())


def _store(record: Record, place: Any) -> None:
    store(json.dumps(asdict(record), indent=2).encode(), place, content_type="application/json")


def digest_of(*parts: Any) -> str:
    """Return hexadecimal digits that stand for all parts, which are JSON."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
