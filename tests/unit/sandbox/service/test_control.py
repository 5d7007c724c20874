"""The control surface over HTTP and from Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from sentinelhub_provider.sandbox.server import SandboxServer

CONTROL = "/sandbox/control"
INSTANCES = "/configuration/v1/wms/instances"


def _call(server: SandboxServer, method: str, path: str, **options: Any) -> requests.Response:
    return requests.request(method, f"{server.url}{CONTROL}{path}", timeout=60, **options)


def test_there_is_no_control_unless_asked_for() -> None:
    """A sandbox without ``control`` has nothing under the prefix."""
    with SandboxServer() as server:
        for path in ("/counters", "/tokens", "/payload?size=1"):
            assert _call(server, "GET", path).status_code == 404
        assert _call(server, "POST", "/reset").status_code == 404


def test_counters_say_what_happened(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Requests are counted per path; control calls are not."""
    requests.get(server.url + INSTANCES, headers=bearer, timeout=60)
    requests.get(server.url + INSTANCES, timeout=60)
    counters = _call(server, "GET", "/counters").json()
    assert counters["requests"] == {"/auth/realms/main/protocol/openid-connect/token": 1, INSTANCES: 2}
    assert (counters["token_requests"], counters["tokens_issued"], counters["unauthorized"]) == (1, 1, 1)


def test_requests_are_listed_without_their_secrets(server: SandboxServer, bearer: dict[str, str]) -> None:
    """The list tells that there was an ``Authorization`` header, never its value."""
    requests.get(f"{server.url}{INSTANCES}?a=b", headers={**bearer, "User-Agent": "test/1"}, timeout=60)
    listed = _call(server, "GET", "/requests")
    last = listed.json()[-1]
    assert last == {
        "method": "GET",
        "path": INSTANCES,
        "query": "a=b",
        "status": 200,
        "authorized": True,
        "user_agent": "test/1",
        "fault": None,
    }
    assert bearer["Authorization"].removeprefix("Bearer ") not in listed.text


def test_every_issued_token_is_listed(server: SandboxServer, new_token: Callable[..., str]) -> None:
    """What a test for leaks searches for is complete."""
    issued = [new_token(), new_token()]
    assert [token["value"] for token in _call(server, "GET", "/tokens").json()] == issued
    assert server.control.tokens() == issued


def test_tokens_are_revoked_one_or_all(server: SandboxServer, new_token: Callable[..., str]) -> None:
    """The count says how many were still good."""
    first, _, _ = new_token(), new_token(), new_token()
    assert _call(server, "POST", "/tokens/revoke", json={"token": first}).json() == {"revoked": 1}
    assert _call(server, "POST", "/tokens/revoke", json={"token": first}).json() == {"revoked": 0}
    assert _call(server, "POST", "/tokens/revoke", json={}).json() == {"revoked": 2}


def test_a_rotated_key_signs_from_now_on(server: SandboxServer, new_token: Callable[..., str]) -> None:
    """The key set shows the new key alone; tokens of the old one are refused, new ones are good."""
    certificates = server.url + "/auth/realms/main/protocol/openid-connect/certs"
    before, old = requests.get(certificates, timeout=60).json(), new_token()
    assert _call(server, "POST", "/key/rotate").json() == {"rotated": True}
    after, new = requests.get(certificates, timeout=60).json(), new_token()
    assert len(after["keys"]) == 1
    assert after["keys"][0]["kid"] != before["keys"][0]["kid"]
    statuses = [
        requests.get(server.url + INSTANCES, headers={"Authorization": f"Bearer {token}"}, timeout=60).status_code
        for token in (old, new)
    ]
    assert statuses == [401, 200]


