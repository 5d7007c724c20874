"""What is new in a watched area: late scenes, new processings, restarts, and a memory that stays small."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinelhub_provider.api.scenes import watch as scene_watch
from sentinelhub_provider.api.scenes.watch import ANNOUNCE, SceneLedger, acquisition, check_lookback, is_under_way
from sentinelhub_provider.exceptions import SentinelHubRequestError

NOW = datetime(2024, 6, 15, 12, tzinfo=UTC)
MADE = "20240615T180000"


def scene(
    back: float = 0, *, tile: str = "33TVL", baseline: int = 510, made: str = "20240615T180000"
) -> dict[str, Any]:
    """Return a scene that was sensed so many days before now."""
    sensed = NOW - timedelta(days=back)
    return {
        "id": f"S2B_MSIL2A_{sensed:%Y%m%dT%H%M%S}_N{baseline:04d}_R122_T{tile}_{made}",
        "datetime": f"{sensed:%Y-%m-%dT%H:%M:%SZ}",
        "cloud_cover": 1.0,
        "bbox": [14, 45, 15, 46],
    }


def announce(ledger: SceneLedger, items: list[dict[str, Any]], now: datetime = NOW) -> list[str]:
    """Make one poll and announce all that is new; return the ids."""
    _, found = ledger.begin(ledger.new_scenes(items, now))
    ledger.commit()
    ledger.move_on(now)
    return [str(item["id"]) for item in found]


@pytest.fixture(name="ledger")
def fixture_ledger() -> SceneLedger:
    """A ledger after a poll of an empty area."""
    ledger = SceneLedger()
    ledger.new_scenes([], NOW)
    return ledger


def test_the_first_poll_announces_nothing():
    """Only what is published from now on is new, late scenes included."""
    ledger, old, late = SceneLedger(), scene(1), scene(3)

    assert announce(ledger, [old]) == []
    assert announce(ledger, [old, late]) == [late["id"]]


def test_with_a_start_the_first_poll_announces_what_was_sensed_since():
    """Not what was sensed before, however late it is published."""
    ledger = SceneLedger(start=NOW - timedelta(days=30))

    assert ledger.search_from(NOW) == datetime(2024, 5, 16, tzinfo=UTC)
    assert announce(ledger, [scene(2), scene(29), scene(30.1)]) == [scene(29)["id"], scene(2)["id"]]
    assert announce(ledger, [scene(2), scene(30.05)]) == []


def test_each_scene_is_announced_once(ledger):
    """However often it is found."""
    assert announce(ledger, [scene(1)]) == [scene(1)["id"]]
    assert announce(ledger, [scene(1)]) == []


def test_scenes_are_announced_in_the_order_of_their_sensing(ledger):
    """The Catalog lists the newest first."""
    assert announce(ledger, [scene(0), scene(2), scene(1)]) == [scene(2)["id"], scene(1)["id"], scene(0)["id"]]


def test_a_new_processing_is_no_new_scene(ledger):
    """Tile and time tell that it is the same one."""
    announce(ledger, [scene(1)])

    assert announce(ledger, [scene(1), scene(1, baseline=511, made="20240620T000000")]) == []


def test_of_two_new_processings_the_latest_is_announced(ledger):
    """Both appear between two polls."""
    old, new = scene(1), scene(1, baseline=511)

    assert announce(ledger, [new, old]) == [new["id"]]


def test_new_processings_are_announced_on_request():
    """Each id is a scene of its own then."""
    ledger = SceneLedger(reprocessed=ANNOUNCE)
    announce(ledger, [])
    old, new = scene(1), scene(1, baseline=511)

    assert announce(ledger, [old]) == [old["id"]]
    assert announce(ledger, [old, new]) == [new["id"]]


def test_neighbouring_tiles_are_different_scenes(ledger):
    """The same pass and second, another tile."""
    assert len(announce(ledger, [scene(1), scene(1, tile="33TWL")])) == 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("S1A_IW_GRDH_1SDV_20240601T050000_20240601T050025_054120_0694B7_1F2A",
         "S1A_IW_GRDH_1SDV_20240601T050000_20240601T050025_054120_0694B7_99FF", True),
        ("S3A_OL_1_EFR____20240601T100031_20240601T100331_20240601T120000_0179_113_122_2160_PS1_O_NR_002",
         "S3A_OL_1_EFR____20240601T100031_20240601T100330_20240602T130000_0179_113_122_2160_PS1_O_NT_002", True),
        ("LC08_L1TP_191029_20240601_20240601_02_RT", "LC08_L1TP_191029_20240601_20240608_02_T1", True),
        ("S2A_MSIL2A_20240601T100031_N0510_R122_T33TVL_20240601T140000.SAFE",
         "S2A_MSIL2A_20240601T100031_N0511_R122_T33TVL_20240602T150000.SAFE", True),
        ("S1A_IW_GRDH_1SDV_20240601T050000_20240601T050025_054120_0694B7_1F2A_COG.SAFE",
         "S1A_IW_GRDH_1SDV_20240601T050000_20240601T050025_054120_0694B7_99FF_COG.SAFE", True),
        ("S3A_OL_1_EFR____20240601T100031_20240601T100331_20240601T120000_0179_113_122_2160_PS1_O_NR_002.SEN3",
         "S3A_OL_1_EFR____20240601T100031_20240601T100330_20240602T130000_0179_113_122_2160_PS1_O_NT_002.SEN3", True),
        ("LC08_L1TP_191029_20240601_20240601_02_RT", "LC08_L1TP_191030_20240601_20240608_02_T1", False),
        ("anything-1", "anything-2", False),
    ],
    ids=["Sentinel-1", "Sentinel-3", "Landsat", "SAFE", "COG.SAFE", "SEN3", "another Landsat row", "unknown"],
)  # fmt: skip
def test_processings_are_told_from_scenes_by_their_ids(one, other, same):
    """Where the form of ids is known; otherwise each id is a scene."""
    when = "2024-06-01T05:00:00Z"

    assert (acquisition({"id": one, "datetime": when}) == acquisition({"id": other, "datetime": when})) is same


def test_the_two_halves_of_a_tile_are_two_scenes():
    """One pass over two ground stations leaves two products of a tile, sensed seconds apart."""
    halves = [{**scene(1), "datetime": f"2024-06-14T12:00:{second}Z"} for second in ("00", "13")]

    assert len({acquisition(half) for half in halves}) == 2


def test_scenes_later_than_the_lookback_are_not_announced(ledger):
    """They are no longer searched for, and a longer search does not announce them either."""
    later = NOW + timedelta(days=1)
    ledger.move_on(later)

    assert ledger.search_from(later) == datetime(2024, 6, 9, tzinfo=UTC)
    assert announce(ledger, [scene(8)], later) == []


def test_what_leaves_the_window_is_forgotten(ledger):
    """The memory holds the scenes of the window's days and no others."""
    announce(ledger, [scene(6), scene(1)])
    assert ledger.known == 2

    ledger.move_on(NOW + timedelta(days=3))

    assert ledger.known == 1


