"""The synthetic world: the same for everyone, without seams, with seasons and weather."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from sentinelhub_provider.sandbox.world.grid import Grid
from sentinelhub_provider.sandbox.world.scenes import Scene, SyntheticScenes
from sentinelhub_provider.sandbox.world.scenes.landscape import survey

L2A, L1C = "sentinel-2-l2a", "sentinel-2-l1c"
BOX = (14.02, 46.02, 14.06, 46.05)
GRID = Grid.from_bounds(32633, (424_000, 5_096_000, 426_560, 5_098_560), 128, 128)
BANDS = ["B02", "B04", "B08", "B11", "SCL", "dataMask"]


def day(text: str) -> datetime:
    """Midnight UTC of a day."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def search(source: SyntheticScenes, start: str, end: str, bbox=BOX, collection: str = L2A) -> list[Scene]:
    """List scenes between two days."""
    return list(source.search(collection, bbox=bbox, start=day(start), end=day(end)))


def clearest(source: SyntheticScenes, start: str, end: str, bbox=BOX) -> Scene:
    """Find the scene with the least cloud."""
    return min(search(source, start, end, bbox), key=lambda scene: scene.cloud_cover or 0.0)


def ndvi(scene: Scene, grid: Grid = GRID) -> float:
    """Average NDVI over a grid."""
    values = scene.read(["B04", "B08"], grid)
    return float(np.mean((values["B08"] - values["B04"]) / (values["B08"] + values["B04"])))


def test_the_same_scene_has_the_same_pixels_in_another_world_of_the_same_seed(source: SyntheticScenes):
    """Nothing but the seed decides: no state, no time, no order of reading."""
    scene = search(source, "2024-06-01", "2024-06-30")[0]
    other = SyntheticScenes(clock=lambda: day("2030-01-01")).get(L2A, scene.id)
    first, second = scene.read(BANDS, GRID), other.read(list(reversed(BANDS)), GRID)
    for band in BANDS:
        np.testing.assert_array_equal(first[band], second[band])


def test_changed_pixels_do_not_reach_the_next_request(source: SyntheticScenes):
    """Land and sky are cached. Nobody can change them, neither by a result nor directly."""
    scene = clearest(source, "2024-06-01", "2024-07-01")
    first = scene.read(BANDS, GRID)
    kept = {name: values.copy() for name, values in first.items()}
    for values in first.values():
        values[...] = 0
    again = scene.read(BANDS, GRID)

    assert all(np.array_equal(again[name], kept[name]) for name in BANDS)
    with pytest.raises(ValueError, match="read-only"):
        survey(0, np.array([14.0]), np.array([46.0])).water[:] = 1


def test_another_seed_is_another_world(source: SyntheticScenes):
    """The seed changes the land."""
    scene = search(source, "2024-06-01", "2024-06-30")[0]
    other = next(
        SyntheticScenes(1, clock=lambda: day("2025-01-01")).search(
            L2A, bbox=BOX, start=scene.datetime - timedelta(hours=1), end=scene.datetime + timedelta(hours=1)
        )
    )
    assert not np.array_equal(scene.read(["B04"], GRID)["B04"], other.read(["B04"], GRID)["B04"])


def test_two_halves_are_the_whole(source: SyntheticScenes):
    """What is read in parts joins without a seam, to the last bit."""
    scene = next(s for s in search(source, "2024-06-01", "2024-07-30") if 5 < (s.cloud_cover or 0) < 95)
    whole = scene.read(BANDS, GRID)
    west, east = scene.read(BANDS, GRID.window(0, 0, 128, 50)), scene.read(BANDS, GRID.window(0, 50, 128, 78))
    for band in BANDS:
        np.testing.assert_array_equal(np.hstack([west[band], east[band]]), whole[band])


def test_tiles_of_two_zones_meet_without_gap_or_overlap(source: SyntheticScenes):
    """At the border of two UTM zones, each pixel belongs to exactly one tile."""
    grid = Grid.from_bounds(4326, (11.97, 48.0, 12.03, 48.04), 60, 40)
    scenes = search(source, "2024-06-01", "2024-06-10", bbox=(11.97, 48.0, 12.03, 48.04))
    one_each = {scene.id.split("_")[5]: scene for scene in scenes}
    assert {name[:3] for name in one_each} == {"T32", "T33"}
    total = sum(scene.read(["dataMask"], grid)["dataMask"] for scene in one_each.values())
    np.testing.assert_array_equal(total, np.ones(grid.shape))


