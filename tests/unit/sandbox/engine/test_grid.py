"""Pixel grids and the projections behind them."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.warp import transform

from sentinelhub_provider.sandbox.world.grid import Grid
from sentinelhub_provider.sandbox.world.utm import Zone, forward, inverse, zone_of


@pytest.mark.parametrize("zone", [Zone(33, True), Zone(1, True), Zone(60, False), Zone(23, False)], ids=str)
def test_utm_agrees_with_proj(zone: Zone):
    """Our series and PROJ's differ by less than a millimetre, all over the zone."""
    lats = np.linspace(0.1, 83.5, 40) * (1 if zone.north else -0.95)
    lons = zone.central_meridian + np.linspace(-3, 3, 40)
    east, north = forward(zone, lons, lats)
    expected = transform("OGC:CRS84", f"EPSG:{zone.epsg}", lons, lats)
    np.testing.assert_allclose(east, expected[0], atol=1e-3)
    np.testing.assert_allclose(north, expected[1], atol=1e-3)
    back = inverse(zone, east, north)
    np.testing.assert_allclose(back, (lons, lats), atol=1e-9)


@pytest.mark.parametrize("epsg", [3857, 32633, 3035, 4326])
def test_pixel_centres_agree_with_proj(epsg: int):
    """Longitude and latitude of pixel centres are PROJ's, in every kind of CRS."""
    x, y = transform("OGC:CRS84", f"EPSG:{epsg}", [14.0, 14.1], [46.0, 46.1])
    if epsg == 4326:
        x, y = [14.0, 14.1], [46.0, 46.1]
    grid = Grid.from_bounds(epsg, (min(x), min(y), max(x), max(y)), 5, 4)
    lon, lat = grid.lonlat()
    xs, ys = np.meshgrid(*grid.axes())
    expected = (xs, ys) if epsg == 4326 else transform(f"EPSG:{epsg}", "OGC:CRS84", xs.ravel(), ys.ravel())
    np.testing.assert_allclose(lon.ravel(), np.ravel(expected[0]), atol=1e-8)
    np.testing.assert_allclose(lat.ravel(), np.ravel(expected[1]), atol=1e-8)


def test_a_window_has_the_grids_own_pixels():
    """Pixel centres of a window are bit for bit those of the grid."""
    grid = Grid.from_bounds(4326, (14.0, 46.0, 14.1, 46.1), 97, 61)
    part = grid.window(10, 20, 30, 40)
    np.testing.assert_array_equal(part.axes()[0], grid.axes()[0][20:60])
    np.testing.assert_array_equal(part.axes()[1], grid.axes()[1][10:40])
    assert part.bounds[3] == pytest.approx(46.1 - 10 * 0.1 / 61)


def test_metres_per_pixel_of_degrees_depend_on_latitude():
    """A degree of longitude is shorter at 60 degrees; the coarser side counts."""
    assert Grid.from_bounds(4326, (10, 59.9, 10.2, 60.1), 20, 2000).metres_per_pixel() == pytest.approx(556.6, rel=1e-3)
    assert zone_of(4326) is None
