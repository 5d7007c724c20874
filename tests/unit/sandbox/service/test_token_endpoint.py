"""The token endpoint, its keys, discovery and token info, over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import jwt
import pytest
import requests

from sentinelhub_provider.sandbox.server import SandboxServer

from .conftest import FakeClock

BAD_CLIENT = "Invalid client or Invalid client credentials"
AWKWARD_SECRET = "./*&+% ä:=?"


def _basic(client_id: str, secret: str) -> str:
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _form(server: SandboxServer, **change: Any) -> dict[str, Any]:
    form = {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
        **change,
    }
    return {name: value for name, value in form.items() if value is not None}


@pytest.mark.parametrize("realm", ["main", "CDSE"])
def test_a_token_is_given_for_a_form_with_id_and_secret(server: SandboxServer, realm: str) -> None:
    """``client_secret_post`` works at both deployments' addresses, with an answer in Keycloak's shape."""
    answer = requests.post(server.token_url(realm), data=_form(server), timeout=60)
    body = answer.json()
    assert answer.status_code == 200
    assert body.pop("access_token").count(".") == 2
    assert body == {
        "expires_in": 3600,
        "refresh_expires_in": 0,
        "token_type": "Bearer",
        "not-before-policy": 0,
        "scope": "SH",
    }
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["x-sentinelhub-sandbox"]


def test_a_token_is_given_for_a_basic_header(server: SandboxServer) -> None:
    """``client_secret_basic``: id and secret are form-urlencoded before base64, so any character may stand in them."""
    server.control.add_client("id with space", AWKWARD_SECRET)
    headers = {"Authorization": _basic("id with space", AWKWARD_SECRET)}
    form = {"grant_type": "client_credentials"}
    answer = requests.post(server.token_url(), data=form, headers=headers, timeout=60)
    assert answer.status_code == 200


def test_the_form_may_hold_any_character(server: SandboxServer) -> None:
    """A secret with characters that a form must escape arrives whole."""
    server.control.add_client("awkward", AWKWARD_SECRET)
    form = _form(server, client_id="awkward", client_secret=AWKWARD_SECRET)
    assert requests.post(server.token_url(), data=form, timeout=60).status_code == 200


def test_the_legacy_address_gives_tokens_too(server: SandboxServer, bearer: dict[str, str]) -> None:
    """``/oauth/token`` answers, and its token opens the same APIs."""
    answer = requests.post(f"{server.url}/oauth/token", data=_form(server), timeout=60)
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert requests.get(f"{server.url}/catalog/v1/collections", headers=headers, timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "error", "description"),
    [
        ({"client_id": "nobody"}, 401, "invalid_client", BAD_CLIENT),
        ({"client_secret": "wrong"}, 401, "unauthorized_client", BAD_CLIENT),
        ({"client_secret": None}, 401, "unauthorized_client", "Client secret not provided in request"),
        ({"client_id": None}, 401, "invalid_client", BAD_CLIENT),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", "Unsupported grant_type"),
        ({"grant_type": None}, 400, "invalid_request", "Missing form parameter: grant_type"),
        ({"scope": "SH admin"}, 400, "invalid_scope", "Invalid scopes: admin"),
        ({"client_id": ["a", "b"]}, 400, "invalid_request", "duplicated parameter"),
    ],
)
def test_refusals_are_those_of_the_service(
    server: SandboxServer, change: dict[str, Any], status: int, error: str, description: str
) -> None:
    """Status and body as RFC 6749 and Keycloak have them."""
    answer = requests.post(server.token_url(), data=_form(server, **change), timeout=60)
    assert (answer.status_code, answer.json()) == (status, {"error": error, "error_description": description})


def test_a_refused_basic_header_is_challenged(server: SandboxServer) -> None:
    """RFC 6749 5.2: who tried the header learns the scheme."""
    headers = {"Authorization": _basic("nobody", "x")}
    answer = requests.post(server.token_url(), data={"grant_type": "client_credentials"}, headers=headers, timeout=60)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="main"'


@pytest.mark.parametrize("value", ["Basic !!!", "Basic bm8tY29sb24=", "Basic /w=="])
def test_a_broken_basic_header_is_no_client(server: SandboxServer, value: str) -> None:
    """What cannot be decoded is an unknown client, not a failure of the server."""
    form = {"grant_type": "client_credentials"}
    answer = requests.post(server.token_url(), data=form, headers={"Authorization": value}, timeout=60)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_two_client_authentications_at_once_are_refused(server: SandboxServer) -> None:
    """RFC 6749 2.3: a client must not use more than one method per request."""
    headers = {"Authorization": _basic(server.client_id, server.client_secret)}
    answer = requests.post(server.token_url(), data=_form(server), headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_json_body_is_refused(server: SandboxServer) -> None:
    """The token request is a form."""
    answer = requests.post(server.token_url(), json=_form(server), timeout=60)
    assert answer.status_code == 415


def test_the_legacy_address_refuses_in_the_legacy_shape(server: SandboxServer) -> None:
    """``/oauth/token`` writes errors like the REST services, with status 400."""
    form = _form(server, client_id="nobody")
    answer = requests.post(f"{server.url}/oauth/token", data=form, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "OAUTH_ERROR"


def test_failed_logins_are_counted(server: SandboxServer) -> None:
    """Requests, tokens and failures each have their counter."""
    requests.post(server.token_url(), data=_form(server), timeout=60)
    requests.post(server.token_url(), data=_form(server, client_secret="wrong"), timeout=60)
    requests.post(server.token_url(), data=_form(server, grant_type="password"), timeout=60)
    counters = server.control.counters()
    assert (counters.token_requests, counters.tokens_issued, counters.failed_logins) == (3, 1, 1)


def test_anyone_can_check_a_token_with_the_published_keys(server: SandboxServer, new_token: Callable[..., str]) -> None:
    """Discovery leads to the keys, the keys verify the signature, the claims are those of Sentinel Hub."""
    token = new_token()
    realm = f"{server.url}/auth/realms/main"
    discovery = requests.get(f"{realm}/.well-known/openid-configuration", timeout=60).json()
    keys = jwt.PyJWKSet.from_dict(requests.get(discovery["jwks_uri"], timeout=60).json())
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(
        token,
        keys[header["kid"]].key,
        algorithms=["RS256"],
        audience="account",
        issuer=realm,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert discovery["token_endpoint"] == server.token_url()
    assert claims["azp"] == server.client_id
    assert claims["exp"] - claims["iat"] == 3600
    assert {"sub", "account", "scope", "jti"} <= claims.keys()


def test_token_info_returns_the_claims(server: SandboxServer, new_token: Callable[..., str]) -> None:
    """The token info endpoint tells what the token says."""
    token = new_token()
    headers = {"Authorization": f"Bearer {token}"}
    info = requests.get(f"{server.url}/oauth/tokeninfo", headers=headers, timeout=60).json()
    assert info == jwt.decode(token, options={"verify_signature": False})


def test_token_info_needs_a_good_token(server: SandboxServer) -> None:
    """Without a token there is nothing to tell."""
    assert requests.get(f"{server.url}/oauth/tokeninfo", timeout=60).status_code == 401


def test_a_short_lifetime_ends_when_it_says(
    server: SandboxServer, clock: FakeClock, new_token: Callable[..., str]
) -> None:
    """A token is good until its last second and not a moment longer."""
    server.control.set_token_lifetime(5)
    headers = {"Authorization": f"Bearer {new_token()}"}
    url = f"{server.url}/catalog/v1/collections"
    clock.advance(4.9)
    assert requests.get(url, headers=headers, timeout=60).status_code == 200
    clock.advance(0.2)
    assert requests.get(url, headers=headers, timeout=60).status_code == 401


def test_one_client_may_have_a_lifetime_of_its_own(server: SandboxServer) -> None:
    """The lifetime of one client does not change the others'."""
    server.control.set_token_lifetime(60, client_id=server.client_id)
    server.control.add_client("other", "secret")
    main = requests.post(server.token_url(), data=_form(server), timeout=60).json()
    form = _form(server, client_id="other", client_secret="secret")
    other = requests.post(server.token_url(), data=form, timeout=60).json()
    assert (main["expires_in"], other["expires_in"]) == (60, 3600)


