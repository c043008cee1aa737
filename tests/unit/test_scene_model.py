"""The scene model: relations that were put into a pair are found, hold what they promise, and survive JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.listener import Listener
from hsfusion.models.observation import Degradation, Sampling, noise_std
from hsfusion.models.scene.block import Block, whole_block
from hsfusion.models.scene.methods.subspace import ClosedForms
from hsfusion.models.scene.model import fit_scene
from hsfusion.models.scene.subspace.subspace import fit_subspace
from hsfusion.models.scene.window import Place, Window
from hsfusion.models.wire.scene import model_from
from hsfusion.models.wire.values import plain

SAMPLING, GAIN, OFFSET = Sampling(4, 1.1, 1.1), np.array([1.2, 0.8, 1.0]), np.array([300.0, -100.0, 0.0])


def pair(truth: np.ndarray, snr_db: float = 0.0) -> Block:
    """Three of the HSI's bands with gain and offset as MSI."""
    hsi = Degradation.whole(SAMPLING, truth.shape[1:])(truth)
    msi = GAIN[:, None, None] * truth[[2, 9, 15]] + OFFSET[:, None, None]
    if snr_db:
        rng = np.random.default_rng(0)
        hsi, msi = (
            a + noise_std((a**2).mean(axis=(1, 2)), snr_db)[:, None, None] * rng.standard_normal(a.shape)
            for a in (hsi, msi)
        )
    return whole_block(hsi.astype(np.float32), msi.astype(np.float32))


@pytest.fixture(scope="module")
def truth(make_scene) -> np.ndarray:
    """A scene of 20 bands."""
    return make_scene(20, 192, 176, materials=6, seed=5)


@pytest.mark.parametrize("snr_db", [0, 35])
def test_the_response_predicts_the_msi_from_the_truths_coefficients(truth, snr_db):
    """z = A x + o at the fine scale, where nothing of it was fitted; what is left is within the noise that the model
    states.
    """
    block = pair(truth, snr_db)
    scene = fit_scene([block], SAMPLING)
    model, x, z = scene.coefficients, scene.subspace.project(truth), scene.standardise(block.z)
    rest = z - np.einsum("lk,khw->lhw", model.response, x) - model.offset[:, None, None]
    assert (rest.std(axis=(1, 2)) < 1.3 * model.z_std).all()
    assert scene.unexplained.max() < 0.01
    np.testing.assert_allclose(
        scene.spectral_response @ truth.mean(axis=(1, 2)) + scene.spectral_offset, scene.z_mean, rtol=0.02
    )


def test_an_msi_that_shows_nothing_is_refused_and_one_empty_band_is_not(truth):
    block = pair(truth)
    with pytest.raises(HSFusionError, match="multispectral raster is constant .* nothing to sharpen with"):
        fit_scene([replace(block, z=np.full_like(block.z, 0.1))], SAMPLING)
    empty = block.z.copy()
    empty[1] = 0.0
    scene = fit_scene([replace(block, z=empty)], SAMPLING)
    assert np.isfinite(scene.coefficients.regression).all() and np.isfinite(scene.coefficients.denoised().z_std).all()


@pytest.mark.parametrize("snr_db", [0, 35, 25])
def test_images_of_one_truth_agree_whatever_their_noise(truth, snr_db):
    assert fit_scene([pair(truth, snr_db)], SAMPLING).coefficients.agreement == 1.0


