"""The pages of *Satellite imagery*: what they show, to whom, and of what nobody made."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from airflow.models.dag import DagModel
from airflow.models.xcom import XComModel
from imagery_pages import FACTS, NOW, RUN, Pages, imagery_pages, plain, webp
from sqlalchemy import event, update

from sentinelhub_provider.links.imagery import ImageryLink, page_of
from sentinelhub_provider.plugins.imagery import reading, views
from sentinelhub_provider.plugins.imagery.drawing import chart_of, map_of, place_of


@pytest.fixture(name="all_pages", scope="module")
def fixture_all_pages(tmp_path_factory: pytest.TempPathFactory):
    """One database for all: its tables take long to make."""
    with imagery_pages(tmp_path_factory.mktemp("pages")) as pages:
        yield pages


@pytest.fixture(name="pages")
def fixture_pages(all_pages: Pages) -> Pages:
    """The pages of an empty Airflow, for somebody who may read all."""
    all_pages.clear()
    all_pages.log_in()
    return all_pages


def words(html: str) -> str:
    """Return what a person reads."""
    main = html[html.index("<main") :]
    return " ".join(re.sub(r"<[^>]+>", " ", main).split())


def links(html: str) -> set[str]:
    """Return where a page leads, and what it loads."""
    return set(re.findall(r'(?:href|src)="([^"]+)"', html[html.index("<main") :]))


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_picture_is_shown_with_its_facts(pages: Pages):
    """All that the task left, and where on earth it is."""
    html = pages.get(pages.picture())

    for text in (
        "ndvi",
        "sentinel-2-l2a",
        "2025-06-01 to 2025-06-07",
        "512 \u00d7 512 px",
        "87.5 % of the area",
        "at most 30 %",
        "1.25 PU",
        "1.5 PU",
        "/data/ndvi.tif",
        "14° E to 14.1° E, 46° N to 46.1° N",
        "ab" * 32,
    ):
        assert text in words(html), text
    assert 'class="area"' in html
    assert f"../../../../pictures/weekly/{RUN.replace(':', '%3A').replace('+', '%2B')}/ndvi/-1/0?v=abababababab" in html
    assert 'data-live="no"' in html


@pytest.mark.parametrize("coordinates", [[14.5, 46], [[14.5, 46]]], ids=["Point", "MultiPoint"])
def test_point_is_on_the_map(coordinates: list[Any], pages: Pages):
    """A search may be of a place without an area."""
    html = pages.get(pages.picture(facts={"footprint": {"coordinates": coordinates}}))

    assert "14.5° E to 14.5° E, 46° N to 46° N" in words(html)
    assert 'class="target"' in html
    assert "cannot be shown" not in words(html)


def test_picture_itself_is_a_webp(pages: Pages):
    """And may do nothing."""
    address = pages.picture().replace("tasks/", "pictures/")

    answer = pages.client.get(f"/air/flow/sentinelhub/{address}/0")

    assert (answer.status_code, answer.headers["content-type"], answer.content[:4]) == (200, "image/webp", b"RIFF")
    assert "sandbox" in answer.headers["content-security-policy"]
    for other in ("1", "-1", "x", "99999999999"):
        pages.get(f"{address}/{other}", 404)


def test_one_is_called_one(pages: Pages):
    """One row is no rows, and a day is not from itself to itself."""
    day = {"from": "2025-06-01T00:00:00Z", "to": "2025-06-01T23:59:59Z"}
    address = pages.picture(facts={"rows": 1, "pictures": 0, "time_range": day})

    assert " 1 row " in words(pages.get(f"runs/weekly/{RUN}"))
    assert "Time 2025-06-01 Cloud" in words(pages.get(address))


def test_newest_picture_of_a_dag_has_an_address_of_its_own(pages: Pages):
    """For the DAG's documentation, which knows no run."""
    pages.get("newest/weekly", 404)
    pages.picture("first")
    pages.task("later", sentinelhub_previews={"pictures": [{"name": "odd", "webp": "no"}]})

    answer = pages.client.get("/air/flow/sentinelhub/newest/weekly")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    assert answer.content.startswith(b"RIFF")
    for other in ("~", "monthly", "' OR 1=1 --"):
        pages.get(f"newest/{other}", 404)


