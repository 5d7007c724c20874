"""The hook against a sandbox on a real socket, blocking and on an event loop: what works, and every bad input."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import gzip
import io
import json
import logging
import re
import socket
import threading
import time
import tracemalloc
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import urllib3
from clocks import FakeClock
from loopback import Received, Reply, loopback_server, self_signed_certificate
from redis_server import RedisServer
from requests_oauthlib import OAuth2Session

from sentinelhub_provider.exceptions import (
    SentinelHubAuthenticationError,
    SentinelHubBadRequestError,
    SentinelHubConfigurationError,
    SentinelHubError,
    SentinelHubNotFoundError,
    SentinelHubOutputError,
    SentinelHubPermissionError,
    SentinelHubQuotaExceededError,
    SentinelHubRateLimitError,
    SentinelHubRequestError,
    SentinelHubResponseError,
    SentinelHubServerError,
    SentinelHubTransportError,
)
from sentinelhub_provider.hooks.sentinelhub import SentinelHubHook
from sentinelhub_provider.oauth.broker import TokenBroker, forget_tokens
from sentinelhub_provider.sandbox.gateway.faults.model import TOKEN_PATHS
from sentinelhub_provider.sandbox.server import SandboxServer
from sentinelhub_provider.transport.download import Target

COLLECTIONS = "/catalog/v1/collections"
FORM = "application/x-www-form-urlencoded"
PROCESS = "/process/v1"
SEARCH = {"collections": ["sentinel-2-l2a"], "bbox": [14, 46, 14.1, 46.1], "datetime": "2024-06-01T00:00:00Z/.."}


def served(sandbox, path: str) -> int:
    """How often the sandbox was asked for a path."""
    return sandbox.control.counters().requests.get(path, 0)


def logins(sandbox) -> int:
    """How often the sandbox was asked for a token."""
    return sandbox.control.counters().token_requests


def backoffs(waits: FakeClock) -> list[float]:
    """The waits after failures; the shorter ones only keep the pace."""
    return [seconds for seconds in waits.waits if seconds > 0.4]


# --- what works ------------------------------------------------------------------------------------------------------


def test_call_is_authorized(caller, sentinelhub_sandbox):
    """Ten calls, one login."""
    for _ in range(10):
        assert caller.request("GET", COLLECTIONS).json()["collections"]

    assert logins(sentinelhub_sandbox) == 1


@pytest.mark.parametrize("client_auth", ["client_secret_post", "client_secret_basic"])
@pytest.mark.parametrize("secret", ["plain", "./*& +ü%:=\"'"], ids=["plain", "awkward"])
def test_both_client_authentications_take_any_secret(make_caller, sentinelhub_sandbox, client_auth: str, secret: str):
    """The documented form post and the Basic header."""
    sentinelhub_sandbox.control.update_client(sentinelhub_sandbox.client_id, client_secret=secret)
    caller = make_caller(password=secret, extra={"client_auth": client_auth})

    assert caller.request("GET", COLLECTIONS).status_code == 200


@pytest.mark.parametrize("scheme", ["current", "legacy"])
@pytest.mark.parametrize("endpoint", [COLLECTIONS, "/api/v1/catalog/1.0.0/collections"])
def test_connection_decides_which_spelling_is_sent(make_caller, sentinelhub_sandbox, scheme: str, endpoint: str):
    """Callers may write either."""
    make_caller(extra={"path_scheme": scheme}).request("GET", endpoint)

    sent = COLLECTIONS if scheme == "current" else "/api/v1/catalog/1.0.0/collections"
    assert served(sentinelhub_sandbox, sent) == 1


def test_picture_is_rendered(caller, process_request: dict[str, Any]):
    """The main job."""
    response = caller.request("POST", PROCESS, json=process_request, accept="image/png")

    assert response.content.startswith(b"\x89PNG")
    assert float(response.headers["x-processingunits-spent"]) > 0


@pytest.mark.parametrize("kind", ["text", "bytes", "open-file", "pipe"])
def test_body_may_be_anything_that_can_be_read(caller, sentinelhub_sandbox, kind: str):
    """Also when it must be sent a second time."""
    text = json.dumps(SEARCH)

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    body = {"text": text, "bytes": text.encode(), "open-file": io.BytesIO(text.encode()), "pipe": Pipe(text.encode())}
    sentinelhub_sandbox.control.add_fault(path="/catalog/v1/search", action={"kind": "status", "status": 503})
    response = caller.request(
        "POST", "/catalog/v1/search", data=body[kind], headers={"content-type": "application/json"}
    )

    assert response.json()["type"] == "FeatureCollection"
    assert served(sentinelhub_sandbox, "/catalog/v1/search") == 2


@pytest.mark.filterwarnings("ignore:Exception ignored in.*SpooledTemporaryFile")  # the server's copy of the parts
def test_multipart_request_is_sent(caller, process_request: dict[str, Any]):
    """The Process API takes an evalscript as a part of its own."""
    evalscript = process_request.pop("evalscript")
    files = {
        "request": (None, json.dumps(process_request), "application/json"),
        "evalscript": ("e.js", io.BytesIO(evalscript.encode()), "application/javascript"),
    }

    assert caller.request("POST", PROCESS, files=files).content.startswith(b"\x89PNG")
    gc.collect()


def test_compressed_answer_is_unpacked(make_caller, sentinelhub_sandbox):
    """In pieces or whole."""
    body = json.dumps({"a": list(range(100_000))}).encode()
    with loopback_server(lambda _: Reply(headers={"Content-Encoding": "gzip"}, body=gzip.compress(body))) as server:
        response = make_caller(host=server.url).request("GET", "/x")

    assert response.content == body
    assert response.json()["a"][-1] == 99_999


def test_connection_is_kept_open(connect, sentinelhub_sandbox):
    """A task's calls share one TCP connection: setting up another costs as much as a small call."""
    with loopback_server() as server:
        hook = connect(host=server.url)
        for number in range(5):
            hook.request("GET", f"/{number}")
            hook.get_conn().get(f"/{number}")

        assert server.connections == 1
        assert len(server.requests) == 10


