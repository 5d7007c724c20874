"""The Statistical API over a socket: both paths, both content types, access, cost, planned errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from job_requests import ten_days

from sentinelhub_provider.sandbox.server import SandboxServer

PATHS = ("/statistics/v1", "/api/v1/statistics")
EVALSCRIPT = """//VERSION=3
function setup() {
  return { input: ["B04", "dataMask"], output: [{ id: "red", bands: 1 }, { id: "dataMask", bands: 1 }] };
}
function evaluatePixel(s) { return { red: [s.B04], dataMask: [s.dataMask] }; }
"""
BODY: dict[str, Any] = {
    "input": {
        "bounds": {"bbox": [14.02, 46.02, 14.03, 46.03]},
        "data": [{"type": "sentinel-2-l2a", "dataFilter": {"mosaickingOrder": "leastCC"}}],
    },
    "aggregation": ten_days(21, width=32, height=32, evalscript=EVALSCRIPT),
}


def ask(server: SandboxServer, headers: dict[str, str], body: Any = BODY, path: str = PATHS[0]) -> requests.Response:
    """Post a request."""
    return requests.post(f"{server.url}{path}", json=body, headers=headers, timeout=30)


@pytest.mark.parametrize("path", PATHS)
def test_both_schemes_answer_and_charge(server: SandboxServer, bearer: dict[str, str], path: str) -> None:
    """JSON with two intervals; the cost stands in a header and in the counters."""
    answer = ask(server, bearer, path=path)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], len(body["data"]), body["geometryPixelCount"]) == ("OK", 2, 32 * 32)
    spent = float(answer.headers["x-processingunits-spent"])
    assert spent == pytest.approx(0.01)
    assert server.control.counters().processing_units == pytest.approx(spent)


def test_a_form_brings_its_evalscript_apart(server: SandboxServer, bearer: dict[str, str]) -> None:
    """The part replaces the request's own; the answer is that of the JSON request."""
    without = {**BODY, "aggregation": {**BODY["aggregation"], "evalscript": "//VERSION=3\nno script"}}
    parts = {"request": (None, json.dumps(without), "application/json"), "evalscript": (None, EVALSCRIPT)}
    answer = requests.post(f"{server.url}{PATHS[0]}", files=parts, headers=bearer, timeout=30)
    assert answer.json() == ask(server, bearer).json()


def test_an_evalscript_belongs_in_the_aggregation(server: SandboxServer, bearer: dict[str, str]) -> None:
    """One beside it, as in a Process request, is not looked at."""
    aggregation = {name: value for name, value in BODY["aggregation"].items() if name != "evalscript"}
    answer = ask(server, bearer, {**BODY, "aggregation": aggregation, "evalscript": EVALSCRIPT})
    assert answer.status_code == 400
    assert "aggregation->evalscript" in answer.json()["error"]["message"]


def test_errors_have_the_services_shape(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Wrapped, with the field's path; nothing is charged."""
    error = ask(server, bearer, {**BODY, "aggregation": {**BODY["aggregation"], "timeRange": None}}).json()["error"]
    assert (error["status"], error["code"]) == (400, "COMMON_BAD_PAYLOAD")
    assert error["errors"][0]["parameter"] == "aggregation->timeRange"
    assert server.control.counters().processing_units == 0


def test_access_is_checked(server: SandboxServer, bearer: dict[str, str]) -> None:
    """No token 401, no permission 403, an empty account 403, over the limit 429."""
    assert ask(server, {}).status_code == 401
    server.control.update_client(server.client_id, permissions=["process"])
    assert ask(server, bearer).json()["error"]["code"] == "COMMON_INSUFFICIENT_PERMISSIONS"
    server.control.update_client(server.client_id, permissions=["statistical"], account="empty")
    assert ask(server, bearer).json()["error"]["code"] == "ACCESS_INSUFFICIENT_PROCESSING_UNITS"
    server.control.update_client(server.client_id, account="ok")
    server.control.set_limits(requests_per_minute=1)
    assert [ask(server, bearer).status_code for _ in range(2)] == [200, 429]


def test_an_interval_fails_as_planned_and_is_well_the_next_time(
    server: SandboxServer, bearer: dict[str, str], new_token: Callable[..., str]
) -> None:
    """Planned over the control surface; used up by the first request; a reset forgets the rest."""
    control = f"{server.url}/sandbox/control/interval-errors"
    plan = {"interval": "2024-06-11", "type": "TIMEOUT", "times": 1}
    assert requests.post(control, json=plan, timeout=60).status_code == 201
    first = ask(server, bearer).json()
    assert first["status"] == "PARTIAL"
    assert [entry.get("error") for entry in first["data"]] == [None, {"type": "TIMEOUT"}]
    assert ask(server, bearer).json()["status"] == "OK"

    requests.post(control, json={"times": None}, timeout=60)
    assert ask(server, bearer).json()["status"] == "FAILED"
    assert len(requests.get(control, timeout=60).json()) == 1
    assert requests.delete(control, timeout=60).status_code == 204
    assert requests.get(control, timeout=60).json() == []
    requests.post(control, json={"times": None}, timeout=60)
    server.control.reset()
    assert ask(server, {"Authorization": f"Bearer {new_token()}"}).json()["status"] == "OK"


@pytest.mark.parametrize("plan", [{"type": "BAD_LUCK"}, {"times": 0}, {"unknown": 1}])
def test_a_plan_that_cannot_be_is_refused(server: SandboxServer, plan: dict[str, Any]) -> None:
    """400 that names the field."""
    answer = requests.post(f"{server.url}/sandbox/control/interval-errors", json=plan, timeout=60)
    assert answer.status_code == 400
    assert next(iter(plan)) in answer.text


def test_radar_is_in_the_catalog_and_the_elevation_model_is_not(server: SandboxServer, bearer: dict[str, str]) -> None:
    """Scenes of Sentinel-1 are found and filtered by their own properties; heights have no scenes."""
    catalog = f"{server.url}/catalog/v1"
    ids = [c["id"] for c in requests.get(f"{catalog}/collections", headers=bearer, timeout=60).json()["collections"]]
    assert ids == ["sentinel-2-l2a", "sentinel-2-l1c", "sentinel-1-grd"]
    assert requests.get(f"{catalog}/collections/dem", headers=bearer, timeout=60).status_code == 404
    search = {
        "collections": ["sentinel-1-grd"],
        "bbox": [14.02, 46.02, 14.03, 46.03],
        "datetime": "2024-06-01T00:00:00Z/2024-06-30T23:59:59Z",
    }

    def find(**more: Any) -> list[Any]:
        answer = requests.post(f"{catalog}/search", json={**search, **more}, headers=bearer, timeout=60)
        features: list[Any] = answer.json()["features"]
        return features

    whole = find()
    up = find(filter="sat:orbit_state = 'ascending' AND s1:polarization = 'DV'")
    assert 0 < len(up) < len(whole)
    assert {item["properties"]["sat:orbit_state"] for item in up} == {"ascending"}
    assert all("eo:cloud_cover" not in item["properties"] for item in whole)
    assert sorted(find(distinct="sat:orbit_state")) == ["ascending", "descending"]
    item = requests.get(whole[0]["links"][0]["href"], headers=bearer, timeout=60).json()
    assert item == whole[0]
    names = requests.get(f"{catalog}/collections/sentinel-1-grd/queryables", headers=bearer, timeout=60).json()
    assert set(names["properties"]) >= {"sar:instrument_mode", "sat:orbit_state", "s1:polarization"}
