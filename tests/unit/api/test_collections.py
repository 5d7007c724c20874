"""Which collections there are, and where."""

from __future__ import annotations

from typing import Any

import pytest

from sentinelhub_provider.api.collections import COLLECTIONS, SHORT_NAMES, find_collection, find_collections
from sentinelhub_provider.deployments import DEPLOYMENTS
from sentinelhub_provider.exceptions import SentinelHubRequestError

OWN = "byoc-12345678-1234-1234-1234-123456789abc"


def test_known_collection():
    """By its id."""
    assert find_collection("sentinel-2-l2a", "copernicus-data-space").has_cloud_cover


def test_own_collection_lives_anywhere():
    """Which deployment has a user's collection depends on its bucket."""
    assert all(find_collection(OWN, deployment).id == OWN for deployment in DEPLOYMENTS)


def test_custom_deployment_may_have_any():
    """Nothing is known of it."""
    assert find_collection("moon-rocks", "custom").id == "moon-rocks"


@pytest.mark.parametrize(
    ("name", "deployment", "message"),
    [
        ("landsat-ot-l2", "sentinel-hub", r"'sentinel-hub-us-west-2' \(https://services-uswest2"),
        ("byoc-1234", None, "no name of an own collection"),
        ("", None, "Give a collection's id"),
        (None, None, "Give a collection's id"),
    ],
)
def test_collection_that_cannot_be_is_refused(name: Any, deployment: str | None, message: str):
    """With the nearest names, or where it lives."""
    with pytest.raises(SentinelHubRequestError, match=message) as caught:
        find_collection(name, deployment)
    assert caught.value.field == "collection"


@pytest.mark.parametrize(
    ("name", "deployment", "message"),
    [
        ("sentinel2-l2a", "sentinel-hub", "Nearest: 'sentinel-2-l2a'"),
        ("SENTINEL2_L2A", None, "'sentinel-2-l2a'"),
        ("landsat", "copernicus-data-space", "Nearest: 'landsat-ot-l1'"),
        ("xyz", "sentinel-hub", "There are sentinel-2-l1c"),
    ],
)
def test_unknown_collection_is_sent_with_a_warning(
    name: str, deployment: str | None, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The service may have new ones; the warning names the nearest."""
    assert find_collection(name, deployment).id == name
    assert f"collection {name!r} is not known here" in caplog.text
    assert message in caplog.text


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_short_names_are_names(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """As the documentation writes them; requests get the long one."""
    assert find_collection(name).id == find_collection(name.lower()).id == SHORT_NAMES[name]
    assert not caplog.text


@pytest.mark.parametrize("name", ["Sentinel-2-L2A", "SENTINEL_2_L2A", " sentinel-2-l2a "])
def test_other_spellings_are_names(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """In capitals, and with underscores."""
    assert find_collection(name).id == "sentinel-2-l2a"
    assert not caplog.text


def test_remote_collection_can_be_fused_in():
    """Beside one that the deployment has, not alone."""
    assert len(find_collections(["sentinel-2-l2a", "landsat-ot-l2"], "sentinel-hub")) == 2
    with pytest.raises(SentinelHubRequestError, match="not available"):
        find_collections(["landsat-ot-l1", "landsat-ot-l2"], "sentinel-hub")


def test_table_names_deployments_that_there_are():
    """A slip in the table would let a wrong connection pass."""
    assert {name for collection in COLLECTIONS.values() for name in collection.deployments} <= set(DEPLOYMENTS)
    assert all(collection.deployments for collection in COLLECTIONS.values())