def test_query_is_sent_once_and_joins_the_endpoints(make_caller, sentinelhub_sandbox):
    """Also along a redirect, whose address is taken as it is."""

    def answer(received: Received) -> Reply:
        return Reply(307, {"Location": "/there?c=3"}) if received.path.startswith("/here") else Reply()

    params = {"b": [2, "ü&"], "none": None, "flag": True}
    with loopback_server(answer) as own:
        make_caller(host=own.url).request("GET", "/here?a=1", params=params)

    assert [received.path for received in own.requests] == ["/here?a=1&b=2&b=%C3%BC%26&flag=true", "/there?c=3"]


def test_content_can_be_iterated(make_caller, sentinelhub_sandbox):
    """In pieces, in lines, and as often as one likes."""
    body = b"one\ntwo\nthree" * 50
    with loopback_server(lambda _: Reply(body=body, headers={"Content-Type": "text/plain"})) as own:
        answer = make_caller(host=own.url).request("GET", "/x")

    lines = [line.encode() if isinstance(line, str) else line for line in answer.iter_lines()]
    pieces = answer.iter_content(7) if isinstance(answer, requests.Response) else answer.iter_bytes(7)
    assert lines == body.splitlines()
    assert b"".join(pieces) == body
    if isinstance(answer, requests.Response):
        assert b"".join(answer) == body
    assert answer.content == body


def test_body_is_held_once(connect, sentinelhub_sandbox):
    """A body of 40 MB takes little more than that, not twice as much."""
    size = 40_000_000
    with loopback_server(lambda _: Reply(body=bytes(size))) as own:
        hook = connect(host=own.url)
        hook.request("GET", "/warm")
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        content = hook.request("GET", "/x").content
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()

    assert len(content) == size
    # The server of this test holds the body once as well.
    assert peak < 2.6 * size


@pytest.mark.parametrize("name", ["deadline", "timeout"])
@pytest.mark.parametrize("seconds", [0, -1, True, "soon", float("nan"), float("inf"), timedelta(seconds=5)])
def test_time_that_cannot_be_is_refused(caller, sentinelhub_sandbox, name: str, seconds: object):
    """Nought is not the default, and nothing waits without an end."""
    with pytest.raises(SentinelHubRequestError, match=f"{name} is .*Give seconds, a number above 0"):
        caller.request("GET", COLLECTIONS, **{name: seconds})
    assert sentinelhub_sandbox.control.counters().total_requests == 0


@pytest.mark.parametrize("seconds", [1e10, "60"])
@pytest.mark.parametrize("name", ["deadline", "timeout"])
def test_time_may_be_text_or_longer_than_the_system_counts(caller, name: str, seconds: object):
    """A template renders text; ten thousand million seconds mean that somebody does not care."""
    assert caller.request("POST", "/catalog/v1/search", json=SEARCH, **{name: seconds}).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "content_type", "body"),
    [
        ({"data": {"a": True, "b": [1, "ü"], "c": None}}, FORM, b"a=true&b=1&b=%C3%BC"),
        ({"data": [("a", "1"), ("a", "2")]}, FORM, b"a=1&a=2"),
        ({"data": bytearray(b"raw")}, None, b"raw"),
        ({"data": "ü"}, None, "ü".encode()),
        ({"json": {}, "headers": [("Content-Type", "application/geo+json")]}, "application/geo+json", b"{}"),
        ({"json": {}, "headers": {"X-Nothing": None}}, "application/json", b"{}"),
    ],
    ids=str,
)
def test_body_is_the_same_both_ways(make_caller, arguments: dict[str, Any], content_type: str | None, body: bytes):
    """The two HTTP libraries write forms in ways of their own, and do not take the same types."""
    with loopback_server() as own:
        make_caller(host=own.url).request("POST", "/x", **arguments)

    (received,) = own.requests
    assert ({name.lower(): value for name, value in received.headers.items()}.get("content-type"), received.body) == (
        content_type,
        body,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"params": 5},
        {"params": ["abc"]},
        {"data": 5},
        {"data": ["a"]},
        {"data": Path("body.json")},
        {"files": "abc"},
        {"data": "text", "files": {"a": b"x"}},
        {"headers": 5},
        {"headers": {"X": 5}},
    ],
    ids=str,
)
def test_argument_of_a_wrong_type_is_named(caller, sentinelhub_sandbox, arguments: dict[str, Any]):
    """Not by a traceback from the depth of an HTTP library."""
    with pytest.raises(SentinelHubRequestError, match=r": expected .*, got") as error:
        caller.request("POST", COLLECTIONS, **arguments)

    assert error.value.field == next(iter(arguments))
    assert sentinelhub_sandbox.control.counters().total_requests == 0


def test_unknown_argument_is_named(caller):
    """As Python does it."""
    with pytest.raises(TypeError, match="jsn"):
        caller.request("GET", COLLECTIONS, jsn={})


# --- get_conn --------------------------------------------------------------------------------------------------------


def test_session_works_as_in_sentinel_hubs_own_example(connect, sentinelhub_sandbox):
    """Fetching a token first is allowed, and not needed."""
    session = connect().get_conn()

    assert isinstance(session, OAuth2Session)
    token = session.fetch_token(token_url=sentinelhub_sandbox.token_url, client_secret="ignored")
    assert set(token) == {"access_token", "token_type", "expires_in", "expires_at"}
    assert session.get(f"{sentinelhub_sandbox.url}/oauth/tokeninfo").json()["azp"] == sentinelhub_sandbox.client_id
    assert session.get(COLLECTIONS).status_code == 200
    assert session.post("/catalog/v1/search", json=SEARCH).json()["type"] == "FeatureCollection"
    assert logins(sentinelhub_sandbox) == 1


def test_session_leaves_statuses_to_its_user(connect):
    """As any ``requests`` session does."""
    assert connect().get_conn().get("/nothing/here").status_code == 404


def test_session_renews_a_refused_token_once(connect, sentinelhub_sandbox):
    """Without its user noticing."""
    session = connect().get_conn()
    session.get(COLLECTIONS)
    sentinelhub_sandbox.control.revoke_tokens()

    assert session.get(COLLECTIONS).status_code == 200
    assert logins(sentinelhub_sandbox) == 2


def test_session_shows_the_token_to_no_other_host(connect):
    """Not by an absolute URL and not along a redirect."""
    with loopback_server() as elsewhere:
        session = connect().get_conn()
        with pytest.raises(SentinelHubRequestError, match="allowed_hosts"):
            session.get(f"{elsewhere.url}/steal")

        with loopback_server(lambda _: Reply(302, {"Location": f"{elsewhere.url}/steal"})) as own:
            session = connect(host=own.url).get_conn()
            with pytest.raises(SentinelHubResponseError, match="the token was not sent"):
                session.post("/x", json={})
            assert elsewhere.requests == []
            assert session.get("/x", headers={"Cookie": "a=b"}).status_code == 200

        (followed,) = elsewhere.requests
        assert not {"authorization", "cookie"} & {name.lower() for name in followed.headers}