def test_statistics_are_a_chart_and_rows(pages: Pages):
    """Of what the worker kept."""
    points = [["2025-06-01T00:00:00+00:00", 0.25], ["2025-06-11T00:00:00+00:00", 0.75]]
    previews = {
        "pictures": [],
        "series": [{"name": "f0 B0", "points": points}],
        "rows": [{"feature_id": "f0", "mean": 0.25}],
    }
    facts = {
        "operator": "SentinelHubStatisticsOperator",
        "rows": 21,
        "failed_features": [{"feature_id": "f9", "error": "no"}],
    }
    html = pages.get(pages.task(sentinelhub_imagery=facts, sentinelhub_previews=previews))

    assert html.count("<circle") == 2
    for text in ("f0 B0", "2025-06-11 0.75", "feature_id", "Rows 21", "Failed features f9 no"):
        assert text in words(html), text


def test_table_has_the_columns_of_all_its_rows(pages: Pages):
    """The first interval may have no data, and so no mean. Names of Python's own are names like others."""
    rows = [{"from": "2025-06-01", "mean": None, "count": 0}, {"from": "2025-06-02", "mean": 0.5, "items": 3}]
    html = pages.get(pages.task(sentinelhub_imagery={"rows": 2}, sentinelhub_previews={"rows": rows}))

    assert re.findall(r"<th>(.*?)</th>", html) == ["from", "mean", "count", "items"]
    assert re.findall(r"<td>(.*?)</td>", html) == ["2025-06-01", "", "0", "", "2025-06-02", "0.5", "", "3"]


def test_order_does_not_depend_on_the_database(pages: Pages):
    """PostgreSQL and MySQL sort the members of an object by the length of their names."""
    times = {"to": "2025-06-07T23:59:59Z", "from": "2025-06-01T00:00:00Z"}
    previews = {"rows": [{"mean": 0.5, "feature_id": "f0"}], "columns": ["feature_id", "mean"]}
    html = pages.get(pages.task(sentinelhub_imagery={"time_range": times}, sentinelhub_previews=previews))

    assert "Time 2025-06-01 to 2025-06-07" in words(html)
    assert re.findall(r"<th>(.*?)</th>", html) == ["feature_id", "mean"]


def test_wide_table_has_all_its_columns(pages: Pages):
    """Properties of the features are columns, too."""
    row = {f"property_{number}": number for number in range(60)}
    html = pages.get(pages.task(sentinelhub_imagery={"rows": 1}, sentinelhub_previews={"rows": [row]}))

    assert re.findall(r"<th>(.*?)</th>", html) == list(row)


def test_job_is_shown_while_it_is_waited_for(pages: Pages):
    """The page looks again by itself."""
    job = {"id": "j-1", "state": "PROCESSING", "completion": 40, "cost": 7.5, "features": {"done": 3, "causes": []}}
    html = pages.get(
        pages.task(state="deferred", operator="SentinelHubBatchProcessOperator", sentinelhub_imagery={"job": job})
    )

    for text in ("j-1", "PROCESSING", "40 %", "7.5 PU", "Features done 3"):
        assert text in words(html), text
    assert 'data-live="yes"' in html


