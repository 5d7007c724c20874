"""Buttons that lead out of Airflow."""

from __future__ import annotations

from email.message import Message
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from sentinelhub_provider.api.imagery import facts_of_request
from sentinelhub_provider.links.places import CopernicusBrowserLink, DocumentationLink, OutputLink, browser_url
from sentinelhub_provider.operators.process import SentinelHubProcessOperator

JUNE = {"from": "2025-06-01T00:00:00Z", "to": "2025-06-30T23:59:59Z"}
REQUEST = {
    "input": {
        "bounds": {"bbox": [20.50, 47.50, 20.62, 47.56]},
        "data": [{"type": "sentinel-2-l2a", "dataFilter": {"timeRange": JUNE}}],
    }
}


def test_the_browser_opens_at_place_time_and_collection():
    """As the request says them."""
    url = urlsplit(browser_url(facts_of_request(REQUEST)))
    query = {name: value for name, (value,) in parse_qs(url.query).items()}

    assert url.netloc == "browser.dataspace.copernicus.eu"
    assert (query["lat"], query["lng"]) == ("47.53", "20.56")
    assert (query["fromTime"], query["toTime"]) == (JUNE["from"], JUNE["to"])
    assert query["datasetId"] == "S2_L2A_CDAS"
    assert 11 <= int(query["zoom"]) <= 14


def test_a_multipolygon_is_seen_whole():
    """Its middle is the middle of all parts."""
    parts = [[[[x, 0], [x + 1, 0], [x + 1, 1], [x, 0]]] for x in (10, 19)]
    facts = {"collections": ["sentinel-1-grd"], "footprint": {"type": "MultiPolygon", "coordinates": parts}}

    assert "lng=15.0&" in browser_url(facts)


def test_an_area_across_the_antimeridian_is_found():
    """Its longitudes go on beyond 180, those of the Browser do not."""
    ring = [[179, -17], [182, -17], [182, -16], [179, -17]]
    facts = {"collections": ["sentinel-1-grd"], "footprint": {"type": "Polygon", "coordinates": [ring]}}

    assert "lng=-179.5&" in browser_url(facts)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"collections": ["sentinel-2-l2a"]},
        {"collections": ["byoc-1234"], "footprint": {"type": "Point", "coordinates": [20.5, 47.5]}},
        {"collections": ["sentinel-2-l2a"], "footprint": {"type": "Polygon", "coordinates": []}},
    ],
)
def test_what_the_browser_cannot_show_has_no_button(facts: dict):
    """Data of one's own, or an unknown area."""
    assert CopernicusBrowserLink().get_link(SimpleNamespace(facts=facts), ti_key=None) == ""


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("https://example.org/a.tif", "https://example.org/a.tif"),
        ("s3://bucket/a.tif", ""),
        ("/data/a.tif", ""),
        (None, ""),
    ],
)
def test_an_output_has_a_button_where_it_is_on_the_web(path: str | None, link: str):
    """Airflow hides other addresses."""
    assert OutputLink().get_link(SimpleNamespace(facts={"path": path}), ti_key=None) == link


@pytest.mark.parametrize(
    ("urls", "root"),
    [
        (
            ["Changelog, https://example.org/log", "Documentation, https://example.org/docs/"],
            "https://example.org/docs",
        ),
        (["Changelog, https://example.org/log"], None),
        ([], None),
    ],
)
def test_an_operator_leads_to_its_page(urls: list[str], root: str | None, monkeypatch: pytest.MonkeyPatch):
    """Once the documentation has an address, which the distribution names."""
    metadata = Message()
    for url in urls:
        metadata["Project-URL"] = url
    monkeypatch.setattr("importlib.metadata.metadata", lambda _: metadata)
    operator = SentinelHubProcessOperator(task_id="ndvi", output_path="ndvi.tif")
    page = "reference/classes/sentinelhub_provider.operators.process.SentinelHubProcessOperator.html"

    assert DocumentationLink().get_link(operator, ti_key=None) == (f"{root}/{page}" if root else "")  # type: ignore[arg-type]