def test_session_shows_redirects_to_who_wants_to_see_them(connect):
    """``allow_redirects=False`` works as ever."""
    with loopback_server(lambda _: Reply(302, {"Location": "/y"})) as own:
        response = connect(host=own.url).get_conn().get("/x", allow_redirects=False)

    assert (response.status_code, response.headers["location"]) == (302, "/y")


def test_prepared_request_is_authorized(connect, sentinelhub_sandbox):
    """``send`` adds the token as ``get`` does, renews it once, and shows it to no other host."""
    session = connect().get_conn()
    prepared = session.prepare_request(requests.Request("GET", sentinelhub_sandbox.url + COLLECTIONS))
    assert session.send(prepared).status_code == 200
    sentinelhub_sandbox.control.revoke_tokens()
    assert session.send(prepared).json()["collections"]
    with loopback_server() as elsewhere, pytest.raises(SentinelHubRequestError, match="allowed_hosts"):
        session.send(requests.Request("GET", f"{elsewhere.url}/steal").prepare())
    assert elsewhere.requests == []


def test_session_can_withhold_the_token(connect):
    """``requests_oauthlib`` has a switch for it."""
    with loopback_server() as own:
        connect(host=own.url).get_conn().request("GET", "/x", withhold_token=True)

    assert "Authorization" not in own.requests[0].headers


def test_callers_authorization_is_replaced(make_caller):
    """One header goes out, and it is the token."""
    with loopback_server() as own:
        caller = make_caller(host=own.url)
        caller.request("GET", "/x", headers={"authorization": "Basic bWU6cHc="})
        headers = [(name.lower(), value) for name, value in own.requests[0].headers.items()]

    assert [value.split()[0] for name, value in headers if name == "authorization"] == ["Bearer"]


def test_netrc_does_not_replace_the_token(connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``requests`` would take a login for the host from there."""
    (tmp_path / "netrc").write_text("default login me password pw\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with loopback_server() as own:
        hook = connect(host=own.url)
        hook.request("GET", "/x")
        hook.get_conn().get("/x")

    assert [request.headers["Authorization"].split()[0] for request in own.requests] == ["Bearer", "Bearer"]


# --- tokens that end -------------------------------------------------------------------------------------------------


def test_revoked_token_is_renewed_once(caller, sentinelhub_sandbox):
    """The call succeeds all the same."""
    caller.request("GET", COLLECTIONS)
    sentinelhub_sandbox.control.revoke_tokens()

    assert caller.request("GET", COLLECTIONS).status_code == 200
    assert logins(sentinelhub_sandbox) == 2
    assert served(sentinelhub_sandbox, COLLECTIONS) == 3


def test_token_that_is_refused_twice_is_an_authentication_error(caller, sentinelhub_sandbox):
    """Base URL and token endpoint belong to different deployments, most often."""
    sentinelhub_sandbox.control.add_fault(path=COLLECTIONS, times=None, action={"kind": "status", "status": 401})

    with pytest.raises(SentinelHubAuthenticationError, match="same deployment"):
        caller.request("GET", COLLECTIONS)
    assert logins(sentinelhub_sandbox) == 2


def test_api_that_refuses_every_token_costs_two_logins(make_caller, sentinelhub_sandbox):
    """Not one for each call, however many hooks make them."""
    sentinelhub_sandbox.control.add_fault(path=COLLECTIONS, times=None, action={"kind": "status", "status": 401})
    for _ in range(5):
        caller = make_caller()
        for _ in range(2):
            with pytest.raises(SentinelHubAuthenticationError, match="two tokens in a row"):
                caller.request("GET", COLLECTIONS)

    assert logins(sentinelhub_sandbox) == 2


def test_long_task_outlives_its_tokens():
    """Two hours of calls, a minute apart, with tokens of 30 minutes: no call fails, each token is renewed early."""
    from sentinelhub_provider.connection import ConnectionSettings
    from sentinelhub_provider.deployments import DEPLOYMENTS
    from sentinelhub_provider.transport.rate_limit import Limits
    from sentinelhub_provider.transport.rate_limiter import RateLimiter
    from sentinelhub_provider.transport.session import SentinelHubSession

    clock = FakeClock(1_700_000_000.0)
    with SandboxServer(token_lifetime=1800, clock=clock) as server:
        settings = ConnectionSettings(
            "sh", server.client_id, server.client_secret, DEPLOYMENTS["custom"], server.url, server.token_url()
        )
        session = SentinelHubSession(
            settings,
            TokenBroker(clock=clock, timer=clock, run=lambda job: job()),
            RateLimiter(None, Limits()),
            resolve=lambda path: server.url + path,
            on_token=lambda _: None,
            on_wait=lambda _: None,
            wall_clock=clock,
        )
        with session:
            for _ in range(120):
                assert session.get(COLLECTIONS).status_code == 200
                clock.now += 60
        counters = server.control.counters()

    assert counters.unauthorized == 0
    assert counters.token_requests == 5


@pytest.mark.parametrize("variant", ["no_expires_in", "zero_expires_in", "string_expires_in", "no_token_type"])
def test_sloppy_token_answer_is_understood(caller, sentinelhub_sandbox, variant: str):
    """The token's own expiry is there, too."""
    sentinelhub_sandbox.control.add_fault(path=TOKEN_PATHS, action={"kind": "token_answer", "variant": variant})
    for _ in range(3):
        assert caller.request("GET", COLLECTIONS).status_code == 200

    assert logins(sentinelhub_sandbox) == 1


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        pytest.param({"kind": "token_answer", "variant": "no_access_token"}, "without an access_token", id="no-token"),
        pytest.param({"kind": "token_answer", "variant": "empty_access_token"}, "without an access_token", id="empty"),
        pytest.param({"kind": "token_answer", "variant": "not_an_object"}, "without an access_token", id="list"),
        pytest.param({"kind": "token_answer", "variant": "other_token_type"}, "instead of Bearer", id="other-type"),
        pytest.param({"kind": "html"}, "an HTML page", id="html"),
        pytest.param({"kind": "empty"}, "an empty body", id="no-body"),
        pytest.param({"kind": "error_json"}, "an error under status 200", id="error-under-200"),
        pytest.param({"kind": "redirect", "location": "/elsewhere", "status": 307}, "was not sent", id="redirect"),
    ],
)
def test_useless_token_answer_is_an_error(caller, sentinelhub_sandbox, action: dict[str, Any], problem: str):
    """It names the token endpoint, says what came, and no API request is made."""
    sentinelhub_sandbox.control.add_fault(path=TOKEN_PATHS, times=None, action=action)

    with pytest.raises(SentinelHubResponseError, match=re.escape(problem)) as error:
        caller.request("GET", COLLECTIONS)

    assert sentinelhub_sandbox.token_url in str(error.value)
    assert served(sentinelhub_sandbox, COLLECTIONS) == 0