@pytest.mark.parametrize(("state", "shown"), [("deferred", "PROCESSING"), ("success", "DONE")])
def test_job_is_shown_as_the_triggerer_saw_it_last(state: str, shown: str, pages: Pages):
    """Until the task itself goes on, and leaves how the job ended."""
    left = {"job": {"id": "j-1", "state": "DONE" if state == "success" else "CREATED"}}
    address = pages.task(
        state=state,
        operator="SentinelHubBatchProcessOperator",
        sentinelhub_imagery=left,
        sentinelhub_job={"id": "j-1", "state": "PROCESSING", "completion": 55.0, "cost": 12.5},
    )

    assert shown in words(pages.get(address))
    assert ("55 %" in words(pages.get(address))) == (state == "deferred")
    assert ('value="55"' in pages.get("")) == (state == "deferred")


def test_failed_task_says_why(pages: Pages):
    """In the words of its error."""
    html = pages.get(pages.task(state="failed", sentinelhub_imagery={"error": "the account is empty"}))

    assert "Why it failed. the account is empty" in words(html)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"operator": "PythonOperator"}, "no task of Sentinel Hub"),
        ({"state": "running"}, "not left anything yet"),
        ({}, "left nothing for this page"),
    ],
)
def test_task_that_left_nothing_is_no_error(task: dict[str, Any], said: str, pages: Pages):
    """The tab is on the page of every task."""
    assert said in words(pages.get(pages.task(**task)))


def test_run_is_a_contact_sheet(pages: Pages):
    """Each task has a card; of a mapped one, the first are shown."""
    pages.picture("single")
    for index in range(30):
        pages.picture("mapped", map_index=index, name=f"week {index}")
    pages.task("other", operator="PythonOperator")

    html = pages.get(f"runs/weekly/{RUN}")

    assert html.count('class="card"') == 1 + 12
    assert "All 30 tasks" in words(html)
    assert "week 11" in html
    assert "week 12" not in html
    assert "other" not in words(html)


def test_mapped_task_of_one_instance_has_its_name(pages: Pages):
    """It stands among the single tasks."""
    pages.picture("single")
    pages.picture("mapped", map_index=0, name="week 0")

    html = pages.get(f"runs/weekly/{RUN}")

    assert re.findall(r"<b>(.*?)</b>", html) == ["mapped [week 0]", "single"]


def test_mapped_task_has_pages(pages: Pages):
    """Also where Airflow leaves the index as it is spelt in the tab's address."""
    for index in range(130):
        pages.task("mapped", map_index=index, name=f"week {index}.")

    second = pages.get(f"runs/weekly/{RUN}?task=mapped&page=2")
    assert "week 60." in second
    assert "week 119." in second
    assert "week 120." not in second
    assert "Page 2 of 3" in words(second)
    assert {"../../runs/weekly/manual__2025-06-01T06%3A00%3A00%2B00%3A00?task=mapped&page=3"} <= {
        link.replace("&amp;", "&") for link in links(second)
    }
    for spelt in ("{MAP_INDEX}", "%7BMAP_INDEX%7D", "-1"):
        assert "week 59." in pages.get(f"tasks/weekly/{RUN}/mapped/{spelt}")
    for beyond in (130, 10**9, 10**30):
        pages.get(f"tasks/weekly/{RUN}/mapped/{beyond}", 404)
    one = pages.get(f"tasks/weekly/{RUN}/mapped/7")
    assert 'rel="prev"' in one
    assert 'rel="next"' in one
    for odd in ("0", "-3", "x", "9" * 400, "4"):
        pages.get(f"runs/weekly/{RUN}?task=mapped&page={odd}")


def test_overview_adds_up_what_connections_spent(pages: Pages):
    """By DAG and day; costs of tasks that left nothing are those of the same task's others."""
    pages.picture("ndvi", map_index=0)
    pages.task("ndvi", map_index=1, processing_units=2)
    pages.picture("wide", dag_id="monthly", facts={"conn_id": "other_account"}, processing_units=plain(4.5))
    pages.task("foreign", processing_units=1000, operator="PythonOperator")
    pages.task("job", state="deferred", sentinelhub_imagery={"job": {"state": "ANALYSING"}, "conn_id": "other_account"})
    pages.task("broken", state="failed", sentinelhub_imagery={"error": "no such band"})

    text = words(pages.get(""))

    assert "Connection sentinelhub_default Today 3.25 PU Seven days 3.25 PU Budget a day 500" in text
    assert "Connection other_account Today 4.5 PU" in text
    assert "1000" not in text
    assert "weekly · job" in text
    assert "ANALYSING" in text
    assert "no such band" in text


