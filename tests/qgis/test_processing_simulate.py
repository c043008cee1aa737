"""hsfusion:simulate: what it writes, against the definitions done by hand."""

from __future__ import annotations

import json
import signal
import time

import numpy as np
import pytest
from osgeo import gdal, osr

ROWS, COLS, BANDS = 66, 81, 24
RATIO = 4
WAVELENGTHS = np.linspace(430, 890, BANDS)
GEOTRANSFORM = (500000.0, 5.0, 0.0, 5600000.0, 0.0, -5.0)


def write(path, values, wavelengths=WAVELENGTHS, nodata=None, bad=()):
    dataset = gdal.GetDriverByName("GTiff").Create(
        str(path), values.shape[2], values.shape[1], len(values), gdal.GDT_Float32
    )
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(32632)
    dataset.SetGeoTransform(GEOTRANSFORM)
    dataset.SetProjection(reference.ExportToWkt())
    for i, layer in enumerate(values):
        band = dataset.GetRasterBand(i + 1)
        band.WriteArray(layer)
        if nodata is not None:
            band.SetNoDataValue(nodata)
        if i in bad:
            band.SetMetadataItem("bbl", "0")
        if wavelengths is not None:
            band.SetMetadataItem("wavelength", f"{wavelengths[i]:.3f}")
            band.SetMetadataItem("wavelength_units", "Nanometers")
    return path


def scene():
    random = np.random.default_rng(5)
    rows, cols = np.mgrid[:ROWS, :COLS]
    base = 1000 + 400 * np.sin(rows / 5) * np.cos(cols / 7) + random.normal(0, 60, (ROWS, COLS))
    return (base * np.linspace(0.6, 1.4, BANDS)[:, None, None]).astype(np.float32)


@pytest.fixture
def reference(tmp_path):
    return write(tmp_path / "reference.tif", scene())


def read(path):
    dataset = gdal.Open(str(path))
    return dataset.ReadAsArray(), dataset


def test_block_mean_by_hand(qgis_process, reference, tmp_path):
    hsi, msi = tmp_path / "hsi.tif", tmp_path / "msi.tif"
    result = qgis_process(
        "hsfusion:simulate", REFERENCE=reference, RATIO=RATIO, PSF="block-mean", SNR_HSI=0, SNR_MSI=0,
        OUTPUT_HSI=hsi, OUTPUT_MSI=msi,
    )  # fmt: skip
    assert result.outputs == {"OUTPUT_HSI": str(hsi), "OUTPUT_MSI": str(msi)}
    coarse, dataset = read(hsi)
    rows, cols = ROWS // RATIO, COLS // RATIO
    cut = scene()[:, : rows * RATIO, : cols * RATIO].reshape(BANDS, rows, RATIO, cols, RATIO)
    np.testing.assert_allclose(coarse, cut.mean(axis=(2, 4)), rtol=1e-5)
    x, dx, _, y, _, dy = GEOTRANSFORM
    assert dataset.GetGeoTransform() == (x, RATIO * dx, 0, y, 0, RATIO * dy)
    assert dataset.GetSpatialRef().GetAuthorityCode(None) == "32632"
    found = [float(dataset.GetRasterBand(i + 1).GetMetadataItem("wavelength")) for i in range(BANDS)]
    np.testing.assert_allclose(found, WAVELENGTHS, atol=1e-3)

    fine, dataset = read(msi)
    assert fine.shape == (9, rows * RATIO, cols * RATIO), "nine of Sentinel-2A's bands lie within 430 to 890 nm"
    assert dataset.GetGeoTransform() == GEOTRANSFORM
    assert dataset.GetRasterBand(1).GetMetadataItem("wavelength") == "442.7"
    assert "Sentinel-2A 4" in dataset.GetRasterBand(4).GetDescription()
    lowest, highest = scene()[0, : rows * RATIO, : cols * RATIO], scene()[-1, : rows * RATIO, : cols * RATIO]
    assert np.all((fine > lowest - 1e-2) & (fine < highest + 1e-2)), "a weighted mean of the bands"
    for path in (hsi, msi):
        assert path.with_suffix(".qml").is_file()
        record = json.loads(path.with_suffix(".json").read_text())
        assert record["parameters"]["RATIO"] == RATIO
    assert "south and east" in result.error, "the cut is told"


