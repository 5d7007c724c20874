from __future__ import annotations

import pickle
from typing import Any

import pytest

from sentinelhub_provider.api.job_requests.delivery import (
    ASYNC,
    CDSE,
    PLAIN,
    RASTER,
    STATISTICS,
    ZARR,
    Access,
    JobRequest,
    Location,
    Template,
    fixed_folder,
    read_location,
    refuse_credentials,
)
from sentinelhub_provider.exceptions import SentinelHubRequestError

KEYS = Access(access_key="AKIAEXAMPLE", secret_access_key="a-secret-key", region="eu-central-1")
ROLE = Access(role_arn="arn:aws:iam::123456789012:role/sentinel-hub")
GOOGLE = Access(credentials="c2VjcmV0")


@pytest.mark.parametrize("access", [KEYS, GOOGLE], ids=["s3", "gs"])
def test_credentials_are_not_shown(access: Access) -> None:
    """Neither they nor a place that has them show what they hold."""
    shown = repr(access) + repr(Location(f"{access.scheme}://bucket/folder", access)) + str([access])

    for secret in ("AKIAEXAMPLE", "a-secret-key", "c2VjcmV0"):
        assert secret not in shown


def test_place_says_what_may_be_known() -> None:
    """What a request's body says of a place has its role and region, and no key."""
    shown = {"s3": {"url": "s3://bucket/a", "region": "eu-central-1"}}
    assert Location("s3://bucket/a", KEYS).to_json() == shown
    shown = {"s3": {"url": "s3://bucket/a", "iamRoleARN": ROLE.role_arn}}
    assert Location("s3://bucket/a", ROLE).to_json() == shown


def test_credentials_come_last() -> None:
    """They are put into a copy of the request, beside the URL."""
    body = {
        "output": {"delivery": {"s3": {"url": "s3://b/a"}}},
        "input": {"features": {"gs": {"url": "gs://b/f.gpkg"}}},
    }
    before = pickle.dumps(body)

    places = {("output", "delivery"): Location("s3://b/a", KEYS), ("input", "features"): Location("gs://b/f", GOOGLE)}

    payload = JobRequest(body=body, places=places, digest="", setup=None).payload()

    assert payload["output"]["delivery"]["s3"] == {
        "url": "s3://b/a",
        "accessKey": "AKIAEXAMPLE",
        "secretAccessKey": "a-secret-key",
        "region": "eu-central-1",
    }
    assert payload["input"]["features"]["gs"]["credentials"] == "c2VjcmV0"
    assert pickle.dumps(body) == before


@pytest.mark.parametrize(
    ("url", "access", "deployment", "words"),
    [
        pytest.param("/data/out", None, None, "Give a URL such as s3://", id="no-url"),
        pytest.param("", None, None, "Give a URL", id="nothing"),
        pytest.param("s3://", None, None, "Give a URL", id="no-bucket"),
        pytest.param("s3://b/f", None, None, "Give a URL", id="short-bucket"),
        pytest.param("s3://bucket/a b", None, None, "Give a URL", id="space"),
        pytest.param("s3://my_aws@bucket/a", None, None, "names an Airflow connection", id="connection"),
        pytest.param("gs://bucket/a", KEYS, None, "credentials are for s3://", id="foreign-credentials"),
        pytest.param("gs://bucket/a", None, None, "has no credentials", id="gs-without"),
        pytest.param("gs://bucket/a", GOOGLE, CDSE, "Google Cloud Storage, which the Copernicus", id="gs-at-cdse"),
        pytest.param("s3://bucket/a", ROLE, CDSE, "an IAM role, which the Copernicus", id="role-at-cdse"),
    ],
)
def test_places_that_cannot_be(url: Any, access: Any, deployment: str | None, words: str) -> None:
    """They are refused with what to do, by the argument's name."""
    with pytest.raises(SentinelHubRequestError, match=words) as refused:
        Location(url, access).check("delivery", deployment=deployment)
    assert refused.value.field == "delivery"


