"""What answers mean: the service's error documents in all their shapes, and successes that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider import exceptions as errors
from sentinelhub_provider.transport.answers import (
    EXCERPT_SIZE,
    Answer,
    ServiceMessage,
    bad_answer,
    error_from,
    problem_with_success,
    read_error_document,
)

ENDPOINT = "POST https://sh.example.org/process/v1"
PNG = b"\x89PNG\r\n\x1a\n"
BOOM = {"status": 400, "reason": "Bad Request", "message": "Wrong bbox.", "code": "COMMON_BAD_PAYLOAD"}
XML = (
    '<?xml version="1.0"?><ServiceExceptionReport><ServiceException code="InvalidFormat"><![CDATA[\n'
    " Unknown &amp; unsupported\n]]></ServiceException></ServiceExceptionReport>"
)


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        pytest.param({"error": BOOM}, "COMMON_BAD_PAYLOAD", "Wrong bbox.", id="wrapped"),
        pytest.param(BOOM, "COMMON_BAD_PAYLOAD", "Wrong bbox.", id="bare"),
        pytest.param(
            {"error": {**BOOM, "errors": {"input.bounds": "must not be null"}}},
            "COMMON_BAD_PAYLOAD",
            "Wrong bbox. [input.bounds: must not be null]",
            id="errors-by-field",
        ),
        pytest.param(
            {"error": {**BOOM, "errors": {"availableQuota": 1.5, "requiredQuota": 3}}},
            "COMMON_BAD_PAYLOAD",
            "Wrong bbox. [availableQuota: 1.5] [requiredQuota: 3]",
            id="errors-quota",
        ),
        pytest.param(
            {"error": {**BOOM, "errors": [{"parameter": "width", "violation": "too large"}, {"message": "m"}, "t"]}},
            "COMMON_BAD_PAYLOAD",
            "Wrong bbox. [width: too large] [m] t",
            id="errors-list",
        ),
        pytest.param(
            {"error": {"message": "width: too large", "errors": [{"parameter": "width", "violation": "too large"}]}},
            None,
            "width: too large",
            id="the-same-twice",
        ),
        pytest.param({"error": {"reason": "Forbidden"}}, None, "Forbidden", id="reason-only"),
        pytest.param({"code": "400", "description": "bad datetime"}, "400", "bad datetime", id="ogc"),
        pytest.param({"code": "InvalidParameterValue"}, "InvalidParameterValue", None, id="ogc-code-only"),
        pytest.param(
            {"error": "invalid_client", "error_description": "Invalid client credentials"},
            "invalid_client",
            "Invalid client credentials",
            id="oauth2",
        ),
        pytest.param({"error": "unauthorized_client"}, "unauthorized_client", None, id="oauth2-code-only"),
        pytest.param({}, None, None, id="empty-object"),
        pytest.param("just words", None, "just words", id="string"),
    ],
)
def test_error_document_of_each_shape_is_read(document: Any, code: str | None, message: str | None):
    """The service words its errors in several shapes."""
    assert read_error_document(json.dumps(document).encode()) == ServiceMessage(code, message)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(XML.encode(), ServiceMessage("InvalidFormat", "Unknown & unsupported"), id="ogc-xml"),
        pytest.param(
            b"<html><head><title>502 Bad\nGateway</title></head>", ServiceMessage(None, "502 Bad Gateway"), id="html"
        ),
        pytest.param(b"upstream failed", ServiceMessage(None, "upstream failed"), id="text"),
        pytest.param(b"\xff\xfe", ServiceMessage(None, "\ufffd\ufffd"), id="binary"),
        pytest.param(b"  ", ServiceMessage(), id="blank"),
        pytest.param(b"", ServiceMessage(), id="empty"),
        pytest.param(b'{"error": {"mess', ServiceMessage(None, '{"error": {"mess'), id="cut-json"),
        pytest.param(b"[" * 9000, ServiceMessage(None, "[" * 200), id="deeper-than-anybody-reads"),
    ],
)
def test_what_is_no_json_is_quoted_in_short(body: bytes, expected: ServiceMessage):
    """XML, pages of proxies, bare text, nothing at all."""
    assert read_error_document(body) == expected


@given(st.binary(max_size=300))
def test_reading_an_error_document_never_fails(body: bytes):
    """Whatever a proxy puts there."""
    assert isinstance(read_error_document(body), ServiceMessage)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda c: (
            st.lists(c)
            | st.dictionaries(st.sampled_from(["error", "errors", "code", "message", "description", "parameter"]), c)
        ),
    )
)
def test_reading_any_json_as_an_error_document_never_fails(document: Any):
    """Of the known members in any combination."""
    assert isinstance(read_error_document(json.dumps(document).encode()), ServiceMessage)


def test_long_message_is_cut():
    """A log line is not the place for a page."""
    message = read_error_document(json.dumps({"message": "x" * 9000}).encode()).message

    assert message is not None
    assert len(message) == 2003


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "advice"),
    [
        (400, "COMMON_BAD_PAYLOAD", "m", errors.SentinelHubBadRequestError, "Change the request"),
        (401, "COMMON_UNAUTHORIZED", "m", errors.SentinelHubPermissionError, "may not do this"),
        (403, "COMMON_INSUFFICIENT_PERMISSIONS", "m", errors.SentinelHubPermissionError, "Check its plan"),
        (
            403,
            "ACCESS_INSUFFICIENT_PROCESSING_UNITS",
            "m",
            errors.SentinelHubQuotaExceededError,
            "next period or buy more",
        ),
        (
            403,
            None,
            "Insufficient processing units or requests available",
            errors.SentinelHubQuotaExceededError,
            "usage",
        ),
        (404, None, None, errors.SentinelHubNotFoundError, "deployment"),
        (408, None, None, errors.SentinelHubServerError, "did not receive the whole request"),
        (409, None, None, errors.SentinelHubBadRequestError, "Change the request"),
        (425, None, None, errors.SentinelHubServerError, "did not receive the whole request"),
        (429, "RATE_LIMIT_EXCEEDED", "m", errors.SentinelHubRateLimitError, "requests_per_minute"),
        (429, "RATE_LIMIT_TOKEN_COUNT_EXCEEDS_CAPACITY", "m", errors.SentinelHubBadRequestError, "Make it smaller"),
        (500, None, None, errors.SentinelHubServerError, "status page"),
        (503, None, None, errors.SentinelHubServerError, "status page"),
    ],
)
def test_error_is_of_the_kind_that_says_what_to_do(
    status: int, code: str | None, message: str | None, kind: type[errors.SentinelHubError], advice: str
):
    """It carries what the service said, and adds what helps."""
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    error = error_from(Answer(status, {"X-Request-Id": "id-1"}, body, len(body)), endpoint=ENDPOINT, retry_after=2.0)

    assert type(error) is kind
    assert (error.status, error.code, error.service_message) == (status, code, message)
    assert (error.endpoint, error.request_id) == (ENDPOINT, "id-1")
    assert str(error).startswith(f"{ENDPOINT} answered {status}")
    assert "(request id id-1)" in str(error)
    assert advice in str(error)
    assert getattr(error, "retry_after", 2.0) == 2.0


def answer_500(code: str | None, message: str, status: int = 500) -> Answer:
    """An error document under a status of 500."""
    body = json.dumps({"error": {"status": status, "code": code, "message": message}}).encode()
    return Answer(status, {}, body, len(body))


CANNOT_PASS = [
    pytest.param("COMMON_BAD_PAYLOAD", "m", id="a code that refuses the request"),
    pytest.param("COMMON_UNSUPPORTED_MEDIA_TYPE", "m", id="another code that refuses it"),
    pytest.param("RENDERER_EXCEPTION", "Failed to evaluate script! TypeError: x is null", id="the script fails"),
    pytest.param("RENDERER_EXCEPTION", "ReferenceError: a is not defined", id="a name in the script"),
    pytest.param("RENDERER_EXCEPTION", "Script must return an array.", id="what the script returns"),
    pytest.param(
        "RENDERER_EXCEPTION",
        "java.util.ExecutionException: java.lang.IllegalArgumentException: newLimit > capacity: (2808 > 2804)",
        id="a corrupt tile",
    ),
    pytest.param(
        "RENDERER_EXCEPTION",
        "Illegal request to https://sentinel-s1-l1c.s3.amazonaws.com/GRD/ew-vh.tiff. HTTP Status: 404.",
        id="a band that the store does not hold",
    ),
    pytest.param(
        "RENDERER_EXCEPTION", "Illegal request to creo://eodata/S9_BT_in.nc. HTTP Status: '404'", id="the same, quoted"
    ),
    pytest.param("COMMON_EXCEPTION", "aggregationInterval.of: unsupported period P1Y", id="a value of Statistics"),
    pytest.param(None, "Cannot parse parameter `datetime`.", id="a value of the Catalog"),
    pytest.param(None, "The resolution exceeds the limit of 1500 meters per pixel", id="a limit"),
]
MAY_PASS = [
    pytest.param("COMMON_EXCEPTION", "Fault", id="no words"),
    pytest.param("RENDERER_EXCEPTION", "RuntimeException: Index service failure: 500", id="a service behind it"),
    pytest.param("COMMON_DATABASE_ERROR", "m", id="the database"),
    pytest.param("RATE_LIMIT_STORAGE_TIMEOUT", "m", id="the rate limit's store"),
    pytest.param(None, "Illegal request to https://bucket/a.tiff. HTTP Status: 503.", id="a store that is busy"),
    pytest.param(None, "java.net.SocketTimeoutException: timeout", id="a time-out"),
    pytest.param(None, "Invalid response from upstream", id="a gateway"),
    pytest.param(None, "", id="nothing"),
]


@pytest.mark.parametrize(("code", "message"), CANNOT_PASS)
def test_500_that_cannot_pass_is_a_refusal(code: str | None, message: str):
    """Its words name the request, the script or the data; a gateway's 502 to 504 passes whatever it says."""
    error = error_from(answer_500(code, message), endpoint=ENDPOINT, note=" It may have taken effect.")

    assert (type(error), error.status, error.final) == (errors.SentinelHubBadRequestError, 500, True)
    assert str(error).endswith("Change it, or leave out the scenes that the service cannot read.")
    for status in (502, 503, 504):
        assert type(error_from(answer_500(code, message, status), endpoint=ENDPOINT)) is errors.SentinelHubServerError


