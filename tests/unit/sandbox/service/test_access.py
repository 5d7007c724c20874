"""Who may call the APIs, and the shapes of refusals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from sentinelhub_provider.sandbox.errors import EMPTY_ACCOUNT_MESSAGE, FORBIDDEN_MESSAGE, UNAUTHORIZED_MESSAGE
from sentinelhub_provider.sandbox.server import SandboxServer

from .conftest import FakeClock

GUARDED = [
    ("GET", "/catalog/v1/collections"),
    ("GET", "/catalog/v1/collections/sentinel-2-l2a"),
    ("GET", "/catalog/v1/collections/sentinel-2-l2a/queryables"),
    ("GET", "/catalog/v1/collections/sentinel-2-l2a/items"),
    ("GET", "/catalog/v1/collections/sentinel-2-l2a/items/x"),
    ("GET", "/catalog/v1/search"),
    ("POST", "/catalog/v1/search"),
    ("GET", "/api/v1/catalog/1.0.0/collections"),
    ("POST", "/api/v1/catalog/1.0.0/search"),
    ("POST", "/process/v1"),
    ("POST", "/api/v1/process"),
    ("GET", "/configuration/v1/wms/instances"),
    ("GET", "/oauth/tokeninfo"),
]
COLLECTIONS = "/catalog/v1/collections"
INSTANCES = "/configuration/v1/wms/instances"


@pytest.mark.parametrize(("method", "path"), GUARDED, ids=lambda value: str(value))
def test_every_api_route_asks_for_a_token_first(server: SandboxServer, method: str, path: str) -> None:
    """Without a token each answers 401 in the documented words, before it looks at the request."""
    answer = requests.request(method, server.url + path, timeout=60)
    assert answer.status_code == 401
    assert answer.json() == {
        "error": {
            "status": 401,
            "reason": "Unauthorized",
            "message": UNAUTHORIZED_MESSAGE,
            "code": "COMMON_UNAUTHORIZED",
        }
    }


@pytest.mark.parametrize(
    "path",
    ["/catalog/v1", "/catalog/v1/", "/catalog/v1/conformance", "/api/v1/catalog/1.0.0", "/api/v1/catalog/1.0.0/"],
)
def test_landing_page_and_conformance_are_open(server: SandboxServer, path: str) -> None:
    """These two need no token, and do not mind a bad one."""
    assert requests.get(server.url + path, timeout=60).status_code == 200
    assert requests.get(server.url + path, headers={"Authorization": "Bearer x"}, timeout=60).status_code == 200


@pytest.fixture
def foreign_token(server: SandboxServer, clock: FakeClock) -> str:
    """A token with good claims, signed by somebody else."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = {"azp": server.client_id, "exp": clock.now + 3600, "jti": "x"}
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": server.sandbox.issuer.key.key_id})


def test_tokens_that_are_none_are_refused(
    server: SandboxServer, foreign_token: str, new_token: Callable[..., str]
) -> None:
    """Garbage, foreign signatures, no signature, cut tokens and other schemes all answer 401."""
    good = new_token()
    unsigned = jwt.encode(jwt.decode(good, options={"verify_signature": False}), "", algorithm="none")
    for header in (
        "Bearer garbage",
        f"Bearer {foreign_token}",
        f"Bearer {unsigned}",
        f"Bearer {good[:-4]}",
        f"Basic {good}",
        good,
        "Bearer",
        "",
    ):
        answer = requests.get(server.url + COLLECTIONS, headers={"Authorization": header}, timeout=60)
        assert answer.status_code == 401, header[:20]
    assert server.control.counters().unauthorized == 8


def test_the_scheme_is_read_without_regard_to_case(server: SandboxServer, new_token: Callable[..., str]) -> None:
    """RFC 9110: scheme names are case-insensitive."""
    headers = {"Authorization": f"bearer {new_token()}"}
    assert requests.get(server.url + COLLECTIONS, headers=headers, timeout=60).status_code == 200