def test_the_land_runs_on_across_a_zone_border(source: SyntheticScenes):
    """Neighbouring pixels on both sides of a zone border are as alike as within a zone."""
    grid = Grid.from_bounds(4326, (11.98, 48.0, 12.02, 48.04), 80, 80)
    values = np.zeros(grid.shape)
    for scene in search(source, "2024-06-01", "2024-06-10", bbox=(11.98, 48.0, 12.02, 48.04)):
        read = scene.read(["SCL", "dataMask"], grid)
        values[read["dataMask"] > 0] = read["SCL"][read["dataMask"] > 0] == 6
    across = np.abs(np.diff(values, axis=1)).mean(axis=0)
    assert across[39] <= across.max()


@pytest.mark.parametrize(
    ("bbox", "name"),
    [
        ((14.05, 46.05, 14.06, 46.06), "33TVM"),
        ((151.2, -33.9, 151.21, -33.89), "56HLH"),
        ((-43.2, -22.9, -43.19, -22.89), "23KPQ"),
        ((15.6, 78.2, 15.65, 78.25), "33XWG"),
        ((11.5, 48.2, 11.51, 48.21), "32UPU"),
        ((-70.0, -79.95, -69.9, -79.9), "19CDM"),
    ],
    ids=["Slovenia", "Sydney", "Rio", "Svalbard", "Munich", "far south"],
)
def test_tiles_bear_the_names_of_the_military_grid(source: SyntheticScenes, bbox, name: str):
    """Names are those of MGRS, which real products carry for the same places."""
    names = {scene.id.split("_T")[1][:5] for scene in search(source, "2024-06-01", "2024-06-15", bbox=bbox)}
    assert name in names


def test_every_place_is_seen_every_five_days(source: SyntheticScenes):
    """The days of one tile are exactly five apart."""
    days = sorted({scene.datetime.date() for scene in search(source, "2023-01-01", "2023-12-31")})
    assert {later - earlier for earlier, later in itertools.pairwise(days)} == {timedelta(days=5)}


def test_scenes_come_newest_first_and_within_the_interval(source: SyntheticScenes):
    """Search is in descending order of time and includes both ends."""
    found = search(source, "2024-03-01", "2024-05-01", bbox=(10.0, 44.0, 20.0, 48.0))
    times = [scene.datetime for scene in found]
    assert times == sorted(times, reverse=True)
    edge = times[3]
    assert [s.datetime for s in source.search(L2A, bbox=found[3].bbox, start=edge, end=edge)].count(edge) >= 1


def test_an_open_interval_is_searched_lazily(source: SyntheticScenes):
    """The first of nine years' scenes costs no more than a few."""
    endless = source.search(L2A, bbox=BOX, start=day("2016-01-01"), end=day("2999-01-01"))
    assert isinstance(endless, Iterator)
    assert next(endless).datetime > day("2024-12-26")


def test_there_are_no_scenes_of_the_future_or_before_2016(source: SyntheticScenes):
    """The injected clock says what is now."""
    assert not search(source, "2025-01-01", "2026-01-01")
    assert not search(source, "2010-01-01", "2015-12-30")
    assert search(source, "2016-01-01", "2016-01-08")


def test_a_scene_is_found_by_its_id_alone(source: SyntheticScenes):
    """The id names tile and time; any other id finds nothing."""
    for collection in (L2A, L1C):
        for scene in search(
            source, "2024-06-01", "2024-06-20", collection=collection, bbox=(179.0, -17.0, -179.0, -16.0)
        ):
            assert source.get(collection, scene.id) == scene
    scene = search(source, "2024-06-01", "2024-06-20")[0]
    assert source.get(L1C, scene.id) is None
    assert source.get(L2A, scene.id.replace("N0510", "N0300")) is None
    assert source.get(L2A, scene.id[:-1] + ("0" if scene.id[-1] != "0" else "1")) is None
    assert source.get(L2A, "S2A_MSIL2A_20241399T999999_N0510_R122_T33TVM_20240613T000000") is None
    assert source.get(L2A, "nonsense") is None


