"""Sentinel-1 and the elevation model: the same landscape, seen by radar and measured."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from rasterio.io import MemoryFile

from sentinelhub_provider.sandbox.apis.process.render import process
from sentinelhub_provider.sandbox.errors import ApiError
from sentinelhub_provider.sandbox.world.grid import Grid
from sentinelhub_provider.sandbox.world.scenes import Scene, SyntheticScenes
from sentinelhub_provider.sandbox.world.scenes.elevation import elevation
from sentinelhub_provider.sandbox.world.scenes.model import Reading

S1 = "sentinel-1-grd"
Body = Callable[..., dict[str, Any]]
BBOX = (14.0, 46.0, 14.03, 46.02)
MAY = datetime(2024, 5, 1, tzinfo=UTC)
JUNE = datetime(2024, 6, 1, tzinfo=UTC)
GRID = Grid.from_bounds(32633, (424_000.0, 5_096_000.0, 426_560.0, 5_098_560.0), 256, 256)


@pytest.fixture
def passes(source: SyntheticScenes) -> list[Scene]:
    """All radar scenes of May over one place."""
    return list(source.search(S1, bbox=BBOX, start=MAY, end=JUNE))


def decibels(power: np.ndarray) -> np.ndarray:
    """Linear power to decibels."""
    return 10 * np.log10(np.maximum(power, 1e-6))


def render(source: SyntheticScenes, made: dict[str, Any]) -> np.ndarray:
    """Render and read back the first band."""
    with MemoryFile(process(made, accept=None, source=source).content) as memory, memory.open() as tiff:
        return tiff.read(1)


def request(body: Body, kind: str, band: str, processing: Any = None, **chosen: Any) -> dict[str, Any]:
    """A request of one band as FLOAT32."""
    made = body(
        f'//VERSION=3\nfunction setup() {{ return {{ input: ["{band}"], '
        'output: { bands: 1, sampleType: "FLOAT32" } }; }\n'
        f"function evaluatePixel(s) {{ return [s.{band}]; }}"
    )
    time = {"from": "2024-06-01T00:00:00Z", "to": "2024-06-30T23:59:59Z"}
    made["input"]["data"] = [
        {"type": kind, "dataFilter": {"timeRange": time, **chosen}, "processing": processing or {}}
    ]
    return made


def test_a_place_is_seen_every_sixth_day_in_each_direction(passes: list[Scene]):
    """About five passes of each direction in a month, newest first."""
    times = [scene.datetime for scene in passes]
    assert times == sorted(times, reverse=True)
    for direction, hour in (("ascending", 17), ("descending", 5)):
        own = [scene for scene in passes if scene.properties["sat:orbit_state"] == direction]
        gaps = {(later.datetime - earlier.datetime).total_seconds() / 86_400 for later, earlier in pairwise(own)}
        assert own
        assert all(abs(gap - 6) < 0.01 for gap in gaps)
        local = own[0].datetime + timedelta(hours=14.0 / 15)
        assert abs(local.hour + local.minute / 60 - hour - 0.6) < 0.5


def test_a_scene_is_found_by_its_id(source: SyntheticScenes, passes: list[Scene]):
    """Its name leads back to it; another name of the same form does not."""
    for scene in passes:
        assert scene.id.startswith("S1")
        assert source.get(S1, scene.id) == scene
    assert source.get(S1, passes[0].id[:-4] + "0000") is None
    assert source.get(S1, "S1A_IW_GRDH_1SDV_20240501T050000_20240501T050025_000001_FFFFFF_0000") is None
    assert len({scene.id for scene in source.search(S1, bbox=(10, 44, 14, 48), start=MAY, end=JUNE)}) == len(
        list(source.search(S1, bbox=(10, 44, 14, 48), start=MAY, end=JUNE))
    )


def test_searches_round_the_world_are_in_order(source: SyntheticScenes):
    """Morning and evening passes of neighbouring local days interleave; time goes down all the same."""
    found = source.search(S1, bbox=(-180, 40, 180, 48), start=MAY, end=MAY + timedelta(days=2))
    times = [scene.datetime for scene in found]
    assert len(times) > 200
    assert times == sorted(times, reverse=True)
    assert min(times) >= MAY


def test_radar_sees_the_landscape_that_the_camera_sees(source: SyntheticScenes, passes: list[Scene]):
    """Water is dark, forest is bright in VH, VV is brighter than VH."""
    lake = Grid.from_bounds(32633, (448_160.0, 5_096_000.0, 450_720.0, 5_098_560.0), 128, 128)
    clear = min(
        source.search("sentinel-2-l2a", bbox=BBOX, start=MAY, end=JUNE), key=lambda scene: scene.cloud_cover or 0.0
    )
    water = clear.read(["SCL"], lake)["SCL"] == 6
    bands = passes[0].read(["VV", "VH", "dataMask"], lake)
    vv, vh = decibels(bands["VV"]), decibels(bands["VH"])
    assert (bands["dataMask"] == 1).all()
    assert -16 < np.median(vv) < -6
    assert 4 < np.median(vv) - np.median(vh) < 11
    assert water.sum() > 50
    assert vv[water].mean() < vv[~water].mean() - 3


def test_speckle_is_new_in_every_pass_and_the_same_in_every_request(passes: list[Scene]):
    """Windows of a grid repeat the whole; passes differ."""
    whole = passes[0].read(["VV"], GRID)["VV"]
    part = passes[0].read(["VV"], GRID.window(40, 60, 50, 70))["VV"]
    np.testing.assert_array_equal(whole[40:90, 60:130], part)
    assert np.corrcoef(whole.ravel(), passes[1].read(["VV"], GRID)["VV"].ravel())[0, 1] < 0.95


def test_a_speckle_filter_smooths(passes: list[Scene]):
    """The larger the window, the less neighbours differ; the mean stays."""
    plain = passes[0].read(["VV"], GRID)["VV"]
    window = {"type": "LEE", "windowSizeX": 5, "windowSizeY": 5}
    smooth = passes[0].read(["VV"], GRID, Reading(options={"speckleFilter": window}))["VV"]
    assert np.abs(np.diff(smooth)).mean() < 0.6 * np.abs(np.diff(plain)).mean()
    assert smooth.mean() == pytest.approx(plain.mean(), rel=0.02)


def test_backscatter_coefficients_are_ordered(passes: list[Scene]):
    """Sigma nought lies below gamma nought, beta nought above sigma nought, by the angle of incidence."""

    def mean(coefficient: str) -> float:
        return float(passes[0].read(["VV"], GRID, Reading(options={"backCoeff": coefficient}))["VV"].mean())

    gamma, sigma, beta = mean("GAMMA0_ELLIPSOID"), mean("SIGMA0_ELLIPSOID"), mean("BETA0")
    assert 0.65 < sigma / gamma < 0.9
    assert 1.3 < beta / sigma < 2.0
    assert mean("GAMMA0_TERRAIN") != gamma


def test_filters_choose_scenes(source: SyntheticScenes, body: Body):
    """Both directions have data of their own; a mode or polarisation that nobody flew has none."""
    up = render(source, request(body, S1, "VV", orbitDirection="ASCENDING", acquisitionMode="IW", polarization="DV"))
    down = render(source, request(body, S1, "VV", orbitDirection="DESCENDING", resolution="HIGH"))
    assert (up > 0).all()
    assert (down > 0).all()
    assert (up != down).any()
    assert (render(source, request(body, S1, "VV", acquisitionMode="EW")) == 0).all()
    assert (render(source, request(body, S1, "VV", polarization="SH")) == 0).all()


def test_radar_processing_is_charged(source: SyntheticScenes, body: Body):
    """Orthorectified costs twice, terrain corrected two and a half times as much."""

    def units(**processing: Any) -> float:
        made = request(body, S1, "VV", processing)
        made["output"] |= {"width": 512, "height": 512}
        return process(made, accept=None, source=source).processing_units

    plain = units()
    assert plain == pytest.approx(2 / 3)
    assert units(orthorectify=True) == pytest.approx(2 * plain)
    assert units(orthorectify=True, backCoeff="GAMMA0_TERRAIN") == pytest.approx(2.5 * plain)
    filtered = {"type": "LEE", "windowSizeX": 3, "windowSizeY": 3}
    assert units(speckleFilter=filtered) == pytest.approx(2 * plain)


@pytest.mark.parametrize(
    ("chosen", "processing", "parameter"),
    [
        ({"orbitDirection": "UP"}, {}, "dataFilter->orbitDirection"),
        ({"polarization": "VX"}, {}, "dataFilter->polarization"),
        ({"acquisitionMode": "iw"}, {}, "dataFilter->acquisitionMode"),
        ({"resolution": "10m"}, {}, "dataFilter->resolution"),
        ({"timeliness": "soon"}, {}, "dataFilter->timeliness"),
        ({"mosaickingOrder": "leastCC"}, {}, "dataFilter->mosaickingOrder"),
        ({}, {"backCoeff": "GAMMA0"}, "processing->backCoeff"),
        ({}, {"backCoeff": "GAMMA0_TERRAIN"}, "processing->backCoeff"),
        ({}, {"orthorectify": "yes"}, "processing->orthorectify"),
        ({}, {"demInstance": "SRTM"}, "processing->demInstance"),
        ({}, {"radiometricTerrainOversampling": 5}, "processing->radiometricTerrainOversampling"),
        ({}, {"speckleFilter": "LEE"}, "processing->speckleFilter"),
        ({}, {"speckleFilter": {"type": "MEAN"}}, "processing->speckleFilter->type"),
        ({}, {"speckleFilter": {"type": "LEE", "windowSizeX": 3}}, "processing->speckleFilter->windowSizeY"),
        (
            {},
            {"speckleFilter": {"type": "LEE", "windowSizeX": 9, "windowSizeY": 3}},
            "processing->speckleFilter->windowSizeX",
        ),
    ],
)
def test_malformed_radar_options_are_named(
    source: SyntheticScenes, body: Body, chosen: dict[str, Any], processing: dict[str, Any], parameter: str
):
    """400 with the field's path."""
    with pytest.raises(ApiError) as caught:
        process(request(body, S1, "VV", processing, **chosen), accept=None, source=source)
    assert caught.value.errors[0]["parameter"] == f"input->data[0]->{parameter}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('input: ["VV"]', 'input: [{ bands: ["VV"], units: "DECIBEL" }]', "unsupported units 'DECIBEL'"),
        ('input: ["VV"]', 'mosaicking: "TILE", input: ["VV"]', "mosaicking TILE is not supported for collection S1GRD"),
    ],
)
def test_what_the_service_has_not_is_refused(source: SyntheticScenes, body: Body, old: str, new: str, message: str):
    """Decibels are made in the evalscript; single tiles are not to be had."""
    made = request(body, S1, "VV")
    made["evalscript"] = made["evalscript"].replace(old, new)
    with pytest.raises(ApiError, match=message):
        process(made, accept=None, source=source)


