"""SFIM-HS on scenes that obey its model exactly, and where its ratio would fail."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.scene.methods.sfim import fit_sfim, sfim, sfim_window
from hsfusion.models.scene.window import Window
from hsfusion.tests.unit.mixtures import SHAPE, mixture, with_holes

EVERYTHING = Window.whole(SHAPE)


def test_the_ratio_by_hand():
    random = np.random.default_rng(0)
    sharp, low = random.uniform(1, 3, (2, 3, 5, 6))
    upsampled = random.uniform(10, 20, (3, 5, 6))
    found = sfim(upsampled, sharp, low, np.full(3, 0.1))
    np.testing.assert_allclose(found, upsampled * sharp / low)


def test_any_illumination_that_the_low_pass_shares_is_kept():
    """X = a P with up(Y) = a P_low, whatever a is: the model of Liu (2000)."""
    random = np.random.default_rng(1)
    sharp, low, illumination = random.uniform(1, 3, (3, 4, 5, 6))
    np.testing.assert_allclose(sfim(illumination * low, sharp, low, np.full(4, 0.1)), illumination * sharp)


@pytest.mark.parametrize("offset", [0.0, 700.0])
def test_a_scene_of_one_spectrum_family_is_exact(offset):
    """Two materials: every band is a linear function of any other, the MSI's gain and offset included."""
    scene = mixture(materials=2, msi_bands=1, gain=0.5, offset=offset)
    model = scene.scene
    fused = sfim_window(scene.block, model, fit_sfim([scene.block], model), EVERYTHING)
    assert np.abs(fused - scene.truth).max() < 1e-3 * scene.truth.max()


def test_more_materials_than_the_msi_tells_apart():
    scene = mixture(materials=4, msi_bands=4)
    model = scene.scene
    fused = sfim_window(scene.block, model, fit_sfim([scene.block], model), EVERYTHING)
    assert scene.psnr(fused) > scene.psnr(scene.interpolated()) + 20


def test_dark_pixels_do_not_blow_up():
    upsampled, floor = np.full((1, 1, 4), 5.0), np.array([2.0])
    low = np.array([[[0.0, -1.0, 1e-9, 4.0]]])
    found = sfim(upsampled, low + 1.0, low, floor)
    np.testing.assert_allclose(found[0, 0], [7.5, 7.5, 7.5, 6.25])
    np.testing.assert_array_equal(sfim(upsampled, low, low, floor), upsampled, "flat stays flat")


def test_what_lies_under_a_mask_is_never_seen():
    scene = mixture()
    blocks = [with_holes(scene.block, fill) for fill in (0.0, 1e4)]
    model = scene.scene
    found = [sfim_window(b, model, fit_sfim([b], model), EVERYTHING) for b in blocks]
    np.testing.assert_array_equal(found[0], found[1])


def test_a_window_is_that_part_of_the_whole():
    scene = mixture()
    model = scene.scene
    fit = fit_sfim([scene.block], model)
    whole = sfim_window(scene.block, model, fit, EVERYTHING)
    part = sfim_window(scene.block, model, fit, Window(range(20, 60), range(8, 30)))
    np.testing.assert_allclose(part, whole[:, 20:60, 8:30], rtol=1e-5)
