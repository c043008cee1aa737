"""Where coordinates are awkward: two names for one CRS, shifts between data, 180 degrees, poles, longitudes from 0 to
360.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal, osr

from hsfusion.hsfusion_plugin.rasters.grids.align import align
from hsfusion.hsfusion_plugin.rasters.grids.crs import same_crs, same_there
from hsfusion.hsfusion_plugin.rasters.grids.warp import on_grid_of
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.tests.qgis import products

BANDS = 5
RATIO = 4
WAVES = 1700.0  # metres


def crs(text) -> osr.SpatialReference:
    reference = osr.SpatialReference()
    reference.SetFromUserInput(text if isinstance(text, str) else f"EPSG:{text}")
    reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return reference


def carried(x, y, source, target):
    points = np.column_stack([np.ravel(x), np.ravel(y)]).tolist()
    found = osr.CoordinateTransformation(crs(source), crs(target)).TransformPoints(points)
    return np.array(found)[:, :2].T.reshape(2, *np.shape(x))


def on_earth(lon, lat):
    """(BANDS, ...): smooth waves in space, the same wherever longitudes are counted from."""
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    place = 6.378e6 * np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    return np.stack([1000 + 300 * np.sin(place / WAVES + k).sum(axis=0) for k in range(BANDS)])


def centres(grid, shape):
    col, row = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    return grid[0] + col * grid[1], grid[3] + row * grid[5]


def write(path, grid, shape, code, count=BANDS):
    """A raster of `on_earth` at the pixels' centres."""
    values = on_earth(*carried(*centres(grid, shape), code, 4326))[:count]
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), shape[1], shape[0], count, gdal.GDT_Float32)
    dataset.SetGeoTransform(grid)
    dataset.SetProjection(crs(code).ExportToWkt())
    dataset.WriteArray(values.astype(np.float32))
    dataset = None
    return path


def check(hsi_path, msi_path, code, resampled, least=0.9):
    """The HSI on the MSI's grid holds what is at the place of its pixels."""
    msi = Raster.open(msi_path, "MSI")
    hsi, said = on_grid_of(Raster.open(hsi_path, "HSI"), msi)
    assert bool(said) == resampled
    alignment = align(hsi, msi)
    shared = alignment.scene_shape[0] * alignment.scene_shape[1] / (msi.rows * msi.cols)
    values = hsi.read(alignment.coarse_rows, alignment.coarse_cols)
    known = np.isfinite(values).all(axis=0)
    assert shared * known.mean() > least
    grid = hsi.geotransform
    col, row = np.meshgrid(np.array(alignment.coarse_cols) + 0.5, np.array(alignment.coarse_rows) + 0.5)
    truth = on_earth(*carried(grid[0] + col * grid[1], grid[3] + row * grid[5], code, 4326))
    error = np.abs(values - truth)[:, known]
    assert np.median(error) < (6.0 if resampled else 0.5) and np.percentile(error, 98) < (40.0 if resampled else 1.0)


UTM60 = (712000.0, 10.0, 0.0, 5545000.0, 0.0, -10.0)  # 180 degrees run through it
UTM_SHAPE = (240, 280)
DEGREE = 1.2e-4  # about 10 m
EAST = (180.0 - 140 * DEGREE, DEGREE, 0.0, 50.0, 0.0, -DEGREE)
WEST = (-180.0 - 140 * DEGREE, *EAST[1:])
FINE = {
    "UTM": (UTM60, UTM_SHAPE, 32660),
    "degrees east": (EAST, UTM_SHAPE, 4326),
    "degrees west": (WEST, UTM_SHAPE, 4326),
}


