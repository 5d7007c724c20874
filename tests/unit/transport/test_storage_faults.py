"""Which faults of disks and stores pass."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from airflow.exceptions import AirflowNotFoundException
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from fsspec.exceptions import FSTimeoutError
from s3fs.errors import translate_boto_error

from sentinelhub_provider.transport.download import is_final


def answer(code: str, status: int) -> ClientError:
    """Return an error as S3 answers it."""
    response: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutObject")


def of_http(**attributes: int) -> Exception:
    """Return an error as Google's and Azure's libraries make them."""
    return type("HttpError", (Exception,), attributes)("x")


def of_s3(**statuses: int) -> list[Any]:
    """Return errors as s3fs makes them of these codes."""
    return [
        pytest.param(translate_boto_error(answer(code, status)), id=f"s3fs {code}") for code, status in statuses.items()
    ]


PASSING = [
    *of_s3(SlowDown=503, InternalError=500, RequestTimeout=400, ServiceUnavailable=503, ExpiredToken=400),
    *of_s3(OperationAborted=409, RequestTimeTooSkewed=403, NoSuchUpload=404),
    pytest.param(answer("SlowDown", 503), id="boto SlowDown"),
    pytest.param(answer("503", 503), id="boto 503"),
    pytest.param(EndpointConnectionError(endpoint_url="http://x"), id="unreachable"),
    pytest.param(ConnectTimeoutError(endpoint_url="http://x"), id="connect time-out"),
    pytest.param(ReadTimeoutError(endpoint_url="http://x"), id="read time-out"),
    pytest.param(ConnectionResetError("x"), id="reset"),
    pytest.param(TimeoutError(), id="time-out"),
    pytest.param(TimeoutError(), id="async time-out"),
    pytest.param(FSTimeoutError(), id="fsspec time-out"),
    pytest.param(OSError(errno.ENOSPC, "full"), id="full disk"),
    pytest.param(OSError(errno.EIO, "x"), id="EIO"),
    pytest.param(OSError(errno.ESTALE, "x"), id="stale NFS handle"),
    pytest.param(of_http(code=503), id="gcsfs 503"),
    pytest.param(of_http(code=429), id="gcsfs 429"),
    pytest.param(of_http(status_code=500), id="azure 500"),
    pytest.param(of_http(status=502), id="aiohttp 502"),
]
FINAL = [
    *of_s3(NoSuchBucket=404, AccessDenied=403, InvalidAccessKeyId=403, SignatureDoesNotMatch=403),
    *of_s3(InvalidBucketName=400, AllAccessDisabled=403, **{"403": 403}),
    pytest.param(answer("NoSuchBucket", 404), id="boto NoSuchBucket"),
    pytest.param(answer("AccessDenied", 403), id="boto AccessDenied"),
    pytest.param(NoCredentialsError(), id="no credentials"),
    pytest.param(ParamValidationError(report="bad bucket"), id="bad bucket name"),
    pytest.param(AirflowNotFoundException("no such connection"), id="missing connection"),
    pytest.param(PermissionError(errno.EACCES, "x"), id="no permission"),
    pytest.param(OSError(errno.EROFS, "x"), id="read-only disk"),
    pytest.param(OSError(errno.ENAMETOOLONG, "x"), id="long name"),
    pytest.param(NotADirectoryError("x"), id="below a file"),
    pytest.param(ImportError("no s3fs"), id="missing package"),
    pytest.param(ValueError("unknown scheme"), id="unknown scheme"),
    pytest.param(of_http(code=403), id="gcsfs 403"),
    pytest.param(of_http(status_code=404), id="azure 404"),
]


@pytest.mark.parametrize("error", PASSING)
def test_passing(error: Exception):
    """Writing again may succeed, and so may reading."""
    assert not is_final(error)


@pytest.mark.parametrize("error", FINAL)
def test_final(error: Exception):
    """Somebody has to change something first."""
    assert is_final(error)


def test_cause_counts():
    """s3fs keeps S3's own answer there."""
    error = OSError("x")
    error.__cause__ = answer("AccessDenied", 403)

    assert is_final(error)
