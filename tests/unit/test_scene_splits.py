"""Held-out parts of a scene."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.scene.reduced.held_out import CHOOSE, GAP, TEST, TRAIN, held_out


@pytest.mark.parametrize("shapes", [[(50, 47)], [(100, 80), (64, 64)], [(64, 64)] * 16])
def test_each_role_has_its_share_and_nothing_learnt_lies_near_what_is_held_out(shapes):
    roles = held_out(shapes, gap=4)
    assert [r.shape for r in roles] == shapes
    share = {role: np.mean(np.concatenate([(r == role).ravel() for r in roles])) for role in (TRAIN, CHOOSE, TEST, GAP)}
    assert share[TRAIN] > 0.3 and 0.08 < share[CHOOSE] < 0.2 and 0.08 < share[TEST] < 0.2
    for image in roles:
        kept = np.argwhere((image == CHOOSE) | (image == TEST))
        learnt = np.argwhere(image == TRAIN)
        if len(kept) and len(learnt):
            nearest = min(np.abs(learnt - pixel).max(axis=1).min() for pixel in kept[:: max(1, len(kept) // 200)])
            assert nearest > 4


def test_the_seed_decides():
    one, again, other = (held_out([(64, 64)], 4, seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
