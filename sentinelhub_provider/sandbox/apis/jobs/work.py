"""The work with object storage and archives that all kinds of jobs share."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinelhub_provider.sandbox.world.delivery.locations import Location
from sentinelhub_provider.sandbox.world.delivery.stores import DeliveryError, Store
from sentinelhub_provider.sandbox.world.scenes.model import SceneSource

from .model import JobError, Outcome, Part
from .states import Status


@dataclass(kw_only=True)
class StoredWork:
    """Work on object storage. A subclass adds the methods of :class:`.model.Work` that analyse and process."""

    job_id: str
    source: SceneSource = field(repr=False)
    store: Store
    live: bool = True

    def fail_part(self, part: Part, cause: str) -> Outcome:
        """Let a feature fail for an injected cause. Deliver nothing."""
        del part
        return Outcome("FATAL", cause, delivered=False)

    def report(self, parts: Sequence[Part]) -> None:
        """Publish nothing while the job runs."""

    def finish(self, status: Status, error: str | None, cost: float) -> None:
        """Publish nothing at the end."""

    def read(self, location: Location, name: str) -> bytes:
        """Read an object. ``name`` is the field of the request that names it. Raises :class:`JobError`."""
        try:
            return self.store.get(location)
        except DeliveryError as error:
            raise JobError(f"{name}: {error}") from error

    def read_text(self, location: Location, name: str) -> str:
        """Read a text. Raises :class:`JobError`."""
        try:
            return self.read(location, name).decode()
        except UnicodeDecodeError as error:
            raise JobError(f"{name}: the file is no UTF-8 text") from error

    def put(
        self,
        location: Location,
        content: bytes,
        content_type: str = "application/octet-stream",
        *,
        name: str = "output.delivery",
    ) -> None:
        """Write an object. ``name`` is the field of the request that names it. Raises :class:`JobError`."""
        try:
            self.store.put(location, content, content_type)
        except DeliveryError as error:
            raise JobError(f"{name}: {error}") from error

    def put_json(
        self,
        location: Location,
        content: Mapping[str, Any],
        *,
        name: str = "output.delivery",
        indent: int | None = 2,
    ) -> None:
        """Write a JSON object. Raises :class:`JobError`."""
        self.put(location, json.dumps(content, indent=indent).encode(), "application/json", name=name)


def unpacked(archive: bytes) -> list[tuple[str, bytes]]:
    """List the files of a tar archive with their content."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        found = []
        for member in members:
            file = members.extractfile(member)
            found.append((member.name, file.read() if file is not None else b""))
        return found