def test_url_with_keys_is_not_repeated() -> None:
    """Keys that somebody put into the URL do not come back in the message."""
    with pytest.raises(SentinelHubRequestError) as refused:
        Location("s3://AKIAEXAMPLE:a-secret-key@bucket/a").check("delivery")
    assert "secret-key" not in str(refused.value)


def test_region_is_no_access() -> None:
    """Sentinel Hub knows where the bucket is, but is not let in."""
    with pytest.raises(SentinelHubRequestError, match="has no credentials"):
        Location("s3://bucket/a", Access(region="eu-west-1")).check("delivery", needs_access=True)


def test_must_have_access() -> None:
    """Where the API needs it, a place without credentials is refused."""
    with pytest.raises(SentinelHubRequestError, match=r"id of an Airflow connection that holds them, or an IAM role"):
        Location("s3://bucket/a").check("delivery", needs_access=True)


@pytest.mark.parametrize(
    ("url", "template", "outputs"),
    [
        pytest.param("s3://bucket/a/<requestId>/<tileName>/<outputId>.<format>", RASTER, 3, id="raster"),
        pytest.param("s3://bucket/<tileName>.tif", RASTER, 1, id="raster-one"),
        pytest.param("s3://bucket", RASTER, 2, id="bucket"),
        pytest.param("s3://bucket/a/<requestId>", ZARR, 2, id="zarr"),
        pytest.param("s3://bucket/<REQUEST_ID>-<OUTPUT>", ASYNC, 2, id="async"),
        pytest.param("s3://bucket/<REQUEST_ID>/<IDENTIFIER>.json", STATISTICS, 1, id="statistics"),
    ],
)
def test_templates(url: str, template: Template, outputs: int) -> None:
    """Each API has placeholders of its own."""
    Location(url, KEYS).check("delivery", template=template, outputs=outputs)


@pytest.mark.parametrize(
    ("url", "template", "words"),
    [
        pytest.param("s3://bucket/<requestId>/x.tif", RASTER, "not <tileName>", id="no-tile"),
        pytest.param("s3://bucket/<tileName>.tif", RASTER, "no <outputId>, but there are 2 outputs", id="no-output"),
        pytest.param("s3://bucket/<REQUEST_ID>/<tileName>", RASTER, "Did you mean <requestId>", id="case"),
        pytest.param("s3://bucket/<tileName>/x", ZARR, "there is <requestId>", id="zarr"),
        pytest.param("s3://bucket/<OUTPUT_ID>", ASYNC, "there is <REQUEST_ID>, <OUTPUT>", id="async"),
        pytest.param("s3://bucket/<REQUEST_ID>", ASYNC, "no <OUTPUT>", id="async-output"),
        pytest.param("s3://bucket/<REQUEST_ID>/x.json", STATISTICS, "not <ID> or <IDENTIFIER>", id="statistics"),
        pytest.param("s3://bucket/<requestId", RASTER, "belongs to no placeholder", id="open"),
        pytest.param("s3://<requestId>/a", RASTER, "Give a URL", id="in-bucket"),
        pytest.param("s3://bucket/<ID>.gpkg", PLAIN, "there is none here", id="of-what-is-read"),
    ],
)
def test_templates_that_cannot_be(url: str, template: Template, words: str) -> None:
    """Unknown placeholders are refused, and those that would let results overwrite each other."""
    with pytest.raises(SentinelHubRequestError, match=words):
        Location(url, KEYS).check("delivery", template=template, outputs=2)