def test_a_revoked_token_is_refused_and_a_new_one_is_not(server: SandboxServer, new_token: Callable[..., str]) -> None:
    """Revoking one token leaves the others alone."""
    revoked, kept = new_token(), new_token()
    assert server.control.revoke_token(revoked)
    statuses = [
        requests.get(server.url + COLLECTIONS, headers={"Authorization": f"Bearer {token}"}, timeout=60).status_code
        for token in (revoked, kept)
    ]
    assert statuses == [401, 200]


def test_a_client_without_permission_is_forbidden(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Each API is permitted for itself; the Catalog says so in its own shape."""
    server.control.update_client(server.client_id, permissions=["process"])
    catalog = requests.get(server.url + COLLECTIONS, headers=bearer, timeout=60)
    instances = requests.get(server.url + INSTANCES, headers=bearer, timeout=60)
    assert catalog.status_code == instances.status_code == 403
    assert catalog.json() == {"code": "COMMON_INSUFFICIENT_PERMISSIONS", "description": FORBIDDEN_MESSAGE}
    assert instances.json()["error"]["code"] == "COMMON_INSUFFICIENT_PERMISSIONS"


def test_an_empty_account_is_told_apart_from_a_missing_permission(
    server: SandboxServer, bearer: dict[str, str]
) -> None:
    """An account without processing units answers 403 with a code of its own."""
    server.control.update_client(server.client_id, account="empty")
    answer = requests.post(f"{server.url}/process/v1", json={}, headers=bearer, timeout=60)
    assert answer.status_code == 403
    assert answer.json()["error"] == {
        "status": 403,
        "reason": "Forbidden",
        "message": EMPTY_ACCOUNT_MESSAGE,
        "code": "ACCESS_INSUFFICIENT_PROCESSING_UNITS",
    }


def test_a_broken_limit_answers_429_with_milliseconds(
    server: SandboxServer, clock: FakeClock, bearer: dict[str, str]
) -> None:
    """The documented body stands without a wrapper; waiting as long as told is enough."""
    server.control.set_limits(requests_per_minute=120)
    url = server.url + INSTANCES
    with requests.Session() as session:
        statuses = [session.get(url, headers=bearer, timeout=60).status_code for _ in range(120)]
        refused = session.get(url, headers=bearer, timeout=60)
        assert set(statuses) == {200}
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "500"
        assert refused.json() == {
            "status": 429,
            "reason": "Too Many Requests",
            "message": "You have exceeded your rate limit",
            "code": "RATE_LIMIT_EXCEEDED",
        }
        clock.advance(0.5)
        assert session.get(url, headers=bearer, timeout=60).status_code == 200
    assert server.control.counters().rate_limited == 1


def test_a_refused_token_does_not_count_against_the_limit(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Only authenticated requests take from the bucket."""
    server.control.set_limits(requests_per_minute=1)
    requests.get(server.url + INSTANCES, timeout=60)
    assert requests.get(server.url + INSTANCES, headers=bearer, timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "COMMON_NOT_FOUND"),
        ("GET", "/docs", 404, "COMMON_NOT_FOUND"),
        ("GET", "/openapi.json", 404, "COMMON_NOT_FOUND"),
        ("GET", "/process/v1", 405, "COMMON_METHOD_NOT_ALLOWED"),
        ("DELETE", "/api/v1/process", 405, "COMMON_METHOD_NOT_ALLOWED"),
    ],
)
def test_unknown_paths_and_methods_are_refused_in_the_services_shape(
    server: SandboxServer, method: str, path: str, status: int, code: str
) -> None:
    """No HTML page and no framework's own shape."""
    answer = requests.request(method, server.url + path, timeout=60)
    error = answer.json()["error"]
    assert (answer.status_code, error["status"], error["code"]) == (status, status, code)
    assert answer.headers["x-sentinelhub-sandbox"]


@pytest.fixture
def small_server() -> Iterator[SandboxServer]:
    """A sandbox that takes small bodies only."""
    with SandboxServer(max_body_bytes=1000, control=True) as server:
        yield server


