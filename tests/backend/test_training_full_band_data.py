"""Training pairs of full-band models: what a patch shows is what a run on the whole scene shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Degradation, Sampling, Upsampling
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.pixels.scaling import scene_scaling
from hsfusion.models.training.full_band.config import Observation, Stage
from hsfusion.models.training.full_band.data import PatchSource, Reference, observe, response_of
from hsfusion.tests.backend.full_band_tiny import tiny

PLAIN = tiny(flips=False)


def source(make_scene, config=PLAIN, shape=(42, 48)):
    """One observed scene, and patches of it."""
    response = response_of(config)
    scene = observe(Reference("one", make_scene(6, *shape, seed=2)), config, response)
    return scene, PatchSource([scene], config, response)


@pytest.mark.parametrize("psf", ["gaussian", "block-mean"])
def test_a_patch_is_a_window_of_the_normalised_scene(make_scene, psf):
    config = replace(PLAIN, observation=Observation(ratio=4, psf=psf))
    scene, patches = source(make_scene, config)
    assert scene.truth.shape == (6, 40, 48), "cut to whole coarse pixels"
    up = Upsampling.whole(config.observation.sampling(), (40, 48))(scene.hsi) / scene.scaling.hsi
    truth, msi = scene.truth / scene.scaling.hsi, scene.msi / scene.scaling.msi[:, None, None]
    batch = patches.draw(np.random.default_rng(0), 12, 16)
    for patch, patch_up, patch_msi in zip(batch.truth.numpy(), batch.hsi_up.numpy(), batch.msi.numpy()):
        starts = [(r, c) for r in range(0, 25, 4) for c in range(0, 33, 4)]
        at = [(r, c) for r, c in starts if np.allclose(patch, truth[:, r : r + 16, c : c + 16], atol=1e-6)]
        assert len(at) == 1
        (r, c) = at[0]
        np.testing.assert_allclose(patch_up, up[:, r : r + 16, c : c + 16], atol=2e-6)
        np.testing.assert_allclose(patch_msi, msi[:, r : r + 16, c : c + 16], atol=2e-6)


def test_flips_and_jitter_keep_the_observation_model(make_scene):
    config = tiny(flips=True, jitter=0.2)
    _, patches = source(make_scene, config)
    batch, response = patches.draw(np.random.default_rng(1), 6, 16), response_of(config)
    simulated = np.einsum("lk,bkhw->blhw", response, batch.truth.numpy()) * batch.gain.numpy()[:, :, None, None]
    np.testing.assert_allclose(batch.msi.numpy(), simulated, rtol=1e-4, atol=1e-6)
    means = [batch.truth.mean(dim=(2, 3)), batch.hsi_up.mean(dim=(2, 3))]
    np.testing.assert_allclose(means[0].numpy(), means[1].numpy(), rtol=0.15)
    plain, _ = source(make_scene)
    spectra = batch.truth.numpy().mean(axis=(2, 3)) / (plain.truth / plain.scaling.hsi).mean(axis=(1, 2))
    assert spectra.std(axis=1).min() > 0.01, "each patch has light of its own"


def test_noise_has_the_strength_asked_for(make_scene):
    clean, patches = source(make_scene)
    noisy = PatchSource([clean], replace(PLAIN, observation=Observation(ratio=4, snr_msi=20.0)), response_of(PLAIN))
    a, b = (p.draw(np.random.default_rng(3), 1, 40) for p in (patches, noisy))
    error = (b.msi - a.msi).numpy()
    snr = 10 * np.log10((a.msi.numpy() ** 2).mean() / (error**2).mean())
    assert snr == pytest.approx(20.0, abs=0.7) and np.array_equal(a.hsi_up, b.hsi_up)


def test_the_same_seed_draws_the_same_patches(make_scene):
    _, patches = source(make_scene, tiny(jitter=0.1))
    a, b, c = (patches.draw(np.random.default_rng(s), 3, 16) for s in (5, 5, 6))
    assert np.array_equal(a.truth, b.truth) and np.array_equal(a.msi, b.msi) and not np.array_equal(a.truth, c.truth)


def test_a_real_finer_msi_is_reduced_with_the_reference(make_scene):
    """Wald's protocol: both images one scale down, the reference is the truth."""
    rng = np.random.default_rng(0)
    cube, pan = make_scene(6, 32, 40), rng.random((2, 128, 160)).astype(np.float32)
    pair = observe(Reference("pair", cube, pan), PLAIN, None)
    sampling = Sampling(4)
    np.testing.assert_array_equal(pair.truth, cube)
    np.testing.assert_allclose(pair.msi, Degradation.whole(sampling, (128, 160))(pan), atol=1e-6)
    np.testing.assert_allclose(pair.hsi, Degradation.whole(sampling, (32, 40))(cube), rtol=1e-5)
    assert pair.scaling.hsi == scene_scaling([whole_block(pair.hsi, pair.msi)]).hsi
    same_grid = observe(Reference("pair", cube, pan[:, :32, :40]), PLAIN, None)
    np.testing.assert_array_equal(same_grid.msi, pan[:, :32, :40])
    batch = PatchSource([pair], PLAIN, None).draw(rng, 2, 16)
    assert batch.msi.shape == (2, 2, 16, 16)


def test_at_full_resolution_the_pair_is_left_alone(make_scene):
    cube, pan = make_scene(6, 12, 10), make_scene(2, 48, 44)
    pair = observe(Reference("pair", cube, pan, full_resolution=True), PLAIN, None)
    assert pair.truth is None and pair.msi.shape == (2, 48, 40) and np.array_equal(pair.hsi, cube)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            Reference("x", np.ones((6, 32, 32), np.float32), np.ones((2, 50, 50), np.float32)),
            "must have 128 x 128, or as many",
        ),
        (Reference("x", np.ones((6, 32, 32), np.float32), None, True), "give its finer image as the key msi"),
        (
            Reference("x", np.ones((6, 32, 32), np.float32), np.ones((2, 50, 50), np.float32), True),
            "must have 128 x 128",
        ),
        (Reference("x", np.ones((6, 32, 32), np.float32)), "has no MSI"),
    ],
    ids=["grid", "alone", "grid at full resolution", "nothing to simulate with"],
)
def test_what_is_wrong_with_a_pair_is_said(reference, message):
    with pytest.raises(HSFusionError, match=message):
        observe(reference, PLAIN, None)


def test_patches_larger_than_every_scene_are_refused(make_scene):
    with pytest.raises(HSFusionError, match="No scene is as large as the patches of 64"):
        source(make_scene, tiny(stages=(Stage(64, 1, 1),)))
