"""The state of one sandbox between requests, in one object. Two sandboxes in a process share nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from sentinelhub_provider.sandbox.gateway.auth.tokens import ClientRegistry, TokenIssuer
from sentinelhub_provider.sandbox.gateway.faults.model import FaultPlan
from sentinelhub_provider.sandbox.gateway.ledger import Ledger
from sentinelhub_provider.sandbox.gateway.limits import Clock, Limits, RateLimiter
from sentinelhub_provider.sandbox.settings import SandboxSettings
from sentinelhub_provider.sandbox.world.delivery.stores import Store, open_store
from sentinelhub_provider.sandbox.world.scenes.publication import PublishedScenes

if TYPE_CHECKING:
    from sentinelhub_provider.sandbox.world.scenes import SceneSource


class Part(Protocol):
    """The state of an API between requests."""

    def reset(self) -> None:
        """Go back to what there was at the start."""


PartType = TypeVar("PartType", bound=Part)


class Sandbox:
    """The state behind the routes. ``clock`` returns seconds since 1970 and rules token lifetimes and rate limits."""

    def __init__(self, settings: SandboxSettings, *, clock: Clock = time.time) -> None:
        self.settings = settings
        self.clock = clock
        self.clients = ClientRegistry(settings.clients())
        self.issuer = TokenIssuer(clock=clock, token_lifetime=settings.token_lifetime)
        self.limiter = RateLimiter(_limits(settings), clock=clock)
        self.faults = FaultPlan(seed=settings.seed)
        self.ledger = Ledger()
        self.delivery = _store(settings)
        self.latency = settings.latency
        self._scenes: PublishedScenes | None = None
        self._scenes_lock = threading.Lock()
        self._parts: dict[type, Part] = {}
        self._parts_lock = threading.Lock()

    @property
    def scenes(self) -> PublishedScenes:
        """The source of scenes. It is made on first use, because it loads numpy and, for a folder, rasterio."""
        with self._scenes_lock:
            if self._scenes is None:
                self._scenes = PublishedScenes(self._open_scenes(), clock=self.now)
            return self._scenes

    def part(self, kind: type[PartType], make: Callable[[], PartType]) -> PartType:
        """Return the state of an API between requests. ``make`` makes it at first use.

        So each API brings its own state, and this module knows no API.
        """
        with self._parts_lock:
            found = self._parts.get(kind)
            if not isinstance(found, kind):
                found = self._parts[kind] = make()
            return found

    def close(self) -> None:
        """End the threads that APIs have started."""
        for part in self._parts_made():
            close: Callable[[], None] = getattr(part, "close", lambda: None)
            close()

    def _parts_made(self) -> list[Part]:
        with self._parts_lock:
            return list(self._parts.values())

    def reset(self) -> None:
        """Go back to the settings, without published scenes. The signing key stays."""
        self.clients.reset()
        self.issuer.reset()
        self.limiter.set_limits(_limits(self.settings))
        self.faults.clear()
        for part in self._parts_made():
            part.reset()
        self.delivery = _store(self.settings)
        self.ledger.reset()
        self.latency = self.settings.latency
        with self._scenes_lock:
            if self._scenes is not None:
                self._scenes.clear()

    def now(self) -> datetime:
        """Return the present time. No scene is younger."""
        return datetime.fromtimestamp(self.clock(), UTC)

    def _open_scenes(self) -> SceneSource:
        if self.settings.scenes is not None:
            from sentinelhub_provider.sandbox.world.scenes import FolderScenes

            return FolderScenes(self.settings.scenes)
        from sentinelhub_provider.sandbox.world.scenes import SyntheticScenes

        return SyntheticScenes(seed=self.settings.seed, clock=self.now)


def _store(settings: SandboxSettings) -> Store | None:
    return None if settings.delivery is None else open_store(settings.delivery)


def _limits(settings: SandboxSettings) -> Limits:
    return Limits(
        requests_per_minute=settings.requests_per_minute,
        processing_units_per_minute=settings.processing_units_per_minute,
        token_requests_per_minute=settings.token_requests_per_minute,
    )
