"""What everything else stands on: D and its adjoint, phase, borders, masks; one definition for numpy and torch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Degradation, Sampling, Upsampling, coarse_shape

samplings = st.builds(
    Sampling,
    ratio=st.sampled_from([2, 3, 4, 8, 2.5, 3.7, 8.33]),
    fwhm_y=st.floats(0.6, 2.2),
    fwhm_x=st.floats(0.6, 2.2),
    shift_y=st.floats(-3, 3),
    shift_x=st.floats(-3, 3),
)
shapes = st.tuples(st.integers(20, 60), st.integers(20, 60))


@settings(max_examples=40, deadline=None)
@given(samplings, shapes, st.integers(0, 2**31))
def test_adjoint(sampling, shape, seed):
    rng = np.random.default_rng(seed)
    for operator in (Degradation.whole(sampling, shape), Upsampling.whole(sampling, shape)):
        x = rng.standard_normal((2, operator.rows.shape[1], operator.cols.shape[1]))
        y = rng.standard_normal((2, operator.rows.shape[0], operator.cols.shape[0]))
        left, right = np.vdot(operator(x), y), np.vdot(x, operator.adjoint(y))
        assert abs(left - right) <= 1e-6 * np.linalg.norm(x) * np.linalg.norm(y)


@settings(max_examples=40, deadline=None)
@given(samplings, shapes)
def test_constants_are_preserved(sampling, shape):
    operator, up = Degradation.whole(sampling, shape), Upsampling.whole(sampling, shape)
    np.testing.assert_allclose(operator(np.full(shape, 3.7)), 3.7, rtol=1e-10)
    np.testing.assert_allclose(up(np.full(coarse_shape(shape, sampling.ratio), 3.7)), 3.7, rtol=1e-10)


@pytest.mark.parametrize("ratio", [2, 3, 4, 5, 8])
def test_phase_is_the_block_centre(ratio):
    """A ramp sampled by D gives the position of the coarse pixel's centre: a phase error of one pixel would be seen as
    1.0.
    """
    size = 12 * ratio
    ramp = np.broadcast_to(np.arange(size, dtype=float), (size, size))
    for psf in ("gaussian", "block-mean"):
        seen = Degradation.whole(Sampling(ratio, psf=psf), (size, size))(ramp)
        expected = (np.arange(12) + 0.5) * ratio - 0.5
        np.testing.assert_allclose(seen[:, 3:-3], np.broadcast_to(expected, (12, 12))[:, 3:-3], atol=1e-9)
    back = Upsampling.whole(Sampling(ratio), (size, size))(np.broadcast_to(expected, (12, 12)))
    np.testing.assert_allclose(back[:, 3 * ratio : -3 * ratio], ramp[:, 3 * ratio : -3 * ratio], atol=1e-9)


def test_a_shift_of_one_pixel_is_seen_and_has_the_right_sign():
    """Positive SHIFT_X: the HSI's content lies east of where its grid says, so it samples the scene further east."""
    ramp = np.broadcast_to(np.arange(64, dtype=float), (64, 64))
    plain, east = (Degradation.whole(Sampling(4, shift_x=s), (64, 64))(ramp) for s in (0.0, 1.0))
    np.testing.assert_allclose((east - plain)[:, 3:-3], 1.0, atol=1e-9)


def test_block_mean_is_the_mean_of_disjoint_blocks():
    x = np.random.default_rng(0).random((3, 24, 32))
    seen = Degradation.whole(Sampling(4, psf="block-mean"), (24, 32))(x)
    np.testing.assert_allclose(seen, x.reshape(3, 6, 4, 8, 4).mean(axis=(2, 4)), atol=1e-12)


def test_gaussian_matches_scipy_with_a_reflecting_border():
    ndimage = pytest.importorskip("scipy.ndimage")
    x = np.random.default_rng(0).random((60, 60))
    ratio, fwhm = 3, 1.3  # an odd ratio: block centres fall on pixels, so filter-then-slice is the same operator
    sigma = fwhm * ratio / 2.354820045
    reach = int(np.ceil(4 * sigma))
    expected = ndimage.gaussian_filter(x, sigma, mode="reflect", radius=reach)[1::3, 1::3]
    np.testing.assert_allclose(Degradation.whole(Sampling(ratio, fwhm, fwhm), (60, 60))(x), expected, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(samplings)
def test_a_window_with_halo_equals_the_crop_of_the_whole(sampling):
    shape = (90, 80)
    x = np.random.default_rng(1).random(shape)
    whole = Degradation.whole(sampling, shape)(x)
    height, width = whole.shape
    coarse = range(0, height // 2), range(width // 3, width)
    reach = int(np.ceil(3 * sampling.ratio + 4 + 1.7 * 2.2 * sampling.ratio))
    stop = min(shape[0], int(coarse[0].stop * sampling.ratio) + reach)
    start = max(0, int(coarse[1].start * sampling.ratio) - reach)
    window = Degradation(sampling, shape, range(0, stop), range(start, shape[1]), *coarse)
    np.testing.assert_allclose(window(x[:stop, start:]), whole[: height // 2, width // 3 :], atol=1e-10)


def test_masked_pixels_do_not_leak():
    rng = np.random.default_rng(2)
    x, mask = rng.random((2, 40, 40)), np.ones((40, 40))
    mask[10:20, 10:30] = 0
    operator = Degradation.whole(Sampling(4), (40, 40))
    spoiled = np.where(mask > 0, x, 1e6)
    first, support = operator.masked(x, mask)
    second, _ = operator.masked(spoiled, mask)
    np.testing.assert_allclose(first, second)
    np.testing.assert_allclose(operator.masked(np.ones_like(x), mask)[0][:, support > 1e-3], 1.0)
    assert support.min() < 0.1 and support.max() == pytest.approx(1.0)


def test_torch_and_numpy_agree():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(3).random((3, 50, 44))
    operator = Degradation.whole(Sampling(3.7, 1.2, 0.9, 0.4, -0.7), (50, 44))
    np.testing.assert_allclose(operator(torch.from_numpy(x)).numpy(), operator(x), atol=1e-12)
    y = operator(x)
    np.testing.assert_allclose(operator.adjoint(torch.from_numpy(y)).numpy(), operator.adjoint(y), atol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [
        {"ratio": 1.0},
        {"ratio": 0.25},
        {"ratio": 2.5, "psf": "block-mean"},
        {"ratio": 2, "psf": "box"},
        {"ratio": 2, "fwhm_x": 0.0},
    ],
)
def test_impossible_samplings_are_refused(arguments):
    with pytest.raises(HSFusionError):
        Sampling(**arguments)


@pytest.mark.parametrize("sampling", [Sampling(4), Sampling(2.5, 1.6, 0.9), Sampling(3, psf="block-mean")])
def test_noise_gain_is_what_white_noise_keeps(sampling):
    down = Degradation.whole(sampling, (240, 240))
    seen = down(np.random.default_rng(0).normal(size=(20, 240, 240)))
    np.testing.assert_allclose(down.noise_gain, seen[:, 3:-3, 3:-3].std(), rtol=0.03)