# --- clients and accounts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"password": "wrong"}, "unauthorized_client", id="wrong-secret"),
        pytest.param({"login": "nobody"}, "invalid_client", id="unknown-client"),
    ],
)
def test_refused_client_is_an_authentication_error(make_caller, sentinelhub_sandbox, fields: dict[str, str], code: str):
    """It says what to check; and asks once, however often it is tried."""
    caller = make_caller(**fields)
    for _ in range(5):
        with pytest.raises(SentinelHubAuthenticationError) as error:
            caller.request("GET", COLLECTIONS)

    assert error.value.code == code
    assert "Check the connection's client ID and client secret" in str(error.value)
    assert fields.get("password", sentinelhub_sandbox.client_secret) not in str(error.value)
    assert sentinelhub_sandbox.control.counters().failed_logins == 1


def test_corrected_secret_is_tried_at_once(make_caller, sentinelhub_sandbox):
    """A refusal is remembered for the secret that was refused, not for the client."""
    with pytest.raises(SentinelHubAuthenticationError):
        make_caller(password="wrong").request("GET", COLLECTIONS)

    assert make_caller().request("GET", COLLECTIONS).status_code == 200


def test_missing_permission(caller, sentinelhub_sandbox, process_request: dict[str, Any]):
    """403 is final, and about the account."""
    sentinelhub_sandbox.control.update_client(sentinelhub_sandbox.client_id, permissions=["catalog"])

    with pytest.raises(SentinelHubPermissionError, match="Check its plan") as error:
        caller.request("POST", PROCESS, json=process_request)
    assert error.value.code == "COMMON_INSUFFICIENT_PERMISSIONS"
    assert served(sentinelhub_sandbox, PROCESS) == 1


def test_empty_account(caller, sentinelhub_sandbox, process_request: dict[str, Any]):
    """403 as well, but of another kind: waiting seconds does not help."""
    sentinelhub_sandbox.control.update_client(sentinelhub_sandbox.client_id, account="empty")

    with pytest.raises(SentinelHubQuotaExceededError, match="buy more"):
        caller.request("POST", PROCESS, json=process_request)
    assert served(sentinelhub_sandbox, PROCESS) == 1


# --- requests that cannot work ---------------------------------------------------------------------------------------


def test_evalscript_that_does_not_compile(caller, sentinelhub_sandbox, process_request: dict[str, Any]):
    """The message has the JavaScript error and its line."""
    process_request["evalscript"] = process_request["evalscript"].replace("return [sample.B04] }", "return [sample.B04")

    with pytest.raises(SentinelHubBadRequestError) as error:
        caller.request("POST", PROCESS, json=process_request)

    assert "SyntaxError" in str(error.value)
    assert re.search(r"evalscript\.js:\d", str(error.value))
    assert error.value.code == "RENDERER_EXCEPTION"
    assert error.value.endpoint == f"POST {sentinelhub_sandbox.url}{PROCESS}"


def test_unknown_path(caller):
    """404 says where to look."""
    with pytest.raises(SentinelHubNotFoundError, match="Check the path"):
        caller.request("GET", "/process/v99")


def test_catalog_error_is_understood(caller):
    """It comes in another shape than the rest."""
    with pytest.raises(SentinelHubBadRequestError) as error:
        caller.request("POST", "/catalog/v1/search", json={**SEARCH, "datetime": "yesterday"})
    assert error.value.service_message


@pytest.mark.parametrize(
    ("kwargs", "field"),
    [
        pytest.param({"json": {"a": float("nan")}}, "json", id="nan"),
        pytest.param({"json": {"a": object()}}, "json", id="object"),
        pytest.param({"json": {}, "data": "x"}, "json", id="two-bodies"),
        pytest.param({"headers": {"X-Y": "a\nb"}}, "endpoint", id="newline-in-header"),
        pytest.param({"headers": {"X-Y": "→"}}, "endpoint", id="header-not-latin"),
    ],
)
def test_request_that_cannot_be_sent(caller, sentinelhub_sandbox, waits, kwargs: dict[str, Any], field: str):
    """Found before it is sent, and not tried again."""
    with pytest.raises(SentinelHubRequestError) as error:
        caller.request("POST", "/catalog/v1/search", **kwargs)

    assert error.value.field == field
    assert served(sentinelhub_sandbox, "/catalog/v1/search") == 0
    assert waits.waits == []


def test_connection_that_cannot_work(make_caller, sentinelhub_sandbox):
    """Refused before anything is sent."""
    with pytest.raises(SentinelHubConfigurationError, match="field 'deployment'"):
        make_caller(extra={"deployment": "sentinelhub"}).request("GET", COLLECTIONS)
    assert sentinelhub_sandbox.control.counters().total_requests == 0


# --- other hosts -----------------------------------------------------------------------------------------------------


def test_endpoint_on_another_host(caller, sentinelhub_sandbox):
    """Not even a token is fetched."""
    with (
        loopback_server() as elsewhere,
        pytest.raises(SentinelHubRequestError, match=r"add '127\.0\.0\.1' to the connection's allowed_hosts"),
    ):
        caller.request("GET", f"{elsewhere.url}/steal")

    assert elsewhere.requests == []
    assert logins(sentinelhub_sandbox) == 0