def coarser(grid, shape):
    return (grid[0], RATIO * grid[1], 0.0, grid[3], 0.0, RATIO * grid[5]), (shape[0] // RATIO, shape[1] // RATIO)


@pytest.mark.parametrize("hsi", FINE)
@pytest.mark.parametrize("msi", FINE)
def test_across_180_degrees(tmp_path, hsi, msi):
    """Nothing is lost, whichever side longitudes are counted from; between two grids in degrees nothing is
    resampled.
    """
    fine = write(tmp_path / "msi.tif", *FINE[msi], count=2)
    grid, shape, code = FINE[hsi]
    if ("UTM" in hsi) != ("UTM" in msi):  # large enough to cover the other one
        x, y = carried(*centres(*FINE[msi][:2]), FINE[msi][2], code)
        x = x + 360 * np.round((grid[0] - x) / 360) if code == 4326 else x
        shape = (int((y.max() - y.min()) / -grid[5]) + 9, int((x.max() - x.min()) / grid[1]) + 9)
        grid = (x.min() - 4 * grid[1], grid[1], 0.0, y.max() - 4 * grid[5], 0.0, grid[5])
    coarse = write(tmp_path / "hsi.tif", *coarser(grid, shape), code)
    check(coarse, fine, FINE[msi][2], resampled=("UTM" in hsi) != ("UTM" in msi))


def swath(path, grid, shape, code):
    """A swath along a turned flight line over the grid's middle, as EMIT's."""
    turn = np.deg2rad(12.0)
    pixel = RATIO * grid[1]
    cols, rows = 90, 80
    col, row = np.meshgrid(np.arange(cols) + 0.5 - cols / 2, np.arange(rows) + 0.5 - rows / 2)
    x = grid[0] + shape[1] * grid[1] / 2 + pixel * (col * np.cos(turn) + row * np.sin(turn))
    y = grid[3] + shape[0] * grid[5] / 2 + pixel * (col * np.sin(turn) - row * np.cos(turn))
    lon, lat = carried(x, y, code, 4326)
    return products.emit(path, on_earth(lon, lat).astype(np.float32), 450.0 + 100 * np.arange(BANDS), lon, lat)


POLES = {
    "north": ((-1200.0, 10.0, 0.0, 1300.0, 0.0, -10.0), (260, 240), 3413),
    "south": ((-1200.0, 10.0, 0.0, 1300.0, 0.0, -10.0), (260, 240), 3031),
    "180 degrees": (UTM60, UTM_SHAPE, 32660),
}


@pytest.mark.skipif(gdal.GetDriverByName("netCDF") is None, reason="this GDAL reads no netCDF")
@pytest.mark.parametrize("place", POLES)
def test_swaths_where_longitudes_jump(tmp_path, place):
    name = swath(tmp_path / "cube.nc", *POLES[place])
    check(name, write(tmp_path / "msi.tif", *POLES[place], count=2), POLES[place][2], resampled=True)


@pytest.mark.skipif(gdal.GetDriverByName("netCDF") is None, reason="this GDAL reads no netCDF")
@pytest.mark.parametrize("side", ["degrees east", "degrees west"])
def test_a_swath_across_180_degrees_on_a_grid_in_degrees(tmp_path, side):
    name = swath(tmp_path / "cube.nc", UTM60, UTM_SHAPE, 32660)
    lon, lat = carried(712000 + 1400, 5545000 - 1200, 32660, 4326)
    grid = (FINE[side][0][0], DEGREE, 0.0, float(lat) + 60 * DEGREE, 0.0, -DEGREE)
    check(name, write(tmp_path / "msi.tif", grid, (120, 280), 4326, count=2), 4326, resampled=True, least=0.5)


SAME = [
    (32633, 25833),
    (32633, "EPSG:32633+5773"),
    (4326, "OGC:CRS84"),
    (4326, 4979),
    (4326, 4258),
    (26917, 6346),
    (3857, "EPSG:3857+5773"),
]


@pytest.mark.parametrize(("one", "other"), SAME + [(b, a) for a, b in SAME])
def test_two_names_for_one_place(tmp_path, one, other):
    """Where the change of CRS moves nothing, nothing is resampled: the pixels are the file's own."""
    projected = bool(crs(one).IsProjected())
    pixel = 10.0 if projected else 1e-4
    grid = (500000.0, pixel, 0.0, 5545000.0, 0.0, -pixel) if projected else (14.0, pixel, 0.0, 50.0, 0.0, -pixel)
    fine, coarse = (
        write(tmp_path / "msi.tif", grid, (96, 96), one, 2),
        write(tmp_path / "hsi.tif", *coarser(grid, (96, 96)), one),
    )
    dataset = gdal.Open(str(coarse), gdal.GA_Update)
    dataset.SetProjection(crs(other).ExportToWkt())
    dataset = None
    msi, given = Raster.open(fine, "MSI"), Raster.open(coarse, "HSI")
    hsi, said = on_grid_of(given, msi)
    alignment = align(hsi, msi)
    assert said == "" and alignment.scene_shape == (96, 96) and alignment.phase_x == alignment.phase_y == 0.0
    np.testing.assert_array_equal(hsi.read(range(24), range(24)), given.read(range(24), range(24)))


def test_a_shift_of_datum_moves_the_grid_and_resamples_nothing(tmp_path):
    """ED50 lies about 100 m beside WGS 84, over a scene hardly turned."""
    grid = (500000.0, 10.0, 0.0, 5545000.0, 0.0, -10.0)
    fine = write(tmp_path / "msi.tif", grid, (200, 200), 32633, 2)
    x, y = carried(grid[0], grid[3], 32633, 23033)
    coarse = write(tmp_path / "hsi.tif", (float(x), 40.0, 0.0, float(y), 0.0, -40.0), (50, 50), 23033)
    check(coarse, fine, 32633, resampled=False)
    hsi, _ = on_grid_of(Raster.open(coarse, "HSI"), Raster.open(fine, "MSI"))
    assert "no pixel was resampled" in hsi.facts[0]


@settings(max_examples=40, deadline=None)
@given(
    zone=st.integers(1, 60), north=st.booleans(), height=st.sampled_from(["", "+5773", "+3855"]), lat=st.floats(1, 70)
)
def test_heights_and_zones(zone, north, height, lat):
    """A height changes no place; another zone does."""
    code = (32600 if north else 32700) + zone
    one, other = crs(code).ExportToWkt(), crs(f"EPSG:{code}{height}").ExportToWkt()
    beside = crs(code + (1 if zone < 60 else -1)).ExportToWkt()
    y = lat * 111e3 if north else 1e7 - lat * 111e3
    bounds = (490000.0, y - 5e3, 510000.0, y + 5e3)
    assert same_crs(one, other) and same_there(one, other, bounds, (10.0, 10.0))
    assert not same_crs(one, beside) and not same_there(one, beside, bounds, (10.0, 10.0))