def test_a_body_beyond_the_limit_is_refused(small_server: SandboxServer) -> None:
    """The body is not read to its end."""
    token = requests.post(
        small_server.token_url(),
        data={
            "grant_type": "client_credentials",
            "client_id": small_server.client_id,
            "client_secret": small_server.client_secret,
        },
        timeout=60,
    ).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = requests.post(f"{small_server.url}/process/v1", data=b" " * 1001, headers=headers, timeout=60)
    assert answer.status_code == 413
    assert answer.json()["error"]["reason"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{}", {"Content-Type": "text/plain"}, 415, "COMMON_UNSUPPORTED_MEDIA_TYPE"),
        (b"{}", {}, 415, "COMMON_UNSUPPORTED_MEDIA_TYPE"),
        (b"{", {"Content-Type": "application/json"}, 400, "COMMON_BAD_PAYLOAD"),
        (b'{"a": NaN}', {"Content-Type": "application/json"}, 400, "COMMON_BAD_PAYLOAD"),
        (b"[]", {"Content-Type": "application/json"}, 400, "COMMON_BAD_PAYLOAD"),
        (b"\xff", {"Content-Type": "application/json"}, 400, "COMMON_BAD_PAYLOAD"),
        (b"x", {"Content-Type": "multipart/form-data"}, 400, "COMMON_BAD_PAYLOAD"),
        (b"x", {"Content-Type": "multipart/form-data; boundary=b"}, 400, "COMMON_BAD_PAYLOAD"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    server: SandboxServer, bearer: dict[str, str], body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """Wrong content types answer 415, wrong content 400."""
    answer = requests.post(f"{server.url}/process/v1", data=body, headers={**bearer, **headers}, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("part", ["request", "evalscript"])
def test_a_multipart_body_needs_both_parts(server: SandboxServer, bearer: dict[str, str], part: str) -> None:
    """The missing part is named."""
    files = {name: (None, "{}") for name in ("request", "evalscript") if name != part}
    answer = requests.post(f"{server.url}/process/v1", files=files, headers=bearer, timeout=60)
    assert answer.status_code == 400
    assert f"'{part}'" in answer.json()["error"]["message"]


def test_latency_is_added_to_answers(server: SandboxServer, bearer: dict[str, str]) -> None:
    """An answer takes at least as long as asked for."""
    server.control.set_latency(0.05)
    started = time.perf_counter()
    requests.get(server.url + INSTANCES, headers=bearer, timeout=60)
    assert time.perf_counter() - started >= 0.05


@pytest.mark.parametrize("path", ["/process/v1", "/catalog/v1/search", "/batch/v2/process", "/byoc/v1/collections"])
@pytest.mark.parametrize(
    "body",
    ["[" * 100_000, '{"a":' * 5_000, '{"\\ud800": "\\udfff"}', '{"next": 1' + "0" * 5_000 + "}", "NaN"],
    ids=["deep arrays", "deep objects", "half surrogate pairs", "a number of many digits", "no number"],
)
def test_what_json_allows_at_its_edges_is_refused_and_not_a_crash(
    server: SandboxServer, bearer: dict[str, str], path: str, body: str
) -> None:
    """A request that cannot be is the client's fault, however odd."""
    headers = {**bearer, "Content-Type": "application/json"}
    answer = requests.post(server.url + path, data=body, headers=headers, timeout=60)
    assert answer.status_code == 400
    assert answer.json()


@pytest.mark.parametrize("query", ["viewtoken=%ff", "viewtoken=%C3%A9", "viewtoken=x", "count=" + "9" * 5_000])
def test_pages_that_cannot_be_are_refused(server: SandboxServer, bearer: dict[str, str], query: str) -> None:
    """Tokens that are not ASCII or not base64, and a count of many digits."""
    answer = requests.get(f"{server.url}/batch/v2/process?{query}", headers=bearer, timeout=60)
    assert answer.status_code == 400
