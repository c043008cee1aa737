"""NSSR: the dictionary and the groups against plain references, its ADMM against the objective, tiles and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.scene.methods import anchored, nssr
from hsfusion.models.scene.methods.classical import fit_full_band
from hsfusion.models.scene.window import Window
from hsfusion.tests.unit.mixtures import mixture, with_holes

RANDOM = np.random.default_rng(3)


def test_codes_meet_the_optimality_conditions(monkeypatch):
    monkeypatch.setattr(nssr, "CODE_STEPS", 3000)
    atoms, spectra = np.abs(RANDOM.normal(size=(8, 5))), np.abs(RANDOM.normal(size=(8, 6)))
    found = nssr.codes(spectra, atoms, np.zeros((5, 6)))
    gradient = 2 * atoms.T @ (atoms @ found - spectra) + nssr.SPARSITY
    assert (found >= 0).all() and gradient.min() > -1e-4  # zero where a code is positive, never below
    np.testing.assert_allclose(gradient[found > 1e-6], 0.0, atol=1e-4)


def test_a_dictionary_explains_mixtures():
    materials, shares = np.abs(RANDOM.normal(size=(30, 4))), RANDOM.dirichlet(np.full(4, 0.3), 400).T
    spectra = materials @ shares
    atoms = nssr.learn_dictionary(spectra, 8)
    np.testing.assert_allclose(np.linalg.norm(atoms, axis=0), 1.0)
    left = spectra - atoms @ nssr.codes(spectra, atoms, np.zeros((8, 400)))
    assert atoms.min() >= 0 and np.sqrt((left**2).mean()) < 0.02 * np.sqrt((spectra**2).mean())


def test_groups_are_the_nearest_patches(monkeypatch):
    monkeypatch.setattr(nssr, "SEARCH", 3)
    z = RANDOM.uniform(0.0, 0.05, size=(2, 14, 13)).astype(np.float32)
    members, weights = nssr.groups(z)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, rtol=1e-5)
    y, x = 7, 6  # far from the border, where patches are whole
    patch = lambda i, j: z[:, i - 1 : i + 2, j - 1 : j + 2]  # noqa: E731
    near = [(i, j) for i in range(y - 3, y + 4) for j in range(x - 3, x + 4) if (i, j) != (y, x)]
    near.sort(key=lambda at: float(((patch(*at) - patch(y, x)) ** 2).mean()))
    number = y * 13 + x
    assert set(members[1:, number]) == {i * 13 + j for i, j in near[: nssr.NEIGHBOURS - 1]}
    assert members[0, number] == number
    distances = np.array([((patch(*at) - patch(y, x)) ** 2).mean() for at in near[: nssr.NEIGHBOURS - 1]])
    expected = np.exp(-np.concatenate([distances[:1], distances]) / nssr.BANDWIDTH)
    np.testing.assert_allclose(np.sort(weights[:, number]), np.sort(expected / expected.sum()), atol=1e-6)


def test_the_iteration_lowers_the_objective(monkeypatch):
    """Without the groups the problem is convex: the codes come close to a non-negative least squares reference."""
    monkeypatch.setattr(nssr, "ETA_1", 0.0)
    monkeypatch.setattr(nssr, "MU", 1e-2)
    monkeypatch.setattr(nssr, "GROWTH", 1.0)
    monkeypatch.setattr(nssr, "ITERATIONS", 1500)
    atoms = np.abs(RANDOM.normal(size=(5, 3))).astype(np.float32)
    rows, cols = (np.kron(np.eye(2), [[0.5, 0.5]]).astype(np.float32),) * 2
    response = RANDOM.uniform(size=(2, 5)).astype(np.float32)
    y, z = RANDOM.uniform(size=(5, 2, 2)).astype(np.float32), RANDOM.uniform(size=(2, 4, 4)).astype(np.float32)
    found = np.maximum(nssr.Representation(atoms).found(anchored.Problem(y, z, rows, cols, response)), 0.0)

    spatial, low = np.kron(rows, cols), response @ atoms
    objective = lambda a: (  # noqa: E731
        ((y.reshape(5, -1) - atoms @ a @ spatial.T) ** 2).sum()
        + ((z.reshape(2, -1) - low @ a) ** 2).sum()
        + nssr.ETA_2 * a.sum()
    )
    a = np.zeros((3, 16))
    step = 0.5 / (np.linalg.norm(atoms, 2) ** 2 * np.linalg.norm(spatial, 2) ** 2 + np.linalg.norm(low, 2) ** 2)
    for _ in range(20_000):
        gradient = atoms.T @ (atoms @ a @ spatial.T - y.reshape(5, -1)) @ spatial + low.T @ (low @ a - z.reshape(2, -1))
        a = np.maximum(a - step * (2 * gradient + nssr.ETA_2), 0.0)
    assert objective(found.reshape(3, -1)) == pytest.approx(objective(a), rel=0.01)


def test_better_than_interpolation_and_tiles_equal_the_whole(monkeypatch):
    monkeypatch.setattr(anchored, "SMALLEST", 32)
    monkeypatch.setattr(anchored, "SMALLEST_COARSE", 8)
    for name, value in (("SEARCH", 3), ("ATOMS", 20), ("DICTIONARY_ROUNDS", 3)):
        monkeypatch.setattr(nssr, name, value)
    scene = mixture()
    method = fit_full_band("nssr", [scene.block], scene.scene, lambda: scene.block)
    whole = method.window(scene.block, scene.block.place.fine)
    assert scene.psnr(whole) > scene.psnr(scene.interpolated()) + 6.0
    part = Window(range(30, 45), range(40, 48))
    np.testing.assert_allclose(method.window(scene.block, part), whole[:, 30:45, 40:48], rtol=1e-5)
    holed = with_holes(scene.block, 0.0)
    assert np.isfinite(method.window(holed, part)).all()


def test_bad_input(monkeypatch):
    scene = mixture()
    monkeypatch.setattr(nssr, "seen_spectra", lambda *_: np.ones((39, 24)))
    with pytest.raises(HSFusionError, match="METHOD nssr learns a dictionary of at least 20 spectra .* are 39"):
        nssr.fit([scene.block], scene.scene)
    monkeypatch.setattr(nssr, "seen_spectra", lambda *_: -np.ones((39, 24)))
    with pytest.raises(HSFusionError, match="METHOD nssr needs radiance or reflectance"):
        nssr.fit([scene.block], scene.scene)
