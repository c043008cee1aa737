"""Data consistency of patches must be that of whole tiles, and must pass gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsfusion.models.networks.inputs import target_scale
from hsfusion.models.runners.tile import CONSISTENCY_SPREAD
from hsfusion.models.scene.laws.observation import Observation
from hsfusion.models.training.subspace.config import Sensors
from hsfusion.models.training.subspace.physics import consistent, stacked
from hsfusion.models.training.subspace.simulation import Observed, example, observe


@pytest.fixture(scope="module")
def observed(make_scene) -> Observed:
    found = observe(np.random.default_rng(2), make_scene(12, 48, 48), Sensors(ratios=(4,), clean_share=0.0))
    assert found is not None
    return found


def test_on_a_whole_scene_it_is_the_maximum_a_posteriori_estimate(observed: Observed) -> None:
    drawn = example(observed, 5)
    scene, model = drawn.physics, drawn.physics.model
    residual = 0.3 * torch.randn(1, 5, 48, 48, generator=torch.Generator().manual_seed(0))
    found = consistent(residual, stacked([scene.cut(0, 0, 48)], torch.device("cpu")))

    block = torch.ones(12, 12), torch.ones(48, 48)
    average, y, z = (torch.from_numpy(a) for a in _images(observed, drawn))
    x = Observation(y, z, *block, scene.down, model).map(
        average + target_scale(model, y) * residual[0], CONSISTENCY_SPREAD * model.target_std
    )
    expected = (x - average) / target_scale(model, y)
    assert torch.allclose(found[0], expected, atol=2e-3 * float(expected.abs().max()))


def _images(observed: Observed, drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The average of the closed forms and both images as the example made them."""
    from hsfusion.models.scene.block import whole_block
    from hsfusion.models.scene.methods.subspace import ClosedForms, denoised
    from hsfusion.models.scene.model import fit_scene

    block = whole_block(observed.hsi, observed.msi)
    scene = fit_scene([block], observed.assumed, 5)
    y = scene.subspace.project(observed.hsi).astype(np.float32)
    place = block.place
    z, _ = denoised(scene.standardise(observed.msi), block.z_mask, scene.coefficients, place)
    forms = ClosedForms(y, z, block.y_mask, block.z_mask, drawn.physics.model, place)
    return forms.average.astype(np.float32), y, z


def test_the_truth_stays_where_it_is_and_a_wrong_estimate_comes_closer(make_scene) -> None:
    observed = observe(np.random.default_rng(4), make_scene(12, 96, 96), Sensors(ratios=(4,), clean_share=1.0))
    drawn = example(observed, 5)
    patch = drawn.patch(16, 16, 64)
    physics = stacked([patch.physics], torch.device("cpu"))
    truth = torch.from_numpy(patch.target).float()[None]
    assert 60 <= float(physics.mask.sum()) <= 256
    moved = (consistent(truth, physics) - truth).pow(2).mean()
    wrong = truth + 1.0
    assert moved < 0.1 * truth.pow(2).mean()
    assert (consistent(wrong, physics) - truth).pow(2).mean() < 0.7 * (wrong - truth).pow(2).mean()


def test_gradients_pass(observed: Observed) -> None:
    physics = stacked([example(observed, 5).patch(0, 0, 48).physics] * 2, torch.device("cpu"))
    residual = torch.zeros(2, 5, 48, 48, requires_grad=True)
    consistent(residual, physics).pow(2).sum().backward()
    assert torch.isfinite(residual.grad).all() and residual.grad.abs().sum() > 0
