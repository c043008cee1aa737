"""Mixtures of endmembers: nothing less than none, no material that is not around, a function of the
surroundings alone.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Upsampling
from hsfusion.models.scene.block import Block, whole_block
from hsfusion.models.scene.laws import unmixing
from hsfusion.models.scene.laws.unmixing import Evidence
from hsfusion.models.scene.methods.subspace import ClosedForms
from hsfusion.models.scene.model import CoefficientModel, fit_scene
from hsfusion.models.scene.window import Place, Window
from hsfusion.models.wire.scene import model_from
from hsfusion.models.wire.values import plain
from hsfusion.tests.unit.mixtures import BANDS, SAMPLING, SHAPE, Mixture, mixture, with_holes


def place_of(block: Block) -> Place:
    return block.place


def forms_of(block: Block) -> tuple[ClosedForms, CoefficientModel]:
    scene = fit_scene([block], SAMPLING)
    y = scene.subspace.project(block.y).astype(np.float32)
    z = scene.standardise(block.z) * block.z_mask
    return ClosedForms(y, z, block.y_mask, block.z_mask, scene.coefficients, place_of(block)), scene.coefficients


def linear_forms_of(block: Block) -> ClosedForms:
    """Those of a scene whose own laws say nothing."""
    scene = fit_scene([block], SAMPLING)
    model = scene.coefficients
    kernel, slopes = (replace(law, weights=np.zeros_like(law.weights)) for law in (model.kernel, model.slopes))
    model = replace(model, kernel=kernel, slopes=slopes)
    y, z = scene.subspace.project(block.y).astype(np.float32), scene.standardise(block.z)
    return ClosedForms(y, z, block.y_mask, block.z_mask, model, place_of(block))


@pytest.fixture(scope="module")
def ambiguous() -> Mixture:
    """Seven materials, two to four of them in each field of 24 pixels, and an MSI of three bands: one colour is many
    mixtures.
    """
    random = np.random.default_rng(3)
    here = np.kron(random.random((7, 4, 4)) < 0.4, np.ones((1, 24, 24)))[:, : SHAPE[0], : SHAPE[1]]
    shares = random.gamma(0.6, size=(7, *SHAPE)) * here + 1e-6
    shares /= shares.sum(axis=0)
    position = np.linspace(0, 1, BANDS)[:, None]
    spectra = 800 + 3000 * np.exp(-(((position - random.random(7)) / random.uniform(0.1, 0.3, 7)) ** 2))
    truth = np.tensordot(spectra, shares, axes=1).astype(np.float32)
    response = np.kron(np.eye(3), np.full(BANDS // 3, 3 / BANDS))
    msi = np.tensordot(response, truth, axes=1).astype(np.float32)
    return Mixture(truth, whole_block(Degradation.whole(SAMPLING, SHAPE)(truth), msi), response, np.zeros(3))


def psnr(found: np.ndarray, scene: Mixture) -> float:
    return scene.psnr(fit_scene([scene.block], SAMPLING).subspace.expand(found))


def test_mixtures_know_what_no_linear_law_does(ambiguous: Mixture) -> None:
    (forms, _), linear = forms_of(ambiguous.block), linear_forms_of(ambiguous.block)
    assert psnr(forms.map_of_mixtures, ambiguous) > max(psnr(x, ambiguous) for x in (linear.glp, linear.loc)) + 0.5


def test_the_scenes_own_laws_know_it_too_and_loc_with_them(ambiguous: Mixture) -> None:
    (forms, _), linear = forms_of(ambiguous.block), linear_forms_of(ambiguous.block)
    assert psnr(forms.laws, ambiguous) > psnr(linear.glp, ambiguous) + 1.0
    assert psnr(forms.loc, ambiguous) > psnr(linear.loc, ambiguous) + 1.0


def test_updates_lower_the_misfit_and_keep_what_is_nil_at_nil() -> None:
    random = np.random.default_rng(0)
    spectra, truth = random.uniform(0.1, 1, (5, 4)), random.dirichlet(np.ones(4), 50).T
    evidence = Evidence.of(spectra, np.eye(5), np.zeros(5))
    pixels, start = spectra @ truth, np.full((4, 50), 0.25)
    misfits = [((pixels - spectra @ evidence.updated(start, pixels, n)) ** 2).sum() for n in (0, 5, 20, 200, 2000)]
    assert all(later < earlier for earlier, later in zip(misfits, misfits[1:])) and misfits[-1] < 1e-4 * misfits[0]
    np.testing.assert_allclose(evidence.updated(start, pixels, 3000), truth, atol=0.05)
    start[2] = 0.0
    assert evidence.updated(start, pixels, 40)[2].max() < 1e-4


def test_a_tile_says_what_the_scene_says(ambiguous: Mixture) -> None:
    block, (_, model) = ambiguous.block, forms_of(ambiguous.block)
    scene = fit_scene([block], SAMPLING)
    y, z = scene.subspace.project(block.y).astype(np.float32), scene.standardise(block.z)
    whole = model.unmixing(y, block.y_mask, z, block.z_mask, Upsampling.whole(SAMPLING, block.scene_shape))
    rows, cols, coarse_rows, coarse_cols = range(24, 64), range(16, 56), range(4, 18), range(2, 16)
    up = Upsampling(SAMPLING, block.scene_shape, rows, cols, coarse_rows, coarse_cols)
    fine, coarse = (
        (slice(None), slice(r.start, r.stop), slice(c.start, c.stop))
        for r, c in ((rows, cols), (coarse_rows, coarse_cols))
    )
    part = model.unmixing(y[coarse], block.y_mask[coarse[1:]], z[fine], block.z_mask[fine[1:]], up)
    np.testing.assert_allclose(part, whole[fine], atol=1e-4 * np.ptp(whole))


def test_spectra_below_zero_are_lifted(ambiguous: Mixture) -> None:
    """A mean taken off changes nothing but the origin, up to what the sum to one weighs."""
    shift = np.linspace(800, 2600, len(ambiguous.truth)).astype(np.float32)[:, None, None]
    truth = ambiguous.truth - shift
    msi = np.tensordot(ambiguous.response, truth, axes=1).astype(np.float32)
    lifted = replace(
        ambiguous, truth=truth, block=whole_block(Degradation.whole(SAMPLING, truth.shape[1:])(truth), msi)
    )
    forms, _ = forms_of(lifted.block)
    found = fit_scene([lifted.block], SAMPLING).subspace.expand(forms.map_of_mixtures)
    error, glp = (
        np.sqrt(((x - truth) ** 2).mean())
        for x in (found, fit_scene([lifted.block], SAMPLING).subspace.expand(forms.glp))
    )
    assert np.isfinite(found).all() and error < glp


def test_holes_leave_no_trace_elsewhere(ambiguous: Mixture) -> None:
    """Fill values take no part, and what is found in a hole is finite."""
    found = [forms_of(with_holes(ambiguous.block, fill))[0].map_of_mixtures for fill in (0.0, -9999.0)]
    assert np.isfinite(found[0]).all()
    np.testing.assert_allclose(found[0], found[1], atol=1e-3 * np.ptp(found[0]))


def test_blocks_whose_middle_is_masked_are_taken_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmixing, "MOST_PIXELS", 64)
    block = mixture().block
    y_mask = block.y_mask.copy()
    y_mask[2:-2, 2:-2] = 0
    scene = fit_scene([replace(block, y_mask=y_mask)], SAMPLING, 4)
    assert np.isfinite(scene.coefficients.unmixing.endmembers).all()


def test_few_pixels_make_fewer_endmembers() -> None:
    scene = mixture()
    small = Block(
        scene.block.y[:, :7, :7], scene.block.z[:, :28, :28], np.ones((7, 7), np.float32), np.ones((28, 28), np.float32),  # noqa: E501
        (28, 28), Place(Window.whole((28, 28)), Window.whole((7, 7))),
    )  # fmt: skip
    assert 1 <= fit_scene([small], SAMPLING, 4).coefficients.unmixing.endmembers.shape[1] <= 12


def test_it_travels_as_json(ambiguous: Mixture) -> None:
    _, model = forms_of(ambiguous.block)
    back = model_from(json.loads(json.dumps(plain(model)))).unmixing
    for name in ("endmembers", "origin", "misfit_std"):
        np.testing.assert_array_equal(getattr(back, name), getattr(model.unmixing, name))
    for name in ("gain", "constant", "gram"):
        np.testing.assert_array_equal(getattr(back.msi, name), getattr(model.unmixing.msi, name))
        np.testing.assert_array_equal(getattr(back.hsi, name), getattr(model.unmixing.hsi, name))


def test_numpy_and_torch_agree(ambiguous: Mixture) -> None:
    torch = pytest.importorskip("torch")
    block = ambiguous.block
    scene = fit_scene([block], SAMPLING)
    arrays = [
        scene.subspace.project(block.y).astype(np.float32),
        block.y_mask,
        scene.standardise(block.z),
        block.z_mask,
    ]
    up, mixed = Upsampling.whole(SAMPLING, block.scene_shape), scene.coefficients.unmixing
    ours = mixed(*arrays, up)
    theirs = mixed(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays), up).numpy()
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_allclose(theirs, ours, atol=1e-3 * np.ptp(ours))