def test_overview_adds_up_the_dags_for_which_there_is_no_room(pages: Pages, monkeypatch: pytest.MonkeyPatch):
    """So that the rows make the total."""
    monkeypatch.setattr(reading, "MOST_DAGS", 1)
    for number, units in enumerate((0.5, 4.0, 2.25)):
        pages.picture("ndvi", dag_id=f"dag_{number}", processing_units=plain(units))

    text = words(pages.get(""))

    assert "Today 6.75 PU" in text
    assert re.search(r"dag_1 \W*4 4 2 other DAGs \W*2.75 2.75", text), text


def test_overview_counts_tasks_whose_facts_it_does_not_read(pages: Pages, monkeypatch: pytest.MonkeyPatch):
    """It reads the newest ones, all of which one mapped task may have left. Only the first of these leave any."""
    monkeypatch.setattr(reading, "MOST_FACTS", 5)
    pages.picture("wide", dag_id="monthly", facts={"conn_id": "other_account", "limits": {"requests_per_minute": 7}})
    for index in range(8):
        pages.picture("mapped", map_index=index)
        later = {"timestamp": NOW + timedelta(microseconds=index + 1)}
        pages.session.execute(update(XComModel).where(XComModel.map_index == index).values(later))
    pages.task("mapped", map_index=8, processing_units=1)

    text = words(pages.get(""))

    assert "Connection other_account Today 1.25 PU Seven days 1.25 PU Requests a minute 7" in text
    assert "Connection sentinelhub_default Today 11 PU" in text
    assert "9 tasks" in text


def test_overview_of_an_empty_airflow_says_what_to_do(pages: Pages):
    """Run something."""
    assert "No task has left anything yet" in words(pages.get(""))


# --- where it is, and what it may do ---------------------------------------------------------------------------------


def test_every_link_is_relative_and_leads_somewhere(pages: Pages):
    """So that Airflow may be below any path; nothing comes from elsewhere."""
    start = pages.picture("ndvi", map_index=3)
    seen, left = set(), ["", start]
    while left:
        path = left.pop()
        html = pages.get(path)
        for link in links(html):
            assert not re.match(r"[a-z]+:|/", link), link
            whole = str(
                pages.client.base_url.copy_with(path=f"/air/flow/sentinelhub/{path.partition('?')[0]}").join(link)
            )
            found = whole.partition("/air/flow/")[2]
            if found.startswith("dags/"):
                continue
            assert found.startswith("sentinelhub/"), (path, link)
            target = found.removeprefix("sentinelhub/")
            if target not in seen:
                seen.add(target)
                if target.startswith("pictures/"):
                    assert pages.client.get(whole).status_code == 200, whole
                else:
                    left.append(target)
    assert len(seen) >= 5


def test_browser_may_load_nothing_else(pages: Pages):
    """Neither from elsewhere, nor what a text of an XCom would bring in."""
    answer = pages.client.get(f"/air/flow/sentinelhub/{pages.picture()}")

    policy = answer.headers["content-security-policy"]
    nonce = re.search(r"script-src 'nonce-([^']+)'", policy)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy
    assert re.findall(r"<(?:script|style)[^>]*>", answer.text) == [
        f'<style nonce="{nonce}">',
        f'<script nonce="{nonce}">',
    ]
    assert not re.search(r'\s(?:on\w+|style)="', answer.text)
    other = pages.client.get(f"/air/flow/sentinelhub/{pages.picture('b')}").headers["content-security-policy"]
    assert nonce not in other


