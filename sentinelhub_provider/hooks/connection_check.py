"""The test of a connection: fetch a token and make one cheap call that refuses a bad token."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from sentinelhub_provider.api.endpoints import resolve_endpoint
from sentinelhub_provider.connection import ConnectionSettings
from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubConfigurationError,
    SentinelHubError,
    SentinelHubPermissionError,
    SentinelHubTransportError,
)
from sentinelhub_provider.hooks.sharing import check_cache
from sentinelhub_provider.transport.policy import Call
from sentinelhub_provider.transport.session import SentinelHubSession
from sentinelhub_provider.transport.steps import duration

# The start of errors about a connection. It names the ID, which is a transient one while the form tests.
_CONNECTION_AND_FIELD = re.compile(r"^Connection '[^']*', field '\w+': ")
CALL_DEADLINE = 12.0  # seconds for token and call together
# Seconds after which the test answers in any case. Looking up a host's name obeys no time-out.
TEST_DEADLINE = 14.0


def check_connection(open_session: Callable[[], tuple[ConnectionSettings, SentinelHubSession]]) -> tuple[bool, str]:
    """Try a connection that is read in this thread. See :meth:`SentinelHubHook.test_connection`."""
    try:
        settings, session = open_session()
    except Exception as error:
        return False, _worded(error)

    outcome: list[tuple[bool, str]] = []

    def attempt() -> None:
        try:
            session.call(_cheap_call(settings))
            token = session.current_token(timeout=CALL_DEADLINE)
            check_cache(settings)
            message = (
                f"Connected to {settings.deployment.title}. Client {settings.client_id} at {settings.base_url}. "
                f"Its token is valid for {duration(token.lifetime)}."
            )
            outcome.append((True, message))
        except Exception as error:
            outcome.append((False, _worded(error)))

    # The thread may be left behind, because a hanging name look-up can be neither timed out nor cancelled.
    thread = threading.Thread(target=attempt, name="sentinelhub-connection-test", daemon=True)
    thread.start()
    thread.join(TEST_DEADLINE)
    if not outcome:
        return False, (
            f"No answer within {TEST_DEADLINE:.0f} seconds. Check the network, the name server and the proxy settings "
            f"on the way to {settings.auth_url} and {settings.base_url}."
        )
    return outcome[0]


def _cheap_call(settings: ConnectionSettings) -> Call:
    """List the catalog's collections. The Catalog's landing page would also answer without a token."""
    return Call(
        "GET",
        resolve_endpoint("/catalog/v1/collections", base_url=settings.base_url, scheme=settings.path_scheme),
        settings.trusted_origins,
        read_timeout=CALL_DEADLINE,
        deadline=CALL_DEADLINE,
    )


def _worded(error: Exception) -> str:
    """Put the verdict first. Other libraries' errors are only named, because their text may hold a secret."""
    if isinstance(error, SentinelHubConfigurationError) and error.field == "sentinelhub_conn_id":
        return "There is no connection with this ID. Save it first."
    if isinstance(error, SentinelHubError):
        details = _CONNECTION_AND_FIELD.sub("", str(error))
        return f"{_verdict(error)} {details[:1].upper()}{details[1:]}"
    return f"The connection could not be read ({type(error).__name__}). See the log of the process that tried."


def _verdict(error: SentinelHubError) -> str:
    match error:
        case SentinelHubConfigurationError(field="scope", code=str()):
            return "The scope was refused: leave Scope empty."
        case SentinelHubConfigurationError():
            return f"The connection's field {error.field!r} cannot work."
        case SentinelHubAuthenticationError():
            return "Login refused: check client ID, client secret and deployment."
        case SentinelHubPermissionError():
            return "Client ID and secret are accepted, but the account may not read the Catalog."
        case SentinelHubTransportError():
            return "No connection: check base URL, token URL, network and proxy."
    return "The service did not answer as it should."
