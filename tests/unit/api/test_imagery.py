from __future__ import annotations

import base64
import json
from io import BytesIO

import pytest
from PIL import Image

from sentinelhub_provider.api.catalog import build_search
from sentinelhub_provider.api.evalscripts import named_evalscript
from sentinelhub_provider.api.imagery import MOST_POSITIONS, MOST_SIDE, facts_of_request, footprint, webp_of, webp_size

CRS = "http://www.opengis.net/def/crs/EPSG/0/"
TIMES = {"from": "2025-06-01T00:00:00Z", "to": "2025-06-07T23:59:59Z"}


def picture(size: tuple[int, int] = (30, 20), kind: str = "WEBP", **options) -> bytes:
    """Return a picture's file."""
    file = BytesIO()
    Image.new("RGBA" if options.pop("alpha", False) else "RGB", size, (9, 80, 160, 9)[:3]).save(file, kind, **options)
    return file.getvalue()


def test_facts_of_a_picture():
    """What a request's JSON says, in the words of the page."""
    filters = {"timeRange": TIMES, "maxCloudCoverage": 30}
    body = {
        "input": {
            "bounds": {"bbox": [13, 45, 13.1, 45.1], "properties": {"crs": f"{CRS}4326"}},
            "data": [{"type": "sentinel-2-l2a", "dataFilter": filters}],
        },
        "output": {"width": 512, "height": 256},
        "evalscript": named_evalscript("ndvi"),
    }

    facts = facts_of_request(body)

    assert facts.pop("footprint")["type"] == "Polygon"
    assert facts == {
        "collections": ["sentinel-2-l2a"],
        "evalscript": "ndvi",
        "time_range": TIMES,
        "size": [512, 256],
        "max_cloud_cover": 30,
    }


def test_facts_of_statistics():
    """Their times and sizes are in the aggregation."""
    body = {"input": {"data": [{"type": "dem"}]}, "aggregation": {"timeRange": TIMES, "width": 9, "height": 8}}
    body["aggregation"]["evalscript"] = "//VERSION=3 ..."

    assert facts_of_request(body) == {
        "collections": ["dem"],
        "evalscript": "own",
        "time_range": TIMES,
        "size": [9, 8],
    }


@pytest.mark.parametrize("end", ["2025-06-08T00:00:00Z", "2025-06-07T23:59:59Z"])
def test_statistics_end_with_their_last_day(end: str):
    """The end of their time range is not part of it."""
    body = {"aggregation": {"timeRange": TIMES | {"to": end}}}

    assert facts_of_request(body)["time_range"] == TIMES


def test_footprint_is_in_degrees():
    """Whatever the request's CRS is."""
    area = footprint({"bbox": [400_000, 5_095_000, 403_200, 5_097_400], "properties": {"crs": f"{CRS}32633"}})

    west, south = area["coordinates"][0][0]
    assert 13 < west < 14.1
    assert 45 < south < 47


def extent(area: dict | None) -> list[float]:
    """Return the sides of a footprint, rounded."""
    import shapely

    return [round(side, 2) for side in shapely.geometry.shape(area).bounds]


@pytest.mark.parametrize(
    ("bbox", "crs", "sides"),
    [
        ([680_000, 0, 900_000, 100_000], 32660, [178.62, 0, 180.59, 0.9]),
        ([-500_000, -500_000, 500_000, 500_000], 3413, [-180, 83.48, 180, 90]),
        ([179, -17, -179, -16], 4326, [-179, -17, 179, -16]),
    ],
    ids=["across 180 degrees", "North Pole", "wide, as at the service"],
)
def test_footprint_is_in_one_piece(bbox: list[float], crs: int, sides: list[float]):
    """A map of it is of its surroundings, and not of the whole world."""
    assert extent(footprint({"bbox": bbox, "properties": {"crs": f"{CRS}{crs}"}})) == sides


@pytest.mark.parametrize(
    ("area", "kind", "sides"),
    [
        ({"bbox": [178, -18, -179, -17]}, "Polygon", [178, -18, 181, -17]),
        ({"intersects": {"type": "Point", "coordinates": [14.5, 46]}}, "Point", [14.5, 46, 14.5, 46]),
        ({"intersects": "LINESTRING (14 46, 15 47)"}, "LineString", [14, 46, 15, 47]),
        ({"intersects": {"type": "MultiPoint", "coordinates": [[14, 46]] * 130}}, "Polygon", [14, 46, 14, 46]),
    ],
    ids=["across 180 degrees", "point", "line", "points"],
)
def test_footprint_of_a_search_is_whatever_was_searched(area: dict, kind: str, sides: list[float]):
    """A place as well as an area."""
    body = build_search(collection="sentinel-2-l2a", datetime=["2025-06-01", "2025-06-07"], **area).body

    facts = facts_of_request(body)

    assert facts["footprint"]["type"] == kind
    assert extent(facts["footprint"]) == sides


def test_footprint_has_few_positions():
    """Ten thousand positions of a coast are a page's worth of text."""
    import shapely

    star = shapely.Point(10, 50).buffer(1, quad_segs=5000)

    area = footprint({"geometry": shapely.geometry.mapping(star)})

    assert len(area["coordinates"][0]) <= MOST_POSITIONS
    assert shapely.geometry.shape(area).area == pytest.approx(star.area, rel=0.02)
    assert len(json.dumps(area)) < 4000


def test_request_without_area_has_no_footprint():
    """Batch jobs have features instead."""
    assert footprint({"properties": {"crs": f"{CRS}4326"}}) is None
    assert footprint(None) is None


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"alpha": True}, {"alpha": True, "lossless": True}])
def test_webp_of_each_kind_is_known(options: dict):
    """Lossy, lossless, and with transparency."""
    content = picture((33, 21), **options)

    assert webp_size(content) == (33, 21)
    assert webp_of(base64.b64encode(content).decode()) == content


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="nothing"),
        pytest.param(7, id="a number"),
        pytest.param("", id="empty"),
        pytest.param("no base64!", id="no base64"),
        pytest.param(base64.b64encode(b"<svg onload=alert(1)>").decode(), id="SVG"),
        pytest.param(base64.b64encode(picture(kind="PNG")).decode(), id="PNG"),
        pytest.param(base64.b64encode(picture()[:-4]).decode(), id="cut off"),
        pytest.param(base64.b64encode(picture() + b"<script>").decode(), id="with a tail"),
        pytest.param(base64.b64encode(b"RIFF\x16\0\0\0WEBPVP8Z" + bytes(14)).decode(), id="of no known chunk"),
        pytest.param(base64.b64encode(picture((MOST_SIDE + 1, 9))).decode(), id="too wide"),
        pytest.param("A" * 10_000_000, id="too long"),
    ],
)
def test_what_is_no_preview_is_not_shown(value: object):
    """A browser is given nothing else than what the worker makes."""
    assert webp_of(value) is None
