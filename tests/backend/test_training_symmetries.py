"""A patch seen from another side is a patch of the scene seen from that side: physics and all."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from hsfusion.models.networks.inputs import CONDITION_NAMES, channel_of
from hsfusion.models.training.subspace.config import Sensors
from hsfusion.models.training.subspace.physics import consistent, stacked
from hsfusion.models.training.subspace.simulation import Observed, Patch, example, observe
from hsfusion.models.training.subspace.symmetries import SIGNED, another, signed, turned

SIZE, COMPONENTS = 48, 5


@pytest.fixture(scope="module")
def observed(make_scene) -> Observed:
    found = observe(np.random.default_rng(2), make_scene(12, SIZE, SIZE), Sensors(ratios=(4,), clean_share=0.0))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def patch(observed: Observed) -> Patch:
    return example(observed, COMPONENTS).patch(8, 0, 32)


def after_consistency(patch: Patch, residual: np.ndarray) -> np.ndarray:
    return consistent(torch.from_numpy(residual)[None], stacked([patch.physics], torch.device("cpu")))[0].numpy()


@pytest.fixture
def residual() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((COMPONENTS, 32, 32), dtype=np.float32)


@pytest.mark.parametrize("position", itertools.product((False, True), repeat=3))
def test_data_consistency_turns_with_the_patch(patch: Patch, residual: np.ndarray, position) -> None:
    def image(x: np.ndarray) -> np.ndarray:
        south, east, transpose = position
        x = x[:, ::-1] if south else x
        x = x[:, :, ::-1] if east else x
        return np.ascontiguousarray(x.swapaxes(1, 2) if transpose else x)

    other = turned(patch, *position)
    assert np.array_equal(other.target, image(patch.target))
    assert np.array_equal(other.conditions, image(patch.conditions))
    found, expected = after_consistency(other, image(residual)), image(after_consistency(patch, residual))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_data_consistency_changes_sign_with_the_components(patch: Patch, residual: np.ndarray) -> None:
    signs = np.array([1, -1, -1, 1, -1], np.float32)[:, None, None]
    found = after_consistency(signed(patch, signs[:, 0, 0]), residual * signs)
    expected = after_consistency(patch, residual) * signs
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_what_the_network_sees_changes_sign_with_the_components(patch: Patch) -> None:
    other = signed(patch, np.array([1.0, -1.0, 1.0, 1.0, 1.0]))
    changed = {channel_of(name, COMPONENTS) + 1 for name in CONDITION_NAMES}
    for channel, (found, before) in enumerate(zip(other.conditions, patch.conditions)):
        assert np.array_equal(found, -before if channel in changed else before)
    assert np.array_equal(other.target[1], -patch.target[1]) and np.array_equal(other.target[2:], patch.target[2:])


def test_it_is_the_patch_of_the_scene_seen_from_there(observed: Observed, patch: Patch) -> None:
    """The south side up, before anything was estimated."""
    flipped = replace(observed, **{n: getattr(observed, n)[:, ::-1] for n in ("truth", "hsi", "msi")})
    expected, found = example(flipped, COMPONENTS).patch(SIZE - 8 - 32, 0, 32), turned(patch, True, False, False)
    for name in ("conditions", "target"):
        a, b = (np.float32(getattr(p, name)) for p in (expected, found))
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.95  # the blocks' samples and starts are not symmetric


def test_the_first_component_keeps_its_sign(patch: Patch) -> None:
    seen = [another(np.random.default_rng(n), patch) for n in range(40)]
    for k in range(COMPONENTS):
        sums = {round(float(np.float64(p.target[k]).sum()), 3) for p in seen}
        assert len(sums) == (1 if k < SIGNED else 2)


def test_the_same_numbers_give_the_same_patch(patch: Patch) -> None:
    once, again, other = (another(np.random.default_rng(n), patch) for n in (3, 3, 4))
    assert np.array_equal(once.conditions, again.conditions)
    assert not np.array_equal(once.conditions, other.conditions)