def test_heights_are_those_of_the_landscape(source: SyntheticScenes, body: Body):
    """A smooth surface in metres, whatever the time range; every pixel has data."""
    heights = render(source, request(body, "dem", "DEM"))
    lon, lat = Grid.from_bounds(32633, GRID.bounds, 64, 64).lonlat()
    expected = elevation(0, lon.ravel(), lat.ravel()).reshape(64, 64)
    np.testing.assert_allclose(heights, expected, atol=1e-3)
    assert 5 < heights.max() - heights.min() < 600
    assert np.abs(np.diff(heights)).max() < 40
    assert (render(source, request(body, "dem", "dataMask")) == 1).all()


def test_dem_options(source: SyntheticScenes, body: Body):
    """Ellipsoidal heights are the geoid's higher; nothing is below 0 if so wanted; 90 m is coarser than 30 m."""
    plain = render(source, request(body, "dem", "DEM"))
    above = render(source, request(body, "dem", "DEM", {"egm": True})) - plain
    assert 0 < above.min() < above.max() < 90
    assert above.max() - above.min() < 1
    assert (render(source, request(body, "dem", "DEM", {"clampNegative": True})) >= 0).all()

    def steps(instance: str) -> int:
        made = request(body, "dem", "DEM", demInstance=instance)
        made["output"] |= {"width": 256, "height": 256}
        return int(np.unique(render(source, made)).size)

    assert steps("COPERNICUS_90") < steps("COPERNICUS_30") / 4
    with pytest.raises(ApiError, match="demInstance"):
        process(request(body, "dem", "DEM", demInstance="SRTM"), accept=None, source=source)
