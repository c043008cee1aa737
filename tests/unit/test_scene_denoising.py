"""The filter of the MSI's noise: it takes noise and little else, no more than the quietest direction shows, the same in
any tile.
"""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.laws.denoising import MOST_REMOVED, Denoising, fit_denoising
from hsfusion.models.scene.laws.nonlinear import Window
from hsfusion.models.scene.methods.subspace import denoised
from hsfusion.models.scene.model import fit_scene
from hsfusion.models.wire.scene import model_from
from hsfusion.models.wire.values import plain

SHAPE, REACH = (120, 160), 8
NOISE = np.array([0.1, 0.2, 0.1, 0.3])


def texture(bands: int = 4, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Bands (l, H, W) that share two textures, one of fields of eight pixels and one of single pixels, of a few per
    cent of the noise's power.
    """
    random = np.random.default_rng(0)
    fields = np.kron(random.normal(size=(shape[0] // 8, shape[1] // 8)), np.ones((8, 8)))
    fine = random.normal(size=shape) * (random.random(shape) < 0.1)
    mixture = random.uniform(0.5, 1.0, (bands, 2))
    return np.tensordot(mixture, np.stack([fields, fine]), axes=1).astype(np.float32)


def noise_of(bands: int = 4, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return (NOISE[:bands, None, None] * np.random.default_rng(1).normal(size=(bands, *shape))).astype(np.float32)


def window(z: np.ndarray, mask: np.ndarray | None = None) -> Window:
    """A window whose HSI says nothing: the filter does not ask it."""
    shape = z.shape[1:]
    nothing = np.zeros((2, shape[0] // 4, shape[1] // 4))
    mask = np.ones(shape, np.float32) if mask is None else mask
    return Window(nothing, nothing, nothing, z, mask, Degradation.whole(Sampling(4), shape))


def filtered(z: np.ndarray, noise: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    seen = window(z, mask)
    return fit_denoising([seen], noise)(z, seen.z_mask, seen.down)


def power(image: np.ndarray) -> np.ndarray:
    return (image**2).mean(axis=(1, 2))


def test_noise_is_taken_and_texture_left() -> None:
    clear, noise = texture(), noise_of()
    found = filtered(clear + noise, NOISE)
    assert (power(found - clear) < 0.6 * power(noise)).all()
    assert (power(filtered(clear, NOISE) - clear) < 0.3 * NOISE**2).all(), "of an image without noise little is taken"


def test_bands_together_know_more_than_each_alone() -> None:
    clear, noise = texture(), noise_of()
    alone = np.concatenate([filtered(z[None], std[None]) for z, std in zip(clear + noise, NOISE)])
    assert power(filtered(clear + noise, NOISE) - clear).sum() < 0.7 * power(alone - clear).sum()


def test_of_a_flat_image_hardly_any_noise_is_left() -> None:
    noise = noise_of()
    assert (power(filtered(noise, NOISE)) < 0.2 * power(noise)).all()


def test_no_more_noise_is_left_than_it_says() -> None:
    clear, noise = texture(), noise_of()
    seen = window(clear + noise)
    found = fit_denoising([seen], NOISE)
    said, left = NOISE**2 - found.removed**2, power(found(seen.z, seen.z_mask, seen.down) - clear)
    assert (left < 1.1 * said).all() and (said < 0.7 * NOISE**2).all()


@pytest.mark.parametrize("factor", [2.0, 4.0])
def test_no_direction_shows_less_than_its_noise(factor: float) -> None:
    seen = window(texture() + noise_of())
    np.testing.assert_allclose(fit_denoising([seen], factor * NOISE).noise, NOISE, rtol=0.15)
    assert (fit_denoising([seen], 0.5 * NOISE).noise == 0.5 * NOISE).all(), "nor is it told more than it was told"


def test_tiles_are_cut_from_one_image() -> None:
    z, shape, sampling = texture() + noise_of(), SHAPE, Sampling(4)
    whole = window(z)
    found = fit_denoising([whole], NOISE)
    rows, cols = range(40, 90), range(30, 160)
    part = (slice(None), slice(rows.start, rows.stop), slice(cols.start, cols.stop))
    down = Degradation(sampling, shape, rows, cols, range(10, 22), range(8, 40))
    tile = found(z[part], whole.z_mask[part[1:]], down)
    inside = (slice(None), slice(REACH, -REACH), slice(REACH, None))  # the last column is the scene's own border
    np.testing.assert_allclose(tile[inside], found(z, whole.z_mask, whole.down)[part][inside], atol=1e-5)


def test_gaps_are_left_alone_and_nothing_comes_out_of_them() -> None:
    z, mask = texture() + noise_of(), np.ones(SHAPE, np.float32)
    mask[30:50, 60:70] = 0
    found = filtered(z, NOISE, mask)
    spoiled = z.copy()
    spoiled[:, mask == 0] = 1e6
    again = filtered(spoiled, NOISE, mask)
    np.testing.assert_array_equal(again[:, mask > 0], found[:, mask > 0])
    np.testing.assert_array_equal(found[:, mask == 0], z[:, mask == 0])


@pytest.mark.parametrize("bands", [1, 4])
def test_without_noise_nothing_is_taken(bands: int) -> None:
    z = texture(bands)
    np.testing.assert_allclose(filtered(z, np.zeros(bands)), z, atol=1e-4)


def test_a_window_of_few_pixels_is_filtered_too() -> None:
    z = (texture() + noise_of())[:, :4, :8]
    assert np.isfinite(filtered(z, NOISE)).all()


def noisy_pair(make_scene) -> tuple:
    truth = make_scene(24, 96, 96, seed=3)
    hsi, msi = Degradation.whole(Sampling(4), (96, 96))(truth), truth[[3, 9, 15]]
    random = np.random.default_rng(2)
    msi = msi + (0.1 * msi.std(axis=(1, 2)))[:, None, None] * random.normal(size=msi.shape)
    block = whole_block(hsi, msi.astype(np.float32))
    return block, fit_scene([block], Sampling(4), 6)


def test_the_model_knows_that_there_is_less_noise(make_scene) -> None:
    block, scene = noisy_pair(make_scene)
    before = scene.coefficients
    place = block.place
    z, after = denoised(scene.standardise(block.z), block.z_mask, before, place)
    assert (after.z_std < before.z_std).all() and (after.z_std > 0).all()
    assert (after.target_std <= before.target_std).all() and (after.target_std >= before.prior_std).all()
    assert (before.denoising.removed**2 <= 1.01 * MOST_REMOVED * before.denoising.noise**2).all()
    assert z.dtype == np.float32 and (z != scene.standardise(block.z)).any()


def test_it_travels_with_the_model(make_scene) -> None:
    _, scene = noisy_pair(make_scene)
    model = scene.coefficients
    found = model_from(plain(model)).denoising
    assert isinstance(found, Denoising)
    for name, value in vars(model.denoising).items():
        np.testing.assert_array_equal(getattr(found, name), value)


def test_numpy_and_torch_agree() -> None:
    torch = pytest.importorskip("torch")
    seen = window(texture() + noise_of())
    found = fit_denoising([seen], NOISE)
    other = found(torch.from_numpy(seen.z), torch.from_numpy(seen.z_mask), seen.down)
    np.testing.assert_allclose(other.numpy(), found(seen.z, seen.z_mask, seen.down), atol=1e-5)
