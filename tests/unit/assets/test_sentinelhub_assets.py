"""Asset URIs: one spelling for one place and collection, errors that name what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import Asset

from sentinelhub_provider.assets.sentinelhub import convert_asset_to_openlineage, create_asset

TISZA = "sentinelhub://copernicus-data-space/sentinel-2-l2a?bbox=20.5,47.5,20.62,47.56"


@pytest.mark.parametrize(
    "uri",
    [
        TISZA,
        "SentinelHub://Copernicus-Data-Space/sentinel-2-l2a/?bbox=20.50,47.50,20.62,47.56",
        "sentinelhub://copernicus-data-space/S2L2A?bbox=[20.5, 47.5, 20.62, 47.56]",
        "sentinelhub://copernicus-data-space/s2l2a?bbox=20.5%2C47.5%2C20.62%2C47.56#map",
        "sentinelhub://copernicus-data-space//sentinel-2-l2a?bbox=2.05e1,47.5,20.62,4.756e1",
    ],
)
def test_spellings_are_one_asset(uri: str):
    """Airflow itself asks the provider to normalize them."""
    assert Asset(uri=uri).uri == TISZA


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("sentinelhub://mars/sentinel-2-l2a", "names no deployment. Give one of sentinel-hub,"),
        ("sentinelhub://sentinel-hub", "names no collection"),
        ("sentinelhub://sentinel-hub/sentinel-2-l2a/tile", "names no collection"),
        ("sentinelhub://sentinel-hub/modis", "It lives at"),
        ("sentinelhub://sentinel-hub/dem?bbox=1,2,3", "bbox is '1,2,3'. Give four numbers"),
        ("sentinelhub://sentinel-hub/dem?bbox=a,2,3,4", "Give four numbers"),
        ("sentinelhub://sentinel-hub/dem?bbox=1,60,3,50", "in degrees"),
        ("sentinelhub://sentinel-hub/dem?bbox=500000,5000000,510000,5010000", "in degrees"),
        ("sentinelhub://sentinel-hub/dem?bbox=nan,2,3,4", "in degrees"),
    ],
)
def test_uri_that_cannot_be_is_refused(uri: str, said: str):
    """While the DAG file is parsed."""
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        Asset(uri=uri)


def test_asset_is_made_of_its_parts():
    """The area may cross the antimeridian, and may be left out."""
    made = create_asset(
        collection="sentinel-2-l2a", deployment="copernicus-data-space", bbox=[20.5, 47.5, 20.62, 47.56], extra={"a": 1}
    )
    assert (made.name, made.uri, made.extra) == (TISZA, TISZA, {"a": 1})
    short = create_asset(collection="s2l2a", deployment="Copernicus-Data-Space", bbox="20.50,47.5,20.62,47.560")
    assert short == create_asset(
        collection="sentinel-2-l2a", deployment="copernicus-data-space", bbox="20.5,47.5,20.62,47.56"
    )
    assert create_asset(collection="dem").uri == "sentinelhub://sentinel-hub/dem"
    assert create_asset(collection="dem", bbox="177,-18,-178,-16").uri.endswith("?bbox=177,-18,-178,-16")


@pytest.mark.parametrize("collection", ["sentinel-2-l2a", "S2L2A", " s2l2a "])
@pytest.mark.parametrize(
    "bbox", [(-0.0, 47.5, 20.62, 47.56), "[0, 47.50, 20.62, 47.56]", ["0", "47.5", "20.62", "4.756e1"]]
)
def test_asset_that_is_made_has_the_one_name(collection: str, bbox: Any):
    """Airflow tells assets apart by their names, too, and keeps only one of two names of a URI."""
    assert create_asset(collection=collection, bbox=bbox) == Asset(
        "sentinelhub://sentinel-hub/sentinel-2-l2a?bbox=0,47.5,20.62,47.56"
    )


@pytest.mark.parametrize("bbox", ["", [], "1,2,3,4#map", "1,2,3,4&x=1", 5, [1, 2, 3, None], {"west": 1}])
def test_area_that_is_none_is_not_the_whole_collection(bbox: Any):
    """It would start DAGs for all that is new anywhere."""
    with pytest.raises(ValueError, match=r"bbox is .* Give four numbers"):
        create_asset(collection="dem", bbox=bbox)


@pytest.mark.parametrize("collection", [None, 5, "", "dem?x=1", "dem#map", "a/b", "modis", "byoc-1234"], ids=str)
def test_collection_that_cannot_be_is_a_value_error(collection: Any):
    """In each way to be wrong, as for the other parts."""
    with pytest.raises(ValueError, match="collection"):
        create_asset(collection=collection, bbox=[1, 2, 3, 4])


def test_openlineage_knows_an_asset_as_the_collection_that_tasks_read():
    """The area makes no other dataset."""
    dataset = convert_asset_to_openlineage(Asset(uri=TISZA), None)

    assert (dataset.namespace, dataset.name) == ("sentinelhub://copernicus-data-space", "sentinel-2-l2a")