def test_after_a_long_stop_the_first_poll_goes_all_the_way_back(ledger):
    """What was published while the triggerer was down is found, though the lookback is shorter."""
    announce(ledger, [scene(0)])
    restarted = SceneLedger()
    restarted.adopt(ledger.to_json())
    weeks = NOW + timedelta(days=30)

    assert restarted.search_from(weeks) == ledger.search_from(NOW)
    assert len(announce(restarted, [scene(-20), scene(0)], weeks)) == 1
    assert restarted.search_from(weeks) == datetime(2024, 7, 8, tzinfo=UTC)


def test_the_memory_stays_small(ledger):
    """Many scenes shorten the window, down to two days, and that is told."""
    days = [
        scene(back + number / 100_000, tile=f"33T{number:04d}"[-5:]) for back in range(6) for number in range(1_200)
    ]
    announced = ledger.new_scenes(days, NOW)
    ledger.begin(announced)
    ledger.commit()

    assert len(announced) == 7_200
    assert ledger.move_on(NOW) is not None
    assert ledger.known <= scene_watch.MAX_KNOWN
    assert len(json.dumps(ledger.to_json())) < 65_535
    assert ledger.new_scenes(days, NOW) == []


@pytest.mark.parametrize("is_stored", [True, False], ids=["stored", "not stored"])
def test_a_batch_under_way_is_announced_again_where_its_event_is_not_stored(ledger, is_stored):
    """A restart finds that in the number that is stored with an event."""
    scenes = [scene(back) for back in (3, 2, 1)]
    first, _ = ledger.begin(ledger.new_scenes(scenes, NOW))
    restarted = SceneLedger()
    restarted.adopt(json.loads(json.dumps(ledger.to_json())), first if is_stored else first - 1)

    number, again = restarted.begin(restarted.new_scenes(scenes, NOW))

    assert len(again) == (0 if is_stored else 3)
    assert is_stored or number > first


def test_a_ledger_adopts_what_another_one_announced(ledger):
    """In either order; nothing that both know is lost, and numbers go on from the highest."""
    other = SceneLedger()
    other.adopt(ledger.to_json())
    announce(ledger, [scene(1), scene(3)])
    announce(other, [scene(2), scene(3)])
    ledger.adopt(other.to_json(), 1)

    assert announce(ledger, [scene(1), scene(2), scene(3), scene(4)]) == [scene(4)["id"]]
    assert ledger.to_json()["number"] == 2


