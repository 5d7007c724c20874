from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from sentinelhub_provider.api.job_requests.delivery import Access
from sentinelhub_provider.exceptions import SentinelHubConfigurationError
from sentinelhub_provider.hooks.delivery import access_of

ROLE = "arn:aws:iam::123456789012:role/sentinel-hub"
ACCOUNT = {
    "type": "service_account",
    "client_email": "writer@project.iam.gserviceaccount.com",
    "private_key": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LW9mLWEtc2VydmljZQ==\n-----END PRIVATE KEY-----\n",
}


@pytest.fixture(name="connect")
def fixture_connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the connection ``bucket`` of what is given."""

    def connect(**members: Any) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_BUCKET", json.dumps({"conn_type": "aws", **members}))

    return connect


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(
            {"login": "AKIAEXAMPLE", "password": "a-secret-key", "extra": {"region_name": "eu-west-1"}}, id="login"
        ),
        pytest.param(
            {
                "extra": {
                    "aws_access_key_id": "AKIAEXAMPLE",
                    "aws_secret_access_key": "a-secret-key",
                    "region_name": "eu-west-1",
                }
            },
            id="extra",
        ),
    ],
)
def test_keys(connect: Any, members: dict[str, Any]) -> None:
    """They are the connection's login and password, or stand in its extra, as Amazon's provider has it."""
    connect(**members)

    assert access_of("bucket", "s3://results/a") == Access("AKIAEXAMPLE", "a-secret-key", region="eu-west-1")
    assert access_of("bucket", "s3://results/a", region="eu-west-2") == Access(
        "AKIAEXAMPLE", "a-secret-key", region="eu-west-2"
    )


def test_role(connect: Any) -> None:
    """A role comes from the argument, or from a connection without keys."""
    connect(login="AKIAEXAMPLE", password="a-secret-key")
    assert access_of("bucket", "s3://results/a", role_arn=ROLE) == Access(role_arn=ROLE)

    connect(extra={"role_arn": ROLE, "region_name": "eu-west-1"})
    assert access_of("bucket", "s3://results/a") == Access(role_arn=ROLE, region="eu-west-1")


def test_neither() -> None:
    """Without connection and role there is nothing to send: the bucket itself must let Sentinel Hub in."""
    assert access_of(None, "s3://results/a") is None
    assert access_of(None, "gs://results/a", region="eu-west-1") is None


def test_region_alone() -> None:
    """Of a bucket that lets Sentinel Hub in: else the results of a job that is paid for are sought elsewhere."""
    assert access_of(None, "s3://results/a", region="eu-west-1") == Access(region="eu-west-1")


def test_role_that_is_none() -> None:
    """A name is no ARN."""
    found = access_of(None, "s3://results/a", role_arn="sentinel-hub")

    assert found is not None
    assert "not an ARN of an IAM role" in (found.fault or "")


def test_service_account(connect: Any, tmp_path: Path) -> None:
    """Google's key is in the extra, as mapping or text, or in a file; it is sent in Base64."""
    file = tmp_path / "key.json"
    file.write_text(json.dumps(ACCOUNT))
    for extra in (
        {"keyfile_dict": ACCOUNT},
        {"keyfile_dict": json.dumps(ACCOUNT)},
        {"extra__google_cloud_platform__keyfile_dict": json.dumps(ACCOUNT)},
        {"key_path": str(file)},
        {"keyfile_path": str(file)},
    ):
        connect(conn_type="google_cloud_platform", extra=extra)

        access = access_of("bucket", "gs://results/a")

        assert isinstance(access, Access)
        assert json.loads(base64.b64decode(access.credentials)) == ACCOUNT


@pytest.mark.parametrize(
    ("members", "words"),
    [
        pytest.param({}, r"has no login \(access key id\)", id="nothing"),
        pytest.param({"login": "AKIAEXAMPLE"}, r"has no password \(secret access key\)", id="half"),
        pytest.param(
            {"login": "AKIAEXAMPLE", "password": "a-secret-key", "extra": {"aws_session_token": "a-session"}},
            "holds temporary keys",
            id="session",
        ),
        pytest.param({"login": "ASIAEXAMPLE", "password": "a-secret-key"}, "holds temporary keys", id="temporary"),
        pytest.param(
            {"login": "AKIAEXAMPLE", "password": "a-secret-key", "extra": {"role_arn": ROLE}},
            "keys and a role_arn",
            id="both",
        ),
        pytest.param({"login": "AKIAEXAMPLE", "extra": '{"key": "a-secret-key'}, "it is not a JSON object", id="extra"),
        pytest.param({"extra": "[1]"}, "not a JSON object", id="list"),
    ],
)
def test_connections_that_cannot_be(connect: Any, members: dict[str, Any], words: str) -> None:
    """The message names the connection, and shows none of its values."""
    connect(**members)

    with pytest.raises(SentinelHubConfigurationError, match=rf"Connection 'bucket'.*{words}") as refused:
        access_of("bucket", "s3://results/a")
    chain = [refused.value, refused.value.__cause__]
    assert not any(secret in str(error) for error in chain for secret in ("a-secret-key", "EXAMPLE", "a-session"))


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        pytest.param({}, "neither keyfile_dict nor key_path", id="nothing"),
        pytest.param({"keyfile_dict": "{not json"}, "not the JSON of a service account", id="no-json"),
        pytest.param({"keyfile_dict": {**ACCOUNT, "type": "authorized_user"}}, "not the JSON of a service", id="user"),
        pytest.param({"keyfile_dict": {**ACCOUNT, "private_key": ""}}, "not the JSON of a service", id="no-key"),
        pytest.param({"key_path": "/nowhere/key.json"}, r"cannot be read \(FileNotFoundError\)", id="no-file"),
    ],
)
def test_google_connections_that_cannot_be(connect: Any, extra: dict[str, Any], words: str) -> None:
    """The same for Google."""
    connect(conn_type="google_cloud_platform", extra=extra)

    with pytest.raises(SentinelHubConfigurationError, match=words):
        access_of("bucket", "gs://results/a")


def test_credentials_are_masked(connect: Any) -> None:
    """What was read is replaced wherever the task logs it."""
    from airflow.sdk.log import redact

    connect(extra={"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "a-secret-key"})
    access_of("bucket", "s3://results/a")
    connect(conn_type="google_cloud_platform", extra={"keyfile_dict": ACCOUNT})
    access = access_of("bucket", "gs://results/a")

    assert isinstance(access, Access)
    shown = str(redact(f"a-secret-key AKIAEXAMPLE {access.credentials} {ACCOUNT['private_key']}"))
    for secret in ("a-secret-key", "AKIAEXAMPLE", access.credentials, "c2VjcmV0LW9mLWEtc2VydmljZQ=="):
        assert secret not in shown


def test_nothing_is_logged(connect: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Reading a connection leaves no trace of its keys."""
    connect(login="AKIAEXAMPLE", password="a-secret-key")
    with caplog.at_level(logging.DEBUG):
        access_of("bucket", "s3://results/a")

    assert "AKIAEXAMPLE" not in caplog.text
    assert "a-secret-key" not in caplog.text
