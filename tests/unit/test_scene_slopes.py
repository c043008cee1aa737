"""Slopes that follow the spectrum: found where materials differ in them, silent where none do, the same in numpy, torch
and a part of a scene.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling, Upsampling
from hsfusion.models.scene.laws.nonlinear import KernelFit, Window
from hsfusion.models.scene.laws.slopes import LEADING, SlopesFit, fit_slopes

RATIO, COARSE = 4, 48
SAMPLING, SHAPE = Sampling(RATIO), (RATIO * COARSE, RATIO * COARSE)
SILENT = KernelFit(np.zeros((1, 1)), 1.0, np.eye(1), np.zeros((3, 2)), np.ones(2), np.zeros(2))


@dataclass(frozen=True)
class Fields:
    """Two materials in large fields: `material` (1, H, W) is 1 or -1 and the HSI knows it, z (1, H, W) is fine detail
    of both, and in the second coefficient it counts with the sign of the material: no slope of the whole scene
    explains any of it.
    """

    z: np.ndarray
    material: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """(2, H, W)."""
        return np.concatenate([self.material, self.material * self.z])

    def window(self, mask: np.ndarray | None = None, noise: float = 0.0) -> Window:
        """What both images show."""
        down, mask = Degradation.whole(SAMPLING, SHAPE), np.ones(SHAPE, np.float32) if mask is None else mask
        values, support = down.masked(np.concatenate([self.truth, self.z]).astype(np.float64), mask)
        values += noise * np.random.default_rng(5).standard_normal(values.shape)
        values[:, support < 0.98] = np.nan
        y, low = values[:2], values[2:]
        return Window(y, y * [[[0.0]], [[1.0]]], low, self.z, mask, down)

    def detail(self) -> tuple[np.ndarray, np.ndarray]:
        """The MSI's detail, and the spectrum around every pixel."""
        down, up = (kind.whole(SAMPLING, SHAPE) for kind in (Degradation, Upsampling))
        return self.z - up(down(self.z)), up(down(self.truth))