def test_menu_and_tab(monkeypatch: pytest.MonkeyPatch):
    """The tab is on the pages of all tasks, so it is there only where somebody wants it."""
    assert [(view["destination"], view.get("category")) for view in views()] == [("nav", "browse")]
    monkeypatch.setenv("AIRFLOW__SENTINELHUB__TASK_TAB", "True")
    assert [view["destination"] for view in views()] == ["nav", "task_instance"]
    assert not any(view["href"].startswith("/") for view in views())


def test_button_leads_to_the_page_of_the_task(pages: Pages):
    """It needs the names alone, so it is the same before a wait in the triggerer and afterwards."""
    from types import SimpleNamespace

    address = pages.picture(map_index=4)
    key: Any = SimpleNamespace(dag_id="weekly", run_id=RUN, task_id="ndvi", map_index=4)

    link = ImageryLink().get_link(SimpleNamespace(do_xcom_push=True), ti_key=key)

    assert link == f"sentinelhub/{address}" == page_of("weekly", RUN, "ndvi", 4)
    assert ImageryLink().get_link(SimpleNamespace(do_xcom_push=False), ti_key=key) == ""


# --- who may see it --------------------------------------------------------------------------------------------------


def test_nobody_sees_a_page_without_a_login(pages: Pages):
    """A token that is none is refused as well."""
    address = pages.picture()
    everywhere = ["", address, f"runs/weekly/{RUN}", f"{address.replace('tasks', 'pictures')}/0", "newest/weekly"]
    pages.client.cookies.clear()
    for path in everywhere:
        assert "weekly" not in words(pages.get(path, 401))
    pages.client.cookies.set("_token", "not.a.token")
    for path in everywhere:
        pages.get(path, 403)


@pytest.mark.parametrize(("name", "role"), [("monthly", "VIEWER"), ("admin", None)])
def test_nobody_sees_the_dags_of_others(name: str, role: str | None, pages: Pages):
    """Neither by their address nor in the overview, whatever else the address says."""
    address = pages.picture()
    pages.picture(dag_id="monthly")
    pages.log_in(name, role)

    for path in (address, f"runs/weekly/{RUN}", f"{address.replace('tasks', 'pictures')}/0", "newest/weekly"):
        assert "sentinel-2-l2a" not in pages.get(path, 403)
        pages.get(f"{path}?dag_id=monthly", 403)
    assert "weekly" not in pages.get("")
    assert ("monthly" in pages.get("")) == (role is not None)


def test_overview_asks_about_the_team_of_a_dag(pages: Pages, monkeypatch: pytest.MonkeyPatch):
    """With several teams, what a user may read depends on it."""
    asked = []

    def is_authorized_dag(_self: Any, *, details: Any, **_: Any) -> bool:
        asked.append((details.id, details.team_name))
        return False

    pages.picture()
    monkeypatch.setattr(DagModel, "get_team_name", lambda dag_id, **_: f"the team of {dag_id}")
    monkeypatch.setattr("imagery_pages.AuthManager.is_authorized_dag", is_authorized_dag)

    assert "weekly" not in pages.get("")
    assert asked == [("weekly", "the team of weekly")]


def test_other_methods_are_refused(pages: Pages):
    """With the methods that there are, as HTTP wants it."""
    answer = pages.client.post("/air/flow/sentinelhub/")

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_page_of_a_problem_leads_to_the_overview(pages: Pages):
    """Also where a name has a slash, which is no step of the address."""
    for path, root in (("runs/weekly/none", "../../"), ("runs/a%2Fb/none", "../../"), ("a/b/c", "../../")):
        assert f'<a href="{root}.">' in pages.get(path, 404)


