"""The access checks of bearer token, the client's permissions and account, and its rate limits, in this order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from sentinelhub_provider.sandbox.errors import empty_account, forbidden, rate_limited, unauthorized
from sentinelhub_provider.sandbox.gateway.auth.tokens import InvalidTokenError, bearer_token
from sentinelhub_provider.sandbox.gateway.state import Sandbox
from sentinelhub_provider.sandbox.settings import Api, ClientSettings


# These are coroutines, because FastAPI runs plain functions in another thread, which takes longer than the functions.
async def get_sandbox(request: Request) -> Sandbox:
    """Return the state of the sandbox that serves this request."""
    sandbox: Sandbox = request.app.state.sandbox
    return sandbox


SPENT_HEADER = "x-processingunits-spent"
SandboxDep = Annotated[Sandbox, Depends(get_sandbox)]


def base_url(request: Request) -> str:
    """Return the address that the client used, without a slash at the end, for links that lead back to it."""
    return str(request.base_url).rstrip("/")


def authenticate(sandbox: Sandbox, authorization: str | None) -> ClientSettings:
    """Return the client whose token stands in an ``Authorization`` header. Raises ``ApiError`` (401)."""
    token = bearer_token(authorization)
    if token is not None:
        try:
            client = sandbox.clients.get(sandbox.issuer.claims_of(token)["azp"])
        except InvalidTokenError:
            client = None
        if client is not None:
            return client
    sandbox.ledger.count("unauthorized")
    raise unauthorized()


def admit(sandbox: Sandbox, client: ClientSettings, api: Api) -> None:
    """Check permission, account and limits of a client that calls an API. Raises ``ApiError`` (403, 429)."""
    if api not in client.permissions:
        raise forbidden()
    if client.account == "empty":
        raise empty_account()
    if wait := sandbox.limiter.admit_request(client.client_id):
        sandbox.ledger.count("rate_limited")
        raise rate_limited(wait)


def allowed(api: Api) -> Callable[[Request, Sandbox], Awaitable[None]]:
    """Return the dependency of routes that need a token and permission for ``api``. They know the ``CallerDep``."""

    async def check(request: Request, sandbox: SandboxDep) -> None:
        client = authenticate(sandbox, request.headers.get("authorization"))
        admit(sandbox, client, api)
        request.state.caller = client

    return check


async def get_caller(request: Request) -> ClientSettings:
    """Return the client that was let pass to this route."""
    caller: ClientSettings = request.state.caller
    return caller


CallerDep = Annotated[ClientSettings, Depends(get_caller)]


async def authenticated(request: Request, sandbox: SandboxDep) -> ClientSettings:
    """Dependency of a route that needs a good token and nothing more."""
    return authenticate(sandbox, request.headers.get("authorization"))


def charged(sandbox: Sandbox, client: ClientSettings, processing_units: float) -> dict[str, str]:
    """Charge an answer and return the header that tells what it cost."""
    spend(sandbox, client, processing_units)
    return {SPENT_HEADER: repr(processing_units)}


def spend(sandbox: Sandbox, client: ClientSettings, processing_units: float) -> None:
    """Charge a finished answer. Only successful answers cost something."""
    sandbox.limiter.spend_processing_units(client.client_id, processing_units)
    sandbox.ledger.charge(processing_units)