@pytest.fixture(scope="module")
def fields() -> Fields:
    """Fields of 12 HSI pixels; detail from single MSI pixels to two HSI pixels."""
    rng = np.random.default_rng(0)
    material = np.kron(np.sign(rng.standard_normal((1, 4, 4))), np.ones((1, 48, 48)))
    z = sum(np.kron(rng.standard_normal((1, 192 // n, 192 // n)), np.ones((1, n, n))) for n in (1, 2, 4, 8)) / 2
    return Fields(z.astype(np.float32), material.astype(np.float32))


def left(fit: SlopesFit, fields: Fields) -> float:
    """The share of the second coefficient's detail that the fit leaves."""
    detail, around = fields.detail()
    wanted = fields.material[0] * detail[0]
    return float(((wanted - fit(detail, around)[1]) ** 2).mean() / (wanted**2).mean())


def test_a_detail_that_counts_otherwise_in_each_material_is_found(fields: Fields) -> None:
    fit = fit_slopes([fields.window()], SILENT, np.ones(2))
    assert fit.weights.shape == (1, 3, 2)
    assert left(fit, fields) < 0.2  # the rest lies where fields meet


def test_what_the_nonlinear_law_has_said_is_not_said_again(fields: Fields) -> None:
    window = fields.window()
    told = replace(window, rest=np.stack([window.rest[0], window.low[0] ** 3]))

    class Cube:
        def __call__(self, z: np.ndarray) -> np.ndarray:
            return np.concatenate([0 * z, z**3])

    seen = window.down(Cube()(fields.z).astype(np.float64))
    silent = fit_slopes([replace(told, rest=seen)], Cube(), np.ones(2))  # type: ignore[arg-type]
    assert np.abs(silent.weights).max() < 1e-6


def test_noise_has_no_slopes(fields: Fields) -> None:
    rest = np.random.default_rng(1).standard_normal((2, COARSE, COARSE))
    fit = fit_slopes([replace(fields.window(), rest=rest)], SILENT, np.ones(2))
    assert fit(*fields.detail()).std() < 0.1


def test_gaps_take_no_part(fields: Fields) -> None:
    mask = np.ones(SHAPE, np.float32)
    mask[:, 150:] = 0.0
    wrong = replace(fields, z=np.where(mask > 0, fields.z, 1e3).astype(np.float32))
    fits = [fit_slopes([one.window(mask)], SILENT, np.ones(2)) for one in (fields, wrong)]
    np.testing.assert_allclose(fits[0].weights, fits[1].weights, atol=1e-6)
    assert left(fits[0], fields) < 0.25


def test_windows_are_learnt_from_together(fields: Fields) -> None:
    """Each of two windows knows one material alone."""
    halves = [replace(fields, material=np.full_like(fields.material, sign)) for sign in (1.0, -1.0)]
    windows = [half.window(noise=0.01) for half in halves]
    assert left(fit_slopes(windows, SILENT, np.ones(2)), fields) < 0.2
    assert left(fit_slopes(windows[:1], SILENT, np.ones(2)), fields) > 0.5


def test_of_many_coefficients_the_leading_ones_are_followed() -> None:
    rng = np.random.default_rng(2)
    y, low = rng.standard_normal((9, 16, 16)), rng.standard_normal((2, 16, 16))
    down = Degradation.whole(SAMPLING, (64, 64))
    z = rng.standard_normal((2, 64, 64)).astype(np.float32)
    silent = KernelFit(np.zeros((1, 2)), 1.0, np.eye(2)[:, :1], np.zeros((3, 9)), np.ones(9), np.zeros(9))
    fit = fit_slopes([Window(y, y, low, z, np.ones((64, 64), np.float32), down)], silent, np.ones(9))
    assert fit.weights.shape == (2, 1 + LEADING, 9)


def test_slopes_are_linear_in_the_spectrum_around() -> None:
    rng = np.random.default_rng(3)
    weights, detail, around = (rng.standard_normal(size) for size in ((2, 4, 5), (2, 6, 7), (8, 6, 7)))
    factors = np.concatenate([np.ones((1, 6, 7)), around[:3]])
    expected = np.einsum("lck,lij,cij->kij", weights, detail, factors)
    wide = np.full(3, 10.0)
    np.testing.assert_allclose(SlopesFit(weights, -wide, wide)(detail, around), expected)


def test_beyond_what_was_seen_slopes_are_those_of_the_nearest_spectrum(fields: Fields) -> None:
    """A saturated roof is no reason for slopes a hundred times as steep."""
    fit, (detail, around) = fit_slopes([fields.window()], SILENT, np.ones(2)), fields.detail()
    brightest = np.where(around > 0, fit.most[:, None, None], fit.least[:, None, None])
    np.testing.assert_allclose(fit(detail, 100.0 * np.sign(around)), fit(detail, brightest), atol=1e-5)
    np.testing.assert_allclose(fit.most, np.nanmax(fields.window().y, axis=(1, 2)))


def test_at_the_coarse_scale_they_explain_what_they_were_fitted_to(fields: Fields) -> None:
    window = fields.window()
    fit = fit_slopes([window], SILENT, np.ones(2))
    said = fit.at_coarse(window.low, window.y, np.ones((COARSE, COARSE)))
    local = window.rest[1] - said[1]
    assert local.var() < 0.6 * window.rest[1].var()  # the rest is what the mean around hides, and the fields' borders


def test_unknown_pixels_of_the_coarse_scale_say_nothing(fields: Fields) -> None:
    window, mask = fields.window(), np.ones((COARSE, COARSE))
    fit = fit_slopes([window], SILENT, np.ones(2))
    mask[10:14, 20:30] = 0.0
    given = [np.where(mask > 0, window.low, value) for value in (0.0, 1e6)], [np.where(mask > 0, window.y, -1e6)] * 2
    said = [fit.at_coarse(low, y, mask) for low, y in zip(*given)]
    np.testing.assert_array_equal(said[0], said[1])
    assert (said[0][:, mask == 0] == 0).all()


def test_numpy_and_torch_agree(fields: Fields) -> None:
    torch = pytest.importorskip("torch")
    fit, (detail, around) = fit_slopes([fields.window()], SILENT, np.ones(2)), fields.detail()
    detail, around = detail.astype(np.float32), around.astype(np.float32)
    theirs = fit(torch.from_numpy(detail), torch.from_numpy(around)).numpy()
    np.testing.assert_allclose(theirs, fit(detail, around), atol=1e-5)
