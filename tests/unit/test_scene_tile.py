"""All closed forms of one tile: better than interpolation, the same in numpy and torch, and masks that keep their
values to themselves.
"""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.block import Block, whole_block
from hsfusion.models.scene.methods.subspace import ClosedForms
from hsfusion.models.scene.model import SceneModel, fit_scene

NAMES = (
    "y_up",
    "glp",
    "loc",
    "map",
    "misfit",
    "average",
    "laws",
    "map_of_mixtures",
    "mixtures_misfit",
)


class Fused:
    """A pair, its scene model and its closed forms; masks may be given."""

    def __init__(self, truth: np.ndarray, sampling: Sampling, **masks: np.ndarray) -> None:
        hsi = Degradation.whole(sampling, truth.shape[1:])(truth)
        self.truth = truth
        self.block: Block = whole_block(hsi, truth[[2, 6, 9]], masks.get("y_mask"), masks.get("z_mask"))
        self.scene: SceneModel = fit_scene([self.block], sampling, 5)
        self.y = self.scene.subspace.project(hsi).astype(np.float32)
        self.z = self.scene.standardise(self.block.z)
        self.place = self.block.place

    def forms(self, convert=lambda a: a) -> ClosedForms:
        """Every closed form of the whole scene as one tile."""
        return ClosedForms(
            convert(self.y),
            convert(self.z),
            convert(self.block.y_mask),
            convert(self.block.z_mask),
            self.scene.coefficients,
            self.place,
        )

    def rmse(self, x: np.ndarray, where: np.ndarray) -> float:
        """Of spectra, in the HSI's units, over the pixels `where` (H, W)."""
        return float(np.sqrt(((self.scene.subspace.expand(x) - self.truth)[:, where] ** 2).mean()))


@pytest.fixture(scope="module")
def truth(make_scene) -> np.ndarray:
    """A scene of 12 bands."""
    return make_scene(12, 144, 132, materials=5, seed=4)


@pytest.mark.parametrize(
    "sampling", [Sampling(4), Sampling(3, 1.4, 1.1, 0.6, -0.4), Sampling(2.4, 0.9, 0.9), Sampling(4, psf="block-mean")]
)
def test_every_closed_form_beats_interpolation(truth, sampling):
    fused = Fused(truth, sampling)
    forms, everywhere = fused.forms(), np.ones(truth.shape[1:], bool)
    interpolated = fused.rmse(forms.y_up, everywhere)
    for name in ("glp", "loc", "map", "average"):
        assert fused.rmse(getattr(forms, name), everywhere) < 0.3 * interpolated
    np.testing.assert_array_equal(forms.average, 0.5 * (forms.loc + forms.map))


def test_what_glp_leaves_of_the_hsi_is_the_misfit(truth):
    fused = Fused(truth, Sampling(4))
    forms, (down, up) = fused.forms(), fused.place.operators(fused.scene.coefficients)
    np.testing.assert_allclose(forms.misfit, up(fused.y - down(forms.glp)), atol=1e-5)
    assert np.abs(fused.y - down(forms.map)).mean() < 0.5 * np.abs(fused.y - down(forms.glp)).mean()


def test_numpy_equals_torch(truth):
    torch = pytest.importorskip("torch")
    fused = Fused(truth, Sampling(3, 1.2, 1.2))
    ours, theirs = fused.forms(), fused.forms(lambda a: torch.from_numpy(np.ascontiguousarray(a)))
    for name in NAMES:
        a, b = getattr(ours, name), getattr(theirs, name).numpy()
        assert a.dtype == b.dtype == np.float32
        np.testing.assert_allclose(b, a, atol=2e-4 * np.ptp(a), err_msg=name)


def masks(truth: np.ndarray) -> dict[str, np.ndarray]:
    """A hole of 24 x 30 MSI pixels, one of 2 x 3 HSI pixels, and single pixels of both."""
    z_mask, y_mask = np.ones(truth.shape[1:], np.float32), np.ones((36, 33), np.float32)
    z_mask[30:54, 60:90] = z_mask[100, 20] = z_mask[101, 21] = 0.0
    y_mask[20:22, 5:8] = y_mask[5, 5] = y_mask[5, 7] = y_mask[30, 30] = 0.0
    return {"z_mask": z_mask, "y_mask": y_mask}


def test_a_masked_pixels_value_never_leaks(truth):
    fused = Fused(truth, Sampling(4), **masks(truth))
    y, z, results = fused.y, fused.z, []
    for value in (0.0, 1e6):
        fused.y, fused.z = (
            np.where(fused.block.y_mask > 0, y, np.float32(value)),
            np.where(fused.block.z_mask > 0, z, np.float32(-value)),
        )
        results.append(fused.forms())
    for name in NAMES:
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name), err_msg=name)


def test_holes_are_felt_near_them_only(truth):
    """Around a hole of the MSI every form stays better than interpolation; where both images are known nothing
    changes.
    """
    gaps = masks(truth)
    whole, holed = Fused(truth, Sampling(4)), Fused(truth, Sampling(4), **gaps)
    holed.scene = whole.scene  # the same model: only the tile's masks differ
    holed.z = whole.z
    a, b = whole.forms(), holed.forms()
    near = np.zeros(truth.shape[1:], bool)
    near[14:70, 44:106] = near[84:118, 4:38] = near[68:100, 8:44] = near[8:36, 8:44] = near[106:138, 106:] = True
    for name in ("glp", "loc", "map"):
        difference = np.abs(getattr(a, name) - getattr(b, name))[:, ~near]
        assert difference.max() < 0.03 * np.ptp(getattr(a, name)), name
    ring = np.zeros_like(near)
    ring[26:58, 56:94] = True
    ring &= gaps["z_mask"] > 0
    interpolated = holed.rmse(b.y_up, ring)
    for name in ("glp", "loc", "map"):
        assert holed.rmse(getattr(b, name), ring) < 0.6 * interpolated, name
