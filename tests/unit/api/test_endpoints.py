"""Paths in both spellings, for every service and every shape of base URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider.api.endpoints import (
    SERVICES,
    Service,
    is_repeatable,
    resolve_endpoint,
    service_name,
    service_of,
)
from sentinelhub_provider.deployments import PathScheme
from sentinelhub_provider.exceptions import SentinelHubRequestError

BASE = "https://sh.example.org"
BASES = st.sampled_from([BASE, "http://127.0.0.1:9080", "https://gate.example.org/sentinel/hub"])
RESTS = st.sampled_from(["", "/", "/search", "/a/b?c=d", "?viewtoken=1"]) | st.from_regex(
    r"/[a-z0-9/-]{0,20}", fullmatch=True
)


SPELLINGS = """
/process/v1                       /process/v1                /api/v1/process
/api/v1/process                   /process/v1                /api/v1/process
process/v1                        /process/v1                /api/v1/process
/catalog/v1/search                /catalog/v1/search         /api/v1/catalog/1.0.0/search
/api/v1/catalog/1.0.0/search?x=1  /catalog/v1/search?x=1     /api/v1/catalog/1.0.0/search?x=1
/statistics/v1                    /statistics/v1             /api/v1/statistics
/api/v1/statistics/batch/abc      /statistics/batch/v1/abc   /api/v1/statistics/batch/abc
/statistics/batch/v1              /statistics/batch/v1       /api/v1/statistics/batch
/api/v2/batch/process/1/start     /batch/v2/process/1/start  /api/v2/batch/process/1/start
/async/v1/process/1               /async/v1/process/1        /api/v1/async/process/1
/byoc/v1/collections              /byoc/v1/collections       /api/v1/byoc/collections
/zarr/v1                          /zarr/v1                   /api/v1/zarr
/api/v1/metadata/location         /api/v1/metadata/location  /api/v1/metadata/location
/process/v10                      /process/v10               /process/v10
"""


@pytest.mark.parametrize(("written", "current", "legacy"), [row.split() for row in SPELLINGS.strip().splitlines()])
def test_path_is_sent_in_the_deployments_spelling(written: str, current: str, legacy: str):
    """Either spelling may be written; paths that have only one are left alone."""
    assert resolve_endpoint(written, base_url=BASE, scheme=PathScheme.CURRENT) == BASE + current
    assert resolve_endpoint(written, base_url=BASE, scheme=PathScheme.LEGACY) == BASE + legacy


@given(service=st.sampled_from(SERVICES), rest=RESTS, base=BASES, scheme=st.sampled_from(PathScheme))
def test_both_spellings_reach_the_same_service(service: Service, rest: str, base: str, scheme: PathScheme):
    """For every service, whatever follows its prefix, wherever the deployment lives."""
    by_current = resolve_endpoint(service.current + rest, base_url=base, scheme=scheme)
    by_legacy = resolve_endpoint(service.legacy + rest, base_url=base, scheme=scheme)

    if service_of(service.current + rest) == (service, rest):  # "/statistics/v1" may be continued to another service
        assert by_current == f"{base}{service.prefix(scheme)}{rest}"
        assert service_name(by_current) == service.name
        assert is_repeatable("POST", by_current) is service.only_reads
    if service_of(service.legacy + rest) == (service, rest):
        assert by_legacy == f"{base}{service.prefix(scheme)}{rest}"


@given(service=st.sampled_from(SERVICES), rest=RESTS, scheme=st.sampled_from(PathScheme))
def test_resolving_twice_changes_nothing(service: Service, rest: str, scheme: PathScheme):
    """A URL is left as it is."""
    once = resolve_endpoint(service.current + rest, base_url=BASE, scheme=scheme)

    assert resolve_endpoint(once, base_url=BASE, scheme=scheme) == once
    assert resolve_endpoint(once.removeprefix(BASE), base_url=BASE, scheme=scheme) == once


@pytest.mark.parametrize(
    "url", ["https://data.example.org/api/v1/process", "HTTPS://x.example/y", "http://localhost:1/"]
)
def test_absolute_url_is_left_as_it_is(url: str):
    """Links in answers are absolute; whether they may be followed is decided elsewhere."""
    assert resolve_endpoint(f" {url}\n", base_url=BASE, scheme=PathScheme.LEGACY) == url


def test_url_in_a_query_makes_no_absolute_url():
    """Only the part before the query counts."""
    assert resolve_endpoint("/x?y=http://z", base_url=BASE, scheme=PathScheme.CURRENT) == f"{BASE}/x?y=http://z"


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "  ",
        "//evil.example/x",
        "ftp://x.example/y",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://[x/y",
        "https://a b/",
        "https://a.example\\@b.example/",
        "https://a.example:99999/",
    ],
)
def test_what_is_neither_path_nor_url_is_refused(endpoint: str):
    """With the argument's name, before anything is sent."""
    with pytest.raises(SentinelHubRequestError, match="endpoint") as error:
        resolve_endpoint(endpoint, base_url=BASE, scheme=PathScheme.CURRENT)

    assert error.value.field == "endpoint"
    assert "/catalog/v1/search" in str(error.value)


REPEATABLE = (
    "GET /batch/v2/process",
    "delete /batch/v2/process/1",
    "PUT /byoc/v1/collections/1",
    "POST /process/v1",
    "POST /gate/api/v1/process",
    "POST /catalog/v1/search",
    "POST /statistics/v1",
)
NOT_REPEATABLE = (
    "POST /statistics/batch/v1",
    "POST /api/v1/statistics/batch/1/start",
    "POST /async/v1/process",
    "POST /batch/v2/process",
    "POST /byoc/v1/collections",
    "POST /unknown/v1",
    "PATCH /process/v2",
)


@pytest.mark.parametrize("request_line", REPEATABLE + NOT_REPEATABLE)
def test_only_what_starts_nothing_twice_is_repeatable(request_line: str):
    """A request that only computes an answer may be repeated, one that makes or starts something may not."""
    method, path = request_line.split()
    assert is_repeatable(method, f"{BASE}{path}") is (request_line in REPEATABLE)


@pytest.mark.parametrize("endpoint", ["process/v1", "/process/v1", "/api/v1/process?x", f"{BASE}/gate/process/v1"])
def test_service_is_known_in_every_spelling(endpoint: str):
    """Also where the slash in front is left out."""
    assert service_name(endpoint) == "process"