def test_cloud_cover_is_what_the_pixels_show(source: SyntheticScenes):
    """The percentage in the metadata is that of the scene classification, within two points."""
    grid = Grid.from_bounds(32633, (400_000, 5_100_000, 500_000, 5_200_000), 100, 100)
    scenes = [s for s in search(source, "2024-04-01", "2024-09-30") if "T33TVM" in s.id]
    assert any(scene.cloud_cover == 0 for scene in scenes)
    assert any((scene.cloud_cover or 0) > 90 for scene in scenes)
    for scene in [s for s in scenes if 1 < (s.cloud_cover or 0) < 99][:6]:
        classes = scene.read(["SCL"], grid)["SCL"]
        assert 100 * np.isin(classes, (8, 9, 10)).mean() == pytest.approx(scene.cloud_cover, abs=2.0)


def test_a_year_has_seasons(source: SyntheticScenes):
    """Slovenia is greener in early summer than in winter."""
    assert ndvi(clearest(source, "2024-05-20", "2024-06-30")) > ndvi(clearest(source, "2024-01-05", "2024-02-10")) + 0.1


def test_the_south_has_its_summer_when_the_north_has_winter(source: SyntheticScenes):
    """At 36 degrees south, December is greener than July."""
    box = (147.02, -36.05, 147.05, -36.02)
    grid = Grid.from_bounds(4326, box, 64, 64)
    assert ndvi(clearest(source, "2023-11-20", "2023-12-31", box), grid) > ndvi(
        clearest(source, "2023-07-01", "2023-08-10", box), grid
    )


def test_fields_differ_from_one_another_and_within_the_year(source: SyntheticScenes):
    """One field ripens while another is green: the order of pixels by greenness changes."""
    spring, summer = clearest(source, "2024-04-20", "2024-05-20"), clearest(source, "2024-08-01", "2024-08-31")

    def greenness(scene: Scene) -> np.ndarray:
        values = scene.read(["B04", "B08"], GRID)
        return ((values["B08"] - values["B04"]) / (values["B08"] + values["B04"])).ravel()

    assert np.corrcoef(greenness(spring), greenness(summer))[0, 1] < 0.8


def test_classification_agrees_with_the_bands(source: SyntheticScenes):
    """Water is dark in the near infrared, vegetation bright."""
    grid = Grid.from_bounds(32633, (420_000, 5_094_000, 432_000, 5_106_000), 300, 300)
    values = clearest(source, "2024-06-01", "2024-07-15").read(["B08", "B04", "SCL"], grid)
    classes = values["SCL"]
    assert {4, 5, 6} <= set(np.unique(classes))
    assert values["B08"][classes == 6].mean() < 0.1 < 0.25 < values["B08"][classes == 4].mean()


def test_level_1c_is_bluer_and_has_a_cirrus_band(source: SyntheticScenes):
    """At the top of the atmosphere the air adds blue light."""
    ground = clearest(source, "2024-06-01", "2024-06-30")
    top = next(
        s
        for s in search(source, "2024-06-01", "2024-06-30", collection=L1C)
        if s.datetime == ground.datetime and s.bbox == ground.bbox
    )
    assert top.read(["B02"], GRID)["B02"].mean() > ground.read(["B02"], GRID)["B02"].mean() + 0.03
    assert top.read(["B10"], GRID)["B10"].max() < 0.2


def test_finer_than_the_source_nearest_repeats_pixels(source: SyntheticScenes):
    """At 2.5 m, four by four pixels show one source pixel of 10 m."""
    grid = Grid.from_bounds(32633, (424_000, 5_096_000, 424_080, 5_096_080), 32, 32)
    values = clearest(source, "2024-06-01", "2024-06-30").read(["B08"], grid)["B08"]
    blocks = values.reshape(8, 4, 8, 4)
    assert (blocks.max(axis=(1, 3)) == blocks.min(axis=(1, 3))).all()


def test_an_unknown_band_is_a_key_error(source: SyntheticScenes):
    """Reading asks for bands that the collection has."""
    with pytest.raises(KeyError):
        search(source, "2024-06-01", "2024-06-30")[0].read(["B99"], GRID)