def test_allowed_host_gets_the_token(make_caller):
    """The connection says so."""
    with loopback_server() as elsewhere:
        caller = make_caller(extra={"allowed_hosts": [elsewhere.url.removeprefix("http://")]})
        caller.request("GET", f"{elsewhere.url}/data")

    assert elsewhere.requests[0].headers["Authorization"].startswith("Bearer ")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_post_is_not_redirected_to_another_host(caller, sentinelhub_sandbox, status: int):
    """The other host sees no request at all."""
    with loopback_server() as elsewhere:
        action = {"kind": "redirect", "location": f"{elsewhere.url}/steal?x=1", "status": status}
        sentinelhub_sandbox.control.add_fault(path="/x", times=None, action=action)

        with pytest.raises(SentinelHubResponseError, match="where the token was not sent"):
            caller.request("POST", "/x", json={})

        assert elsewhere.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_presigned_url_of_another_host_is_read_without_the_token(caller, sentinelhub_sandbox, caplog, status: int):
    """A GET follows, without credentials of any kind; the signature is sent as it is and stays out of the log."""
    with loopback_server(lambda _: Reply(body=b'{"from": "bucket"}')) as bucket:
        action = {"kind": "redirect", "location": f"{bucket.url}/tile?sig=a%2Fb%3D&x=1", "status": status}
        sentinelhub_sandbox.control.add_fault(path="/x", times=None, action=action)

        with caplog.at_level(logging.INFO):
            answer = caller.request(
                "GET", "/x", params={"own": "1"}, headers={"Authorization": "Basic x", "cookie": "c"}
            )

    assert answer.json() == {"from": "bucket"}
    (received,) = bucket.requests
    assert received.path == "/tile?sig=a%2Fb%3D&x=1"
    assert not {"authorization", "cookie"} & {name.lower() for name in received.headers}
    assert "sig=" not in caplog.text


@pytest.mark.parametrize("location", ["http://[bad", "http://[::1"])
def test_redirect_to_what_is_no_url(make_caller, location: str):
    """It is the answer that is wrong, not the request, which was sent."""
    with loopback_server(lambda _: Reply(307, {"Location": location})) as own:
        caller = make_caller(host=own.url)
        with pytest.raises(SentinelHubResponseError, match="redirects to an invalid URL"):
            caller.request("POST", "/x", json={})


def test_redirect_to_letters_that_no_url_has(make_caller):
    """Browsers encode them, and so it works."""
    with loopback_server(lambda r: Reply(307, {"Location": "/\xfc"}) if r.path == "/x" else Reply()) as own:
        make_caller(host=own.url).request("GET", "/x")

    assert [received.path for received in own.requests] == ["/x", "/%C3%BC"]


def test_answer_of_two_lengths_is_a_broken_connection(make_caller):
    """It was sent: to start a job a second time would pay for it twice, and to call the request wrong is no help."""
    with loopback_server(lambda _: Reply(headers={"Content-Length": "2, 3"})) as own:
        caller = make_caller(host=own.url)
        with pytest.raises(SentinelHubTransportError, match=r"the connection broke.*It may have taken effect"):
            caller.request("POST", "/batch/v2/process", json={})

    assert len(own.requests) == 1


def test_redirect_that_parsers_read_differently(caller, sentinelhub_sandbox):
    """One parser takes the host before the backslash for the host, the other the one behind the @."""
    with loopback_server() as elsewhere:
        own = sentinelhub_sandbox.url.removeprefix("http://")
        action = {"kind": "redirect", "location": f"{elsewhere.url}\\@{own}/steal", "status": 302}
        sentinelhub_sandbox.control.add_fault(path="/x", times=None, action=action)

        with pytest.raises(SentinelHubResponseError):
            caller.request("GET", "/x")

        assert elsewhere.requests == []


def test_redirect_does_not_turn_a_post_into_a_get(caller, sentinelhub_sandbox):
    """The answer would be to another question."""
    action = {"kind": "redirect", "location": COLLECTIONS, "status": 302}
    sentinelhub_sandbox.control.add_fault(path="/catalog/v1/search", times=None, action=action)

    with pytest.raises(SentinelHubResponseError, match="turn it into a GET"):
        caller.request("POST", "/catalog/v1/search", json=SEARCH)
    assert served(sentinelhub_sandbox, COLLECTIONS) == 0


def test_redirect_within_the_service_keeps_method_and_body(caller, sentinelhub_sandbox):
    """307 does what it promises."""
    action = {"kind": "redirect", "location": "/catalog/v1/search", "status": 307}
    sentinelhub_sandbox.control.add_fault(path="/search", action=action)

    assert caller.request("POST", "/search", json=SEARCH).json()["type"] == "FeatureCollection"


# --- the network -----------------------------------------------------------------------------------------------------


def free_port() -> int:
    """Return a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_unreachable_host(make_caller, waits):
    """It says what to check, after some patience: also for a call that must not be repeated blindly."""
    caller = make_caller(host=f"http://127.0.0.1:{free_port()}")

    with pytest.raises(SentinelHubTransportError, match="Check the host in the connection, the network") as error:
        caller.request("POST", "/batch/v2/process", json={})
    assert "the host cannot be reached" in str(error.value)
    assert len(backoffs(waits)) == 7
    assert max(backoffs(waits)[:3]) < min(backoffs(waits)[-2:])  # they grow, but for the jitter


def test_unreachable_token_endpoint(make_caller, waits):
    """The same where the token comes from; the message names it."""
    url = f"http://127.0.0.1:{free_port()}/token"
    with pytest.raises(SentinelHubTransportError, match=re.escape(f"POST {url}: the host cannot be reached")):
        make_caller(extra={"auth_url": url}).request("GET", COLLECTIONS)


def test_unknown_certificate(make_caller, tmp_path: Path, waits):
    """Nothing is sent, nothing is repeated, and the way out is named."""
    certificate = self_signed_certificate(tmp_path)
    with loopback_server(certificate=certificate) as server:
        with pytest.raises(SentinelHubTransportError, match="the TLS connection failed") as error:
            make_caller(host=server.url).request("GET", "/x")

        assert "CA bundle" in str(error.value)
        assert server.requests == []
        assert waits.waits == []


@contextlib.contextmanager
def _unverified_warning(how: str) -> Iterator[None]:
    """Expect urllib3's warning where verification is switched off; it is told once per host and may stay away."""
    with warnings.catch_warnings():
        if how == "switched-off":
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        yield


@pytest.mark.parametrize("how", ["bundle", "switched-off"])
def test_certificate_is_accepted_where_the_connection_says_so(
    make_caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
):
    """Whatever the environment's own bundle."""
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(self_signed_certificate(other)))
    certificate = self_signed_certificate(tmp_path)
    verify = str(certificate) if how == "bundle" else False
    with loopback_server(certificate=certificate) as server, _unverified_warning(how):
        assert make_caller(host=server.url, extra={"verify": verify}).request("GET", "/x").status_code == 200


