"""Spectral response: rows sum to one whatever the order and spacing of the HSI's bands."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import covered_bands, gaussian_response, load_sensors, read_response
from hsfusion.models.observation.response_table import read_response_table

GRID = np.arange(400.0, 1000.0, 5.0)


def test_a_gaussian_band_sees_its_centre():
    response = gaussian_response(np.array([500.0, 660.0]), np.array([60.0, 30.0]), GRID)
    np.testing.assert_allclose(response.sum(axis=1), 1.0)
    np.testing.assert_allclose(response @ GRID, [500.0, 660.0], atol=0.05)


def test_the_order_of_bands_does_not_matter():
    order = np.random.default_rng(0).permutation(len(GRID))
    straight = gaussian_response(np.array([560.0]), np.array([35.0]), GRID)
    np.testing.assert_allclose(
        gaussian_response(np.array([560.0]), np.array([35.0]), GRID[order]), straight[:, order], atol=1e-12
    )


def test_uneven_spacing_is_weighted():
    """A flat spectrum with a step gives the same band value however densely one side is sampled."""
    dense = np.concatenate([np.arange(400.0, 560.0, 2.0), np.arange(560.0, 800.0, 10.0)])
    step = lambda grid: (grid >= 560.0).astype(float)  # noqa: E731
    even, uneven = (
        gaussian_response(np.array([560.0]), np.array([80.0]), g) @ step(g)
        for g in (np.arange(400.0, 800.0, 2.0), dense)
    )
    assert even == pytest.approx(uneven, abs=0.05)


def test_a_band_outside_the_hsi_is_named():
    with pytest.raises(
        HSFusionError, match="1610 nm lies outside the HSI's bands .400 to 995 nm.: leave that band out"
    ):
        gaussian_response(np.array([560.0, 1610.0]), np.array([35.0, 90.0]), GRID)
    assert covered_bands(np.array([560.0, 1610.0]), np.array([35.0, 90.0]), GRID).tolist() == [True, False]


def test_a_band_in_a_gap_is_said_to_lie_in_it():
    gap = np.concatenate([np.arange(400.0, 1340.0, 10.0), np.arange(1460.0, 2400.0, 10.0)])
    sentence = "1375 nm falls into a gap of the HSI's bands .the HSI has no band between 1330 and 1460 nm.: leave that"
    with pytest.raises(HSFusionError, match=sentence):
        gaussian_response(np.array([860.0, 1375.0]), np.array([20.0, 30.0]), gap)


def test_a_wide_band_that_reaches_into_a_gap_says_the_same():
    gap = np.concatenate([np.arange(400.0, 700.0, 5.0), np.arange(900.0, 1000.0, 5.0)])
    with pytest.raises(HSFusionError, match="842 nm falls into a gap .* between 695 and 900 nm"):
        gaussian_response(np.array([842.0]), np.array([115.0]), gap)


def test_sensors_csv(tmp_path):
    path = tmp_path / "sensors.csv"
    path.write_text("sensor,band,centre_nm,fwhm_nm\nS,1,500,60\nS,8A,865,20\nT,PAN,650,300\n")
    sensors = load_sensors(path)
    assert sensors["S"].bands == ("1", "8A") and sensors["T"].fwhm_nm.tolist() == [300.0]


def test_measured_response(tmp_path):
    path = tmp_path / "srf.csv"
    rows = "\n".join(f"{w},{max(0, 50 - abs(w - 550))},{max(0, 30 - abs(w - 850))}" for w in range(400, 1000, 5))
    path.write_text("wavelength_nm,green,nir\n" + rows)
    response = read_response(path, GRID)
    np.testing.assert_allclose(response.sum(axis=1), 1.0)
    np.testing.assert_allclose(response @ GRID, [550.0, 850.0], atol=0.5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wavelength_nm,green\n",
        "wavelength_nm,green\n0.5,1\n0.6,1\n",
        "wavelength_nm\n500\n600\n",
        "a,b\nx,y\nz,w\n",
    ],
)
def test_a_bad_response_file_is_refused(tmp_path, text):
    path = tmp_path / "srf.csv"
    path.write_text(text)
    with pytest.raises(HSFusionError):
        read_response(path, GRID)


BANDS = {"Blau": (455, 520), "Grün": (540, 580), "NIR": (780, 890)}


def response_csv(delimiter=",", comma=False, header="wavelength_nm", unit=1.0, first=True):
    """A table of three box-shaped bands every 5 nm."""
    rows = [[header, *BANDS]]
    for nm in range(400, 951, 5):
        rows.append([f"{nm * unit:.4f}", *(f"{float(low <= nm <= high):.4f}" for low, high in BANDS.values())])
    if not first:
        rows = [[*row[1:], row[0]] for row in rows]
    return "\n".join(delimiter.join(c.replace(".", "," if comma else ".") for c in row) for row in rows) + "\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(("delimiter", "comma"), [(",", False), (";", False), (";", True), ("\t", False), ("\t", True)])
def test_response_files_of_any_office(tmp_path, encoding, delimiter, comma):
    plain, path = tmp_path / "plain.csv", tmp_path / "srf.csv"
    plain.write_text(response_csv(), encoding="utf-8")
    path.write_bytes(response_csv(delimiter, comma).replace("\n", "\r\n").encode(encoding))
    np.testing.assert_array_equal(read_response(path, GRID), read_response(plain, GRID))
    assert read_response_table(path).names == tuple(BANDS)


@pytest.mark.parametrize(
    "text",
    [
        response_csv(header="WAVELENGTH_NM"),
        response_csv(header="Wavelength (nm)", first=False),
        response_csv(header="Wavelength [µm]", unit=1e-3),
        response_csv(" "),
        "# from the laboratory\n\n" + response_csv(";") + ";;;\n",
        response_csv(";").replace("\n", ";\n"),
        response_csv().split("\n", 1)[1],  # no header
    ],
)
def test_headers_of_response_files(tmp_path, text):
    plain, path = tmp_path / "plain.csv", tmp_path / "srf.csv"
    plain.write_text(response_csv(), encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    np.testing.assert_allclose(read_response(path, GRID), read_response(plain, GRID), atol=1e-12)


@pytest.mark.parametrize(
    "text",
    ["400;1\n500;2;3\n", "wavelength_nm,a\n400,1\n410\n", "nm,a\n400,1\n410,nan\n", "a,b\n400,5,1,0\n410,5,0,1\n"],
)
def test_a_table_that_cannot_be_read_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "srf.csv"
    path.write_text(text)
    with pytest.raises(HSFusionError) as refused:
        read_response(path, GRID)
    assert "\n" not in str(refused.value) and str(refused.value).count(".") <= 2