@pytest.mark.parametrize("dag_id", ["~", "", "..", "%2e%2e", "weekly%2F..", "' OR 1=1 --", "\\", "a" * 5000, "%00"])
@pytest.mark.parametrize("what", ["runs/{}/r", "tasks/{}/r/t/0", "pictures/{}/r/t/0/0"])
def test_crafted_names_find_nothing(dag_id: str, what: str, pages: Pages):
    """``~`` is Airflow's own word for any DAG."""
    pages.picture()
    answer = pages.client.get("/air/flow/sentinelhub/" + what.format(dag_id))

    assert answer.status_code in (403, 404)
    assert "sentinel-2-l2a" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["runs/weekly/%00", "runs/weekly/r?task=%00", "tasks/weekly/r/%00/0", "pictures/weekly/r/%00/0/0", "newest/%00"],
)
def test_names_that_postgresql_refuses_find_nothing(path: str, pages: Pages):
    """It fails over a NUL, which SQLite takes."""

    def refuse(_connection: Any, _cursor: Any, _statement: str, parameters: Any, *_: Any) -> None:
        assert "\0" not in str(tuple(parameters)).replace("\\x00", "\0")

    pages.picture()
    engine = pages.session.get_bind()
    event.listen(engine, "before_cursor_execute", refuse)
    try:
        pages.get(path, 404)
    finally:
        event.remove(engine, "before_cursor_execute", refuse)


# --- what nobody made ------------------------------------------------------------------------------------------------

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
ODD: list[Any] = [
    *(None, True, 7, -1e308, EVIL, [], {}, [[]], [None], {"a": None}, {"type": "Polygon"}, {"coordinates": 3}),
    *(
        {"coordinates": [[["a", "b"]]]},
        {"coordinates": [[[]]]},
        {"coordinates": [[[1e300, 2]]]},
        [EVIL] * 99,
        {EVIL: EVIL},
    ),
    *("\ud800", "\u0416", {"\ud800": "\ud800"}),
    *([{"name": "a", "points": [[time, 1]]}] for time in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")),
    [{"name": "a", "points": [["2025-06-01", 0], ["2025-06-02", 5e-324]]}],
    *([[[[[[[1]]]]]]], [{"name": EVIL, "points": [[EVIL, 1]]}], [{"points": 3}], {"id": [1], "features": {"a": [2]}}),
]


def test_xcoms_that_somebody_edited_break_nothing(pages: Pages):
    """Each member is anything at all in turn, and so is the whole."""
    address = pages.picture(state="deferred", sentinelhub_job={"id": "j-1"})
    members = [*FACTS, "job", "outputs", "failed_features", "error", "rows", "failed", "bytes", "delivery"]
    everywhere = (address, f"runs/weekly/{RUN}", "")
    for turn, odd in enumerate(ODD):
        whole = {name: ODD[(number + turn) % len(ODD)] for number, name in enumerate(members)}
        pages.change("processing_units", odd)
        for value in (whole, odd):
            pages.change("sentinelhub_imagery", value)
            pages.change("sentinelhub_job", value)
            for path in everywhere:
                html = pages.get(path)
                assert "<script>alert" not in html
                assert "<img src=x" not in html


def test_previews_that_somebody_edited_break_nothing(pages: Pages):
    """No other bytes than those of a preview are sent."""
    address = pages.picture(facts={"footprint": None})
    good = {"name": "a", "webp": webp()}
    for odd in ODD:
        with_parts = {"pictures": [{**good, "name": odd}], "series": odd, "rows": odd, "columns": odd}
        as_picture = [odd, {"pictures": odd}, {"pictures": [odd]}, {"pictures": [{**good, "webp": odd}]}]
        for value in [*as_picture, with_parts, {"rows": [odd]}]:
            pages.change("sentinelhub_previews", value)
            assert "<script>alert" not in pages.get(address)
            if value in as_picture:
                pages.get(f"{address.replace('tasks', 'pictures')}/0", 404)


def test_classes_that_an_xcom_names_are_not_made(pages: Pages):
    """Airflow's decoder would: some of its classes open a table at any address."""
    named = {"__classname__": "builtins.tuple", "__version__": 1, "__data__": ["2025-06-01", "2025-06-02"]}
    assert reading.plain(plain(named)) == named

    assert "cannot be shown" in words(pages.get(pages.picture(facts={"operator": plain(named), "size": named})))


def test_very_long_xcoms_are_not_read(pages: Pages):
    """A thousand of them would fill the memory of the API server."""
    address = pages.picture(state="failed")
    pages.change("sentinelhub_imagery", FACTS | {"error": "word " * 40_000})
    pages.change("sentinelhub_previews", {"pictures": [{"name": "a" * 3_000_000, "webp": webp()}]})

    assert "cannot be shown" in words(pages.get(address))
    assert "sentinel-2-l2a" not in pages.get(address)
    assert "word word" not in pages.get("")
    pages.get(f"{address.replace('tasks/', 'pictures/')}/0", 404)
    pages.get("newest/weekly", 404)


def test_what_cannot_be_shown_is_said(pages: Pages):
    """And what can be is shown."""
    address = pages.picture(facts={"footprint": "nowhere"})
    assert "cannot be shown" in words(pages.get(address))
    assert "sentinel-2-l2a" in words(pages.get(address))
    pages.change("sentinelhub_imagery", "nothing of ours")
    assert "cannot be shown" in words(pages.get(address))
    pages.change("sentinelhub_imagery", FACTS)
    pages.change("sentinelhub_previews", {"pictures": [{"name": "a", "webp": "PHN2Zz4="}]})
    assert "cannot be shown" in words(pages.get(address))


# --- map and chart ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("west", "south", "side"), [(14, 45, 0.1), (179.9, -17, 0.3), (-181, 66, 1), (0, 89, 1), (-180, -90, 360)]
)
def test_map_shows_the_coast_around(west: float, south: float, side: float):
    """Also at the antimeridian, at the pole, and of the whole world."""
    north = min(90, south + side)
    drawn = map_of([[(west, south), (west + side, south), (west + side, north), (west, north)]])

    assert drawn["land"]
    assert len(json.dumps(drawn)) < 250_000
    assert drawn["is_small"] == (side <= 0.3)
    assert "nan" not in json.dumps(drawn)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [-1e-9, 1e9], [0, 0], [3, -3, 12]])
