"""From coefficients back to spectra: what lies outside the subspace is added as far as it is signal."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling, Upsampling, noise_std
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.laws.observation import given_msi
from hsfusion.models.scene.methods.subspace import ClosedForms
from hsfusion.models.scene.model import fit_scene
from hsfusion.models.scene.tiles.plan import plan_tiles
from hsfusion.models.scene.tiles.spectra import PATCH, expand_tile, fused_spectra, outside_part, spectral_std
from hsfusion.models.scene.window import Window

SAMPLING = Sampling(4, 1.0, 1.0)


@pytest.fixture(scope="module")
def truth(make_scene) -> np.ndarray:
    """A scene of 16 bands and six materials."""
    return make_scene(16, 128, 120, materials=6, seed=6)


def fuse(truth: np.ndarray, components: int, snr_db: float = 0.0) -> dict[str, np.ndarray]:
    """GLP-HS through a subspace with and without the outside part, and over all bands by itself."""
    rng = np.random.default_rng(0)
    hsi, msi = Degradation.whole(SAMPLING, truth.shape[1:])(truth), truth[[0, len(truth) // 2, len(truth) - 1]]
    if snr_db:
        hsi, msi = (
            (a + noise_std((a**2).mean(axis=(1, 2)), snr_db)[:, None, None] * rng.standard_normal(a.shape)).astype(
                np.float32
            )
            for a in (hsi, msi)
        )
    block = whole_block(hsi, msi)
    scene = fit_scene([block], SAMPLING, components)
    glp = ClosedForms.of(scene.standardised(block), scene.coefficients).glp
    outside = outside_part(scene, block)
    return {
        "with": expand_tile(scene, glp, outside),
        "without": expand_tile(scene, glp, np.zeros_like(outside)),
        "outside": outside,
        "interpolated": Upsampling.whole(SAMPLING, truth.shape[1:])(hsi),
    }


def rmse(a: np.ndarray, b: np.ndarray) -> float:
    """Root of the mean square difference."""
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))


def test_with_few_components_the_outside_part_carries_signal(truth):
    fused = fuse(truth, 2)
    assert rmse(fused["with"], truth) < 0.9 * rmse(fused["without"], truth)
    assert rmse(fused["with"], truth) < 0.5 * rmse(fused["interpolated"], truth)
    assert fused["with"].dtype == np.float32 and fused["with"].shape == truth.shape


def test_noise_outside_the_subspace_is_kept_out(truth):
    """In a noisy scene the gated part is far smaller than the noise that lies there."""
    fused = fuse(truth, 6, snr_db=25)
    noise = np.sqrt((truth**2).mean()) * 10 ** (-25 / 20)
    assert fused["outside"].std() < 0.2 * noise
    assert rmse(fused["with"], truth) < 1.02 * rmse(fused["without"], truth)


def test_all_components_leave_nothing_outside(truth):
    assert np.abs(fuse(truth[:5], 5)["outside"]).max() < 1e-2


@pytest.mark.parametrize(("ratio", "shift"), [(4.0, 0.0), (4.0, 2.7), (2.7, -3.4)])
@pytest.mark.parametrize("holes", [False, True])
def test_the_core_alone_has_the_spectra_that_the_whole_tile_has(make_scene, ratio, shift, holes):
    """Also at the scene's border, where interpolation reflects, across patches, and beside masked pixels."""
    sampling = Sampling(ratio, 1.1, 0.9, shift, -shift)
    truth = make_scene(16, 200, 232, materials=6, seed=2)
    hsi, msi = Degradation.whole(sampling, truth.shape[1:])(truth), truth[[0, 8, 15]]
    block = whole_block(hsi, msi)
    if holes:
        block.y_mask[5:8, 9:12], block.z_mask[60:90, 100:120] = 0, 0
    scene = fit_scene([block], sampling, 3)
    for tile in plan_tiles(Window.whole((200, 232)), scene.coefficients, PATCH + 24):
        part = block.cut(tile.place)
        x = np.random.default_rng(1).standard_normal((3, *tile.core.shape)).astype(np.float32)
        whole = expand_tile(scene, x, outside_part(scene, part)[(slice(None), *tile.inner)])
        core = fused_spectra(scene, x, part, tile.core)
        assert np.abs(core - whole).max() < 2e-6 * np.abs(whole).max() and core.dtype == np.float32


def test_the_spread_of_spectra_follows_from_that_of_their_coefficients(truth):
    """Errors that are drawn as the MSI leaves them have the std that is told, band by band."""
    scene = fit_scene([whole_block(Degradation.whole(SAMPLING, truth.shape[1:])(truth), truth[:3])], SAMPLING, 4)
    c, random = scene.coefficients, np.random.default_rng(0)
    _, covariance = given_msi(c.response, c.z_std, c.target_std)
    std = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(std, std)
    drawn = random.multivariate_normal(np.zeros(4), np.outer(c.target_std, c.target_std) * correlation, 20000)
    spectra = drawn @ scene.subspace.basis.T + scene.outside_std * random.standard_normal((20000, 16))
    found = spectral_std(scene, c.target_std[:, None])
    assert np.allclose(found[:, 0], spectra.std(axis=0), rtol=0.05)


def test_bands_that_the_msi_sees_are_surer(truth):
    """Their share of the components' variance is smaller than that of bands which it does not see."""
    scene = fit_scene([whole_block(Degradation.whole(SAMPLING, truth.shape[1:])(truth), truth[:3])], SAMPLING, 4)
    share = scene.error_law().sum(axis=1) / (scene.subspace.basis**2).sum(axis=1)
    assert share[:3].max() < 0.5 * np.median(share[3:])