@pytest.mark.parametrize(("code", "message"), MAY_PASS)
def test_500_that_may_pass_is_the_service_s_fault(code: str | None, message: str):
    """It is worth another attempt."""
    error = error_from(answer_500(code, message), endpoint=ENDPOINT)

    assert (type(error), error.final) == (errors.SentinelHubServerError, False)


# --- successes -------------------------------------------------------------------------------------------------------


def success(body: bytes, content_type: str = "", *, status: int = 200) -> Answer:
    """An answer with a status that says it is fine."""
    return Answer(status, {"Content-Type": content_type} if content_type else {}, body[:EXCERPT_SIZE], len(body))


@pytest.mark.parametrize(
    ("answer", "method", "accept"),
    [
        pytest.param(success(b"{}", "application/json"), "GET", None, id="json"),
        pytest.param(success(PNG, "image/png"), "POST", "image/png", id="png"),
        pytest.param(success(b"\xff\xd8\xff\xe0", "image/jpeg"), "POST", "image/*", id="jpeg"),
        pytest.param(success(b"II*\x00", "image/tiff;application=geotiff"), "POST", "image/tiff", id="tiff"),
        pytest.param(success(b"MM\x00+", "image/tiff"), "POST", None, id="big-tiff"),
        pytest.param(success(b"...", "application/tar"), "POST", "application/tar", id="tar"),
        pytest.param(success(b"<html>", "text/html"), "GET", "text/html, */*", id="html-asked-for"),
        pytest.param(success(b"", status=204), "DELETE", None, id="no-content"),
        pytest.param(success(b"", status=201), "POST", None, id="created-without-body"),
        pytest.param(success(b""), "HEAD", None, id="head"),
        pytest.param(success(b'{"error": "text"}', "application/json"), "GET", None, id="error-member-of-data"),
        pytest.param(
            success(b'{"error": {"code": 1}, "data": []}', "application/json"), "GET", None, id="more-members"
        ),
        pytest.param(success(b'{"error": {"rate": 1}}', "application/json"), "GET", None, id="other-error-object"),
        pytest.param(success(b"{" + b" " * EXCERPT_SIZE + b"}", "application/json"), "GET", None, id="long-json"),
        pytest.param(success(b"{broken", "application/json"), "GET", None, id="not-decoded-here"),
        pytest.param(success(b'{"error":' * 1500, "application/json"), "GET", None, id="deeper-than-anybody-reads"),
    ],
)
def test_success_is_one(answer: Answer, method: str, accept: str | None):
    """Nothing is wrong with these."""
    assert problem_with_success(answer, method=method, accept=accept) is None


