"""EnMAP-Box finds wavelengths, widths and bad bands in what we write, and we find what it writes.

It has two readers, and they look at different places (repository EnMAP-Box/enmap-box, read in November 2026):
``enmapboxprocessing/rasterreader.py``, RasterReader.wavelength, .fwhm, .badBandMultiplier: items wavelength,
wavelength_units, fwhm and bbl of the band in any domain, else lists of the data set in any domain; before them a file
FILE.stac.json. ``qps/qgsrasterlayerproperties.py``, QgsRasterLayerSpectralProperties.readFromGDALDataset:
CENTRAL_WAVELENGTH_UM and FWHM_UM of the band's domain IMAGERY, in micrometres, else items of the band whose names match
a pattern; scale and offset of the band.
"""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest
from osgeo import gdal

from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.tests.qgis import pairs

WIDTHS = np.linspace(6.0, 11.0, pairs.BANDS)
BAD = 4
_NM = {"nanometers": 1.0, "nm": 1.0, "micrometers": 1e3, "μm": 1e3}
_PATTERNS = {
    "wavelength": r"(wl|wavelengths?|center[_ ]?wavelengths?)",
    "wavelength_unit": r"(wlu|wavelength[ -_]??units?)",
    "fwhm": r"(fwhm|full[ -_]width[ -_]half[ -_]maximum)",
    "bbl": r"(bbl|bad[ -_]?Band|bad[ -_]?band[ -_]?multiplier|bad[ -_]?band[ -_]?list)",
}


@pytest.fixture(scope="module", params=["Float32", "Int16"])
def fused(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    pair = pairs.make_pair(folder)
    dataset = gdal.Open(str(pair.hsi), gdal.GA_Update)
    for i, width in enumerate(WIDTHS):
        dataset.GetRasterBand(i + 1).SetMetadataItem("fwhm", str(width))
        dataset.GetRasterBand(i + 1).SetMetadataItem("bbl", "0" if i == BAD else "1")
    dataset = None
    path = folder / "fused.tif"
    wanted = FusionRequest(
        hsi=str(pair.hsi), msi=str(pair.msi), output=str(path), method="glp-hs", data_type=request.param
    )
    classical.run(wanted, Progress())
    return path


def raster_reader(dataset: gdal.Dataset, number: int) -> dict[str, float]:
    """What RasterReader finds; several domains must not disagree, for it takes them in no order."""
    band = dataset.GetRasterBand(number)

    def item(key: str) -> str:
        found = {band.GetMetadataItem(key, domain) for domain in [*(band.GetMetadataDomainList() or []), ""]} - {None}
        assert len(found) == 1, f"{key}: {found}"
        return found.pop()

    factor = _NM[item("wavelength_units").lower()]
    return {"nm": factor * float(item("wavelength")), "fwhm": factor * float(item("fwhm")), "bbl": int(item("bbl"))}


def spectral_properties(dataset: gdal.Dataset, number: int) -> dict[str, float]:
    """What QgsRasterLayerSpectralProperties finds."""
    band = dataset.GetRasterBand(number)

    def single(kind: str) -> str | None:
        for domain in band.GetMetadataDomainList() or []:
            for key, value in band.GetMetadata_Dict(domain).items():
                if re.match(f"^{_PATTERNS[kind]}$", key, re.IGNORECASE) and value:
                    return value
        return None

    nm, fwhm = (band.GetMetadataItem(key, "IMAGERY") for key in ("CENTRAL_WAVELENGTH_UM", "FWHM_UM"))
    factor = _NM["μm" if nm else single("wavelength_unit").lower()]
    return {
        "nm": factor * float(nm or single("wavelength")),
        "fwhm": factor * float(fwhm or single("fwhm")),
        "bbl": int(single("bbl")),
    }


@pytest.mark.parametrize("reader", [raster_reader, spectral_properties])
@pytest.mark.parametrize("through", [None, "gdal_translate", "gdalwarp"])
def test_enmapbox_reads_a_fused_raster(fused, tmp_path, reader, through):
    path = fused
    if through:
        path = tmp_path / "result.tif"
        subprocess.run([through, "-q", fused, path], check=True)
    dataset = gdal.Open(str(path))
    found = [reader(dataset, i + 1) for i in range(dataset.RasterCount)]
    assert [f["nm"] for f in found] == pytest.approx(pairs.WAVELENGTHS, abs=1e-3)
    assert [f["fwhm"] for f in found] == pytest.approx(WIDTHS, abs=1e-3)
    assert [f["bbl"] for f in found] == [int(i != BAD) for i in range(pairs.BANDS)]


def test_nothing_beside_the_raster_is_taken_for_its_metadata(fused):
    """FILE.stac.json and FILE.aux.json would win over what the raster says."""
    assert not {p.name for p in fused.parent.iterdir()} & {f"{fused.name}.stac.json", f"{fused.name}.aux.json"}


def written(path, count: int = 3) -> gdal.Dataset:
    return gdal.GetDriverByName("GTiff").Create(str(path), 4, 5, count, gdal.GDT_Float32)


def test_what_enmapbox_writes(tmp_path):
    """RasterWriter: items of the band. Its properties dialog: IMAGERY, or lists of the data set in domain ENVI, keys
    with blanks.
    """
    nm = [450.5, 550.0, 660.25]
    for form in ("band", "envi band", "envi list", "force"):
        path = tmp_path / f"{form.replace(' ', '_')}.tif"
        dataset = written(path)
        if form == "envi list":
            dataset.SetMetadataItem("wavelengths", "{" + ",".join(map(str, nm)) + "}", "ENVI")
            dataset.SetMetadataItem("wavelength units", "nm", "ENVI")
            dataset.SetMetadataItem("fwhm", "{7,8,9}", "ENVI")
            dataset.SetMetadataItem("bbl", "{1,0,1}", "ENVI")
        domain = {"band": "", "envi band": "ENVI", "force": "FORCE"}.get(form)
        for i in range(3 if domain is not None else 0):
            band = dataset.GetRasterBand(i + 1)
            key = {"band": "wavelength_units", "envi band": "wavelength units", "force": "Wavelength_unit"}[form]
            unit = "micrometers" if form == "force" else "Nanometers"
            factor = 1e-3 if form == "force" else 1.0
            band.SetMetadataItem("Wavelength" if form == "force" else "wavelength", repr(nm[i] * factor), domain)
            band.SetMetadataItem(key, unit, domain)
            band.SetMetadataItem("fwhm", repr((7 + i) * factor), domain)
            band.SetMetadataItem("bbl", "01"[i != 1], domain)
        dataset = None
        raster = Raster.open(path)
        assert [b.wavelength_nm for b in raster.bands] == pytest.approx(nm), form
        assert [b.fwhm_nm for b in raster.bands] == pytest.approx([7, 8, 9]), form
        assert raster.bad.tolist() == [False, True, False], form