@pytest.mark.parametrize("action", [{"kind": "reset"}, {"kind": "truncate"}, {"kind": "reset_mid_body"}])
def test_broken_connection_is_repeated_where_that_is_safe(caller, sentinelhub_sandbox, waits, action: dict[str, Any]):
    """What arrived of the first answer is dropped."""
    sentinelhub_sandbox.control.add_fault(path=COLLECTIONS, action=action)

    assert caller.request("GET", COLLECTIONS).json()["collections"]
    assert served(sentinelhub_sandbox, COLLECTIONS) == 2
    assert len(backoffs(waits)) == 1


@pytest.mark.parametrize("action", [{"kind": "reset"}, {"kind": "status", "status": 503}])
def test_call_that_starts_something_is_not_repeated_blindly(caller, sentinelhub_sandbox, action: dict[str, Any]):
    """Whether the job was made is unknown."""
    sentinelhub_sandbox.control.add_fault(path="/batch/*", times=None, action=action)

    with pytest.raises((SentinelHubTransportError, SentinelHubServerError)):
        caller.request("POST", "/batch/v2/process", json={})
    assert served(sentinelhub_sandbox, "/batch/v2/process") == 1


def test_silent_service(caller, sentinelhub_sandbox):
    """The read timeout ends it; the message names the field."""
    sentinelhub_sandbox.control.add_fault(path="/batch/*", times=None, action={"kind": "silence"})

    with pytest.raises(SentinelHubTransportError, match="connection's timeout"):
        caller.request("POST", "/batch/v2/process", json={}, timeout=0.1)


def test_trickle_ends_at_the_deadline(caller, sentinelhub_sandbox):
    """A byte now and then satisfies every read timeout; the deadline holds all the same."""
    action = {"kind": "trickle", "chunk_bytes": 1, "interval": 0.05}
    sentinelhub_sandbox.control.add_fault(path=COLLECTIONS, times=None, action=action)
    caller.token()

    with pytest.raises(SentinelHubTransportError, match="the deadline passed"):
        caller.request("GET", COLLECTIONS, deadline=0.4)


def test_stall_ends_at_the_deadline(caller, sentinelhub_sandbox):
    """The read that the deadline falls into is cut short by it, whatever the read timeout."""
    caller.request("GET", COLLECTIONS)  # the first call takes longer
    action = {"kind": "trickle", "chunk_bytes": 100, "interval": 30}
    sentinelhub_sandbox.control.add_fault(path=COLLECTIONS, times=None, action=action)
    started = time.monotonic()

    with pytest.raises(SentinelHubTransportError, match="the deadline passed"):
        caller.request("GET", COLLECTIONS, deadline=0.5, timeout=60)
    assert time.monotonic() - started < 30, "another piece was waited for"


def test_rate_limit_is_waited_out(caller, sentinelhub_sandbox, waits):
    """Retry-After is milliseconds; 3398 means 3.4 seconds."""
    action = {"kind": "rate_limit", "retry_after": "3398"}
    sentinelhub_sandbox.control.add_fault(path=COLLECTIONS, action=action)

    assert caller.request("GET", COLLECTIONS).status_code == 200
    assert 3.2 <= sum(waits.waits) <= 4.2


def test_rate_limit_beyond_the_deadline(caller, sentinelhub_sandbox):
    """The error carries the wait, in seconds."""
    action = {"kind": "rate_limit", "retry_after": "90000"}
    sentinelhub_sandbox.control.add_fault(path=COLLECTIONS, times=None, action=action)

    with pytest.raises(SentinelHubRateLimitError, match="Airflow pool") as error:
        caller.request("GET", COLLECTIONS, deadline=30)
    assert error.value.retry_after == pytest.approx(90, abs=1)


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        ({"kind": "html"}, "an HTML page"),
        ({"kind": "empty"}, "an empty body"),
        ({"kind": "error_json"}, "an error under status 200"),
    ],
)
def test_success_that_is_none(caller, sentinelhub_sandbox, action: dict[str, Any], problem: str):
    """200 is not yet success."""
    sentinelhub_sandbox.control.add_fault(path=COLLECTIONS, times=None, action=action)

    with pytest.raises(SentinelHubResponseError, match=problem):
        caller.request("GET", COLLECTIONS)


def test_answer_that_cannot_be_unpacked(make_caller, waits):
    """A proxy says gzip and sends something else: a broken answer like any other."""
    with (
        loopback_server(lambda _: Reply(headers={"Content-Encoding": "gzip"}, body=b"no gzip at all")) as server,
        pytest.raises(SentinelHubTransportError, match="the connection broke"),
    ):
        make_caller(host=server.url).request("POST", "/batch/v2/process", json={})


# --- download --------------------------------------------------------------------------------------------------------


def test_download_stores_the_body(caller, tmp_path: Path, process_request: dict[str, Any]):
    """With all that XCom needs to know."""
    path = tmp_path / "new" / "picture.png"
    download = caller.download("POST", PROCESS, path, json=process_request, accept="image/png")

    assert path.read_bytes().startswith(b"\x89PNG")
    assert (download.path, download.size) == (str(path), path.stat().st_size)
    assert download.content_type == "image/png"
    assert download.processing_units
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["folder", "below-a-file"])
def test_path_that_cannot_be_written_costs_nothing(
    caller, sentinelhub_sandbox, tmp_path: Path, process_request: dict[str, Any], kind: str
):
    """It is found out before the request is sent and paid for."""
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path if kind == "folder" else tmp_path / "file" / "picture.png"

    with pytest.raises(SentinelHubOutputError, match="Check that it names a file"):
        caller.download("POST", PROCESS, path, json=process_request)
    assert sentinelhub_sandbox.control.counters().total_requests == 0


@pytest.mark.parametrize(
    "action",
    [{"kind": "truncate"}, {"kind": "reset_mid_body"}, {"kind": "html"}, {"kind": "status", "status": 400}],
    ids=lambda action: action["kind"],
)
def test_failed_download_leaves_no_file(
    caller, sentinelhub_sandbox, tmp_path: Path, process_request: dict[str, Any], action: dict[str, Any]
):
    """Neither a whole one nor a half."""
    sentinelhub_sandbox.control.add_fault(path=PROCESS, times=None, action=action)
    with pytest.raises(SentinelHubError):
        caller.download("POST", PROCESS, tmp_path / "picture.png", json=process_request)
    assert list(tmp_path.iterdir()) == []