def test_an_msi_of_another_moment_agrees_in_a_part_of_its_detail(truth):
    """A third of every band's spread that the HSI knows nothing of, as smooth as the HSI's pixels."""
    block = pair(truth)
    rows, cols = block.z.shape[1:]
    other = np.kron(np.random.default_rng(1).normal(size=(3, rows // 4, cols // 4)), np.ones((4, 4)))
    changed = block.z + 0.33 * block.z.std(axis=(1, 2), keepdims=True) * other
    model = fit_scene([replace(block, z=changed.astype(np.float32))], SAMPLING).coefficients
    assert 0.3 < model.agreement < 0.95
    assert model_from(json.loads(json.dumps(plain(model)))).agreement == model.agreement


def test_the_standardised_msi_has_zero_mean_and_unit_variance(truth):
    block = pair(truth)
    scene = fit_scene([block], SAMPLING)
    z = scene.standardise(block.z)
    np.testing.assert_allclose(z.mean(axis=(1, 2)), 0.0, atol=1e-3)
    np.testing.assert_allclose(z.std(axis=(1, 2)), 1.0, rtol=1e-3)
    assert z.dtype == np.float32
    np.testing.assert_allclose(scene.in_units(z), block.z, rtol=1e-5, atol=1e-5 * np.abs(block.z).max())


@pytest.mark.parametrize("snr_db", [0, 35, 25])
def test_the_expected_spread_is_near_the_true_one(truth, snr_db):
    """target_std says within a factor of three, per component that matters, how far GLP-HS will be off."""
    block = pair(truth, snr_db)
    scene = fit_scene([block], SAMPLING)
    model = scene.coefficients
    y = scene.subspace.project(block.y).astype(np.float32)
    place = block.place
    forms = ClosedForms(y, scene.standardise(block.z), block.y_mask, block.z_mask, model, place)
    error = (forms.glp - scene.subspace.project(truth)).std(axis=(1, 2))
    ratio = (model.target_std / error)[model.weight > 0.05]
    assert (ratio > 1 / 3).all() and (ratio < 3).all()
    assert (model.target_std >= model.prior_std).all()


@pytest.mark.parametrize("snr_db", [0, 35])
def test_the_expected_error_per_band_is_near_that_of_the_closed_forms(truth, snr_db):
    """In the raster's units, and rather too large: what a small scene is told in place of a checked error."""
    block = pair(truth, snr_db)
    scene = fit_scene([block], SAMPLING)
    forms = ClosedForms(
        scene.subspace.project(block.y).astype(np.float32),
        scene.standardise(block.z),
        block.y_mask,
        block.z_mask,
        scene.coefficients,
        block.place,
    )
    error = np.sqrt(((scene.subspace.expand(forms.average) - truth) ** 2).mean(axis=(1, 2)))
    ratio = scene.expected_std() / error
    assert 0.5 < np.median(ratio) < 5


def test_noise_is_told_in_the_coefficients(truth):
    quiet, loud = (fit_scene([pair(truth, snr_db)], SAMPLING).coefficients for snr_db in (45, 25))
    assert (loud.z_std > 2 * quiet.z_std).all() and (loud.y_std[:3] > 2 * quiet.y_std[:3]).all()
    assert (loud.target_std[:3] > quiet.target_std[:3]).all()


def test_locs_score_tells_where_it_helps(make_scene):
    """A relation between MSI and HSI that turns over the scene is what LOC is for: near 1, where a scene of one
    relation scores less.
    """
    z = make_scene(1, 192, 192, seed=7)
    turning = np.linspace(0.2, 1.0, 192)[None, :, None]
    truth = np.concatenate(
        [z, z * turning, 0.5 * z * (1.2 - turning), z + 0.1 * make_scene(3, 192, 192, seed=8)]
    ).astype(np.float32)
    hsi = Degradation.whole(SAMPLING, (192, 192))(truth)
    scene = fit_scene([whole_block(hsi, z)], SAMPLING, 3)
    assert scene.coefficients.loc_gain.max() > 0.5 and (scene.coefficients.loc_gain >= -1).all()


def test_blocks_of_a_scene_give_the_model_of_the_scene(truth):
    """Two blocks that cover it, cut with a halo, give the same regression and scales."""
    whole = pair(truth, 35)
    parts = []
    for rows in (range(0, 24), range(24, 48)):
        fine = range(max(0, 4 * rows.start - 16), min(192, 4 * rows.stop + 16))
        place = whole.place
        parts.append(whole.cut(Place(Window(fine, place.fine.cols), Window(rows, place.coarse.cols))))
    subspace = fit_subspace(whole.y.reshape(20, -1).T, 6)
    one, two = fit_scene([whole], SAMPLING, subspace=subspace), fit_scene(parts, SAMPLING, subspace=subspace)
    assert two.coefficients.scene_shape == (192, 176)
    np.testing.assert_allclose(
        two.coefficients.regression, one.coefficients.regression, atol=0.02 * np.abs(one.coefficients.regression).max()
    )
    np.testing.assert_allclose(two.coefficients.target_std, one.coefficients.target_std, rtol=0.1)
    np.testing.assert_allclose(two.z_scale, one.z_scale, rtol=0.05)


def test_masked_pixels_do_not_leak(truth):
    block = pair(truth, 35)
    y_mask, z_mask = block.y_mask.copy(), block.z_mask.copy()
    y_mask[10:12, 5:20], z_mask[100:130, 40:90] = 0.0, 0.0
    models = []
    for value in (0.0, 1e5):
        y, z = np.where(y_mask > 0, block.y, np.float32(value)), np.where(z_mask > 0, block.z, np.float32(-value))
        models.append(fit_scene([replace(block, y=y, z=z, y_mask=y_mask, z_mask=z_mask)], SAMPLING))
    for name, value in vars(models[0].coefficients).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(models[1].coefficients, name), err_msg=name)
    np.testing.assert_array_equal(models[0].gate, models[1].gate)


def test_the_coefficient_model_survives_json(truth):
    model = fit_scene([pair(truth, 35)], Sampling(4, 1.1, 0.9, 0.5, -0.25)).coefficients
    back = model_from(json.loads(json.dumps(plain(model))))
    assert (
        back.sampling == model.sampling and back.scene_shape == model.scene_shape and back.loc_ridge == model.loc_ridge
    )
    for name, value in vars(model).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(back, name), value, err_msg=name)
            assert getattr(back, name).shape == value.shape


def test_fewer_bands_than_components_and_a_single_msi_band(truth):
    hsi = Degradation.whole(SAMPLING, truth.shape[1:])(truth[:3])
    scene = fit_scene([whole_block(hsi, truth[[1]])], SAMPLING)
    model = scene.coefficients
    assert scene.subspace.components == 3 and model.regression.shape == (3, 1) and model.response.shape == (1, 3)
    assert all(np.isfinite(value).all() for value in vars(model).values() if isinstance(value, np.ndarray))


def test_a_cancel_is_heard_between_all_steps(make_scene):
    """No step of the fit is longer than a share of a second; whatever `check` raises, at whichever of its calls, ends
    the work.
    """

    class Enough(Exception):
        pass

    truth = make_scene(12, 64, 64)
    block = whole_block(Degradation.whole(Sampling(4), (64, 64))(truth), truth[:3])

    class Patient(Listener):
        """Ends the work when it has been asked so often."""

        def __init__(self, most):
            self.asked, self.most = 0, most

        def check(self):
            self.asked += 1
            if self.asked > self.most:
                raise Enough

    everything = Patient(10**6)
    fit_scene([block], Sampling(4), listener=everything)
    assert everything.asked >= 12
    for number in range(everything.asked):
        with pytest.raises(Enough):
            fit_scene([block], Sampling(4), listener=Patient(number))