def test_shift_and_phase(qgis_process, tmp_path):
    """Content lies SHIFT_X pixels east and SHIFT_Y south of where the HSI's grid says: a ramp tells exactly."""
    rows, cols = np.mgrid[:64, :64].astype(np.float32)
    ramp = write(tmp_path / "ramp.tif", np.stack([rows, cols] * 5), np.linspace(500, 900, 10))
    hsi = tmp_path / "hsi.tif"
    qgis_process(
        "hsfusion:simulate", REFERENCE=ramp, RATIO=4, SHIFT_X=1.25, SHIFT_Y=-0.5, SNR_HSI=0, SNR_MSI=0, SENSOR="RapidEye",  # noqa: E501
        OUTPUT_HSI=hsi, OUTPUT_MSI=tmp_path / "msi.tif",
    )  # fmt: skip
    found, _ = read(hsi)
    centre = (np.arange(16) + 0.5) * 4 - 0.5
    inner = np.s_[4:12]
    np.testing.assert_allclose(found[0][inner, 8], centre[inner] - 0.5, atol=1e-3)
    np.testing.assert_allclose(found[1][8, inner], centre[inner] + 1.25, atol=1e-3)


def test_noise_has_the_snr_and_the_seed(qgis_process, reference, tmp_path):
    def run(name, **parameters):
        hsi, msi = tmp_path / f"{name}_hsi.tif", tmp_path / f"{name}_msi.tif"
        qgis_process("hsfusion:simulate", REFERENCE=reference, OUTPUT_HSI=hsi, OUTPUT_MSI=msi, **parameters)
        return read(hsi)[0].astype(float), read(msi)[0].astype(float)

    clean = run("clean", SNR_HSI=0, SNR_MSI=0)
    noisy = run("noisy", SNR_HSI=20, SNR_MSI=30, SEED=3)
    again = run("again", SNR_HSI=20, SNR_MSI=30, SEED=3)
    other = run("other", SNR_HSI=20, SNR_MSI=30, SEED=4)
    for c, n, a, o, snr in zip(clean, noisy, again, other, (20, 30)):
        found = 10 * np.log10((c**2).mean(axis=(1, 2)) / ((n - c) ** 2).mean(axis=(1, 2)))
        assert abs(found.mean() - snr) < 0.3
        assert np.array_equal(n, a) and not np.array_equal(n, o)


def test_nodata_and_bad_bands(qgis_process, tmp_path):
    values = scene()
    values[:, 20:36, 40:60] = -1
    values[7] = -1
    reference = write(tmp_path / "holes.tif", values, nodata=-1, bad=[3])
    hsi, msi = tmp_path / "hsi.tif", tmp_path / "msi.tif"
    result = qgis_process("hsfusion:simulate", REFERENCE=reference, OUTPUT_HSI=hsi, OUTPUT_MSI=msi)
    found, dataset = read(hsi)
    assert len(found) == BANDS
    assert np.isnan(found[[3, 7]]).all() and "2 of 24 bands" in result.error
    assert [i for i in range(BANDS) if dataset.GetRasterBand(i + 1).GetMetadataItem("bbl") == "0"] == [3, 7]
    rest = np.delete(found, [3, 7], axis=0)
    assert np.isnan(rest[:, 6:8, 11:14]).all() and np.isfinite(rest[:, :4]).all()
    fine, _ = read(msi)
    assert np.isnan(fine[:, 20:36, 40:60]).all()
    assert np.isfinite(fine[:, :20]).all()