def test_download_that_broke_once_is_whole(
    caller, sentinelhub_sandbox, tmp_path: Path, process_request: dict[str, Any]
):
    """The second attempt starts the file from nothing."""
    whole = caller.download("POST", PROCESS, tmp_path / "a.png", json=process_request)
    sentinelhub_sandbox.control.add_fault(path=PROCESS, action={"kind": "truncate"})
    repeated = caller.download("POST", PROCESS, tmp_path / "b.png", json=process_request)

    assert (repeated.sha256, repeated.size) == (whole.sha256, whole.size)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_download_that_is_cancelled_leaves_no_file(connect, tmp_path: Path, monkeypatch):
    """While bytes are still coming, and a thread writes them."""
    fed = threading.Event()

    def feed(receiver: Target, chunk: bytes) -> None:
        target_feed(receiver, chunk)
        fed.set()

    target_feed = Target.feed
    monkeypatch.setattr(Target, "feed", feed)

    async def cancelled(hook: SentinelHubHook) -> None:
        try:
            task = asyncio.ensure_future(hook.adownload("GET", "/batch/v2/process", tmp_path / "half.bin"))
            await asyncio.to_thread(fed.wait, 30)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        finally:
            await hook.aclose()

    with loopback_server(lambda _: Reply(body=bytes(64 << 20))) as server:
        asyncio.run(cancelled(connect(host=server.url)))
    assert fed.is_set()
    assert list(tmp_path.iterdir()) == []


# --- token info ------------------------------------------------------------------------------------------------------


def test_token_info_asks_the_deployments_endpoint(connect, sentinelhub_sandbox):
    """Where there is one."""
    info = connect(extra={"deployment": "sentinel-hub"}).token_info()

    assert (info.source, info.client_id) == ("endpoint", sentinelhub_sandbox.client_id)
    assert info.account
    assert info.scopes == ("SH",)
    assert info.issued_at is not None
    assert (info.expires_at - info.issued_at).total_seconds() == pytest.approx(3600, abs=30)
    assert info.seconds_left == pytest.approx(3600, abs=30)
    assert served(sentinelhub_sandbox, "/oauth/tokeninfo") == 1


def test_token_info_reads_the_claims_otherwise(connect, sentinelhub_sandbox):
    """The same facts, from the token itself."""
    by_claims = connect().token_info()
    by_endpoint = connect(extra={"deployment": "sentinel-hub"}).token_info()

    assert by_claims.source == "claims"
    assert (by_claims.client_id, by_claims.account, by_claims.scopes, by_claims.issued_at) == (
        by_endpoint.client_id,
        by_endpoint.account,
        by_endpoint.scopes,
        by_endpoint.issued_at,
    )


def test_token_info_survives_its_endpoints_failure(connect, sentinelhub_sandbox):
    """There is another way to know."""
    sentinelhub_sandbox.control.add_fault(path="/oauth/tokeninfo", times=None, action={"kind": "html"})

    assert connect(extra={"deployment": "sentinel-hub"}).token_info().source == "claims"


def test_token_info_of_an_opaque_token(connect):
    """What the token endpoint said is all there is."""

    def issue(_: Received) -> Reply:
        return Reply(body=b'{"access_token": "opaque", "expires_in": 600, "scope": "SH other"}')

    with loopback_server(issue) as server:
        info = connect(extra={"auth_url": f"{server.url}/token"}).token_info()

    assert (info.source, info.account, info.issued_at, info.scopes) == ("answer", None, None, ("SH", "other"))
    assert 590 < info.seconds_left <= 600


@pytest.mark.parametrize("answer", [{"expires_in": 10**13}, {"claims": {"iat": 1.7e12, "exp": 1.8e12}}], ids=str)
def test_token_info_survives_times_in_thousandths(connect, answer: dict[str, Any]):
    """Some endpoints count milliseconds: no calendar has such years."""
    claims = base64.urlsafe_b64encode(json.dumps(answer.pop("claims", {})).encode()).decode().rstrip("=")
    body = json.dumps({"access_token": f"e30.{claims}.x", **answer}).encode()
    with loopback_server(lambda _: Reply(body=body)) as server:
        info = connect(extra={"auth_url": f"{server.url}/token"}).token_info()

    assert info.issued_at is None
    assert info.seconds_left > 1e6


def test_token_info_shows_no_token(connect, sentinelhub_sandbox):
    """It is about the token, without it."""
    info = connect().token_info()

    assert not any(token in repr(info) for token in sentinelhub_sandbox.control.tokens())


# --- test_connection -------------------------------------------------------------------------------------------------


def test_connection_test_says_what_it_found(connect, sentinelhub_sandbox):
    """Deployment, client and lifetime in one sentence."""
    works, message = connect().test_connection()

    assert works
    assert message == (
        f"Connected to custom Sentinel Hub. Client {sentinelhub_sandbox.client_id} at {sentinelhub_sandbox.url}. "
        "Its token is valid for 60 min."
    )
    assert served(sentinelhub_sandbox, COLLECTIONS) == 1


