"""The example DAGs: they load, choose scenes well, and their colours and their legend agree."""

from __future__ import annotations

import json
import math
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from request_builders import build_with

from sentinelhub_provider.api.statistical.request import build_statistical_request

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"
sys.path.insert(0, str(EXAMPLES))

import ndvi_scenes  # noqa: E402 - found by the line above
import ndvi_sheet  # noqa: E402
import weekly_fields_chart  # noqa: E402

WEST, SOUTH, EAST, NORTH = BOX = (20.5, 47.5, 20.62, 47.56)
WHOLE = {"type": "Polygon", "coordinates": [[[20, 47], [21, 47], [21, 48], [20, 48], [20, 47]]]}
WEST_HALF = {"type": "Polygon", "coordinates": [[[20, 47], [20.56, 47], [20.56, 48], [20, 48], [20, 47]]]}
EAST_HALF = {"type": "MultiPolygon", "coordinates": [[[[20.56, 47], [21, 47], [21, 48], [20.56, 48], [20.56, 47]]]]}


@pytest.fixture(scope="module")
def bag():
    """Return the folder's DAGs as Airflow loads them."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=EXAMPLES)


def test_airflow_loads_the_folder(bag):
    """No file fails, and the helper modules beside the DAGs are taken for none."""
    assert bag.import_errors == {}
    assert set(bag.dags) == {
        "example_sentinelhub_batch",
        "example_sentinelhub_http",
        "example_sentinelhub_insured_fields",
        "example_sentinelhub_ndvi",
        "example_sentinelhub_new_scenes",
        "example_sentinelhub_weekly_fields",
    }


def test_the_smallest_example_is_small():
    """The smallest authorized call fits into ten lines of code."""
    code = (EXAMPLES / "example_sentinelhub_http.py").read_text().partition("annotations\n")[2]

    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_the_insurers_example_is_short():
    """The whole weekly job fits into sixty lines of code."""
    code = (EXAMPLES / "example_sentinelhub_insured_fields.py").read_text()

    assert len([line for line in code.splitlines() if line.strip()]) < 60


@pytest.mark.parametrize(
    "dag_id", ["example_sentinelhub_insured_fields", "example_sentinelhub_ndvi", "example_sentinelhub_weekly_fields"]
)
def test_the_default_parameters_are_valid(bag, dag_id):
    """The DAG runs as it is, without a form to fill in."""
    bag.dags[dag_id].params.validate()


def test_the_search_is_json_once_it_is_rendered(bag):
    """The template file takes the parameters and becomes a catalog search."""
    dag = bag.dags["example_sentinelhub_ndvi"]
    search = dag.get_task("search")

    search.render_template_fields({"params": dag.params.dump()})

    assert json.loads(search.json) == {
        "collections": ["sentinel-2-l2a"],
        "bbox": [20.5, 47.5, 20.62, 47.56],
        "datetime": "2025-03-01T00:00:00Z/2025-10-31T23:59:59Z",
        "filter": "eo:cloud_cover < 40",
        "limit": 100,
    }


def test_nothing_to_show_says_what_to_change(bag):
    """A search without a usable scene fails where it is noticed."""
    dag = bag.dags["example_sentinelhub_ndvi"]

    with pytest.raises(ValueError, match=r"Allow more clouds, or more time\."):
        dag.get_task("choose").python_callable([], params=dag.params.dump())


def scene(date: str, cloud_cover: float, footprint: dict = WHOLE) -> dict:
    """Return a scene as the search returns it."""
    return {"date": date, "cloud_cover": cloud_cover, "footprint": footprint, "address": f"s3://bucket/{date}"}


def choose(*scenes: dict, limit: int = 12) -> list[tuple[str, float]]:
    """Return date and cloud cover of the chosen scenes."""
    chosen = ndvi_scenes.clearest_of_each_month(scenes, BOX, limit)
    return [(scene["date"], scene["cloud_cover"]) for scene in chosen]


def test_the_clearest_day_of_a_month_is_chosen():
    """One for each month, in the order of the calendar."""
    found = [scene("2025-05-02", 5), scene("2025-05-12", 1), scene("2025-04-30", 30)]

    assert choose(*found) == [("2025-04-30", 30), ("2025-05-12", 1)]


def test_of_many_months_the_clearest_are_chosen():
    """The limit drops the cloudiest months, and keeps the order of the calendar."""
    found = [scene("2025-06-01", 9), scene("2025-05-01", 1), scene("2025-04-01", 5)]

    assert choose(*found, limit=2) == [("2025-04-01", 5), ("2025-05-01", 1)]


def test_a_day_that_shows_half_the_area_is_passed_over():
    """An orbit's edge through the area would leave half a picture, however clear."""
    assert choose(scene("2025-05-02", 0, WEST_HALF), scene("2025-05-12", 8)) == [("2025-05-12", 8)]


