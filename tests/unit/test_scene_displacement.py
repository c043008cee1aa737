"""The displacement of an HSI from the pair alone: what is put in comes out, to its interval, however the scene is
turned.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Displacement, Sampling
from hsfusion.models.scene.block import Block, whole_block
from hsfusion.models.scene.sensors.displacement import find_displacement, search
from hsfusion.models.scene.sensors.placing import Wanted, place
from hsfusion.models.trial_fields import field, seen

RATIO, COARSE = 4.0, 28
FINE = (int(RATIO) * COARSE,) * 2
START = Sampling(RATIO)
RESPONSE = np.array([[0.6, 0.4, 0.0, 0.0, 0.0], [0.0, 0.3, 0.7, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5, 0.5]])


def texture(seed: int = 0, size: int = FINE[0] + 80) -> np.ndarray:
    """Five bands of three textures with detail at every scale, larger than the scene on each side by 40 pixels."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]) + 0.01
    waves = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(3, size, size))) / frequency**1.4, (size, size))
    waves /= waves.std(axis=(1, 2), keepdims=True)
    mixing = np.array([[1.0, 0.2, 0.0], [0.8, 0.5, 0.1], [0.3, 1.0, 0.2], [0.0, 0.4, 1.0], [0.2, 0.0, 1.0]])
    return (np.tensordot(mixing, waves, axes=1) + 5.0).astype(np.float32)


def pair(true: Sampling, seed: int = 0, noise: float = 0.02) -> Block:
    """What both sensors see of a texture, the HSI as `true` says; the ground goes on beyond the scene."""
    whole, rng = texture(seed), np.random.default_rng(seed + 1000)
    wide = whole.shape[1:]
    d = true.displacement or Displacement(FINE)
    moved = Displacement(wide, d.turn, d.scale)  # about the same middle
    sampling = replace(true, displacement=moved)
    m = 10
    coarse = range(m, m + COARSE)
    y = Degradation(sampling, wide, range(wide[0]), range(wide[1]), coarse, coarse)(whole)
    z = np.tensordot(RESPONSE, whole, axes=1)[:, 40:-40, 40:-40]
    y, z = (image + noise * rng.normal(size=image.shape) for image in (y, z))
    return whole_block(y.astype(np.float32), z.astype(np.float32))


def test_rotation_scale_and_shift_come_out() -> None:
    true = Sampling(RATIO, 1.2, 1.2, 0.7, -0.4, displacement=Displacement(FINE, 0.8, 1.006))
    found = find_displacement([pair(true)], START)
    assert found is not None and found.free.order == 1
    for estimate, value in (
        (found.shift_y, 0.7),
        (found.shift_x, -0.4),
        (found.turn, 0.8),
        (found.scale, 1.006),
        (found.fwhm_y, 1.2),
        (found.fwhm_x, 1.2),
    ):
        assert abs(estimate.value - value) < 2.0 * estimate.error + 1e-3, (estimate, value)
    assert found.turn.error < 0.1 and found.shift_y.error < 0.1
    before, after = found.held_out
    assert after < 0.5 * before and found.agreed > 0.9


def test_a_pair_that_lies_well_has_no_displacement() -> None:
    for seed in range(3):
        assert find_displacement([pair(Sampling(RATIO, 1.2, 1.2, 0.3, 0.1), seed)], START) is None


@pytest.mark.parametrize("shift, turn", [((9.3, -6.7), 0.6), ((-22.4, 17.1), -1.8), ((31.0, 0.0), 0.0)])
def test_the_search_finds_far_places(shift: tuple[float, float], turn: float) -> None:
    true = Sampling(RATIO, 1.2, 1.2, *shift, displacement=Displacement(FINE, turn))
    found = search([pair(true)], START)
    assert found.certain and not found.at_limit
    assert np.abs(np.array(found.shift) - shift).max() < 0.75 * RATIO


def test_a_place_beyond_what_is_accepted_is_said() -> None:
    found = search([pair(Sampling(RATIO, 1.2, 1.2, 37.0, 0.0))], START)
    assert found.certain and found.at_limit


def test_images_without_anything_in_common_are_left_alone() -> None:
    block, other = pair(Sampling(RATIO, 1.2, 1.2)), pair(Sampling(RATIO, 1.2, 1.2), seed=7)
    block = replace(block, z=other.z)
    assert not search([block], START).certain
    placed = place([block], START, Wanted())
    assert placed.found is None and (placed.sampling.shift_y, placed.sampling.shift_x) == (0.0, 0.0)
    assert not placed.registration.shift_y.determined


def flipped(block: Block) -> Block:
    """Upside down."""
    images = (block.y[:, ::-1], block.z[:, ::-1], block.y_mask[::-1], block.z_mask[::-1])
    return whole_block(*(np.ascontiguousarray(image) for image in images))


def swapped(block: Block) -> Block:
    """Rows as columns."""
    images = (*(np.swapaxes(image, 1, 2) for image in (block.y, block.z)), block.y_mask.T, block.z_mask.T)
    return whole_block(*(np.ascontiguousarray(image) for image in images))


def test_flips_and_swapped_axes_give_the_same() -> None:
    block = pair(Sampling(RATIO, 1.2, 1.2, 0.6, -0.9, displacement=Displacement(FINE, 0.7)))
    straight, over, across = (find_displacement([b], START) for b in (block, flipped(block), swapped(block)))
    assert straight is not None and over is not None and across is not None
    wanted = np.array([straight.shift_y.value, straight.shift_x.value, straight.turn.value, straight.scale.value])
    same = np.array([-over.shift_y.value, over.shift_x.value, -over.turn.value, over.scale.value])
    turned = np.array([across.shift_x.value, across.shift_y.value, -across.turn.value, across.scale.value])
    # The chessboard of held-out pixels lies otherwise; the last fit takes all pixels.
    assert np.allclose(same, wanted, atol=0.02) and np.allclose(turned, wanted, atol=0.02)


@pytest.mark.slow
def test_intervals_cover() -> None:
    true = Sampling(RATIO, 1.2, 1.2, 0.5, 0.2, displacement=Displacement(FINE, 0.5, 1.004))
    wanted = {"shift_y": 0.5, "shift_x": 0.2, "turn": 0.5, "scale": 1.004, "fwhm_y": 1.2, "fwhm_x": 1.2}
    inside = []
    for seed in range(25):
        found = find_displacement([pair(true, seed, 0.05)], START)
        assert found is not None and found.free.order == 1
        inside += [getattr(found, name).low <= value <= getattr(found, name).high for name, value in wanted.items()]
    assert 0.88 <= np.mean(inside) <= 0.995


@pytest.mark.parametrize("shape", ["wave", "waves", "jitter", "step", "bump"])
def test_trials_are_displaced_as_they_say(shape: str) -> None:
    d = field(shape, 0.7, (80, 96))
    assert d.shape == (2, 80, 96) and np.sqrt((d**2).sum(axis=0).mean()) == pytest.approx(0.7)
    assert np.abs(d.mean(axis=(1, 2))).max() < 1e-9
    y, x = np.mgrid[:80, :96]
    cube = (0.1 * y + 0.2 * x)[None].astype(np.float32)
    inner = (slice(8, -8), slice(8, -8))
    assert np.allclose(seen(cube, d)[0][inner], (0.1 * (y + d[0]) + 0.2 * (x + d[1]))[inner], atol=1e-3)