def test_srf_file(qgis_process, reference, tmp_path):
    curves = tmp_path / "srf.csv"
    curves.write_text("wavelength_nm,first,second\n430,1,0\n600,1,0\n601,0,1\n890,0,1\n", encoding="utf-8")
    msi = tmp_path / "msi.tif"
    qgis_process(
        "hsfusion:simulate", REFERENCE=reference, SRF_FILE=curves, SNR_MSI=0, OUTPUT_HSI=tmp_path / "h.tif", OUTPUT_MSI=msi  # noqa: E501
    )  # fmt: skip
    found, dataset = read(msi)
    low = WAVELENGTHS <= 600
    assert [dataset.GetRasterBand(i).GetDescription().split(" (")[0] for i in (1, 2)] == ["first", "second"]
    cut = scene()[:, : ROWS // RATIO * RATIO, : COLS // RATIO * RATIO]
    np.testing.assert_allclose(found[0], cut[low].mean(axis=0), rtol=1e-2)
    np.testing.assert_allclose(found[1], cut[~low].mean(axis=0), rtol=1e-2)


def test_any_tiling_gives_the_same_pixels(reference):
    from hsfusion.hsfusion_plugin.jobs.request import SimulationRequest
    from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
    from hsfusion.hsfusion_plugin.jobs.simulate.job import Simulator

    for case in ({"ratio": 4.0, "shift_x": 5.3, "shift_y": -6.2}, {"ratio": 2.5}, {"ratio": 3.0, "psf": "block-mean"}):
        simulator = Simulator(SimulationRequest(str(reference), "", "", **case), Progress())
        rows, cols = simulator.coarse_shape
        whole = simulator.tile(range(rows), range(cols))
        for r in range(0, rows, 5):
            for c in range(0, cols, 6):
                tile = simulator.tile(range(r, min(r + 5, rows)), range(c, min(c + 6, cols)))
                np.testing.assert_allclose(tile.hsi, whole.hsi[:, r : r + 5, c : c + 6], rtol=1e-5)
                at = np.s_[:, tile.fine_rows.start : tile.fine_rows.stop, tile.fine_cols.start : tile.fine_cols.stop]
                np.testing.assert_allclose(tile.msi, whole.msi[at], rtol=1e-5)


def refused(qgis_process, folder, sentence, **parameters):
    """Exit code 1, the sentence, and nothing left behind."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    parameters = {"OUTPUT_HSI": out / "h.tif", "OUTPUT_MSI": out / "m.tif", **parameters}
    result = qgis_process("hsfusion:simulate", check=False, **parameters)
    assert result.code == 1
    assert sentence in result.error, result.error
    assert "Traceback" not in result.error
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"RATIO": 1}, "RATIO is 1; it must be larger than 1"),
        ({"RATIO": "four"}, "RATIO must be a number from 1 to 64, not four."),
        ({"RATIO": 2.5, "PSF": "block-mean"}, "needs a whole RATIO"),
        ({"RATIO": 16}, "at least 8 x 8 coarse pixels"),
        ({"SENSOR": "estimate"}, "SENSOR cannot be estimate"),
        ({"SENSOR": "Sentinel2A"}, "did you mean Sentinel-2A"),
        ({"SNR": 30}, "There is no parameter SNR"),
        ({"SEED": 1.5}, "SEED must be a whole number"),
        ({"SRF_FILE": "/does/not/exist.csv"}, "there is no such file"),
        ({"REFERENCE": "/does/not/exist.tif"}, "does not exist"),
        ({"OUTPUT_HSI": "/does/not/exist/h.tif"}, "does not exist; create it"),
        ({"OUTPUT_HSI": "/proc/h.tif"}, "choose another folder"),
        ({"OUTPUT_HSI": "/tmp/h.img"}, "end its name in .tif"),
    ],
)
def test_bad_parameters(qgis_process, reference, tmp_path, parameters, sentence):
    refused(qgis_process, tmp_path, sentence, **{"REFERENCE": reference, **parameters})


def test_bad_rasters(qgis_process, tmp_path):
    refused(
        qgis_process,
        tmp_path,
        "without a wavelength",
        REFERENCE=write(tmp_path / "none.tif", scene(), wavelengths=None),
    )
    refused(
        qgis_process, tmp_path, "holds only nodata",
        REFERENCE=write(tmp_path / "empty.tif", np.full_like(scene(), -1), nodata=-1),
    )  # fmt: skip
    refused(qgis_process, tmp_path, "No band of", REFERENCE=write(tmp_path / "far.tif", scene(), 5000 + WAVELENGTHS))
    refused(qgis_process, tmp_path, "usable band", REFERENCE=write(tmp_path / "one.tif", scene()[:1]))
    same = write(tmp_path / "same.tif", scene())
    refused(qgis_process, tmp_path, "is one of the inputs", REFERENCE=same, OUTPUT_HSI=same)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cancel(qgis_process, tmp_path, number):
    """Stopped in the middle of the work: soon over, exit code 1, nothing left."""
    tile = np.tile(scene(), (1, 12, 10))
    reference = write(tmp_path / "large.tif", tile)
    out = tmp_path / "out"
    out.mkdir()
    process = qgis_process.start(
        "hsfusion:simulate", REFERENCE=reference, OUTPUT_HSI=out / "h.tif", OUTPUT_MSI=out / "m.tif"
    )
    try:
        deadline = time.monotonic() + 60
        while not list(out.iterdir()) and time.monotonic() < deadline:  # the hidden folder of the unfinished outputs
            time.sleep(0.02)
        process.send_signal(number)
        began = time.monotonic()
        stdout, stderr = process.communicate(timeout=60)
        seconds = time.monotonic() - began
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 1, stdout + stderr
    assert "cancelled" in stdout + stderr
    assert seconds < 2
    assert list(out.iterdir()) == []