def test_too_many_token_requests_are_answered_429(server: SandboxServer) -> None:
    """The token endpoint has a limit of its own, with the wait in milliseconds."""
    server.control.set_limits(token_requests_per_minute=1)
    first, second = (requests.post(server.token_url(), data=_form(server), timeout=60) for _ in range(2))
    assert first.status_code == 200
    assert second.status_code == 429
    assert second.headers["Retry-After"] == "60000"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/auth/realms/main/protocol/openid-connect/token", 405),
        ("POST", "/auth/realms/other/protocol/openid-connect/token", 404),
        ("GET", "/auth/realms/main", 404),
    ],
)
def test_there_is_nothing_beside_the_endpoints(server: SandboxServer, method: str, path: str, status: int) -> None:
    """Other methods and realms are refused in JSON."""
    answer = requests.request(method, server.url + path, timeout=60)
    assert answer.status_code == status
    assert answer.json()["error"]["status"] == status


def test_the_legacy_endpoint_says_which_half_is_wrong(server: SandboxServer) -> None:
    """Its own words for an unknown client and for a wrong secret."""
    messages = []
    for client_id, secret in (("nobody", "x"), (server.client_id, "x")):
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        answer = requests.post(f"{server.url}/oauth/token", data=form, timeout=60)
        assert answer.status_code == 400
        messages.append(answer.json()["error"]["message"])
    assert messages == ["Illegal client_id", "Illegal secret!"]
