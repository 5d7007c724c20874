"""The Catalog search operator against the sandbox over real sockets."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from task_instance import TaskInstance, june, rendered

from sentinelhub_provider.operators.catalog import SentinelHubCatalogSearchOperator

AREA = [14.0, 46.0, 14.1, 46.1]
SUMMER = "2024-06-01T00:00:00Z/2024-08-31T23:59:59Z"
YEARS = "2019-01-01T00:00:00Z/2024-12-31T23:59:59Z"
WKT = "POLYGON ((14 46, 14.1 46, 14.1 46.1, 14 46))"
TRIANGLE = {"type": "Polygon", "coordinates": [[[14, 46], [14.1, 46], [14.1, 46.1], [14, 46]]]}


@pytest.fixture(name="search")
def fixture_search(connect, ti: TaskInstance, operators, tmp_path: Path) -> Callable[..., list[Any]]:
    """Run a search as a task would, with a data interval in June; keep the bodies that were sent in ``search.sent``."""
    connect()

    def run(*, sleep: Callable[[float], None] | None = None, **arguments: Any) -> list[Any]:
        given = {"collection": "sentinel-2-l2a", "bbox": AREA, **arguments}
        context = june(ti)
        operator = rendered(SentinelHubCatalogSearchOperator, context, tmp_path, **given)
        operators.append(operator)
        request = operator.hook.request
        if sleep is not None:
            operator.hook.get_conn()._sleep = sleep

        def recorded(*parts: Any, **named: Any) -> Any:
            run.sent.append(named["json"])  # type: ignore[attr-defined]
            return request(*parts, **named)

        operator.hook.request = recorded  # type: ignore[method-assign]
        return operator.execute(context)

    run.sent = []  # type: ignore[attr-defined]
    return run


def test_data_interval_is_searched_by_default(search):
    """All of it but its last second, which is the next run's first."""
    found = search()

    assert search.sent[0]["datetime"] == "2024-06-01T00:00:00Z/2024-06-07T23:59:59Z"
    assert found
    assert all("2024-06-01" <= item["datetime"] < "2024-06-08" for item in found)


def test_an_instant_finds_the_scene_of_that_moment(search):
    """As text, and as the template of a list."""
    scene = search(datetime=SUMMER)[0]

    for moment in (scene["datetime"], datetime.fromisoformat(scene["datetime"]), [scene["datetime"]]):
        assert scene["id"] in [found["id"] for found in search(datetime=moment)]
    assert "/" not in search.sent[-1]["datetime"]


def test_a_scene_is_four_values(search):
    """What the next task needs, and no more."""
    item = search(datetime=SUMMER)[0]

    assert set(item) == {"id", "datetime", "cloud_cover", "bbox"}
    assert item["id"].startswith("S2")
    assert 0 <= item["cloud_cover"] <= 100
    assert len(item["bbox"]) == 4


