"""What is sent to the token endpoint, and what its answers mean."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider.exceptions import SentinelHubResponseError
from sentinelhub_provider.oauth.client_credentials import (
    ASSUMED_LIFETIME,
    LONGEST_LIFETIME,
    ClientCredentials,
    is_refused_client,
    parse_token_answer,
    token_request,
)

AUTH_URL = "https://id.example.org/token"
AWKWARD = "./*& +ü%:=\"'"
NOW = 1_000_000.0


def credentials(secret: str = AWKWARD, **fields: Any) -> ClientCredentials:
    """A client with an awkward secret."""
    return ClientCredentials(AUTH_URL, fields.pop("client_id", "client:1"), secret, **fields)


def answer(**members: Any) -> bytes:
    """A token answer."""
    return json.dumps({"access_token": "opaque", "token_type": "Bearer", "expires_in": 3600, **members}).encode()


def jwt(**claims: Any) -> str:
    """An unsigned JWT."""
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.c2ln"


# --- the request -----------------------------------------------------------------------------------------------------


def test_post_request_is_the_documented_form():
    """``client_secret_post``: everything in the form, nothing in the header."""
    request = token_request(credentials(scope="SH"))

    assert request.url == AUTH_URL
    assert parse_qs(request.body, strict_parsing=True) == {
        "grant_type": ["client_credentials"],
        "client_id": ["client:1"],
        "client_secret": [AWKWARD],
        "scope": ["SH"],
    }
    assert request.headers == {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


def test_basic_request_keeps_the_secret_out_of_the_form():
    """``client_secret_basic``: one way of authenticating at a time (RFC 6749 section 2.3)."""
    request = token_request(credentials(client_auth="client_secret_basic"))

    assert parse_qs(request.body) == {"grant_type": ["client_credentials"]}
    assert request.headers["Authorization"].startswith("Basic ")


@given(client_id=st.text(min_size=1), secret=st.text(min_size=1))
def test_both_ways_survive_any_secret(client_id: str, secret: str):
    """Whatever characters id and secret hold, the endpoint reads the same."""
    if any("\ud800" <= character <= "\udfff" for character in client_id + secret):
        return
    posted = parse_qs(token_request(credentials(secret, client_id=client_id)).body, keep_blank_values=True)
    basic = token_request(credentials(secret, client_id=client_id, client_auth="client_secret_basic"))
    pair = base64.b64decode(basic.headers["Authorization"].removeprefix("Basic ")).decode().partition(":")

    assert (posted["client_id"], posted["client_secret"]) == ([client_id], [secret])
    assert (unquote_plus(pair[0]), unquote_plus(pair[2])) == (client_id, secret)


@pytest.mark.parametrize("client_auth", ["client_secret_post", "client_secret_basic"])
def test_no_repr_shows_the_secret(client_auth: str):
    """Neither of the credentials nor of the request, in no encoding."""
    request = token_request(credentials("hunter2", client_auth=client_auth))
    shown = f"{request!r} {credentials('hunter2')!r}"

    assert "hunter2" not in shown
    assert base64.b64encode(b"client%3A1:hunter2").decode() not in shown


def test_key_changes_with_what_makes_a_token_differ():
    """URL, id, secret and scope make a token; how the client authenticates does not."""
    keys = {
        credentials().key,
        credentials("other").key,
        credentials(scope="SH").key,
        credentials(client_id="x").key,
        ClientCredentials("https://other.example/token", "client:1", AWKWARD).key,
    }

    assert len(keys) == 5
    assert credentials(client_auth="client_secret_basic").key == credentials().key
    assert not any(AWKWARD in key for key in keys)


# --- the answer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "lifetime"),
    [
        pytest.param({"expires_in": 1800}, 1800, id="number"),
        pytest.param({"expires_in": "1800"}, 1800, id="string"),
        pytest.param({"expires_in": 0.5}, 0.5, id="fraction"),
        pytest.param({"expires_in": None, "access_token": jwt(exp=NOW + 900)}, 900, id="exp-only"),
        pytest.param({"expires_in": 0, "access_token": jwt(exp=NOW + 900)}, 900, id="zero-but-exp"),
        pytest.param({"expires_in": -1, "access_token": jwt(exp=NOW + 900)}, 900, id="negative-but-exp"),
        pytest.param({"expires_in": "soon", "access_token": jwt(exp=NOW + 900)}, 900, id="nonsense-but-exp"),
        pytest.param(
            {"expires_in": None, "access_token": jwt(iat=NOW - 500, exp=NOW + 400)}, 900, id="issuers-clock-behind"
        ),
        pytest.param({"expires_in": 60, "access_token": jwt(exp=NOW + 900)}, 60, id="expires_in-first"),
        pytest.param({"expires_in": None}, ASSUMED_LIFETIME, id="opaque-without-a-word"),
        pytest.param({"expires_in": "soon"}, ASSUMED_LIFETIME, id="opaque-with-nonsense"),
        pytest.param({"expires_in": 1e300}, LONGEST_LIFETIME, id="no-lifetime-at-all"),
        pytest.param(
            {"expires_in": None, "access_token": jwt(exp=1.8e12, iat=1.7e12)}, LONGEST_LIFETIME, id="thousandths"
        ),
    ],
)
def test_lifetime_is_expires_in_or_else_the_jwts(members: dict[str, Any], lifetime: float):
    """``expires_in`` first, as number or string; else ``exp``, measured by the issuer's own clock where it tells."""
    token = parse_token_answer(answer(**members), auth_url=AUTH_URL, now=NOW)

    assert (token.lifetime, token.expires_at) == (lifetime, NOW + lifetime)


