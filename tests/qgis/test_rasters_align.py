"""Grids: where the HSI's pixels lie on the MSI's, and which pairs are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal, osr

from hsfusion.hsfusion_plugin.rasters.grids.align import align, same_crs
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import coarse_shape


def crs(code):
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(code)
    return reference.ExportToWkt()


UTM33 = crs(32633)


def raster(role, rows, cols, grid, count=5, wkt=UTM33):
    """A raster in memory: align looks at grids only."""
    name = f"/vsimem/align-{role}.tif"
    dataset = gdal.GetDriverByName("GTiff").Create(name, cols, rows, count, gdal.GDT_Int16, ["SPARSE_OK=TRUE"])
    if grid is not None:
        dataset.SetGeoTransform(grid)
    if wkt:
        dataset.SetProjection(wkt)
    dataset = None
    return Raster.open(name, role)


def hsi(rows=20, cols=25, x=0.0, y=0.0, size=30.0, **rest):
    return raster("HSI", rows, cols, (4e5 + x, size, 0.0, 5.8e6 + y, 0.0, -size), **{"count": 20, **rest})


def msi(rows=60, cols=75, x=0.0, y=0.0, size=10.0, **rest):
    return raster("MSI", rows, cols, (4e5 + x, size, 0.0, 5.8e6 + y, 0.0, -size), **{"count": 4, **rest})


def centre_error(a, coarse, fine):
    """Largest distance, in fine pixels, between where the formula and where the two grids put a coarse pixel's
    centre.
    """
    errors = []
    for axis, (chosen, phase, origin, step) in enumerate(
        ((a.coarse_rows, a.phase_y, 3, 5), (a.coarse_cols, a.phase_x, 0, 1))
    ):
        i = np.arange(len(chosen))
        formula = (i + 0.5) * a.ratio - 0.5 + phase
        place = coarse.geotransform[origin] + (chosen.start + i + 0.5) * coarse.geotransform[step]
        corner = fine.geotransform[origin] + (a.fine_rows, a.fine_cols)[axis].start * fine.geotransform[step]
        errors.append(np.abs(formula - ((place - corner) / fine.geotransform[step] - 0.5)).max())
    return max(errors)


def test_grids_that_nest():
    a = align(hsi(), msi())
    assert a.ratio == 3.0
    assert (a.coarse_shape, a.scene_shape) == ((20, 25), (60, 75))
    assert (a.phase_y, a.phase_x) == (0.0, 0.0)
    assert (a.output_rows, a.output_cols) == (range(60), range(75))
    assert a.geotransform == pytest.approx((4e5, 10, 0, 5.8e6, 0, -10))
    assert a.crs_wkt
    assert a.warnings == ()


def test_hsi_larger_than_msi_and_the_other_way_round():
    a = align(hsi(x=-90, y=150), msi())
    assert (a.coarse_rows, a.coarse_cols) == (range(5, 20), range(3, 25))
    assert (a.fine_rows, a.fine_cols) == (range(45), range(66))
    a = align(hsi(x=90, y=-150), msi(200, 200))
    assert (a.coarse_rows, a.coarse_cols) == (range(20), range(25))
    assert (a.fine_rows, a.fine_cols) == (range(15, 75), range(9, 84))
    assert a.geotransform == pytest.approx((4e5 + 90, 10, 0, 5.8e6 - 150, 0, -10))


def test_grids_off_by_a_fraction():
    """Whole HSI pixels only; the rest of the offset is the phase: positive where the HSI lies further right
    and down.
    """
    a = align(hsi(x=13.0, y=-4.0), msi(200, 200))
    assert (a.phase_x, a.phase_y) == pytest.approx((0.3, 0.4))
    assert (a.fine_cols.start, a.fine_rows.start) == (1, 0)


def test_landsat_is_half_a_pixel_off():
    """Landsat's panchromatic grid starts half a fine pixel outside the multispectral one."""
    a = align(hsi(size=30, x=-7.5, y=7.5), msi(40, 51, size=15))
    assert a.ratio == 2.0
    assert abs(a.phase_x) == abs(a.phase_y) == 0.5
    assert a.scene_shape == (40, 50)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-400, 400),
    st.floats(-400, 400),
    st.integers(2, 6),
    st.integers(60, 150),
    st.integers(60, 150),
)
def test_any_offset_keeps_the_centres(x, y, ratio, rows, cols):
    coarse, fine = hsi(x=x, y=y, size=10.0 * ratio), msi(rows, cols)
    try:
        a = align(coarse, fine)
    except HSFusionError as error:
        assert "share only" in str(error) or "do not overlap" in str(error)
        return
    assert centre_error(a, coarse, fine) < 1e-6
    assert max(abs(a.phase_y), abs(a.phase_x)) <= 0.5 + 1e-6
    assert a.scene_shape == tuple(ratio * n for n in a.coarse_shape)
    assert 0 <= a.fine_rows.start < a.fine_rows.stop <= rows
    assert 0 <= a.fine_cols.start < a.fine_cols.stop <= cols
    assert 0 <= a.coarse_rows.start < a.coarse_rows.stop <= coarse.rows


def test_a_ratio_almost_whole_is_right_in_the_middle():
    coarse, fine = hsi(40, 40, size=30.005), msi(120, 120)
    assert centre_error(align(coarse, fine), coarse, fine) < 0.02