def test_two_scenes_of_a_day_cover_the_area_together():
    """Neighbouring tiles are put together by the service; the day is as cloudy as the cloudier one."""
    assert choose(scene("2025-05-02", 3, WEST_HALF), scene("2025-05-02", 7, EAST_HALF)) == [("2025-05-02", 7)]


def test_a_summary_keeps_what_the_choice_needs():
    """Of a STAC item go into XCom: date, cloud cover, footprint, and where its data lies."""
    item = {
        "properties": {"datetime": "2025-05-02T09:30:01Z", "eo:cloud_cover": 4.2, "platform": "sentinel-2b"},
        "geometry": WHOLE,
        "assets": {"data": {"href": "s3://bucket/2025-05-02"}, "thumbnail": {}},
        "links": [],
    }

    assert ndvi_scenes.summary({"features": [item]}) == [scene("2025-05-02", 4.2)]


def test_the_legend_has_the_colours_of_the_evalscript():
    """The ramp and the neutral colours are written twice, in two languages."""
    script = (EXAMPLES / "ndvi.js").read_text()
    ramp = [(float(value), f"#{colour}") for value, colour in re.findall(r"\[(-?[\d.]+), 0x(\w{6})\]", script)]
    neutral = {
        name: [float(part) for part in parts.split(",")]
        for parts, name in re.findall(r"\d+: \[([\d., ]+)\], // (.+)", script)
    }

    assert ramp == list(ndvi_sheet.RAMP)
    for name, described in {
        "water": "water",
        "cloud": "cloud, high probability",
        "cloud shadow": "shadow of a cloud",
        "snow": "snow and ice",
    }.items():
        drawn = Image.new("RGB", (1, 1), ndvi_sheet.NEUTRAL[name]).getpixel((0, 0))
        assert drawn == pytest.approx([255 * part for part in neutral[described]], abs=1), name


@pytest.mark.parametrize(("value", "colour"), [(-1, "#c9b79c"), (0.25, "#f4e595"), (1.0, "#053d2a"), (2, "#053d2a")])
def test_the_ramp_meets_its_colours(value, colour):
    """At a stop and beyond the ends, the colour is the one that is written down."""
    assert "#{:02x}{:02x}{:02x}".format(*ndvi_sheet.ramp_colour(value)) == colour


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 4), (5, 3), (8, 4), (9, 3), (12, 4)])
def test_rows_are_filled_evenly(count, columns):
    """Five pictures make rows of three and two, not of four and one."""
    assert ndvi_sheet._columns(count) == columns


@pytest.fixture
def sheet(tmp_path):
    """Return a function that draws a sheet of plain pictures."""

    def draw(*, address: str = "s3://sentinel-s2/tile", alpha: int = 255, count: int = 1) -> Image.Image:
        picture = tmp_path / "picture.png"
        Image.new("RGBA", (120, 90), (10, 200, 30, alpha)).save(picture)
        scenes = [
            {"date": f"2025-05-{day:02}", "address": address, "picture": str(picture)} for day in range(1, count + 1)
        ]
        ndvi_sheet.draw_sheet(str(tmp_path / "sheet.png"), title="NDVI", scenes=scenes)
        return Image.open(tmp_path / "sheet.png").convert("RGB")

    return draw


def colours(picture: Image.Image) -> dict[tuple[int, ...], int]:
    """Return how often each colour occurs."""
    return {colour: count for count, colour in picture.getcolors(picture.width * picture.height)}


def test_every_picture_is_on_the_sheet(sheet):
    """Five pictures cover five times their area."""
    assert colours(sheet(count=5))[(10, 200, 30)] == 5 * 120 * 90


def test_the_cloud_cover_is_that_of_the_pictures_area():
    """Pixels without data do not count; a scene of few clouds may have them all above a field."""
    picture = Image.new("RGBA", (10, 10), (10, 200, 30, 255))
    picture.paste((230, 230, 232, 255), (0, 0, 10, 2))
    picture.paste((230, 230, 232, 0), (0, 2, 10, 6))

    assert ndvi_sheet.cloud_cover(picture) == pytest.approx(100 * 20 / 60)


def test_where_there_is_no_data_the_ground_shows(sheet):
    """A transparent picture is not shown as black, which would pass for a measurement."""
    drawn = colours(sheet(alpha=0))

    assert (10, 200, 30) not in drawn
    assert drawn[(247, 247, 247)] > 5000


