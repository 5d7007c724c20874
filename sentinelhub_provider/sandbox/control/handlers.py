"""The control of a running sandbox, for the control routes and ``SandboxServer.control``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sentinelhub_provider.sandbox.control.byoc import ByocControl
from sentinelhub_provider.sandbox.control.jobs import JobsControl
from sentinelhub_provider.sandbox.gateway.faults.model import Fault, InjectedFault
from sentinelhub_provider.sandbox.gateway.ledger import Counters, Exchange, RequestRecord
from sentinelhub_provider.sandbox.gateway.limits import Limits
from sentinelhub_provider.sandbox.settings import ALL_APIS, AccountState, Api, ClientSettings
from sentinelhub_provider.sandbox.world.scenes.publication import Publication, PublishedScene

if TYPE_CHECKING:
    from sentinelhub_provider.sandbox.gateway.auth.tokens import IssuedToken
    from sentinelhub_provider.sandbox.gateway.state import Sandbox


class Control:
    """Control over a sandbox. ``byoc`` controls its ingestion, ``jobs`` its jobs. Safe to call from any thread."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.byoc = ByocControl(sandbox)
        self.jobs = JobsControl(sandbox)

    def reset(self) -> None:
        """Reset counters, faults, limits, latency and clients to the settings.

        All tokens are dropped, so no earlier token is accepted any more.
        """
        self._sandbox.reset()

    # --- looking -----------------------------------------------------------------------------------------------------

    def counters(self) -> Counters:
        """Return the figures since the start or the last reset."""
        return self._sandbox.ledger.counters()

    def requests(self) -> list[RequestRecord]:
        """Return the last requests, oldest first."""
        return self._sandbox.ledger.requests()

    def record_exchanges(self, on: bool = True) -> None:
        """Start or stop recording complete requests and answers. See ``exchanges``."""
        self._sandbox.ledger.recording = on

    def exchanges(self) -> list[Exchange]:
        """Return the recorded exchanges, oldest first, without those of the token endpoints."""
        return self._sandbox.ledger.exchanges()

    def issued_tokens(self) -> list[IssuedToken]:
        """Return all tokens issued since the last reset with their facts, oldest first."""
        return self._sandbox.issuer.tokens()

    def tokens(self) -> list[str]:
        """Return the value of every token issued since the last reset. A test for leaks searches for them."""
        return [token.value for token in self._sandbox.issuer.tokens()]

    # --- tokens, clients, limits -------------------------------------------------------------------------------------

    def revoke_tokens(self) -> int:
        """Revoke all tokens. Return their number."""
        return self._sandbox.issuer.revoke()

    def revoke_token(self, value: str) -> bool:
        """Revoke one token. Return whether it was known and not yet revoked."""
        return self._sandbox.issuer.revoke(value) == 1

    def rotate_key(self) -> None:
        """Sign with a new key, which the key set then shows, and refuse all tokens issued before."""
        self._sandbox.issuer.rotate_key()

    def set_token_lifetime(self, seconds: float, *, client_id: str | None = None) -> None:
        """Set the lifetime of new tokens in seconds, for one client or for all clients without their own lifetime.

        Raises ``ValueError`` for a lifetime that is not positive, ``KeyError`` for an unknown client.
        """
        if seconds <= 0:
            raise ValueError(f"token lifetime must be more than 0 seconds, not {seconds}")
        if client_id is None:
            self._sandbox.issuer.token_lifetime = seconds
        else:
            self._sandbox.clients.update(client_id, token_lifetime=seconds)

    def add_client(
        self,
        client_id: str,
        client_secret: str,
        *,
        permissions: Iterable[Api] = ALL_APIS,
        account: AccountState = "ok",
        token_lifetime: float | None = None,
    ) -> ClientSettings:
        """Add an OAuth client or replace the one with this ID. Raises ``ValueError``."""
        client = ClientSettings(client_id, client_secret, frozenset(permissions), account, token_lifetime)
        self._sandbox.clients.put(client)
        return client

    def update_client(
        self,
        client_id: str,
        *,
        client_secret: str | None = None,
        permissions: Iterable[Api] | None = None,
        account: AccountState | None = None,
    ) -> ClientSettings:
        """Change a client. Rotate its secret, remove permissions, or empty its account. Raises ``KeyError``."""
        return self._sandbox.clients.update(
            client_id,
            client_secret=client_secret,
            permissions=None if permissions is None else frozenset(permissions),
            account=account,
        )

    def set_limits(
        self,
        *,
        requests_per_minute: float | None = None,
        processing_units_per_minute: float | None = None,
        token_requests_per_minute: float | None = None,
    ) -> None:
        """Put these limits in force, with full buckets. ``None`` sets no limit. Raises ``ValueError``."""
        limits = Limits(requests_per_minute, processing_units_per_minute, token_requests_per_minute)
        for name in ("requests_per_minute", "processing_units_per_minute", "token_requests_per_minute"):
            value = getattr(limits, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be more than 0, not {value}")
        self._sandbox.limiter.set_limits(limits)

    def set_latency(self, seconds: float) -> None:
        """Wait so long before every answer. Raises ``ValueError``."""
        if seconds < 0:
            raise ValueError(f"latency must not be negative, got {seconds}")
        self._sandbox.latency = seconds

    # --- scenes ------------------------------------------------------------------------------------------------------

    def publish_scenes(self, publication: Publication | None = None, /, **fields: Any) -> list[PublishedScene]:
        """Publish scenes now or later, given as a ``Publication`` or its fields. Return the scenes.

        Raises ``ValueError`` naming the field.
        """
        return self._sandbox.scenes.publish(publication if publication is not None else Publication(**fields))

    def published_scenes(self) -> list[PublishedScene]:
        """Return the published scenes and those to come, in the order of their appearance."""
        return self._sandbox.scenes.published()

    def freeze_scenes(self, frozen: bool = True) -> None:
        """Stop or resume the synthetic world's own scenes. While they are stopped, only published scenes are new."""
        self._sandbox.scenes.freeze(frozen)

    # --- faults ------------------------------------------------------------------------------------------------------

    def add_fault(self, fault: Fault | Mapping[str, Any] | None = None, /, **fields: Any) -> int:
        """Inject a fault, given as a ``Fault``, its JSON, or its fields. Return its ID.

        Raises ``pydantic.ValidationError`` naming the field.
        """
        given = fault if isinstance(fault, Fault) else Fault.model_validate({**(fault or {}), **fields})
        return self._sandbox.faults.add(given)

    def remove_fault(self, fault_id: int) -> bool:
        """Remove a fault. Return whether it existed."""
        return self._sandbox.faults.remove(fault_id)

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._sandbox.faults.clear()

    def faults(self) -> list[InjectedFault]:
        """Return the injected faults, with the number of times that each applied."""
        return self._sandbox.faults.injected()