@pytest.mark.parametrize("size", [25.0, 30.02, 83.33, 13.7])
def test_ratios_that_are_no_whole_numbers(size):
    coarse, fine = hsi(40, 40, size=size, x=-31.0, y=17.0), msi(150, 170)
    a = align(coarse, fine)
    assert a.ratio == pytest.approx(size / 10)
    assert centre_error(a, coarse, fine) < 1e-6
    for length, count in zip(a.scene_shape, a.coarse_shape):
        assert abs(length - count * a.ratio) <= 0.5, "the scene is as large as its coarse part, to half a pixel"
    assert coarse_shape(a.scene_shape, a.ratio) == a.coarse_shape


@settings(max_examples=60, deadline=None)
@given(st.floats(-400, 400), st.floats(-400, 400), st.floats(1.1, 9.0), st.integers(90, 150), st.integers(90, 150))
def test_any_ratio_and_offset_keep_the_centres(x, y, ratio, rows, cols):
    coarse, fine = hsi(60, 60, x=x, y=y, size=10.0 * ratio), msi(rows, cols)
    try:
        a = align(coarse, fine)
    except HSFusionError as error:
        assert "share only" in str(error) or "do not overlap" in str(error)
        return
    whole = a.ratio == round(a.ratio)
    assert centre_error(a, coarse, fine) < (0.26 if whole else 3e-6)
    assert max(abs(a.phase_y), abs(a.phase_x)) <= 1.0 + 1e-6
    assert coarse_shape(a.scene_shape, a.ratio) == a.coarse_shape
    assert 0 <= a.fine_rows.start < a.fine_rows.stop <= rows and 0 <= a.fine_cols.start < a.fine_cols.stop <= cols


def test_a_drift_makes_a_whole_ratio_what_it_is():
    """30.008 m against 10 m is 3 on a small scene and carries the grids 0.8 pixels apart on one of 6000 pixels."""
    assert align(hsi(40, 40, size=30.008), msi(120, 120)).ratio == 3.0
    assert align(hsi(2000, 2000, size=30.008), msi(6000, 6000)).ratio == pytest.approx(3.0008)


def test_extent_cuts_the_output_only():
    whole = align(hsi(x=13), msi(200, 200))
    x0, y0 = whole.geotransform[0], whole.geotransform[3]
    a = align(hsi(x=13), msi(200, 200), extent=(x0 + 52, y0 - 300, x0 + 251, y0 - 98))
    assert (a.output_rows, a.output_cols) == (range(10, 30), range(5, 25))
    assert (a.coarse_rows, a.fine_rows, a.phase_x) == (whole.coarse_rows, whole.fine_rows, whole.phase_x)
    assert a.geotransform_of(a.output_rows, a.output_cols) == pytest.approx((x0 + 50, 10, 0, y0 - 100, 0, -10))


def test_extent_is_clipped_to_the_overlap():
    a = align(hsi(), msi(), extent=(0, 5.8e6 - 50, 4e5 + 100, 9e6))
    assert (a.output_rows, a.output_cols) == (range(5), range(10))


@pytest.mark.parametrize(
    ("extent", "words"),
    [
        ((4e5, 5.8e6, 4e5, 5.8e6), "no area"),
        ((4e5 + 50, 5.8e6 - 50, 4e5 + 20, 5.8e6), "no area"),
        ((float("nan"), 0, 1, 1), "no area"),
        ((4e5 + 1, 5.8e6 - 4, 4e5 + 3, 5.8e6 - 1), "smaller than a pixel"),
        ((5e5, 5.7e6, 5.1e5, 5.75e6), "outside"),
    ],
)
def test_extents_that_leave_nothing(extent, words):
    with pytest.raises(HSFusionError, match=words):
        align(hsi(), msi(), extent=extent)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: (hsi(x=1e5), msi()), "do not overlap"),
        (lambda: (hsi(x=600), msi()), "share only"),
        (lambda: (hsi(size=10), msi(size=10)), "not larger .* swapped"),
        (lambda: (hsi(size=10), msi(size=30)), "not larger .* swapped"),
        (lambda: (hsi(count=1), msi()), "1 usable"),
        (lambda: (hsi(count=3), msi()), "fewer bands"),
        (lambda: (hsi(wkt=crs(32632)), msi()), "different CRS .*zone 32N.*warp"),
        (lambda: (hsi(wkt=""), msi()), "HSI: .* no CRS"),
        (lambda: (hsi(), msi(wkt="")), "MSI: .* no CRS"),
        (lambda: (raster("HSI", 20, 20, None), msi()), "no georeference"),
        (lambda: (raster("HSI", 20, 20, (4e5, 29, 5, 5.8e6, 5, -29)), msi()), "rotated"),
        (lambda: (raster("HSI", 20, 20, (4e5, 30, 0, 5.8e6, 0, -40)), msi()), "another shape .*30 x 40"),
    ],
)
def test_pairs_that_are_refused(make, words):
    with pytest.raises(HSFusionError, match=words) as error:
        align(*make())
    assert str(error.value).count(". ") == 0  # one sentence


def test_two_rasters_without_crs_share_their_coordinates():
    a = align(hsi(wkt=""), msi(wkt=""))
    assert a.scene_shape == (60, 75)
    assert "no CRS" in a.warnings[0]


def test_names_do_not_make_a_crs():
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(32633)
    esri = reference.ExportToWkt(["FORMAT=WKT1_ESRI"])
    unnamed = osr.SpatialReference()
    unnamed.ImportFromProj4("+proj=utm +zone=33 +datum=WGS84 +units=m")
    assert same_crs(UTM33, esri)
    assert same_crs(UTM33, unnamed.ExportToWkt())
    assert same_crs(UTM33, reference.ExportToWkt(["FORMAT=WKT2_2018"]))
    assert not same_crs(UTM33, crs(32632))
    assert not same_crs(UTM33, crs(25833).replace("25833", "32633"))
