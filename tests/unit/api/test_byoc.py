"""BYOC collections: what is sent, what is refused, what is read, what it costs."""

from __future__ import annotations

from typing import Any

import pytest

from sentinelhub_provider.api.byoc.requests import (
    Collection,
    build_collection,
    check_same,
    data_of,
    data_type,
    estimate_requests,
    named,
    read_collection,
    read_collection_id,
)
from sentinelhub_provider.api.processing_units import check_budget
from sentinelhub_provider.exceptions import SentinelHubBudgetError, SentinelHubRequestError, SentinelHubResponseError

ID = "12345678-1234-1234-1234-123456789abc"
OTHER = "87654321-1234-1234-1234-123456789abc"
BAND = {"bitDepth": 16, "sampleFormat": "UINT"}


@pytest.mark.parametrize("text", [ID, f"byoc-{ID}", f" BYOC-{ID.upper()} "])
def test_an_id_is_read_with_and_without_its_prefix(text: str):
    """The BYOC API wants it without, the other APIs with it."""
    assert read_collection_id(text) == ID


@pytest.mark.parametrize("value", ["", "byoc-", "mine", f"batch-{ID}", ID[:-1], None, 5, f"{ID}/tiles"])
def test_what_is_no_id_is_refused(value: Any):
    """It would become part of a path."""
    with pytest.raises(SentinelHubRequestError, match="collection_id is"):
        read_collection_id(value)


def test_a_collection_says_no_more_than_was_said():
    """What is left out is left to the service."""
    assert build_collection(name=" mine ", s3_bucket="b").body == {"name": "mine", "s3Bucket": "b"}


@pytest.mark.parametrize(
    ("band", "said"),
    [
        ("uint16", {"bitDepth": 16, "sampleFormat": "UINT"}),
        ("Float32", {"bitDepth": 32, "sampleFormat": "FLOAT"}),
        (
            {**BAND, "bandIndex": 2, "source": "B4", "noData": -1.5},
            {**BAND, "bandIndex": 2, "source": "B4", "noData": -1.5},
        ),
    ],
    ids=["word", "float", "in full"],
)
def test_a_band_is_a_word_or_what_the_api_has(band: Any, said: dict[str, Any]):
    """Both become the same kind of thing."""
    body = build_collection(name="n", s3_bucket="b", bands={"B04": band}).body

    assert body["additionalData"] == {"bands": {"B04": said}}


def test_no_data_may_come_from_a_template():
    """Which renders text; a whole number stays one."""
    assert build_collection(name="n", s3_bucket="b", no_data="0").body["noData"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": " "}, "name is ' '"),
        ({"name": None}, "name is None"),
        ({"s3_bucket": "s3://bucket/folder"}, "s3_bucket is 's3://bucket/folder'.*without s3://"),
        ({"no_data": "none"}, "no_data is 'none'"),
        ({"no_data": float("nan")}, "no_data is nan"),
        ({"no_data": True}, "no_data is True"),
        ({"bands": {}}, "bands is {}"),
        ({"bands": ["B04"]}, "bands is"),
        ({"bands": {str(number): "uint8" for number in range(101)}}, "1 to 100 bands"),
        ({"bands": {"B04": "uint12"}}, r"bands\['B04'\] is 'uint12'"),
        ({"bands": {"B04": "float16"}}, r"bands\['B04'\] is 'float16'"),
        ({"bands": {"B04": 16}}, r"bands\['B04'\] is 16"),
        ({"bands": {"B04": {"sampleFormat": "UINT"}}}, r"bands\['B04'\]: bitDepth is None"),
        ({"bands": {"B04": {"bitDepth": 16, "sampleFormat": "uint"}}}, "sampleFormat is 'uint'. Give one of UINT"),
        ({"bands": {"B04": {**BAND, "bandIndex": 0}}}, "bandIndex is 0"),
        ({"bands": {"B04": {**BAND, "noData": "x"}}}, "noData is 'x'"),
        ({"bands": {"B04": {**BAND, "nodata": 1}}}, "has 'nodata', which no band has"),
        ({"bands": {"B04": {**BAND, "noData": 1}}, "no_data": 0}, "no_data is given, and noData of single bands too"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], words: str):
    """With what was wrong about it."""
    with pytest.raises(SentinelHubRequestError, match=words) as error:
        build_collection(**{"name": "n", "s3_bucket": "b", **arguments})

    assert error.value.field == next(iter(arguments)) or "no_data" in arguments


