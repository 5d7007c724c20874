"""The settings of a sandbox. They are frozen, and validated when they are made."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from sentinelhub_provider.sandbox.world.delivery.stores import open_store

#: Credentials of the demo client. They work for a sandbox only, so documentation and logs may show them.
DEMO_CLIENT_ID = "sandbox-client"
DEMO_CLIENT_SECRET = "sandbox-secret-not-a-real-one"  # noqa: S105

#: Name of each API in a client's permissions.
Api = Literal["catalog", "process", "statistical", "byoc", "configuration", "async", "batch", "batch-statistical"]
ALL_APIS: frozenset[Api] = frozenset(get_args(Api))

AccountState = Literal["ok", "empty"]


@dataclass(frozen=True)
class ClientSettings:
    """An OAuth client that the sandbox knows, with its account.

    :param permissions: the APIs that it may call. Any other API answers 403.
    :param account: ``"empty"`` for an account without processing units. Then every authorized call answers 403.
    :param token_lifetime: seconds that a token is valid. ``None`` means the sandbox's setting.
    """

    client_id: str
    client_secret: str = field(repr=False)
    permissions: frozenset[Api] = ALL_APIS
    account: AccountState = "ok"
    token_lifetime: float | None = None

    def __post_init__(self) -> None:
        if not self.client_id or not self.client_secret:
            raise ValueError("client_id and client_secret must not be empty")
        if self.account not in ("ok", "empty"):
            raise ValueError(f"account must be 'ok' or 'empty', not {self.account!r}")
        if unknown := sorted(self.permissions - ALL_APIS):
            raise ValueError(f"permissions names unknown APIs {unknown}; known are {sorted(ALL_APIS)}")
        if self.token_lifetime is not None and self.token_lifetime <= 0:
            raise ValueError(f"token_lifetime must be more than 0 seconds, not {self.token_lifetime}")


@dataclass(frozen=True)
class SandboxSettings:
    """The settings of a sandbox. A ``ValueError`` names the wrong field."""

    host: str = "127.0.0.1"
    """Address to listen on. It is loopback by default, because the sandbox is not made for a network."""
    port: int = 0
    """TCP port. 0 lets the operating system choose a free one."""
    client_id: str = DEMO_CLIENT_ID
    client_secret: str = field(default=DEMO_CLIENT_SECRET, repr=False)
    permissions: frozenset[Api] = ALL_APIS
    """APIs that the main client may call."""
    account: AccountState = "ok"
    """State of the main client's account. With ``"empty"`` every authorized call answers 403."""
    further_clients: tuple[ClientSettings, ...] = ()
    token_lifetime: float = 3600
    """Seconds that a token is valid. Sentinel Hub's own clients expect 3600. Copernicus Data Space gives 1800."""
    requests_per_minute: float | None = None
    """Requests that a client may send per minute. ``None`` sets no limit."""
    processing_units_per_minute: float | None = None
    """Processing units that a client may spend per minute. ``None`` sets no limit."""
    token_requests_per_minute: float | None = None
    """Token requests that are answered per minute, over all clients. ``None`` sets no limit."""
    control: bool = False
    """Mount ``/sandbox/control`` with counters, faults and issued tokens. Anyone may call it without a token."""
    latency: float = 0.0
    """Seconds to wait before every answer of the APIs and of the token endpoint."""
    seed: int = 0
    """Seed of the synthetic scenes and of faults with a probability. The same seed gives the same world."""
    scenes: Path | None = None
    """Folder with GeoTIFF files and STAC items to serve instead of the synthetic scenes."""
    delivery: str | Path | None = None
    """Target of the jobs' deliveries. It is a folder with a folder for each bucket, or the URL of an S3 endpoint.

    With ``None``, jobs run as usual but deliver nothing.
    """
    max_body_bytes: int = 10 * 1024 * 1024
    """Largest request body. A larger one answers 413. The service's own limit is not published."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be between 0 and 65535, not {self.port}")
        for name in ("requests_per_minute", "processing_units_per_minute", "token_requests_per_minute"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be more than 0 (or left out for no limit), not {value}")
        if self.token_lifetime <= 0:
            raise ValueError(f"token_lifetime must be more than 0 seconds, not {self.token_lifetime}")
        if self.latency < 0:
            raise ValueError(f"latency must not be negative, got {self.latency} seconds")
        if self.max_body_bytes <= 0:
            raise ValueError(f"max_body_bytes must be more than 0, not {self.max_body_bytes}")
        if self.delivery is not None:
            open_store(self.delivery)
        if self.scenes is not None and not self.scenes.is_dir():
            raise ValueError(f"scenes must be a folder with GeoTIFF files and STAC items; {self.scenes} is none")
        ids = [client.client_id for client in self.clients()]
        if repeated := sorted({name for name in ids if ids.count(name) > 1}):
            raise ValueError(f"client ids must differ; {repeated} is given more than once")

    def clients(self) -> tuple[ClientSettings, ...]:
        """Return all clients, the main one first."""
        main = ClientSettings(self.client_id, self.client_secret, self.permissions, self.account)
        return (main, *self.further_clients)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address to listen on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
