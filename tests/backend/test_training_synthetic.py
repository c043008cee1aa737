"""Synthetic scenes are mixtures of real spectra over real textures."""

from __future__ import annotations

import numpy as np

from hsfusion.models.training.subspace.synthetic import endmembers, synthetic_scene


def test_every_pixel_is_a_shaded_mixture_of_the_endmembers(make_scene) -> None:
    spectra, texture = make_scene(20, 40, 40, seed=1), make_scene(6, 30, 36, seed=2)
    made = synthetic_scene(np.random.default_rng(0), spectra, texture)
    assert made.shape == (20, 30, 36) and made.dtype == np.float32 and np.isfinite(made).all() and (made >= 0).all()
    rank = np.linalg.matrix_rank(made.reshape(20, -1), tol=1e-3 * np.linalg.norm(made))
    assert 2 <= rank <= 9
    assert made.std() > 0.05 * made.mean()


def test_endmembers_are_pixels_of_the_scene(make_scene) -> None:
    scene = make_scene(8, 20, 20)
    found = endmembers(np.random.default_rng(0), scene, 5)
    pixels = scene.reshape(8, -1).T
    assert all((np.abs(pixels - one).max(axis=1) == 0).any() for one in found)


def test_a_texture_without_contrast_or_with_outliers_stays_finite(make_scene) -> None:
    spectra = make_scene(8, 20, 20)
    spiky = np.zeros((3, 24, 24), np.float32)
    spiky[:, 3, 3] = 1e6
    for texture in (np.ones((3, 24, 24), np.float32), spiky):
        assert np.isfinite(synthetic_scene(np.random.default_rng(0), spectra, texture)).all()