@pytest.mark.parametrize(
    ("fields", "fault", "message"),
    [
        pytest.param({"password": "wrong"}, None, "refused client", id="wrong-secret"),
        pytest.param({"login": "nobody"}, None, "refused client 'nobody'", id="unknown-client"),
        pytest.param({"login": ""}, None, "The client ID is empty", id="no-id"),
        pytest.param({"host": "http://sh.example.org"}, None, "Use https://", id="plain-http"),
        pytest.param(
            {}, ("*/collections", {"kind": "status", "status": 401}), "two tokens in a row", id="refused-token"
        ),
        pytest.param({}, ("*/collections", {"kind": "html"}), "an HTML page", id="html"),
        pytest.param(
            {},
            ("*/collections", {"kind": "status", "status": 403}),
            "Client ID and secret are accepted, but the account may not read the Catalog. ",
            id="forbidden",
        ),
        pytest.param({"extra": {"scope": "admin"}}, None, "The scope was refused: leave Scope empty. ", id="scope"),
        pytest.param(
            {"host": "https://127.0.0.1:1", "extra": {"verify": "/no/such.pem"}},
            *(None, "The connection's field 'verify' cannot work. No trusted certificates can be read from"),
            id="bundle",
        ),
        pytest.param(
            {"extra": {"auth_cache": "redis://127.0.0.1:1/0"}},
            *(None, "The client is accepted, but the authorization cache cannot be reached (ConnectionError)"),
            id="cache-down",
        ),
        pytest.param({}, (TOKEN_PATHS, {"kind": "html"}), "no proxy answers", id="login-page"),
        pytest.param({"extra": {"auth_cache": "files"}}, None, "auth_cache", id="auth-cache"),
    ],
)
def test_connection_test_says_what_is_wrong(connect, sentinelhub_sandbox, fields, fault, message: str):
    """It answers, and never raises; with no secret in it."""
    if fault:
        sentinelhub_sandbox.control.add_fault(path=fault[0], times=None, action=fault[1])
    works, said = connect(**fields).test_connection()

    assert not works
    assert message in said
    assert len(re.split(r"(?<=[.]) ", said)[0].split()) <= 15, "the verdict comes first, in a few words"
    assert "sentinelhub_default" not in said, "the form tests under a transient ID"
    assert sentinelhub_sandbox.client_secret not in said
    assert "wrong" not in said
    assert not any(token in said for token in sentinelhub_sandbox.control.tokens())


def test_connection_test_of_an_unreachable_host_does_not_take_long(connect, monkeypatch: pytest.MonkeyPatch):
    """The form's reader waits for it."""
    monkeypatch.setattr("sentinelhub_provider.hooks.connection_check.CALL_DEADLINE", 3.0)
    works, said = connect(extra={"auth_url": f"http://127.0.0.1:{free_port()}/token"}).test_connection()

    assert not works
    assert "the host cannot be reached" in said


def test_connection_test_gives_up_on_what_obeys_no_timeout(connect, sentinelhub_sandbox, monkeypatch):
    """As the look-up of a name, which can hang for minutes."""
    monkeypatch.setattr("sentinelhub_provider.hooks.connection_check.TEST_DEADLINE", 0.05)
    sentinelhub_sandbox.control.add_fault(path=TOKEN_PATHS, action={"kind": "delay", "seconds": 0.3})

    works, said = connect().test_connection()

    assert not works
    assert "Check the network, the name server and the proxy settings" in said


def test_connection_test_of_a_missing_connection(monkeypatch: pytest.MonkeyPatch):
    """In words, not by the class of Airflow's error."""
    works, said = SentinelHubHook("no_such_connection").test_connection()

    assert not works
    assert said == "There is no connection with this ID. Save it first."


def test_connection_test_of_an_extra_that_is_none(monkeypatch: pytest.MonkeyPatch):
    """The verdict names the field."""
    connection = {"conn_type": "sentinelhub", "login": "id", "password": "secret", "extra": "deployment=creodias"}
    monkeypatch.setenv("AIRFLOW_CONN_SENTINELHUB_DEFAULT", json.dumps(connection))
    works, said = SentinelHubHook().test_connection()

    assert not works
    assert said.startswith("The connection's field 'extra' cannot work. It is not a JSON object.")


def test_redis_connection_keeps_the_tokens(connect, sentinelhub_sandbox, monkeypatch: pytest.MonkeyPatch):
    """By its ID, with the prefix that the connection names, and with its password masked."""
    masked: list[str] = []

    async def amask(secret: str) -> None:
        masked.append(secret)

    monkeypatch.setattr("sentinelhub_provider.hooks.sentinelhub.mask", masked.append)
    monkeypatch.setattr("sentinelhub_provider.hooks.sentinelhub.amask", amask)
    with RedisServer() as redis:
        address = urlsplit(redis.url)
        with redis.client() as client:
            client.config_set("requirepass", "the-password")
            monkeypatch.setenv(
                "AIRFLOW_CONN_MY_REDIS",
                json.dumps(
                    {"conn_type": "redis", "host": address.hostname, "port": address.port, "password": "the-password"}
                ),
            )
            hook = connect(extra={"auth_cache": "my_redis", "auth_cache_prefix": "team-a"})
            assert hook.get_token() in masked
            assert "the-password" in masked
            masked.clear()
            assert asyncio.run(SentinelHubHook().asettings()) == hook.settings
            assert masked == ["the-password"]
            client.auth("the-password")
            names = {name.decode().rsplit(":", 1)[0] for name in client.keys("*")}

    assert names == {"team-a:token"}
    assert "the-password" not in repr(hook.settings)


def test_redis_connection_that_is_missing_is_named(connect):
    """By the field that names it, and by its ID."""
    works, said = connect(extra={"auth_cache": "no_such_redis"}).test_connection()

    assert not works
    assert said.startswith("The connection's field 'auth_cache' cannot work. There is no Airflow connection 'no_such")


# --- the four documented ways ----------------------------------------------------------------------------------------


def test_documented_ways_work_against_the_same_endpoint(connect, sentinelhub_sandbox):
    """Form post (cURL), Basic header (Postman), requests-oauthlib, and one header for all calls (axios)."""
    url = sentinelhub_sandbox.url + COLLECTIONS
    grant = {"grant_type": "client_credentials"}
    credentials = {"client_id": sentinelhub_sandbox.client_id, "client_secret": sentinelhub_sandbox.client_secret}
    posted = requests.post(sentinelhub_sandbox.token_url, data={**grant, **credentials}, timeout=60).json()
    basic = requests.post(
        sentinelhub_sandbox.token_url, data=grant, auth=tuple(credentials.values()), timeout=10
    ).json()

    for token in (posted["access_token"], basic["access_token"], connect().get_token()):
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {token}"
            assert [session.get(url, timeout=60).status_code for _ in range(2)] == [200, 200]


def test_new_process_state_means_a_new_login(connect, sentinelhub_sandbox):
    """``memory`` shares tokens within a process only."""
    connect().get_token()
    connect().get_token()
    assert logins(sentinelhub_sandbox) == 1

    forget_tokens()
    connect().get_token()
    assert logins(sentinelhub_sandbox) == 2


def test_no_proxy_stands_between_here_and_this_machine(make_caller, monkeypatch: pytest.MonkeyPatch):
    """Plain http is for loopback only; a proxy of the environment would see secret and token on the way there."""
    with loopback_server() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)

        answer = make_caller().request("GET", "/catalog/v1/collections")

    assert answer.status_code == 200
    assert proxy.requests == []