def test_what_another_one_adopted_after_a_batch_began_is_left_out_of_it(ledger):
    """A scene that became known between the poll and the announcement."""
    new = ledger.new_scenes([scene(1), scene(2)], NOW)
    other = SceneLedger()
    other.adopt(ledger.to_json())
    announce(other, [scene(1)])
    ledger.adopt(other.to_json(), 1)

    assert [item["id"] for item in ledger.begin(new)[1]] == [scene(2)["id"]]


def test_a_batch_that_was_not_announced_after_all_is_new_again(ledger):
    """Another watcher came first."""
    ledger.begin(ledger.new_scenes([scene(1)], NOW))
    ledger.commit(is_announced=False)

    assert announce(ledger, [scene(1)]) == [scene(1)["id"]]


def test_only_another_writers_unconfirmed_batch_is_under_way(ledger):
    """Not one's own, not one that has become an event, and nothing that cannot be read."""
    assert not is_under_way(ledger.to_json(), 0, "me")
    number, _ = ledger.begin(ledger.new_scenes([scene(1)], NOW))
    stored = json.loads(json.dumps(ledger.to_json()))

    assert is_under_way(stored, number - 1, "me")
    assert not is_under_way(stored, number, "me")
    assert not is_under_way(stored, number - 1, ledger.writer)
    assert not any(is_under_way(odd, 0, "me") for odd in (None, {}, [], "text", {"pending": [1], "number": "x"}))


def test_numbers_go_on_where_the_memory_was_deleted():
    """An old number must not stand for a new scene."""
    ledger = SceneLedger(start=NOW - timedelta(days=2))
    ledger.adopt(None, 41)

    assert ledger.begin(ledger.new_scenes([scene(1)], NOW))[0] == 42


@pytest.mark.parametrize("stored", [{}, [], "text", 5, {"version": 2}, {"version": 1, "number": 1, "pending": [1]}])
def test_a_foreign_memory_is_refused(stored):
    """Rather than taken for an empty one."""
    with pytest.raises(ValueError, match="no memory of announced scenes"):
        SceneLedger().adopt(stored)


def test_of_a_memory_that_is_broken_nothing_is_kept():
    """Scenes that only half a memory knows must not count as announced."""
    ledger = SceneLedger(start=NOW - timedelta(days=2))
    announce(ledger, [scene(1)])
    broken = {**ledger.to_json(), "since": "not a day"}

    restarted = SceneLedger(start=NOW - timedelta(days=2))
    with pytest.raises(ValueError, match="no memory of announced scenes"):
        restarted.adopt(broken)

    assert restarted.is_blank
    assert announce(restarted, [scene(1)]) == [scene(1)["id"]]


@pytest.mark.parametrize("value", [0, 0.5, 367, -1, "7", None, True, timedelta(hours=3), float("nan")])
def test_a_lookback_that_cannot_be_is_refused(value):
    """The error names the argument."""
    with pytest.raises(SentinelHubRequestError, match=r"^lookback is"):
        check_lookback(value)


@given(
    published=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), min_size=1, max_size=25, unique=True),
    crashes=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=8),
)
def test_none_is_lost_and_none_is_announced_twice(published, crashes):
    """Whatever is published when, and wherever a process is killed: also between an event and its confirmation."""
    database: dict[str, Any] = {"state": None, "announced": 0, "events": []}
    catalog: list[dict[str, Any]] = []

    def watch(until_events: int | None) -> None:
        """Run a watcher until it is at rest, or killed after so many events were stored."""
        ledger = SceneLedger(start=NOW - timedelta(days=7))
        ledger.adopt(database["state"], database["announced"])
        new = ledger.new_scenes(catalog, NOW)
        for begin in range(0, len(new), 4):
            number, batch = ledger.begin(new[begin : begin + 4])
            database["state"] = json.loads(json.dumps(ledger.to_json()))
            if until_events == 0:
                return
            # One transaction stores both.
            database["events"] += [item["id"] for item in batch]
            database["announced"] = number
            until_events = None if until_events is None else until_events - 1
            ledger.commit()
        ledger.move_on(NOW)

    for hour, (day, tile) in enumerate(published):
        catalog.insert(hour % (len(catalog) + 1), scene(day, tile=f"33T{tile:02d}"))
        for stored, when in crashes:
            if when == hour:
                watch(stored)
    watch(None)

    assert sorted(database["events"]) == sorted(item["id"] for item in catalog)