@pytest.mark.parametrize(
    ("answer", "accept", "problem"),
    [
        pytest.param(success(b""), None, "an empty body", id="empty"),
        pytest.param(success(b"<html>", "text/html; charset=utf-8"), None, "an HTML page", id="html"),
        pytest.param(success(b"<html>", "text/html"), "application/json", "an HTML page", id="html-for-json"),
        pytest.param(success(b"<html>", "image/png"), None, "its content type image/png", id="no-png"),
        pytest.param(success(PNG, "image/tiff"), None, "its content type image/tiff", id="no-tiff"),
        pytest.param(success(b"{}", "application/json"), "image/png", "application/json instead of", id="no-image"),
        pytest.param(success(b"x"), "image/tiff", "no content type instead of", id="no-type"),
        pytest.param(
            success(json.dumps({"error": BOOM}).encode(), "application/json"),
            None,
            "an error under status 200 (COMMON_BAD_PAYLOAD Wrong bbox.)",
            id="error-under-200",
        ),
    ],
)
def test_success_that_is_none_is_noticed(answer: Answer, accept: str | None, problem: str):
    """200 is not yet success."""
    assert problem in (problem_with_success(answer, method="POST", accept=accept) or "")


def test_bad_answer_says_what_to_check():
    """The most common reason is something that answers in the service's place."""
    error = bad_answer(success(b"<html>", "text/html"), "an HTML page", endpoint=ENDPOINT)

    assert str(error).startswith(f"{ENDPOINT} answered 200 with an HTML page.")
    assert "proxy" in str(error)


@pytest.mark.parametrize(
    ("value", "units"),
    [
        *[("0.33", 0.33), ("2", 2.0), ("0", 0.0), ("1e3", 1000.0), (" 2.5 ", 2.5)],
        *[(value, None) for value in (None, "", "many", "inf", "-inf", "1e999", "nan", "-0.5")],
    ],
)
def test_processing_units_are_read_from_the_header(value: str | None, units: float | None):
    """In whichever case its name is written. What is no amount would be owed to the rate limit for ever."""
    headers = {} if value is None else {"X-ProcessingUnits-Spent": value}

    assert Answer(200, headers).processing_units == units


def test_a_status_that_is_also_the_code_is_said_once():
    """As the Catalog does."""
    body = b'{"code": "400", "description": "Illegal collection."}'
    error = error_from(Answer(400, {}, body, len(body)), endpoint=ENDPOINT)
    assert str(error).startswith(f"{ENDPOINT} answered 400: Illegal collection.")