@pytest.mark.parametrize(
    ("url", "folder", "tagged"),
    [
        row.split()
        for row in (
            "s3://bucket/a s3://bucket/a s3://bucket/a/m",
            "s3://bucket s3://bucket s3://bucket/m",
            "s3://bucket/a/ s3://bucket/a s3://bucket/a/m",
            "s3://bucket/a/<ID>.json s3://bucket/a s3://bucket/a/m/<ID>.json",
            "s3://bucket/a/x-<ID>/b s3://bucket/a s3://bucket/a/m/x-<ID>/b",
            "s3://bucket/<ID>.json s3://bucket s3://bucket/m/<ID>.json",
        )
    ],
)
def test_folder_of_its_own(url: str, folder: str, tagged: str) -> None:
    """A tag becomes a folder after those that are fixed, and before the first that has a placeholder."""
    assert fixed_folder(url) == folder
    assert Location(url, KEYS).tagged("m") == Location(tagged, KEYS)


@pytest.mark.parametrize("name", ["accessKey", "secretAccessKey", "credentials"])
def test_credentials_in_a_request_are_refused(name: str) -> None:
    """The message names the member and what to do instead, and not the value."""
    body = {"output": {"delivery": {"s3": {"url": "s3://bucket/a", name: "a-secret-key"}}}}

    with pytest.raises(SentinelHubRequestError, match=rf"output\.delivery\.s3\.{name} is a credential") as refused:
        refuse_credentials(body)
    assert "a-secret-key" not in str(refused.value)
    assert "Airflow connection" in str(refused.value)


def test_role_in_a_request_is_none() -> None:
    """A role's name is no credential."""
    refuse_credentials({"s3": {"url": "s3://bucket/a", "iamRoleARN": ROLE.role_arn, "accessKey": None}})


def test_read_keeps_what_the_request_says() -> None:
    """Role and region of a request's JSON are read; keys come from the argument."""
    place = {"s3": {"url": "s3://bucket/a", "region": "eu-west-1"}}
    location = read_location(place, lambda _: KEYS, field="request", path=("output", "delivery"))
    assert location.access == Access("AKIAEXAMPLE", "a-secret-key", region="eu-west-1")

    place = {"s3": {"url": "s3://bucket/a", "iamRoleARN": ROLE.role_arn}}
    by_role = read_location(place, lambda _: None, field="request", path=("a",))
    assert by_role.access == ROLE


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        pytest.param(None, "must be a mapping with s3 or gs", id="missing"),
        pytest.param({"s3": {}, "gs": {}}, "must be a mapping with s3 or gs", id="both"),
        pytest.param({"s3": {"url": "gs://bucket/a"}}, "begins with s3://", id="other-scheme"),
        pytest.param({"s3": {"url": "s3://b"}}, r"request: output\.delivery is 's3://b'", id="bad-url"),
        pytest.param({"s3": {"url": "s3://bucket/a", "iamRoleARN": "x"}}, "not an ARN", id="role"),
        pytest.param({"s3": {"url": "s3://bucket/a", "iamRoleARN": 5}}, "'?5'? is not an ARN", id="odd-role"),
    ],
)
def test_read_refuses(storage: Any, words: str) -> None:
    """What is wrong is said with its place in the request."""
    with pytest.raises(SentinelHubRequestError, match=words):
        read_location(storage, lambda _: None, field="request", path=("output", "delivery"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param({"access_key": "AKIAEXAMPLE"}, "secret access key is missing", id="half"),
        pytest.param({"secret_access_key": "a-secret-key"}, "access key id is missing", id="other-half"),
        pytest.param({"role_arn": "my-role"}, "not an ARN of an IAM role", id="role"),
        pytest.param(
            {"access_key": "AKIAEXAMPLE", "secret_access_key": "a-secret-key", "role_arn": ROLE.role_arn},
            "Give one of them",
            id="both",
        ),
    ],
)
def test_access_that_cannot_be(arguments: dict[str, str], words: str) -> None:
    """Keys come in pairs, and without a role."""
    with pytest.raises(SentinelHubRequestError, match=words) as refused:
        Location("s3://bucket/a", Access(**arguments)).check("delivery")
    assert "a-secret-key" not in str(refused.value)