def test_a_band_that_evalscripts_cannot_name_is_warned_about():
    """The documentation advises JavaScript names; the service takes others."""
    request = build_collection(name="n", s3_bucket="b", bands={"4th": "uint8", "$ok_1": "uint8", "grün": "uint8"})

    (warning,) = request.warnings
    assert "'4th'" in warning


def test_a_collection_is_read_as_the_api_writes_it():
    """Also one that has no bands yet, and members that are of no use here."""
    document = {"id": ID, "name": "n", "s3Bucket": "b", "accountId": OTHER, "additionalData": {"maxMetersPerPixel": 5}}

    assert read_collection(document) == Collection(ID, "n", "b")
    assert data_type(read_collection(document).id) == f"byoc-{ID}"


@pytest.mark.parametrize("document", [None, [], {}, {"id": 5}, {"id": "../other"}])
def test_what_is_no_collection_is_an_error(document: Any):
    """Not an id that is used in a path."""
    with pytest.raises(SentinelHubResponseError, match="no id"):
        read_collection(document)


@pytest.mark.parametrize("document", [None, [], {}, {"data": []}])
def test_an_answer_without_data_is_an_error(document: Any):
    """A proxy may answer with JSON too."""
    with pytest.raises(SentinelHubResponseError, match="'data' is not a dict"):
        data_of(document, dict)


def test_a_name_is_found_by_being_the_same():
    """Not by being alike."""
    collections = [Collection(ID, "mine too", "b"), Collection(OTHER, "mine", "b")]

    assert named(collections, "mine") == collections[1]
    assert named(collections, "Mine") is None


def test_two_of_one_name_cannot_be_told_apart():
    """Both ids are named, so that a person can."""
    with pytest.raises(SentinelHubRequestError, match=f"2 collections: {ID}, {OTHER}"):
        named([Collection(ID, "mine", "b"), Collection(OTHER, "mine", "c")], "mine")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"s3_bucket": "other"}, "s3_bucket"),
        ({"no_data": 1}, "no_data"),
        ({"bands": {"B04": "uint8"}}, "bands"),
        ({"bands": {"B04": "uint16", "B08": "uint16"}}, "bands"),
    ],
)
def test_a_collection_that_is_another_is_not_used(arguments: dict[str, Any], field: str):
    """The pipeline would write one thing and read another."""
    found = Collection(ID, "n", "b", no_data=0, bands={"B04": BAND})
    wanted = build_collection(**{"name": "n", "s3_bucket": "b", **arguments})

    with pytest.raises(SentinelHubRequestError, match="is there already") as error:
        check_same(found, wanted)
    assert error.value.field == field


@pytest.mark.parametrize("arguments", [{}, {"no_data": 0.0}, {"bands": {"B04": {**BAND, "bandIndex": 1}}}])
def test_a_collection_that_is_the_same_is_used(arguments: dict[str, Any]):
    """What is not said is not compared, and what the API takes for granted is the same as what is said."""
    found = Collection(ID, "n", "b", no_data=0, bands={"B04": {**BAND, "source": "B04", "aliases": []}})

    check_same(found, build_collection(**{"name": "n", "s3_bucket": "b", **arguments}))


def test_each_request_but_get_costs_one_unit():
    """As the documentation says, page "Processing Unit definition"."""
    assert [estimate_requests(count).processing_units for count in (0, 1, 250)] == [0, 1, 250]
    assert "x 250 requests = 250 PU" in str(estimate_requests(250))


def test_more_than_allowed_is_refused_with_the_arithmetic():
    """As much as allowed is not."""
    check_budget(estimate_requests(3), 3)
    check_budget(estimate_requests(3), None)

    with pytest.raises(SentinelHubBudgetError, match=r"cost 4 PU, more than max_processing_units=3.*x 4 requests"):
        check_budget(estimate_requests(4), 3)
