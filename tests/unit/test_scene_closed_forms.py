"""Closed forms against independent implementations: dense normal equations for MAP, explicit loops for LOC, exact
relations for GLP-HS.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling, Upsampling
from hsfusion.models.scene.laws import closed_forms as cf
from hsfusion.models.scene.laws.observation import Observation, gram_bounds

RNG = np.random.default_rng(0)
LOC_REACH, LOC_WINDOW = 6, 1.5  # DESIGN: a Gaussian window of about 1.5 HSI pixels


def operators(sampling: Sampling, shape: tuple[int, int]) -> tuple[Degradation, Upsampling]:
    """D and its interpolation on a whole scene."""
    return Degradation.whole(sampling, shape), Upsampling.whole(sampling, shape)


def test_glp_recovers_a_scene_that_is_linear_in_the_msi():
    """Where x = C z everywhere, GLP-HS is exact, whatever the detail."""
    down, up = operators(Sampling(4, 1.3, 1.3), (48, 40))
    z, matrix = RNG.standard_normal((3, 48, 40)), RNG.standard_normal((5, 3))
    x = np.einsum("kl,lhw->khw", matrix, z)
    _, _, detail = cf.detail_image(z, np.ones((48, 40)), down, up)
    np.testing.assert_allclose(cf.glp(up(down(x)), detail, matrix), x, atol=1e-10)


class Seen(NamedTuple):
    """The sensors of a problem."""

    response: np.ndarray
    offset: np.ndarray
    y_std: np.ndarray
    z_std: np.ndarray


def solved(prior, y, z, y_mask, z_mask, down, response, offset, y_std, z_std, prior_std):
    """MAP."""
    return Observation(y, z, y_mask, z_mask, down, Seen(response, offset, y_std, z_std)).map(prior, prior_std)


def local(y, low, mask, detail, regression, intercept, ridge, up):
    """What LOC adds to a global regression."""
    return cf.loc(y - cf.mix(regression, low) - cf.column(intercept, y), low, mask, detail, ridge, up)


def loc_by_loops(y, low, mask, regression, intercept, ridge):
    """Slopes (h, w, l, K) of LOC: at every coarse pixel a weighted least-squares problem of its own, mean removed,
    ridge added.
    """
    bands, (h, w) = low.shape[0], y.shape[1:]
    rest = y - np.einsum("kl,lhw->khw", regression, low) - intercept[:, None, None]
    slopes = np.zeros((h, w, bands, len(y)))
    for i in range(h):
        for j in range(w):
            a, b, weights = [], [], []
            for p in range(max(0, i - LOC_REACH), min(h, i + LOC_REACH + 1)):
                for q in range(max(0, j - LOC_REACH), min(w, j + LOC_REACH + 1)):
                    if mask[p, q] > 0:
                        a.append(low[:, p, q])
                        b.append(rest[:, p, q])
                        weights.append(np.exp(-((p - i) ** 2 + (q - j) ** 2) / (2 * LOC_WINDOW**2)))
            a, b, weights = np.array(a), np.array(b), np.array(weights) / np.sum(weights)
            a, b = a - weights @ a, b - weights @ b
            slopes[i, j] = (
                np.linalg.inv(a.T @ (weights[:, None] * a) + ridge * np.eye(bands)) @ a.T @ (weights[:, None] * b)
            )
    return slopes


@pytest.mark.parametrize("masked", [False, True])
def test_loc_is_a_weighted_ridge_at_every_pixel(masked):
    down, up = operators(Sampling(3, 1.0, 1.0), (42, 36))
    y, z = RNG.standard_normal((4, 14, 12)), RNG.standard_normal((2, 42, 36))
    mask = np.ones((14, 12))
    if masked:
        mask[3:6, 4:9] = 0.0
    regression, intercept, ridge = RNG.standard_normal((4, 2)), RNG.standard_normal(4), 0.05
    low, _, detail = cf.detail_image(z, np.ones((42, 36)), down, up)
    base = cf.glp(up(y), detail, regression)
    slopes = loc_by_loops(y, low, mask, regression, intercept, ridge)
    expected = base + sum(up(np.moveaxis(slopes[:, :, b], -1, 0)) * detail[b] for b in range(2))
    found = base + local(y, low, mask, detail, regression, intercept, ridge, up)
    np.testing.assert_allclose(
        found, expected, atol=1e-5 * np.ptp(expected)
    )  # the weights' floor of 1e-6 is all that differs


def test_loc_finds_a_relation_that_changes_over_the_scene():
    """A slope that varies slowly: LOC leaves far less than the global regression."""
    shape = (96, 96)
    down, up = operators(Sampling(4, 1.0, 1.0), shape)
    z = RNG.standard_normal((1, *shape)) + np.kron(RNG.standard_normal((1, 24, 24)), np.ones((4, 4)))
    x = z * np.linspace(-1, 1, 96)[None, :, None]
    y, mask = down(x), np.ones((24, 24))
    low, _, detail = cf.detail_image(z, np.ones(shape), down, up)
    base = cf.glp(up(y), detail, np.zeros((1, 1)))
    found = base + cf.loc(y, low, mask, detail, 0.01, up)
    assert np.std(found - x) < 0.3 * np.std(base - x)


def test_locs_score_leaves_each_pixel_out():
    """No gain on noise that has nothing to do with the MSI; nearly all of a slope that varies slowly."""
    low = RNG.standard_normal((2, 30, 30))
    unrelated = RNG.standard_normal((1, 30, 30))
    related = low[:1] * np.linspace(-1, 1, 30)[None, :, None]
    for rest, least, most in ((unrelated, 0.95, 1.4), (related, 0.0, 0.1)):
        without, with_slopes = cf.loc_gain(rest, low, np.ones((30, 30)), 0.05)
        assert least <= float(with_slopes[0] / without[0]) <= most


def dense_map(prior, y, z, y_mask, z_mask, down, response, offset, y_std, z_std, prior_std):
    """The minimiser by its normal equations, one large dense system over all pixels and components."""
    components, height, width = prior.shape
    operator = np.kron(down.rows, down.cols)  # (hw, HW)
    whole = np.kron(np.eye(components), operator)
    spectral = np.kron(response, np.eye(height * width))
    y_weight = (y_mask.ravel()[None, :] / y_std[:, None] ** 2).ravel()
    z_weight = (z_mask.ravel()[None, :] / z_std[:, None] ** 2).ravel()
    prior_weight = np.repeat(prior_std**-2.0, height * width)
    normal = whole.T @ (y_weight[:, None] * whole) + spectral.T @ (z_weight[:, None] * spectral) + np.diag(prior_weight)
    right = (
        whole.T @ (y_weight * y.ravel())
        + spectral.T @ (z_weight * (z - offset[:, None, None]).ravel())
        + prior_weight * prior.ravel()
    )
    return np.linalg.solve(normal, right).reshape(prior.shape)


def map_problem(sampling: Sampling, shape: tuple[int, int], noise: float):
    """A small random problem with consistent data: prior a little off, both images with noise."""
    rng = np.random.default_rng(3)
    down = Degradation.whole(sampling, shape)
    components, bands = 3, 2
    truth, response = rng.standard_normal((components, *shape)), rng.standard_normal((bands, components))
    offset, prior_std = rng.standard_normal(bands), np.array([0.5, 0.3, 0.2])
    y_std, z_std = noise * np.array([1.0, 2.0, 1.5]), noise * np.array([1.0, 1.5])
    y = down(truth)
    y = y + y_std[:, None, None] * rng.standard_normal(y.shape)
    z = np.einsum("lk,khw->lhw", response, truth) + offset[:, None, None]
    z = z + z_std[:, None, None] * rng.standard_normal(z.shape)
    prior = truth + prior_std[:, None, None] * rng.standard_normal(truth.shape)
    masks = np.ones(y.shape[1:]), np.ones(shape)
    return [prior, y, z, *masks, down, response, offset, y_std, z_std, prior_std]


@pytest.mark.parametrize(
    ("sampling", "noise", "tolerance"),
    [
        (Sampling(3, 1.0, 1.0), 0.1, 1e-4),
        (Sampling(2, 0.8, 0.8), 0.02, 1e-4),
        (Sampling(2.5, 1.2, 1.0, 0.4, -0.3), 0.05, 1e-4),
        (Sampling(4, psf="block-mean"), 0.01, 1e-4),
        (
            Sampling(3, 1.6, 1.6),
            0.05,
            2e-2,
        ),  # twelve steps do not converge where the PSF is wide: what is left is no harm
    ],
)
def test_map_is_the_dense_solution(sampling, noise, tolerance):
    """Largest difference as a share of how far MAP moves its prior."""
    problem = map_problem(
        sampling, (20, 20) if sampling.ratio == 2.5 else (18, 24) if sampling.ratio == 3 else (16, 20), noise
    )
    expected, found = dense_map(*problem), solved(*problem)
    assert np.abs(found - expected).max() < tolerance * np.abs(expected - problem[0]).max()


def test_map_with_masked_coarse_pixels_is_the_dense_solution():
    problem = map_problem(Sampling(3, 1.0, 1.0), (18, 24), 0.1)
    problem[3][2:4, 1:5] = 0.0
    problem[1][:, 2:4, 1:5] = 1e6
    expected, found = dense_map(*problem), solved(*problem)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected - problem[0]).max()


def test_map_lowers_its_own_cost_where_msi_pixels_are_masked():
    """There the HSI's share is weighted as if the MSI were known: not the exact minimum, but better than the prior and
    free of the masked values.
    """
    problem = map_problem(Sampling(3, 1.0, 1.0), (18, 24), 0.1)
    problem[4][4:9, 6:14] = 0.0
    clean = solved(*problem)
    problem[2][:, problem[4] == 0] = 1e6
    np.testing.assert_array_equal(solved(*problem), clean)
    prior, y, z, y_mask, z_mask, down, response, offset, y_std, z_std, prior_std = problem

    def cost(x):
        on_y = (y_mask * ((y - down(x)) / y_std[:, None, None]) ** 2).sum()
        rest = np.where(z_mask > 0, z - np.einsum("lk,khw->lhw", response, x) - offset[:, None, None], 0.0)
        return on_y + ((rest / z_std[:, None, None]) ** 2).sum() + (((x - prior) / prior_std[:, None, None]) ** 2).sum()

    best = cost(dense_map(*problem))
    assert cost(clean) - best < 0.1 * (cost(prior) - best)


def test_gram_bounds_hold_the_whole_spectrum():
    for sampling in (
        Sampling(2, 0.8, 1.4),
        Sampling(4, 1.0, 1.0),
        Sampling(3.3, 2.0, 2.0, 0.7, -1.1),
        Sampling(8, psf="block-mean"),
    ):
        low, high = gram_bounds(sampling)
        shape = tuple(int(np.ceil(30 * sampling.ratio)) for _ in range(2))
        down = Degradation.whole(sampling, shape)
        rows, cols = (np.linalg.eigvalsh(m @ m.T) for m in (down.rows, down.cols))
        assert rows[-1] * cols[-1] <= high and rows[0] * cols[0] >= 0.8 * low


def test_batches_equal_single_tiles():
    """Every function broadcasts over leading axes: training sends batches, tiles come alone."""
    down, up = operators(Sampling(3, 1.0, 1.0), (24, 24))
    y, z = RNG.standard_normal((2, 3, 8, 8)), RNG.standard_normal((2, 2, 24, 24))
    ones, coarse_ones = np.ones((24, 24)), np.ones((8, 8))
    regression, intercept = RNG.standard_normal((3, 2)), RNG.standard_normal(3)

    def run(y, z):
        low, _, detail = cf.detail_image(z, ones, down, up)
        base = cf.glp(up(y), detail, regression)
        by_loc = base + local(y, low, coarse_ones, detail, regression, intercept, 0.1, up)
        stds = np.full(3, 0.1), np.full(2, 0.1), np.full(3, 0.5)
        return np.stack([by_loc, solved(base, y, z, coarse_ones, ones, down, regression.T, np.zeros(2), *stds)])

    both = run(y, z)
    for i in range(2):
        np.testing.assert_allclose(both[:, i], run(y[i], z[i]), atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_equals_torch(dtype):
    torch = pytest.importorskip("torch")
    sampling, tolerance = Sampling(3, 1.0, 1.0), 2e-4 if dtype is np.float32 else 1e-9
    down, up = operators(sampling, (24, 24))
    problem = map_problem(sampling, (24, 24), 0.1)
    prior, y, z, y_mask, z_mask = (a.astype(dtype) for a in problem[:5])
    y_mask[2, 3], z_mask[10:14, 5] = 0.0, 0.0
    tensors = [torch.from_numpy(a) for a in (prior, y, z, y_mask, z_mask)]
    posterior, other = (
        solved(prior, y, z, y_mask, z_mask, *problem[5:]),
        solved(*tensors, *problem[5:]),
    )
    np.testing.assert_allclose(other.numpy(), posterior, atol=tolerance)
    assert posterior.dtype == dtype and other.numpy().dtype == dtype
    regression, intercept = RNG.standard_normal((3, 2)), RNG.standard_normal(3)
    (low, _, detail), (low_t, _, detail_t) = (
        cf.detail_image(z, z_mask, down, up),
        cf.detail_image(tensors[2], tensors[4], down, up),
    )
    np.testing.assert_allclose(detail_t.numpy(), detail, atol=tolerance)
    assert detail.dtype == dtype and detail_t.numpy().dtype == dtype
    found = prior + local(y, low, y_mask, detail, regression, intercept, 0.1, up)
    other = tensors[0] + local(tensors[1], low_t, tensors[3], detail_t, regression, intercept, 0.1, up)
    np.testing.assert_allclose(other.numpy(), found, atol=10 * tolerance)


def test_what_is_predicted_leaves_no_residual_and_gaps_none_either():
    """An observation made of x has no residual at x; where an image is unknown nothing counts."""
    prior, _, _, y_mask, z_mask, down, *sensors, _ = map_problem(Sampling(3, 1.0, 1.0), (18, 24), 0.1)
    seen = Seen(*sensors)
    y, z = Observation(None, None, y_mask, z_mask, down, seen).predicted(prior)
    for rest in Observation(y, z, y_mask, z_mask, down, seen).residuals(prior):
        assert np.abs(rest).max() < 1e-12
    y_mask[:], z_mask[:] = 0.0, 0.0
    for rest in Observation(y + 5.0, z + 5.0, y_mask, z_mask, down, seen).residuals(prior):
        assert not rest.any()
