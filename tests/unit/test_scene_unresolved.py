"""How large the fine detail is of which the coarse pixels know the means only."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling, Upsampling
from hsfusion.models.scene.subspace.hidden_detail import (
    LAGS,
    LENGTHS,
    UNSURE,
    _nonnegative,
    fine_std,
    kinds,
    neighbour_products,
)

SAMPLING = Sampling(4.0, 1.0, 1.0)
SIZE = 240
BANDS = 12


def coarse(fine: np.ndarray, sampling: Sampling = SAMPLING) -> np.ndarray:
    return Degradation.whole(sampling, fine.shape[-2:])(fine)


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("ratio", [2.5, 4.0])
@pytest.mark.parametrize("number", range(len(LENGTHS)))
def test_what_is_said_of_a_kind_of_detail_is_what_happens_to_it(ratio, number):
    """Fields of each correlation length, degraded and interpolated: how their means hang together, and what is lost of
    them.
    """
    sampling = Sampling(ratio, 1.2, 1.2)
    length = LENGTHS[number]
    distance = np.abs(np.arange(SIZE)[:, None] - np.arange(SIZE)[None, :])
    root = np.linalg.cholesky(np.exp(-distance / length)) if length else np.eye(SIZE)
    fields = root @ noise(6, 40, SIZE, SIZE) @ root.T
    low = coarse(fields, sampling)
    products = [np.mean(products) for products in neighbour_products([low], range(LAGS))]
    inside = slice(20, SIZE - 20)  # the border is mirrored
    lost = (fields - Upsampling.whole(sampling, (SIZE, SIZE))(low))[:, inside, inside]
    said = kinds(sampling)
    np.testing.assert_allclose(np.array(products) / products[0], said.products[:, number], atol=0.06)
    assert (lost**2).mean() / products[0] == pytest.approx(said.hidden[number], rel=0.08)


def test_the_mixture_of_kinds_is_the_best_without_negative_shares():
    """The same as scipy's non-negative least squares, which knows no ridge: it is written as rows of its own."""
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(7)
    for _ in range(20):
        matrix, wanted, ridges = rng.standard_normal((4, 5)), rng.standard_normal(4), rng.uniform(1e-4, 0.1, 5)
        expected, _ = optimize.nnls(
            np.concatenate([matrix, np.diag(np.sqrt(ridges))]), np.concatenate([wanted, np.zeros(5)])
        )
        np.testing.assert_allclose(_nonnegative(matrix, wanted, ridges), expected, atol=1e-8)


def test_noise_of_the_scene_is_found_beside_smooth_detail():
    """Far neighbours share the smooth part, near ones both: the white one, which hides most, is told from it to a
    third.
    """
    x = np.linspace(0, 4 * np.pi, SIZE)
    smooth = np.sin(x)[:, None] * np.sin(x)[None, :] * np.ones((BANDS, 1, 1))
    fine = noise(8, BANDS, SIZE, SIZE)
    smooth *= 0.5 * coarse(fine).std() / smooth.std()
    found = fine_std([coarse(fine + smooth)], SAMPLING) / UNSURE
    assert found.mean() == pytest.approx(1.0, rel=0.33)


@pytest.mark.parametrize("ratio", [2.0, 4.0, 8.0])
def test_the_scene_s_own_noise_is_found(ratio):
    """White fine detail of a known std per band: met to a quarter at every ratio, and its bands in proportion."""
    sampling = Sampling(ratio, 1.0, 1.0)
    truth = np.linspace(1.0, 3.0, BANDS)
    low = coarse(truth[:, None, None] * noise(1, BANDS, SIZE, SIZE), sampling)
    found = fine_std([low], sampling) / UNSURE
    assert found.mean() == pytest.approx(truth.mean(), rel=0.25)
    np.testing.assert_allclose(found / found[0], truth / truth[0], rtol=0.25)


def test_the_sensor_s_noise_is_no_detail():
    """Noise of a coarse pixel says nothing of the truth: the same variance counts for less than a fifth of the
    scene's.
    """
    low = coarse(noise(2, BANDS, SIZE, SIZE))
    of_scene = fine_std([low], SAMPLING)
    of_sensor = fine_std([low.std() * noise(3, *low.shape)], SAMPLING)
    assert of_sensor.mean() < 0.2 * of_scene.mean()


def test_smooth_detail_is_hardly_lost():
    """The smoother a field of the same variance, the less of it the coarse pixels miss."""
    x = np.linspace(0, 8 * np.pi, SIZE)
    smooth = np.sin(x)[:, None] * np.sin(x)[None, :] * np.ones((BANDS, 1, 1))
    white = coarse(noise(4, BANDS, SIZE, SIZE))
    low = coarse(smooth)
    assert fine_std([low], SAMPLING).mean() / low.std() < 0.5 * fine_std([white], SAMPLING).mean() / white.std()


def test_blocks_and_gaps():
    """Two halves say what the whole says, and pixels that are missing change little."""
    low = coarse(noise(5, BANDS, SIZE, SIZE))
    whole = fine_std([low], SAMPLING)
    np.testing.assert_allclose(fine_std([low[:, :30], low[:, 30:]], SAMPLING), whole, rtol=0.02)
    gaps = low.copy()
    gaps[:, 10:14, 20:30] = np.nan
    np.testing.assert_allclose(fine_std([gaps], SAMPLING), whole, rtol=0.1)
