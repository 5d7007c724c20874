"""When a token may be used, and what is known of it without asking."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider.oauth.token import AccessToken, TokenState, seconds_from, unverified_claims


def token(lifetime: float, *, issued_at: float = 0.0) -> AccessToken:
    """A token that was issued at ``issued_at`` and lives for ``lifetime`` seconds."""
    return AccessToken("value", expires_at=issued_at + lifetime, lifetime=lifetime)


def jwt(claims: object) -> str:
    """An unsigned JWT."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


FRESH, STALE, INVALID = TokenState
BOUNDARIES = {
    3600: [
        (0, FRESH),
        (3479.9, FRESH),
        (3480, STALE),
        (3594.9, STALE),
        (3595, INVALID),
        (3600, INVALID),
        (9999, INVALID),
    ],
    60: [(29.9, FRESH), (30, STALE), (55, INVALID)],
    1: [(0.4, FRESH), (0.5, STALE), (0.9, INVALID)],
}


@pytest.mark.parametrize(
    ("lifetime", "age", "state"),
    [(lifetime, age, state) for lifetime, states in BOUNDARIES.items() for age, state in states],
)
def test_state_changes_at_its_boundaries(lifetime: float, age: float, state: TokenState):
    """The leeway is two minutes or half of the lifetime, the margin five seconds or a tenth of it."""
    assert token(lifetime).state(age) is state


@given(lifetime=st.floats(0.01, 1e6), ages=st.lists(st.floats(0, 2e6), min_size=2).map(sorted))
def test_a_token_never_gets_better(lifetime: float, ages: list[float]):
    """From fresh over stale to invalid, and never back."""
    order = [TokenState.FRESH, TokenState.STALE, TokenState.INVALID]
    ranks = [order.index(token(lifetime).state(age)) for age in ages]

    assert ranks == sorted(ranks)


def test_seconds_left_is_never_negative():
    """An expired token has none left."""
    assert (token(60).seconds_left(10), token(60).seconds_left(100)) == (50, 0)


def test_repr_hides_the_value():
    """A token's value is for the header only."""
    secret = AccessToken("top-secret", 1.0, 1.0)

    assert "top-secret" not in f"{secret!r} {secret}"


def test_claims_of_a_jwt_are_read():
    """The payload is the middle part, base64 without padding."""
    assert unverified_claims(jwt({"exp": 5, "azp": "client"})) == {"exp": 5, "azp": "client"}


@pytest.mark.parametrize("value", ["opaque", "a.b", "a.!!!.c", "a..c", jwt([1]), "a.\xff.c", "a.bm9qc29u.c"])
def test_what_is_no_jwt_has_no_claims(value: str):
    """Opaque tokens are legal."""
    assert unverified_claims(value) == {}


@given(st.text(max_size=60))
def test_reading_claims_never_fails(value: str):
    """Whatever a server calls a token."""
    assert isinstance(unverified_claims(f"a.{value}.c"), dict)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        (" 1.5 ", 1.5),
        (0, 0.0),
        (True, None),
        (None, None),
        ("soon", None),
        ("nan", None),
        (float("inf"), None),
        ([1], None),
        pytest.param(10**400, None, id="too-large"),
    ],
)
def test_seconds_are_read_from_numbers_and_strings(value: object, seconds: float | None):
    """Servers write both; anything else counts as not said."""
    assert seconds_from(value) == seconds
