"""The control of collections, for the control routes and ``SandboxServer.control.byoc``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sentinelhub_provider.sandbox.apis.byoc.ingestion import Durations, Failure, Remark
from sentinelhub_provider.sandbox.apis.byoc.state import ByocStore

if TYPE_CHECKING:
    from sentinelhub_provider.sandbox.gateway.state import Sandbox


class ByocControl:
    """Control over the BYOC API of a sandbox. All methods may be called from any thread."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._store = ByocStore.of(sandbox)

    def set_ingestion(
        self,
        *,
        waiting: float | None = Durations().waiting,
        ingesting: float | None = Durations().ingesting,
        failures: Mapping[str, str] | Sequence[Failure] = (),
        warnings: Mapping[str, str] | Sequence[Remark] = (),
    ) -> None:
        """Set how new tiles are ingested.

        ``waiting`` and ``ingesting`` are seconds in these states, ``None`` until a step. ``failures`` are causes, and
        ``warnings`` are warnings about tiles, both by patterns of paths. Raises ``ValueError`` for a negative time.
        """
        if isinstance(failures, Mapping):
            failures = [Failure(pattern, cause) for pattern, cause in failures.items()]
        if isinstance(warnings, Mapping):
            warnings = [Remark(pattern, warning) for pattern, warning in warnings.items()]
        self._store.set_ingestion(Durations(waiting, ingesting), failures, warnings)

    def step(self) -> int:
        """Move every unfinished tile on by one state. Return the number of moved tiles."""
        return self._store.step()
