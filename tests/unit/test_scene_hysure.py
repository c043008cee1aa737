"""HySure: each proximal map against a dense solution, the operators against their transposes, and mixtures with a known
answer.
"""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.methods import hysure as h
from hsfusion.models.scene.methods.classical import fit_full_band
from hsfusion.models.scene.window import Window
from hsfusion.tests.unit.mixtures import SAMPLING, mixture, with_holes

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("forward", "adjoint"), [(h.down_rows, h.down_rows_adjoint), (h.across_cols, h.across_cols_adjoint)]
)
def test_adjoints(forward, adjoint):
    a, g = RANDOM.normal(size=(2, 3, 7, 9))
    assert np.vdot(forward(a), g) == pytest.approx(np.vdot(a, adjoint(g)))


@pytest.mark.parametrize("size", [2, 7, 16])
def test_the_cosine_transform_solves_the_differences(size):
    transform = h.cosine_transform(size)
    np.testing.assert_allclose(transform @ transform.T, np.eye(size), atol=1e-12)
    difference = h.down_rows(np.eye(size)[None])[0]
    diagonal = transform @ difference.T @ difference @ transform.T
    np.testing.assert_allclose(diagonal, np.diag(h._laplacian(size)), atol=1e-12)


@pytest.mark.parametrize(
    "sampling", [Sampling(2.0), Sampling(2.5, 1.2, 0.8, 0.3, -0.4), Sampling(2.0, psf="block-mean")]
)
def test_the_hsi_proximal_map_is_exact(sampling):
    down = Degradation.whole(sampling, (10, 10))
    count = down.rows.shape[0]
    scale = np.array([0.5, 2.0])
    y, u = RANDOM.normal(size=(2, count, count)), RANDOM.normal(size=(2, 10, 10))
    problem = h.Problem(
        y, np.zeros((1, 10, 10)), scale, np.zeros((1, 2)), np.ones((count, count)), np.ones((10, 10)), down
    )
    found = h.DegradationProx(problem, 0.3)(u)
    dense = np.kron(down.rows, down.cols)
    for k, s in enumerate(scale):
        system = s**2 * dense.T @ dense + 0.3 * np.eye(100)
        expected = np.linalg.solve(system, s * dense.T @ y[k].ravel() + 0.3 * u[k].ravel())
        np.testing.assert_allclose(found[k].ravel(), expected, atol=1e-6)


def test_the_total_variation_shrinks_lengths():
    g, k = RANDOM.normal(size=(2, 3, 4, 5))
    g[:, 0, 0] = k[:, 0, 0] = 1e-3
    small, other = h.shrink(g, k, 0.5)
    before, after = (np.sqrt((a**2 + b**2).sum(axis=0)) for a, b in ((g, k), (small, other)))
    np.testing.assert_allclose(after, np.maximum(before - 0.5, 0), atol=1e-12)
    assert after[0, 0] == 0 and np.all(small * g >= 0)


def problem_of(scene, components=4) -> tuple[h.Problem, np.ndarray]:
    """A small problem in the solver's units."""
    axes = h.principal_axes(scene.block.y.reshape(len(scene.block.y), -1).astype(np.float64), components)
    size = np.sqrt((scene.block.y**2).mean())
    y = np.tensordot(axes.T, scene.block.y / size, 1)
    z = scene.block.z / size
    scale = np.ones(components)
    return h.Problem(
        y, z, scale, scene.response @ axes, scene.block.y_mask, scene.block.z_mask, scene.block.degradation(SAMPLING)
    ), np.zeros((components, *scene.block.z_mask.shape))


def objective(problem: h.Problem, a: np.ndarray, lambda_phi: float) -> float:
    fit_y = 0.5 * np.sum((problem.y - problem.scale[:, None, None] * problem.down(a)) ** 2)
    fit_z = 0.5 * h.LAMBDA_M * np.sum((problem.z - np.tensordot(problem.response, a, 1)) ** 2)
    gradient = h.down_rows(a) ** 2 + h.across_cols(a) ** 2
    return fit_y + fit_z + lambda_phi * np.sum(np.sqrt(gradient.sum(axis=0)))


def test_admm_converges_to_the_minimum():
    problem, start = problem_of(mixture())
    lambda_phi = 0.01
    a, residuals = h.admm(problem, start, 400, lambda_phi)
    primal, dual = np.array(residuals).T
    assert primal[-1] < 1e-2 * primal[0] and dual[-1] < 1e-2 * dual.max(), "both residuals fall"
    a = a.astype(np.float64)
    lowest = objective(problem, a, lambda_phi)
    assert lowest < 0.1 * objective(problem, start, lambda_phi)
    for _ in range(10):
        direction = RANDOM.normal(size=a.shape)
        for smooth in (direction, problem.down.adjoint(problem.down(direction))):
            step = 0.02 * smooth / np.abs(smooth).max()
            assert objective(problem, a + step, lambda_phi) > lowest * (1 - 1e-3), "no way leads down"


def test_the_pace_does_not_change_the_result(monkeypatch):
    problem, start = problem_of(mixture())
    found = []
    for penalty in (0.01, 0.05):
        monkeypatch.setattr(h, "PENALTY", penalty)
        monkeypatch.setattr(h, "TOLERANCE", 0.0)
        found.append(h.admm(problem, start, 600)[0])
    assert np.linalg.norm(found[0] - found[1]) < 5e-3 * np.linalg.norm(found[0])


@pytest.mark.parametrize("changes", [{}, {"gain": 2.0, "offset": 400.0}])
def test_an_exact_mixture_comes_out_far_above_interpolation(changes):
    scene = mixture(materials=4, msi_bands=4, **changes)
    found = h.solve(scene.block, SAMPLING, scene.response, scene.offset)
    assert scene.psnr(found.expand()) > scene.psnr(scene.interpolated()) + 15


def test_with_the_response_estimated_from_the_pair():
    scene = mixture(gain=2.0, offset=400.0)
    method = fit_full_band("hysure", [scene.block], scene.scene, lambda: scene.block)
    fused = method.window(scene.block, Window.whole(scene.truth.shape[1:]))
    assert scene.psnr(fused) > scene.psnr(scene.interpolated()) + 15


def test_panchromatic():
    scene = mixture(materials=3, msi_bands=1)
    found = h.solve(scene.block, SAMPLING, scene.response, scene.offset)
    assert scene.psnr(found.expand()) > scene.psnr(scene.interpolated()) + 3


def test_what_lies_under_a_mask_is_never_seen():
    scene = mixture()
    found = [h.solve(with_holes(scene.block, fill), SAMPLING, scene.response, scene.offset) for fill in (0.0, 1e4)]
    np.testing.assert_array_equal(found[0].expand(), found[1].expand())
    known = with_holes(scene.block, 0.0).z_mask > 0
    error = np.mean((found[0].expand() - scene.truth)[:, known] ** 2)
    assert error < 0.1 * np.mean((scene.interpolated() - scene.truth) ** 2)