@pytest.mark.parametrize(
    ("address", "credit"),
    [
        ("s3://sentinelhub-sandbox/x", "not observations"),
        ("s3://EODATA/x", "Contains modified Copernicus Sentinel data"),
    ],
)
def test_a_sheet_says_where_its_data_is_from(address, credit):
    """Made-up scenes are called that; real ones carry the credit that their licence asks for."""
    assert credit in ndvi_sheet._credit([{"address": address, "date": "2025-05-01"}])


# --- fields, week by week ------------------------------------------------------------------------------------------

MONDAY = datetime(2025, 6, 2, tzinfo=UTC)


def row(week: int, *, field: str = "Oxbow", state: str = "ok", count: int = 100, ndvi: float = 0.5) -> dict[str, Any]:
    """Return a row of the table of statistics."""
    percentiles = dict.fromkeys(("p10", "p50", "p90"), None)
    if state == "ok":
        percentiles = {"p10": ndvi - 0.1, "p50": ndvi, "p90": ndvi + 0.1}
    start = MONDAY + timedelta(weeks=week)
    return {"feature_id": field, "interval_from": start, "state": state, "count": count, **percentiles}


def test_the_weeks_asked_for_are_whole(bag):
    """The season is one of whole weeks, from a Monday to a Sunday, and each field has as many rows."""
    params = bag.dags["example_sentinelhub_weekly_fields"].params.dump()
    box = (20.5, 47.5, 20.51, 47.51)

    request = build_with(
        build_statistical_request,
        collection="sentinel-2-l2a",
        evalscript="ndvi-clear",
        time_range=[params["start"], params["end"]],
        aggregation_interval="P7D",
        bbox=box,
        resolution=10,
    )

    assert len(request.intervals) == 34
    assert {interval.start.weekday() for interval in request.intervals} == {0}


def test_the_fields_have_names_and_sound_outlines():
    """What a newcomer replaces is plain GeoJSON."""
    import shapely

    fields = json.loads((EXAMPLES / "weekly_fields.geojson").read_text())["features"]
    names = [field["properties"]["name"] for field in fields]

    assert len(set(names)) == len(names) == 6
    assert all(shapely.from_geojson(json.dumps(field["geometry"])).is_valid for field in fields)


def test_a_week_counts_where_half_of_the_field_was_clear():
    """Of its largest view; clouded weeks and those without scene are gaps, whatever the reason."""
    rows = [row(0), row(1, count=50), row(2, count=49), row(3, state="masked", count=0), row(4, state="empty", count=0)]

    (weeks,) = weekly_fields_chart.weeks_of(rows).values()

    assert [week.clear for week in weeks] == [1, 0.5, 0.49, 0, 0]
    assert [week.counts for week in weeks] == [True, True, False, False, False]
    assert [math.isnan(week.median) for week in weeks] == [False, False, False, True, True]
    assert weeks[1].end == weeks[2].start


@pytest.fixture
def chart(tmp_path):
    """Return a function that draws a chart of rows."""

    def draw(rows: list[dict[str, Any]]) -> Image.Image:
        weekly_fields_chart.draw_chart(str(tmp_path / "chart.png"), rows, is_sandbox=True)
        return Image.open(tmp_path / "chart.png").convert("RGB")

    return draw


def test_clouded_weeks_are_gaps_in_the_chart(chart):
    """They have ground of their own, and the line does not cross it."""
    clear = colours(chart([row(week) for week in range(12)]))
    clouded = colours(chart([row(week, state="masked" if 3 <= week < 9 else "ok") for week in range(12)]))
    ground = Image.new("RGB", (1, 1), weekly_fields_chart.CLOUD).getpixel((0, 0))
    leaf = Image.new("RGB", (1, 1), weekly_fields_chart.LEAF).getpixel((0, 0))

    assert clouded[ground] > clear[ground] + 20_000
    assert 0 < clouded[leaf] < clear[leaf]


def test_a_field_that_was_never_seen_has_its_panel(chart):
    """Nor does one field alone, or a season of two years, stop the chart."""
    rows = [row(week, field="Long Acre", state="masked", count=0) for week in range(60)]

    assert chart(rows).width > 1000


def test_a_chart_has_so_many_panels_and_no_more(chart, monkeypatch):
    """Of many fields the first are drawn; the table has them all."""
    monkeypatch.setattr(weekly_fields_chart, "MOST_FIELDS", 2)
    few = chart([row(week, field=f"{number}") for number in range(2) for week in range(2)])
    many = chart([row(week, field=f"{number}") for number in range(9) for week in range(2)])

    assert few.size == many.size
