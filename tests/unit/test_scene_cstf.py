"""CSTF: each step against a dense solution, a low-rank image with a known answer, tiles, and too few pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError, RunCancelled
from hsfusion.models.listener import Listener
from hsfusion.models.scene.methods import anchored, cstf
from hsfusion.models.scene.methods.classical import fit_full_band
from hsfusion.models.scene.window import Window
from hsfusion.tests.unit.mixtures import mixture, with_holes

RANDOM = np.random.default_rng(2)


def test_products_along_modes():
    core, a, c = RANDOM.normal(size=(2, 3, 4)), RANDOM.normal(size=(5, 2)), RANDOM.normal(size=(6, 4))
    np.testing.assert_allclose(cstf.times(core, a, None, c), np.einsum("ijk,ai,ck->ajc", core, a, c))
    part = cstf.times(core, None, None, c)
    np.testing.assert_allclose(cstf.unfold(cstf.times(core, a, None, c), 0), a @ cstf.unfold(part, 0))


def test_half_of_the_core_is_exact():
    factors = RANDOM.normal(size=(5, 2)), RANDOM.normal(size=(6, 3)), RANDOM.normal(size=(4, 2))
    tensor, v, mu = RANDOM.normal(size=(5, 6, 4)), RANDOM.normal(size=(2, 3, 2)), 0.3
    dense = np.kron(np.kron(factors[0], factors[1]), factors[2])
    expected = np.linalg.solve(dense.T @ dense + mu * np.eye(12), dense.T @ tensor.ravel() + mu * v.ravel())
    np.testing.assert_allclose(cstf.CoreHalf(tensor, factors, mu)(v).ravel(), expected, atol=1e-9)


def test_the_core_is_the_minimum(monkeypatch):
    """ADMM's core against proximal gradient steps on the same objective."""
    monkeypatch.setattr(cstf, "PENALTY", 3.0)
    monkeypatch.setattr(cstf, "LAMBDA", 0.5)
    factors = [tuple(RANDOM.normal(size=(m, n)) for m, n in zip(sizes, (2, 3, 2))) for sizes in ((3, 4, 5), (6, 7, 2))]
    images = [RANDOM.normal(size=tuple(len(f) for f in three)) for three in factors]
    last, beta = RANDOM.normal(size=(2, 3, 2)), 0.5
    halves = [cstf.CoreHalf(image, three, cstf.PENALTY) for image, three in zip(images, factors)]
    found = cstf.sparse_core(*halves, last, beta, 1500)
    system = sum(d.T @ d for d in (np.kron(np.kron(*f[:2]), f[2]) for f in factors)) + beta * np.eye(12)
    right = beta * last.ravel()
    for image, three in zip(images, factors):
        right = right + np.kron(np.kron(*three[:2]), three[2]).T @ image.ravel()
    c, step = np.zeros(12), 1.0 / np.linalg.eigvalsh(system)[-1]
    for _ in range(5000):
        c = c - step * (system @ c - right)
        c = np.sign(c) * np.maximum(np.abs(c) - step * cstf.LAMBDA / 2, 0.0)
    np.testing.assert_allclose(found.ravel(), c, atol=1e-6)
    assert (c == 0).any()


def test_a_dictionary_is_the_minimum():
    p, last = RANDOM.normal(size=(3, 6)), RANDOM.normal(size=(6, 2))
    seen, seen_by, full, full_by = (RANDOM.normal(size=s) for s in ((3, 7), (2, 7), (6, 9), (2, 9)))
    found = cstf.dictionary(seen, seen_by, full, full_by, p, last)
    gradient = p.T @ (p @ found @ seen_by - seen) @ seen_by.T + (found @ full_by - full) @ full_by.T
    np.testing.assert_allclose(gradient + cstf.BETA * (found - last), 0.0, atol=1e-9)


@pytest.fixture(scope="module")
def fitted():
    scene = mixture()
    return scene, fit_full_band("cstf", [scene.block], scene.scene, lambda: scene.block)


def test_better_than_interpolation_and_tiles_equal_the_whole(fitted, monkeypatch):
    monkeypatch.setattr(anchored, "SMALLEST", 32)
    monkeypatch.setattr(anchored, "SMALLEST_COARSE", 8)
    monkeypatch.setattr(cstf, "ROUNDS", 2)
    scene, _ = fitted
    method = fit_full_band("cstf", [scene.block], scene.scene, lambda: scene.block)
    core = scene.block.place.fine
    whole = method.window(scene.block, core)
    assert scene.psnr(whole) > scene.psnr(scene.interpolated()) + 6.0
    part = Window(range(30, 45), range(40, 48))
    np.testing.assert_allclose(method.window(scene.block, part), whole[:, 30:45, 40:48], rtol=1e-5)
    holed = with_holes(scene.block, 0.0)
    assert np.isfinite(method.window(holed, part)).all()


def test_too_few_pixels_and_cancel(fitted, monkeypatch):
    scene, method = fitted
    monkeypatch.setattr(cstf, "seen_spectra", lambda *_: RANDOM.normal(size=(8, 24)))
    with pytest.raises(HSFusionError, match="METHOD cstf takes 8 spectra .* needs 32 pixels"):
        cstf.fit([scene.block], scene.scene)

    class Ends(Listener):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(RunCancelled):
        replace(method.window, listener=Ends())(scene.block, scene.block.place.fine)