def test_white_space_around_a_token_is_no_part_of_it():
    """A gateway that was written by hand ends its lines."""
    assert parse_token_answer(answer(access_token=" opaque\n"), auth_url=AUTH_URL, now=NOW).value == "opaque"


def test_claims_that_nobody_can_read_are_none():
    """A token need not be a JWT to have two dots."""
    deep = base64.urlsafe_b64encode(b"[" * 100_000).decode()

    token = parse_token_answer(answer(expires_in=None, access_token=f"a.{deep}.b"), auth_url=AUTH_URL, now=NOW)

    assert token.lifetime == ASSUMED_LIFETIME


def test_scope_is_kept_where_it_is_said():
    """The endpoint may grant another scope than was asked for."""
    assert parse_token_answer(answer(scope="SH"), auth_url=AUTH_URL, now=NOW).scope == "SH"
    assert parse_token_answer(answer(), auth_url=AUTH_URL, now=NOW).scope is None


@pytest.mark.parametrize("members", [{}, *({"token_type": kind} for kind in ("bearer", "BEARER", None, ""))], ids=str)
def test_token_type_is_bearer_in_any_case(members: dict[str, Any]):
    """Some servers write it small, some leave it out or empty."""
    body = json.loads(answer())
    body.pop("token_type")
    body.update(members)

    assert parse_token_answer(json.dumps(body).encode(), auth_url=AUTH_URL, now=NOW).value == "opaque"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param(answer(access_token=None), "without an access_token", id="no-token"),
        pytest.param(answer(access_token=""), "without an access_token", id="empty-token"),
        pytest.param(answer(access_token=7), "without an access_token", id="token-a-number"),
        pytest.param(b'["token"]', "without an access_token", id="list"),
        pytest.param(b"<html>", "without an access_token", id="not-json"),
        pytest.param(b"\xff\xfe", "without an access_token", id="not-text"),
        pytest.param(b"[" * 100_000, "without an access_token", id="deeper-than-anybody-reads"),
        pytest.param(answer(access_token=" \n"), "without an access_token", id="white-token"),
        *(
            pytest.param(answer(access_token=f"opaque{odd}b"), "characters that no token has", id=f"token-with-{odd!r}")
            for odd in ("\n", "\r\nX-Injected: ", "\0", " ", "ü", "漢", "\x7f")
        ),
        pytest.param(answer(token_type="mac"), "'mac' instead of Bearer", id="other-type"),
        pytest.param(answer(expires_in=0), "already expired", id="zero"),
        pytest.param(answer(expires_in=-5), "already expired", id="negative"),
        pytest.param(answer(expires_in=None, access_token=jwt(exp=NOW - 1)), "machine's clock", id="exp-in-the-past"),
    ],
)
def test_unusable_answer_says_what_is_wrong(body: bytes, problem: str):
    """The error names the endpoint, the problem and what to check, and quotes no token."""
    with pytest.raises(SentinelHubResponseError) as error:
        parse_token_answer(body, auth_url=AUTH_URL, now=NOW)

    assert problem in str(error.value)
    assert AUTH_URL in str(error.value)
    assert "Check" in str(error.value)
    assert "opaque" not in str(error.value)


@pytest.mark.parametrize(
    ("members", "code", "words"),
    [
        ({"error": "invalid_client", "error_description": "Bad secret"}, "invalid_client", "Bad secret"),
        ({"error": "temporarily_unavailable"}, "temporarily_unavailable", None),
        ({"error": {"code": 7}, "error_description": 7}, None, None),
    ],
)
def test_error_under_a_200_keeps_its_words(members: dict[str, Any], code: str | None, words: str | None):
    """Some endpoints answer 200 to everything."""
    with pytest.raises(SentinelHubResponseError) as error:
        parse_token_answer(json.dumps(members).encode(), auth_url=AUTH_URL, now=NOW)

    assert (error.value.code, error.value.service_message) == (code, words)
    assert all(word in str(error.value) for word in (code, words) if word)


@pytest.mark.parametrize(
    ("code", "message", "refused"),
    [
        ("invalid_client", None, True),
        ("unauthorized_client", "Invalid client secret", True),
        ("OAUTH_ERROR", "Illegal client_id", True),
        ("OAUTH_ERROR", "Illegal secret!", True),
        (None, "Illegal secret!", True),
        ("invalid_request", "Missing form parameter: grant_type", False),
        ("OAUTH_ERROR", "Missing grant_type parameter", False),
        ("invalid_scope", "Invalid scopes: admin", False),
        ("access_denied", None, False),
        (None, "403 Forbidden", False),
        (None, None, False),
    ],
)
def test_only_these_refuse_the_client(code: str | None, message: str | None, refused: bool):
    """RFC 6749's two codes, and the legacy endpoint's words; everything else says nothing about id and secret."""
    assert is_refused_client(code, message) is refused
