"""What QGIS shows when it opens a result: true colour by wavelength, whatever the order of the bands."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from qgis.core import QgsProject, QgsRasterLayer

from hsfusion.hsfusion_plugin.rasters.grids.grid import Grid
from hsfusion.hsfusion_plugin.rasters.reading.metadata import BandInfo
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.hsfusion_plugin.rasters.writing.colour import colour_bands, stretch
from hsfusion.hsfusion_plugin.rasters.writing.style import write_ramp_style, write_style
from hsfusion.hsfusion_plugin.rasters.writing.writer import RasterWriter, Stored

VISIBLE = [2100.0, 470.0, 900.0, 660.0, 1600.0, 550.0]


@pytest.fixture
def make(tmp_path):
    def make(wavelengths, count=None, name="out.tif", blank=(), bad=(), low=0.0, unit="", finish=None, **stored):
        count = count or len(wavelengths)
        array = np.random.default_rng(0).uniform(low, low + 1000, (count, 60, 70))
        array[list(blank)] = np.nan
        infos = [BandInfo(wavelengths[i] if wavelengths else None, bad=i in bad, unit=unit) for i in range(count)]
        path, grid = tmp_path / name, Grid(60, 70, (0.0, 1.0, 0.0, 60.0, 0.0, -1.0))
        with RasterWriter(path, grid, infos, Stored(**stored), finish=finish) as writer:
            writer.write(0, 0, array)
        return path

    return make


def shown(path):
    """1-based band numbers of the renderer of a layer opened as a user does."""
    layer = QgsRasterLayer(str(path))
    renderer = layer.renderer()
    if renderer.type() == "multibandcolor":
        return renderer.redBand(), renderer.greenBand(), renderer.blueBand()
    return (renderer.type(),)


def test_true_colour_by_wavelength(qgis_app, make, tmp_path):
    path = make(VISIBLE)
    assert write_style(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.qml", "out.tif"]
    assert shown(path) == (4, 6, 2)
    layer = QgsRasterLayer(str(path))
    enhancement = layer.renderer().redContrastEnhancement()
    assert enhancement.minimumValue() == pytest.approx(20, abs=10)
    assert enhancement.maximumValue() == pytest.approx(980, abs=10)
    assert QgsProject.instance().mapLayers() == {}


def test_limits_are_in_the_units_that_qgis_shows(qgis_app, make):
    path = make(VISIBLE, dtype="Int16", scale=0.1)
    assert write_style(path)
    layer = QgsRasterLayer(str(path))
    enhancement = layer.renderer().blueContrastEnhancement()
    assert enhancement.maximumValue() == pytest.approx(980, abs=10)


def test_bad_and_empty_bands_are_not_shown(qgis_app, make):
    wavelengths = [660.0, 661.0, 663.0, 555.0, 475.0]
    path = make(wavelengths, blank=[1], bad=[0])
    assert write_style(path)
    assert shown(path) == (3, 4, 5)


def test_one_band_is_grey(qgis_app, make):
    path = make([550.0], low=500.0)
    assert write_style(path)
    assert shown(path) == ("singlebandgray",)


def test_all_nodata_still_gets_a_style(qgis_app, make):
    path = make(VISIBLE, blank=range(6))
    assert write_style(path)


def test_ramp_for_maps(qgis_app, make):
    path = make(None, count=2)
    assert write_ramp_style(path, band=1)
    layer = QgsRasterLayer(str(path))
    renderer = layer.renderer()
    assert renderer.type() == "singlebandpseudocolor"
    assert renderer.band() == 2
    assert renderer.classificationMin() == 0
    assert renderer.classificationMax() == pytest.approx(980, abs=10)
    assert write_ramp_style(path, low=-1.0, high=5.0)
    layer = QgsRasterLayer(str(path))
    renderer = layer.renderer()
    assert (renderer.classificationMin(), renderer.classificationMax()) == (-1, 5)
    items = renderer.shader().rasterShaderFunction().colorRampItemList()
    assert len(items) == 5


def test_a_ramp_says_its_unit_and_shows_a_band_that_has_data(qgis_app, make):
    path = make([2200.0, 660.0, 555.0, 475.0], bad=[0], blank=[0], unit="W m-2 sr-1 um-1")
    assert write_ramp_style(path)
    layer = QgsRasterLayer(str(path))
    assert layer.renderer().band() == 2, "the red one: the first holds nothing"
    assert layer.renderer().classificationMax() > 1
    legend = layer.renderer().shader().rasterShaderFunction().legendSettings()
    assert legend.maximumLabel() == f"{layer.renderer().classificationMax():.4g} W m-2 sr-1 um-1"
    assert write_ramp_style(path, unit="degrees")
    layer = QgsRasterLayer(str(path))
    assert layer.renderer().shader().rasterShaderFunction().legendSettings().maximumLabel().endswith(" degrees")


@pytest.mark.parametrize(
    ("wavelengths", "count", "expected"),
    [
        (VISIBLE, 6, (3, 5, 1)),
        ([2400.0, 1500.0, 1900.0], 3, (0, 2, 1)),
        (None, 4, (2, 1, 0)),
        (None, 3, (2, 1, 0)),
        (None, 2, (0,)),
        (None, 224, (26, 16, 6)),
    ],
)
def test_choice_of_bands(make, wavelengths, count, expected):
    assert colour_bands(Raster.open(make(wavelengths, count))) == expected


def test_stretch():
    assert stretch(np.arange(101.0)) == pytest.approx((2, 98))
    assert stretch(np.full(5, np.nan)) == (0.0, 1.0)
    low, high = stretch(np.full(5, 7.0))
    assert low == 7.0 < high


def test_nothing_is_said(qgis_app, make, capfd):
    path = make(VISIBLE)
    capfd.readouterr()
    assert write_style(path)
    assert write_ramp_style(path)
    assert "".join(capfd.readouterr()) == ""


def test_without_a_qgis_application_nothing_breaks(make):
    """A job started from a plain script has no QGIS around it; its raster matters more than its style."""
    path = make(VISIBLE)
    code = (
        "import sys\n"
        "from hsfusion.hsfusion_plugin.rasters.writing.style import write_style\n"
        "sys.exit(0 if write_style(sys.argv[1]) in (True, False) else 1)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True).returncode == 0
