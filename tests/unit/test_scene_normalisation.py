"""The scale of a scene's images."""

from __future__ import annotations

import numpy as np

from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.pixels.scaling import scene_scaling


def test_quantiles_of_valid_values_only():
    y = np.linspace(0, 1000, 2 * 50 * 50, dtype=np.float32).reshape(2, 50, 50)
    z = np.stack([np.full((200, 200), 3.0), np.full((200, 200), 70.0), np.zeros((200, 200))]).astype(np.float32)
    y_mask = np.ones((50, 50), np.float32)
    y_mask[0], y[:, 0] = 0, 1e9
    scaling = scene_scaling([whole_block(y, z, y_mask)], 0.5)
    assert abs(scaling.hsi - np.median(y[:, 1:])) < 1e-3
    np.testing.assert_allclose(scaling.msi, [3, 70, 1], err_msg="a band of zeros is left as it is")