def test_all_pages_are_followed(search, sentinelhub_sandbox):
    """More scenes than a page holds, each of them once."""
    found = search(datetime=YEARS)

    assert len(found) > 100
    assert len({item["id"] for item in found}) == len(found)
    assert len(search.sent) == -(-len(found) // 100)


def test_pages_that_are_there_are_kept_in_a_wait_for_the_rate_limit(search, sentinelhub_sandbox, waits):
    """A deferrable task waits on its worker then: in the triggerer it would lose them, and pay for them again."""
    pages = -(-len(search(datetime=YEARS)) // 100)
    search.sent.clear()
    action = {"kind": "rate_limit", "retry_after": "90000"}
    sentinelhub_sandbox.control.add_fault(path="/catalog/v1/search", action=action, after=1)

    found = search(datetime=YEARS, deferrable=True, sleep=waits.sleep)

    assert len(found) == len({item["id"] for item in found}) > 100
    assert len(search.sent) == pages > 1
    assert max(waits.waits) > 60


@pytest.mark.parametrize("name", ["a.json", "a.parquet"])
def test_path_that_cannot_be_written_costs_nothing(search, tmp_path: Path, name: str):
    """No page is asked for."""
    (tmp_path / name).mkdir()
    with pytest.raises(AirflowFailException, match="cannot be written"):
        search(output_path=str(tmp_path / name))
    assert search.sent == []


@pytest.mark.parametrize("members", ["geometry", ["geometry"], ("geometry",)], ids=repr)
def test_fields_may_be_one_name(search, members: Any):
    """Not its letters."""
    search(fields={"exclude": members, "include": None})

    assert search.sent[0]["fields"] == {"exclude": ["geometry"]}


def test_no_more_is_asked_than_wanted(search):
    """The last page is as long as what is missing."""
    found = search(datetime=YEARS, limit=130)

    assert len(found) == 130
    assert [body["limit"] for body in search.sent] == [100, 30]


def test_limit_may_be_a_template(search):
    """Templates render to text."""
    assert len(search(datetime=SUMMER, limit="{{ 1 + 2 }}")) == 3


def test_clearest_first_looks_at_all_scenes(search):
    """The clearest three of years are not those of the first page."""
    everything = sorted(item["cloud_cover"] for item in search(datetime=YEARS))
    found = search(datetime=YEARS, sort="clearest", limit=3)

    assert [item["cloud_cover"] for item in found] == everything[:3]


def test_oldest_first(search):
    """The other way than the service answers."""
    times = [item["datetime"] for item in search(datetime=SUMMER, sort="oldest")]

    assert times == sorted(times)
    assert len(times) > 1


def test_one_a_day(search):
    """The clearest of each day, clearest days first."""
    found = search(datetime=SUMMER, sort="clearest", one_per="day")
    days = [item["datetime"][:10] for item in found]

    assert len(set(days)) == len(days) > 1
    assert set(days) == {item["datetime"][:10] for item in search(datetime=SUMMER)}


def test_one_per_tile(search):
    """One scene of each tile."""
    found = search(datetime=SUMMER, one_per="tile")

    assert len({item["id"].split("_T")[1][:5] for item in found}) == len(found)


def test_clouds_are_left_out(search):
    """By the limit of cloud cover, which the service applies."""
    everything = search(datetime=SUMMER)
    clear = search(datetime=SUMMER, max_cloud_cover=30)

    assert {item["id"] for item in clear} == {item["id"] for item in everything if item["cloud_cover"] <= 30}
    assert 0 < len(clear) < len(everything)


def test_filter_and_cloud_cover_are_joined(search):
    """Both hold."""
    found = search(datetime=SUMMER, max_cloud_cover=60, filter="eo:cloud_cover > 20")

    assert found
    assert all(20 < item["cloud_cover"] <= 60 for item in found)


def test_distinct_returns_values(search):
    """Dates instead of scenes."""
    dates = search(datetime=SUMMER, distinct="date")

    assert dates
    assert all(isinstance(date, str) and date.startswith("2024-") for date in dates)


@pytest.mark.parametrize("given", [TRIANGLE, WKT, "area.geojson", "area.wkt"], ids=["dict", "wkt", "file", "wkt file"])
def test_geometry_is_taken_in_every_form(search, tmp_path: Path, given):
    """All of them ask the same."""
    (tmp_path / "area.geojson").write_text(json.dumps({"type": "Feature", "geometry": TRIANGLE, "properties": {}}))
    (tmp_path / "area.wkt").write_text(WKT)

    assert search(datetime=SUMMER, bbox=None, intersects=given)
    assert search.sent[0]["intersects"] == TRIANGLE


def test_absolute_path_of_a_geometry(search, tmp_path: Path):
    """A file that is not beside the DAG."""
    (tmp_path / "else.json").write_text(json.dumps(TRIANGLE))

    assert search(datetime=SUMMER, bbox=None, intersects=str(tmp_path / "else.json"))


def test_whole_items_are_stored_as_item_collection(search, ti: TaskInstance, tmp_path: Path):
    """What XCom has no room for."""
    path = tmp_path / "2024" / "items.json"
    found = search(datetime=SUMMER, output_path=f"{tmp_path}/{{{{ ds[:4] }}}}/items.json")
    stored = json.loads(path.read_text())

    assert stored["type"] == "FeatureCollection"
    assert [item["id"] for item in stored["features"]] == [item["id"] for item in found]
    assert all(item["type"] == "Feature" and item["assets"] for item in stored["features"])
    assert ti.pushed["output"]["path"] == str(path)
    assert ti.pushed["output"]["size"] == path.stat().st_size


def test_stored_geoparquet_has_the_same_scenes_and_footprints(search, tmp_path: Path):
    """Read back with another library's eyes: pyarrow for the table, shapely for the geometry."""
    import shapely
    from pyarrow import parquet

    found = search(datetime=SUMMER, output_path=str(tmp_path / "items.parquet"))
    whole = (
        json.loads((tmp_path / "items.json").read_text())
        if search(datetime=SUMMER, output_path=str(tmp_path / "items.json"))
        else {}
    )
    table = parquet.read_table(tmp_path / "items.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])

    assert table["id"].to_pylist() == [item["id"] for item in found]
    assert table["eo:cloud_cover"].to_pylist() == [item["cloud_cover"] for item in found]
    assert geo["columns"]["geometry"]["encoding"] == "WKB"
    for raw, item in zip(table["geometry"].to_pylist(), whole["features"], strict=True):
        assert shapely.from_wkb(raw).equals(shapely.geometry.shape(item["geometry"]))


def test_cost_is_pushed(search, ti: TaskInstance):
    """What one page was expected to cost; the spent sum only where the service says one."""
    search(datetime=SUMMER)

    assert ti.pushed["estimated_processing_units"] == pytest.approx(0.04)


def test_too_dear_a_search_is_not_sent(search, sentinelhub_sandbox):
    """With the arithmetic in the message."""
    with pytest.raises(AirflowFailException, match=r"max_processing_units=0\.01; nothing was sent.*months"):
        search(datetime=SUMMER, max_processing_units=0.01)

    assert search.sent == []


def test_too_long_a_list_is_an_error(search):
    """XCom lives in a database."""
    with pytest.raises(AirflowFailException, match="max_xcom_size=100"):
        search(datetime=SUMMER, max_xcom_size=100)


def test_official_client_asks_the_same(search, sentinelhub_sandbox, monkeypatch):
    """``SentinelHubCatalog.search`` of the client library, and the same scenes come."""
    from sentinelhub import CRS, BBox, DataCollection, SentinelHubCatalog, SHConfig
    from sentinelhub.download import SentinelHubDownloadClient

    # oauthlib refuses tokens over plain http unless told so; only this client needs it.
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setattr(SentinelHubDownloadClient, "_CACHED_SESSIONS", {})
    config = SHConfig(
        use_defaults=True,
        sh_client_id=sentinelhub_sandbox.client_id,
        sh_client_secret=sentinelhub_sandbox.client_secret,
        sh_base_url=sentinelhub_sandbox.url,
        sh_token_url=sentinelhub_sandbox.token_url,
    )
    catalog = SentinelHubCatalog(config=config)
    theirs = catalog.search(
        DataCollection.SENTINEL2_L2A,
        bbox=BBox(AREA, CRS.WGS84),
        time=("2024-06-01T00:00:00Z", "2024-08-31T23:59:59Z"),
        filter="eo:cloud_cover <= 30",
        fields={
            "include": ["id", "bbox", "properties.datetime", "properties.eo:cloud_cover"],
            "exclude": ["geometry", "assets", "links"],
        },
        limit=100,
    )
    sentinelhub_sandbox.control.record_exchanges()
    scenes = list(theirs)
    found = search(datetime=SUMMER, max_cloud_cover=30)
    sentinelhub_sandbox.control.record_exchanges(False)
    asked = [json.loads(one.request_body) for one in sentinelhub_sandbox.control.exchanges()]
    wanted, sent = ({name: value for name, value in body.items() if value is not None} for body in asked)

    assert [item["id"] for item in found] == [item["id"] for item in scenes]
    assert sent.pop("filter-lang") == "cql2-text"
    wanted.pop("filter-lang", None)
    assert sent == wanted
