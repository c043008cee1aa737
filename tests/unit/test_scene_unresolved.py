"""How large the fine detail is of which the coarse pixels know the means only."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.unresolved import UNSURE, _psf, fine_std

SAMPLING = Sampling(4.0, 1.0, 1.0)
SIZE = 240
BANDS = 12


def coarse(fine: np.ndarray, sampling: Sampling = SAMPLING) -> np.ndarray:
    return Degradation.whole(sampling, fine.shape[-2:])(fine)


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_what_the_psf_does_to_white_noise():
    """Energy and correlation are those of noise that was really degraded."""
    low = coarse(noise(0, 40, SIZE, SIZE))
    energy, by_psf, twice = _psf(SAMPLING)
    assert low.var() == pytest.approx(energy, rel=0.03)
    for lag, expected in ((1, by_psf), (2, twice)):
        assert np.mean(low[:, lag:] * low[:, :-lag]) / low.var() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("ratio", [2.0, 4.0, 8.0])
def test_the_scene_s_own_noise_is_found(ratio):
    """White fine detail of a known std per band: met to a fifth at every ratio, and its bands in proportion."""
    sampling = Sampling(ratio, 1.0, 1.0)
    truth = np.linspace(1.0, 3.0, BANDS)
    low = coarse(truth[:, None, None] * noise(1, BANDS, SIZE, SIZE), sampling)
    found = fine_std([low], sampling) / UNSURE
    assert found.mean() == pytest.approx(truth.mean(), rel=0.2)
    np.testing.assert_allclose(found / found[0], truth / truth[0], rtol=0.25)


def test_the_sensor_s_noise_is_no_detail():
    """Noise of a coarse pixel says nothing of the truth: the same variance counts for less than a fifth of the scene's."""
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