def test_chart_has_room_for_all_values(values: list[float]):
    """Whatever their size is."""
    drawn = chart_of([{"name": "a", "points": [(f"2025-06-{day:02}", value) for day, value in enumerate(values, 1)]}])

    assert all(12 <= point["y"] <= 210 for point in drawn["lines"][0]["points"])
    assert 2 <= len(drawn["values"]) <= 7


def test_chart_without_times_is_none():
    """There is nothing to draw."""
    assert chart_of([{"name": "a", "points": [("yesterday", 1.0)]}]) is None


@pytest.mark.parametrize(
    ("box", "place"),
    [
        ((20.5, 47.5, 20.62, 47.56), "20.5° E to 20.62° E, 47.5° N to 47.56° N"),
        ((20.5431, 47.5301, 20.5512, 47.5332), "20.543° E to 20.551° E, 47.53° N to 47.533° N"),
        ((-0.00012, -0.00002, 0.00008, 0.00009), "0.0001° W to 0.0001° E, 0° N to 0.0001° N"),
        ((179.5, -17, 181, -16), "179.5° E to 179° W, 17° S to 16° S"),
        ((14, 46, 14, 46), "14° E to 14° E, 46° N to 46° N"),
        ((-180, -90, 180, 90), "180° W to 180° E, 90° S to 90° N"),
    ],
)
def test_a_place_has_the_digits_that_it_needs(box: tuple[float, float, float, float], place: str):
    """A field's sides differ in the third decimal, and a country's in the first."""
    assert place_of(box) == place