def test_reset_puts_everything_back(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Counters, faults, limits, lifetimes and clients are as at the start; tokens of before are refused."""
    control = server.control
    control.set_limits(requests_per_minute=1)
    control.set_token_lifetime(5)
    control.set_latency(1)
    control.add_client("other", "secret")
    control.add_fault(action={"kind": "reset"})
    assert _call(server, "POST", "/reset").status_code == 200
    assert control.faults() == []
    assert control.tokens() == []
    assert control.counters().total_requests == 0
    assert server.sandbox.latency == 0
    assert server.sandbox.clients.get("other") is None
    assert server.sandbox.limiter.limits.requests_per_minute is None
    assert server.sandbox.issuer.token_lifetime == 3600
    assert requests.get(server.url + INSTANCES, headers=bearer, timeout=60).status_code == 401


def test_faults_are_planted_listed_and_removed(server: SandboxServer) -> None:
    """The JSON is that of the models; the list says how often each applied."""
    fault = {"path": INSTANCES, "action": {"kind": "status", "status": 500}, "times": 2}
    planted = _call(server, "POST", "/faults", json=fault)
    assert planted.status_code == 201
    requests.get(server.url + INSTANCES, timeout=60)
    (listed,) = _call(server, "GET", "/faults").json()
    assert (listed["id"], listed["applied"], listed["fault"]["times"]) == (planted.json()["id"], 1, 2)
    assert _call(server, "DELETE", f"/faults/{listed['id']}").status_code == 204
    assert _call(server, "DELETE", f"/faults/{listed['id']}").status_code == 404
    assert requests.get(server.url + INSTANCES, timeout=60).status_code == 401


def test_all_faults_are_cleared_at_once(server: SandboxServer) -> None:
    """No fault is left."""
    server.control.add_fault(action={"kind": "reset"}, times=None)
    assert _call(server, "DELETE", "/faults").status_code == 204
    assert requests.get(server.url + INSTANCES, timeout=60).status_code == 401


def test_limits_latency_lifetime_and_clients_are_set_over_http(server: SandboxServer) -> None:
    """What Python can set, HTTP can."""
    assert _call(server, "PUT", "/limits", json={"requests_per_minute": 5}).status_code == 200
    assert _call(server, "PUT", "/latency", json={"seconds": 0.001}).status_code == 200
    assert _call(server, "PUT", "/token-lifetime", json={"seconds": 7}).status_code == 200
    assert _call(server, "PUT", "/clients/new", json={"client_secret": "s", "account": "empty"}).status_code == 200
    assert server.sandbox.limiter.limits.requests_per_minute == 5
    assert server.sandbox.latency == 0.001
    assert server.sandbox.issuer.token_lifetime == 7
    client = server.sandbox.clients.get("new")
    assert client is not None
    assert client.account == "empty"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/limits", {"requests_per_minute": 0}, 400),
        ("PUT", "/limits", {"request_per_minute": 5}, 400),
        ("PUT", "/latency", {"seconds": -1}, 400),
        ("PUT", "/token-lifetime", {"seconds": 0}, 400),
        ("PUT", "/token-lifetime", {"seconds": 1, "client_id": "nobody"}, 404),
        ("PUT", "/clients/new", {"client_secret": ""}, 400),
        ("PUT", "/clients/new", {"client_secret": "s", "permissions": ["zarr"]}, 400),
        ("POST", "/faults", {"action": {"kind": "explode"}}, 400),
        ("POST", "/tokens/revoke", {"tokens": "x"}, 400),
        ("GET", "/payload?size=-1", None, 400),
    ],
)
def test_wrong_control_calls_are_refused(
    server: SandboxServer, bearer: dict[str, str], method: str, path: str, body: Any, status: int
) -> None:
    """The error names the member that is wrong."""
    answer = _call(server, method, path, json=body, headers=bearer)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "call",
    [
        lambda control: control.set_token_lifetime(0),
        lambda control: control.set_limits(requests_per_minute=0),
        lambda control: control.set_latency(-1),
        lambda control: control.add_client("a", ""),
        lambda control: control.add_fault(action={"kind": "explode"}),
    ],
)
def test_wrong_python_calls_are_refused(server: SandboxServer, call: Callable[[Any], Any]) -> None:
    """The Python methods check as the routes do."""
    with pytest.raises(ValueError, match=r"."):
        call(server.control)


def test_a_payload_is_deterministic_and_needs_a_token(server: SandboxServer, bearer: dict[str, str]) -> None:
    """The body for measuring downloads has the size asked for and known bytes."""
    assert _call(server, "GET", "/payload?size=10").status_code == 401
    for size in (0, 1, 262_144, 300_000):
        answer = _call(server, "GET", f"/payload?size={size}", headers=bearer)
        assert answer.headers["Content-Length"] == str(size)
        assert answer.content == (bytes(range(256)) * (size // 256 + 1))[:size]


def test_exchanges_are_recorded_in_full_but_for_the_token(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Requests and answers can be checked afterwards; token requests and tokens are left out."""
    server.control.record_exchanges()
    form = {"grant_type": "client_credentials", "client_id": server.client_id, "client_secret": server.client_secret}
    requests.post(server.token_url(), data=form, timeout=60)
    requests.post(f"{server.url}/catalog/v1/search", json={"a": 1}, headers=bearer, timeout=60)
    (exchange,) = server.control.exchanges()
    assert (exchange.method, exchange.path, exchange.status) == ("POST", "/catalog/v1/search", 400)
    assert exchange.request_body == b'{"a": 1}'
    assert b"unknown parameter" in exchange.response_body
    assert exchange.request_headers["authorization"] == "Bearer (hidden)"
    assert exchange.response_headers["content-type"] == "application/json"


def test_recording_is_off_unless_asked_for(server: SandboxServer) -> None:
    """Bodies are not kept by default."""
    requests.get(f"{server.url}/catalog/v1", timeout=60)
    assert server.control.exchanges() == []
