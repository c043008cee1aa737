"""GSA against its own formula, written again, and against scenes on which it is exact."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Upsampling
from hsfusion.models.scene.methods.gsa import GsaFit, fit_gsa, gsa, gsa_window, injection_gains
from hsfusion.models.scene.window import Window
from hsfusion.tests.unit.mixtures import SAMPLING, SHAPE, mixture, with_holes

EVERYTHING = Window.whole(SHAPE)


def test_one_band_is_the_textbook_formula():
    """Aiazzi et al. 2007: least squares of the low-pass band on the HSI's bands, then cov(I, band) / var(I) times (P -
    I), band by band.
    """
    scene = mixture(msi_bands=1)
    y, pan = scene.block.y.astype(np.float64), scene.block.z[0].astype(np.float64)
    low = Degradation.whole(SAMPLING, SHAPE)(pan)
    columns = np.column_stack([y.reshape(len(y), -1).T, np.ones(y[0].size)])
    weights = np.linalg.lstsq(columns, low.ravel(), rcond=None)[0]
    coarse = np.tensordot(weights[:-1], y, 1)
    up = Upsampling.whole(SAMPLING, SHAPE)(y)
    intensity = np.tensordot(weights[:-1], up, 1) + weights[-1]
    expected = [
        u + np.cov(b.ravel(), coarse.ravel())[0, 1] / np.var(coarse, ddof=1) * (pan - intensity) for u, b in zip(up, y)
    ]

    response = weights[None, :-1]
    fit = GsaFit(response, weights[-1:], injection_gains(y.reshape(len(y), -1).T, response))
    np.testing.assert_allclose(gsa(up, pan[None], fit), expected, rtol=1e-4)


def test_as_many_intensities_as_materials_leave_nothing_out():
    """Three shares that sum to one have two degrees of freedom: three MSI bands tell them all."""
    scene = mixture(materials=3, msi_bands=3)
    model = scene.scene
    fused = gsa_window(scene.block, model, fit_gsa([scene.block], model), EVERYTHING)
    assert scene.psnr(fused) > scene.psnr(scene.interpolated()) + 25


@pytest.mark.parametrize("msi_bands", [1, 4])
def test_gain_and_offset_of_the_msi_do_not_matter(msi_bands):
    found = []
    for changes in ({}, {"gain": 3.0, "offset": 500.0}):
        scene = mixture(msi_bands=msi_bands, **changes)
        model = scene.scene
        found.append(gsa_window(scene.block, model, fit_gsa([scene.block], model), EVERYTHING))
    np.testing.assert_allclose(found[1], found[0], atol=2.0)


def test_equal_msi_bands_do_no_harm():
    spectra = np.random.default_rng(1).normal(size=(500, 6))
    response = np.tile(np.full(6, 1 / 6), (2, 1))
    gains, alone = injection_gains(spectra, response), injection_gains(spectra, response[:1])
    np.testing.assert_allclose(gains.sum(axis=1), alone[:, 0], rtol=1e-4)


def test_what_lies_under_a_mask_is_never_seen():
    scene = mixture()
    blocks = [with_holes(scene.block, fill) for fill in (0.0, 1e4)]
    model = scene.scene
    found = [gsa_window(b, model, fit_gsa([b], model), EVERYTHING) for b in blocks]
    np.testing.assert_array_equal(found[0], found[1])


def test_a_window_is_that_part_of_the_whole():
    scene = mixture()
    model = scene.scene
    fit = fit_gsa([scene.block], model)
    whole = gsa_window(scene.block, model, fit, EVERYTHING)
    part = gsa_window(scene.block, model, fit, Window(range(20, 60), range(8, 30)))
    np.testing.assert_allclose(part, whole[:, 20:60, 8:30], rtol=1e-5)  # float32
