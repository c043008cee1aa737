"""hsfusion:estimatesensor: PSF, shift and response of simulated pairs come back, and what cannot be told is said."""

from __future__ import annotations

import re

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.jobs import estimate_sensor as sensor
from hsfusion.hsfusion_plugin.jobs.estimate_sensor import SensorRequest
from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Degradation, Sampling, gaussian_response, read_response
from hsfusion.tests.qgis import pairs

SAMPLING = Sampling(pairs.RATIO, 1.3, 0.9, 0.8, -1.4)


class Listener(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def make_pair(folder, sampling: Sampling = SAMPLING, wavelengths=pairs.WAVELENGTHS, rows: slice = slice(None)):
    """Paths of an HSI and an MSI simulated with `sampling`, at 35 dB."""
    truth = pairs.scene()
    random = np.random.default_rng(5)
    coarse = Degradation.whole(sampling, pairs.FINE)(truth)
    response = gaussian_response(pairs.MSI_WAVELENGTHS, pairs.MSI_FWHM, pairs.WAVELENGTHS)
    fine = 1.2 * np.tensordot(response, truth, axes=1) + 50
    noise = 10 ** (-35 / 20)
    coarse, fine = (
        x + noise * np.sqrt((x**2).mean(axis=(1, 2)))[:, None, None] * random.normal(size=x.shape)
        for x in (coarse, fine)
    )
    hsi = pairs.write(folder / "hsi.tif", coarse[:, rows], pairs.RATIO * pairs.PIXEL, wavelengths=wavelengths)
    return str(hsi), str(pairs.write(folder / "msi.tif", fine, pairs.PIXEL, wavelengths=pairs.MSI_WAVELENGTHS))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("sensors"))


def test_through_qgis_process(qgis_process, pair, tmp_path):
    srf, report = tmp_path / "srf.csv", tmp_path / "report.html"
    result = qgis_process("hsfusion:estimatesensor", HSI=pair[0], MSI=pair[1], SRF=srf, REPORT=report)
    found = result.outputs
    assert found["PSF_FWHM"] == pytest.approx(0.9, rel=0.05) and found["PSF_FWHM_Y"] == pytest.approx(1.3, rel=0.05)
    assert found["SHIFT_X"] == pytest.approx(-1.4, abs=0.1) and found["SHIFT_Y"] == pytest.approx(0.8, abs=0.1)
    assert 0 < found["UNEXPLAINED"] < 0.05
    assert found["SRF"] == str(srf) and found["REPORT"] == str(report)
    page = report.read_text(encoding="utf-8")
    assert "PSF FWHM, rows" in page and "estimated, between" in page and "hsfusion:estimatesensor" in page
    gains = [float(x) for x in re.findall(r"gain ([\d.]+), offset", page)]
    assert "interval" in page.lower() and gains == pytest.approx([1.2] * 4, abs=0.03), "it was simulated with 1.2"
    response = read_response(srf, pairs.WAVELENGTHS)
    assert response.shape == (4, pairs.BANDS) and (response >= 0).all()


def test_without_a_known_response_no_number_is_called_a_gain(pair, tmp_path):
    bare = pairs.write(tmp_path / "bare.tif", pairs.read(pair[1]), pairs.PIXEL)
    report = tmp_path / "report.html"
    sensor.run(SensorRequest(pair[0], str(bare), report=str(report)), Progress())
    page = report.read_text(encoding="utf-8")
    assert "not identifiable" in page and "response sums to" in page and not re.search(r"gain [\d.]+, offset", page)


def test_a_named_sensor_is_where_the_response_starts(qgis_process, pair, tmp_path):
    srf = tmp_path / "srf.csv"
    qgis_process("hsfusion:estimatesensor", HSI=pair[0], MSI=pair[1], SENSOR="Sentinel-2A", SRF=srf)
    centres = read_response(srf, pairs.WAVELENGTHS) @ pairs.WAVELENGTHS
    true = gaussian_response(pairs.MSI_WAVELENGTHS, pairs.MSI_FWHM, pairs.WAVELENGTHS) @ pairs.WAVELENGTHS
    assert centres == pytest.approx(true, abs=25)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"HSI": "nowhere.tif"}, "nowhere.tif"),
        ({"SENSOR": "Sentinel"}, "did you mean"),
        ({"SRF": "/proc/srf.csv"}, "/proc"),
        ({"PSF": 1.0}, "There is no parameter PSF"),
    ],
)
def test_bad_parameters_exit_1(qgis_process, pair, parameters, sentence):
    result = qgis_process("hsfusion:estimatesensor", check=False, **{"HSI": pair[0], "MSI": pair[1], **parameters})
    assert result.code == 1
    assert sentence in result.error


def test_srf_needs_wavelengths(tmp_path):
    hsi, msi = make_pair(tmp_path, wavelengths=None)
    outputs = sensor.run(SensorRequest(hsi, msi, report=str(tmp_path / "r.html")), Progress())
    assert outputs["PSF_FWHM_Y"] == pytest.approx(1.3, rel=0.05)
    with pytest.raises(HSFusionError, match="no wavelengths"):
        sensor.run(SensorRequest(hsi, msi, srf=str(tmp_path / "srf.csv")), Progress())
    assert not (tmp_path / "srf.csv").exists()


def test_a_shift_of_more_than_an_hsi_pixel_is_found(tmp_path):
    hsi, msi = make_pair(tmp_path, Sampling(pairs.RATIO, 1.0, 1.0, -4.6, 0.5))
    said = Listener()
    outputs = sensor.run(SensorRequest(hsi, msi), said)
    assert outputs["SHIFT_Y"] == pytest.approx(-4.6, abs=0.1) and outputs["SHIFT_X"] == pytest.approx(0.5, abs=0.1)
    assert not [w for w in said.warnings if "register the two rasters" in w]


def test_small_scenes_are_said_to_be_small(tmp_path):
    hsi, msi = make_pair(tmp_path, rows=slice(0, 10))
    report = tmp_path / "report.html"
    sensor.run(SensorRequest(hsi, msi, report=str(report)), Progress())
    assert "nominal values weigh in" in report.read_text(encoding="utf-8")


def test_fusion_uses_what_is_estimated(pair, tmp_path):
    def rmse(**settings):
        path = tmp_path / "fused.tif"
        outputs = classical.run(
            FusionRequest(hsi=pair[0], msi=pair[1], output=str(path), method="glp-hs", **settings), Progress()
        )
        return outputs, float(np.sqrt(np.mean((pairs.read(path) - pairs.scene()) ** 2)))

    outputs, blind = rmse()
    assert outputs["SHIFT_X_USED"] == pytest.approx(-1.4, abs=0.1)
    assert outputs["SHIFT_Y_USED"] == pytest.approx(0.8, abs=0.1)
    assert outputs["PSF_FWHM_USED"] == pytest.approx(np.sqrt(1.3 * 0.9), rel=0.05)
    _, told = rmse(psf_fwhm=0.9, psf_fwhm_y=1.3, shift_x=-1.4, shift_y=0.8)
    _, ignored = rmse(registration="none")
    assert blind < 1.02 * told
    assert blind < 0.8 * ignored
