"""FUSE: against a dense solution of the normal equations, against the Sylvester equation, in tiles, and with holes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.methods import sylvester
from hsfusion.models.scene.methods.classical import fit_full_band
from hsfusion.models.scene.tiles.plan import plan_tiles
from hsfusion.models.scene.window import Window
from hsfusion.tests.unit.mixtures import SAMPLING, SHAPE, mixture, with_holes

SIZE = 12, 15
K, MSI = 3, 2


def problem(sampling: Sampling):
    """A posterior of random operators, and a block of random coefficients."""
    random = np.random.default_rng(1)
    base = mixture().scene.coefficients
    root = random.normal(size=(K, K))
    model = replace(
        base,
        sampling=sampling,
        scene_shape=SIZE,
        response=random.normal(size=(MSI, K)),
        offset=random.normal(size=MSI),
        y_std=random.uniform(0.1, 0.5, K),
        z_std=random.uniform(0.1, 0.5, MSI),
    )
    down = Degradation.whole(sampling, SIZE)
    h, w = down(np.zeros(SIZE)).shape
    block = whole_block(random.normal(size=(K, h, w)), random.normal(size=(MSI, *SIZE)))
    return sylvester.Posterior(model, root @ root.T + 0.1 * np.eye(K)), block, random.normal(size=(K, *SIZE)), down


@pytest.mark.parametrize(
    "sampling", [Sampling(3.0), Sampling(2.5, 1.4, 0.8, 0.3, -0.4), Sampling(3.0, psf="block-mean")]
)
def test_the_closed_form_solves_the_normal_equations(sampling):
    posterior, block, mean, down = problem(sampling)
    m = posterior.model
    found = posterior.solve(mean, block, down).reshape(K, -1)
    spatial = np.kron(down.rows, down.cols)
    pixels = spatial.shape[1]
    inverse = np.linalg.inv(posterior.covariance)
    system = np.kron(np.diag(m.y_std**-2.0), spatial.T @ spatial)
    system += np.kron((m.response.T / m.z_std**2) @ m.response + inverse, np.eye(pixels))
    right = (block.y.reshape(K, -1) @ spatial) / m.y_std[:, None] ** 2
    right += (m.response.T / m.z_std**2) @ (block.z.reshape(MSI, -1) - m.offset[:, None])
    right += inverse @ mean.reshape(K, -1)
    np.testing.assert_allclose(found, np.linalg.solve(system, right.ravel()).reshape(K, -1), atol=1e-8)
    # The paper's form, C1 U + U C2 = C3.
    c1 = np.diag(m.y_std**2) @ ((m.response.T / m.z_std**2) @ m.response + inverse)
    np.testing.assert_allclose(c1 @ found + found @ spatial.T @ spatial, m.y_std[:, None] ** 2 * right, atol=1e-8)


@pytest.mark.parametrize("sampling", [SAMPLING, replace(SAMPLING, fwhm_y=1.8, fwhm_x=1.5)])
def test_tiles_equal_the_whole(sampling):
    scene = mixture()
    block = whole_block(Degradation.whole(sampling, SHAPE)(scene.truth), scene.block.z)
    model = scene.scene
    model = replace(model, coefficients=replace(model.coefficients, sampling=sampling))
    method = fit_full_band("sylvester", [block], model, lambda: block)
    whole = method.window(block, block.place.fine)
    for tile in plan_tiles(Window.whole(SHAPE), model.coefficients, 32, method.halo):
        part = method.window(block.cut(tile.place), tile.core)
        np.testing.assert_allclose(part, whole[(slice(None), *tile.core.inside(block.place.fine))], rtol=1e-5)


def test_the_reach_is_that_of_the_closed_form():
    """A change of one HSI pixel is not felt beyond the halo."""
    scene = mixture()
    method = fit_full_band("sylvester", [scene.block], scene.scene, lambda: scene.block)
    y = scene.block.y.copy()
    y[:, 12, 0] *= 1.5
    moved = method.window(replace(scene.block, y=y), scene.block.place.fine)
    change = np.abs(moved - method.window(scene.block, scene.block.place.fine)).max(axis=0)
    assert change[:, :8].max() > 10.0
    assert method.halo < SHAPE[1] - 5 and change[:, method.halo + 5 :].max() < 1e-5 * moved.max()


def test_better_than_interpolation_and_holes_stay_local():
    scene = mixture()
    model = scene.scene
    method = fit_full_band("sylvester", [scene.block], model, lambda: scene.block)
    whole = method.window(scene.block, scene.block.place.fine)
    assert scene.psnr(whole) > scene.psnr(scene.interpolated()) + 10.0
    holed = with_holes(scene.block, 0.0)
    found = method.window(holed, holed.place.fine)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, 90:, 70:], whole[:, 90:, 70:], rtol=1e-4)


def test_the_covariance_is_positive_and_of_the_details_size():
    scene = mixture()
    model = scene.scene
    found = sylvester.detail_covariance([scene.block], model)
    assert np.linalg.eigvalsh(found).min() > 0
    missing = model.subspace.project(scene.truth) - model.subspace.project(scene.interpolated())
    true = (missing[:3].reshape(3, -1) ** 2).mean(axis=1)  # four materials, which sum to one: three components
    np.testing.assert_allclose(np.log2(np.diag(found)[:3] / true), 0.0, atol=1.6)
