"""Light: gains that were put in come out, a seam is found where it is, clouds are told from rare materials, and a clean
pair stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.block import Block, part, whole_block
from hsfusion.models.scene.sensors.light.areas import Areas, Holder
from hsfusion.models.scene.sensors.light.cells import Cells, CellSums, Components
from hsfusion.models.scene.sensors.light.fields import Seam
from hsfusion.models.scene.sensors.light.find import find_light
from hsfusion.models.scene.sensors.light.tone import find_tone

SHAPE, RATIO, BANDS, FINE_BANDS = (96, 112), 4, 24, 3
SAMPLING = Sampling(RATIO)
NOISE = 0.01  # of a band's spread


def _smooth(rng: np.random.Generator, count: int, width: float) -> np.ndarray:
    """Random fields (count, *SHAPE) of unit variance."""
    noise = np.fft.rfft2(rng.standard_normal((count, *SHAPE)))
    down, across = np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1])
    field = np.fft.irfft2(noise * np.exp(-2 * (np.pi * width) ** 2 * (down**2 + across**2)), SHAPE)
    return field / field.std(axis=(1, 2), keepdims=True)


def _scene(seed: int = 0, roof: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A scene of four materials, and a disc of spectrum `roof` (L,), and both images of it: hsi (L, h, w), msi (l, H,
    W).
    """
    rng = np.random.default_rng(seed)
    amounts = np.exp(1.5 * _smooth(rng, 4, 2.0))
    amounts /= amounts.sum(axis=0)
    spectra = 1000 + 800 * np.cumsum(rng.standard_normal((4, BANDS)), axis=1)
    cube = np.tensordot(spectra.T - spectra.min() + 200, amounts, axes=1)
    if roof is not None:
        cube = np.where(_disc(SHAPE) > 0, roof[:, None, None], cube)
    hsi = Degradation.whole(SAMPLING, SHAPE)(cube)
    response = np.kron(np.eye(FINE_BANDS), np.ones(BANDS // FINE_BANDS)) / (BANDS // FINE_BANDS)
    msi = np.tensordot(response, cube, axes=1)
    images = [
        image + NOISE * image.std(axis=(1, 2), keepdims=True) * rng.standard_normal(image.shape) for image in (hsi, msi)
    ]
    return images[0].astype(np.float32), images[1].astype(np.float32)


def _cells(hsi: np.ndarray, msi: np.ndarray, blocks: list[Block] | None = None, size: int = 1) -> Cells:
    sums = CellSums(Components.of(hsi.reshape(BANDS, -1).T.astype(float)), hsi.shape[1:], size, SHAPE)
    for block in blocks or [whole_block(hsi, msi)]:
        sums.add(block, SAMPLING)
    return sums.cells(SAMPLING)


def _pixels() -> tuple[np.ndarray, np.ndarray]:
    return np.arange(SHAPE[0])[:, None] + 0.5, np.arange(SHAPE[1])[None, :] + 0.5


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_pair_has_no_light(seed: int) -> None:
    assert find_light(_cells(*_scene(seed)), (0.0, 0.0)).light is None


def test_a_smooth_gain_comes_out() -> None:
    hsi, msi = _scene()
    rows, cols = _pixels()
    gain = np.stack([1 + 0.15 * np.sin(rows / 30 + n) * np.cos(cols / 35 - n) for n in range(FINE_BANDS)])
    light = find_light(_cells(hsi, (gain * msi).astype(np.float32)), (0.0, 0.0)).light
    assert light.fields.seam is None and light.areas is None
    found = light.apply((gain * msi).astype(np.float32), range(SHAPE[0]), range(SHAPE[1]))
    rest = found / msi  # but for one factor and offset per band, which the regression takes
    inside = (slice(None), slice(8, -8), slice(8, -8))
    before, after = (np.std(np.log(x[inside]), axis=(1, 2)) for x in (gain, rest))
    assert (after < 0.25 * before).all()


@pytest.mark.parametrize("angle", [0.3, 1.2, 2.5])
def test_a_seam_is_found_where_it_is(angle: float) -> None:
    hsi, msi = _scene()
    seam = Seam(SHAPE, angle, (3.0, 9.0))
    far = seam.distance(*_pixels()) > 0
    gains, offsets = np.array([0.8, 1.15, 1.25]), np.array([60.0, -30.0, 20.0])
    mosaic = np.where(far, gains[:, None, None] * msi + offsets[:, None, None], msi).astype(np.float32)
    light = find_light(_cells(hsi, mosaic), (0.0, 0.0)).light
    found = light.fields.seam.distance(*_pixels()) > 0
    flipped = (found != far).mean() > 0.5
    assert (found == (far != flipped)).mean() > 0.99
    assert 1 + light.fields.gain[-1] == pytest.approx(1 / gains if flipped else gains, abs=0.02)


def _cloud(image: np.ndarray, where: np.ndarray) -> np.ndarray:
    bright = 1.4 * image.max(axis=(1, 2), keepdims=True)
    return (image + where * (bright - image)).astype(np.float32)


def _disc(shape: tuple[int, int]) -> np.ndarray:
    rows, cols = (np.arange(n) / n for n in shape)
    return np.clip((0.22 - np.hypot(rows[:, None] - 0.4, cols[None, :] - 0.6)) / 0.05, 0, 1)


def test_a_cloud_is_left_out_of_the_image_that_holds_it() -> None:
    hsi, msi = _scene()
    cloud = _disc(SHAPE)
    light = find_light(_cells(hsi, _cloud(msi, cloud)), (0.0, 0.0)).light
    assert set(np.unique(light.areas.holder)) == {Holder.NEITHER, Holder.MSI}
    out = light.left_out(range(SHAPE[0]), range(SHAPE[1]))
    assert out[cloud > 0.1].mean() > 0.97
    far = _cloudless(cloud, 2 * RATIO)
    assert out[far].mean() < 0.01

    light = find_light(_cells(_cloud(hsi, _disc(hsi.shape[1:])), msi), (0.0, 0.0)).light
    assert set(np.unique(light.areas.holder)) == {Holder.NEITHER, Holder.HSI}
    assert not light.left_out(range(SHAPE[0]), range(SHAPE[1])).any()


def _cloudless(cloud: np.ndarray, reach: int) -> np.ndarray:
    """Pixels farther than `reach` from every touched one, along rows and columns."""
    near = cloud > 0
    for axis in (0, 1):
        near = np.logical_or.reduce([np.roll(near, step, axis) for step in range(-reach, reach + 1)])
    return ~near


def test_a_material_that_both_images_show_is_no_change() -> None:
    roof = np.random.default_rng(5).uniform(9000, 12000, BANDS)
    hsi, msi = _scene(roof=roof)
    msi = np.where(_disc(SHAPE) > 0, 1.1 * msi, msi).astype(np.float32)  # which follows a law of its own, too
    light = find_light(_cells(hsi, msi), (0.0, 0.0)).light
    assert light is None or light.areas is None


def test_a_window_is_the_crop_of_the_whole() -> None:
    hsi, msi = _scene()
    rows, cols = _pixels()
    hazy = (msi * (1 + 0.2 * np.sin(rows / 25) * np.cos(cols / 30)) + 80 * np.cos(rows / 40)).astype(np.float32)
    light = find_light(_cells(hsi, _cloud(hazy, _disc(SHAPE))), (0.0, 0.0)).light
    assert light.fields is not None and light.areas is not None
    block = light.block(whole_block(hsi, hazy))
    light = light.measured([block])
    whole, out = light.filled(light.apply(hazy, range(SHAPE[0]), range(SHAPE[1])), range(SHAPE[0]), range(SHAPE[1]))
    window = range(17, 70), range(31, 100)
    cut = (slice(17, 70), slice(31, 100))
    piece, piece_out = light.filled(light.apply(hazy[(slice(None), *cut)], *window), *window)
    np.testing.assert_allclose(piece, whole[(slice(None), *cut)], rtol=1e-5)
    assert (piece_out == out[cut]).all()


def test_cells_of_parts_are_those_of_the_whole() -> None:
    hsi, msi = _scene()
    block = whole_block(hsi, msi)
    parts = [part(block, slice(r, r + 12), slice(c, c + 14), SAMPLING) for r in (0, 12) for c in (0, 14)]
    whole, joined = _cells(hsi, msi, size=2), _cells(hsi, msi, parts, size=2)
    np.testing.assert_allclose(joined.low, whole.low, rtol=1e-3)
    np.testing.assert_allclose(joined.predictors, whole.predictors, rtol=1e-6, atol=1e-9)
    assert replace(whole, low=joined.low).place == pytest.approx(joined.place)


def test_a_tone_curve_is_undone_and_a_linear_image_left_alone() -> None:
    hsi, msi = _scene()
    assert find_tone([whole_block(hsi, msi)], SAMPLING) is None
    top = msi.max(axis=(1, 2), keepdims=True)
    picture = np.round(255 * np.clip(msi / top, 0, 1) ** (1 / 2.2)).astype(np.float32)
    tone = find_tone([whole_block(hsi, picture)], SAMPLING)
    assert (np.abs(tone.exponent - 2.2) < 0.4).all()
    assert tone(picture) / 255 == pytest.approx(msi / top, abs=0.08)


def test_a_difference_that_does_no_harm_is_no_area(make_scene):
    """A clean pair is so regular that a hundredth of the MSI's spread stands out; nothing is masked for that."""
    from hsfusion.models.scene.sensors.light.areas import find_areas
    from hsfusion.models.scene.sensors.light.cells import Cells

    random = np.random.default_rng(0)
    index = np.argwhere(np.ones((30, 30), bool))
    low = random.normal(size=(900, 3))
    residual = 1e-4 * random.normal(size=(900, 3))
    inside = (index[:, 0] > 8) & (index[:, 0] < 16) & (index[:, 1] > 8) & (index[:, 1] < 16)
    residual[inside] += 0.01
    cells = Cells.__new__(Cells)
    for name, value in {"low": low, "index": index, "predictors": np.column_stack([np.ones(900), low])}.items():
        object.__setattr__(cells, name, value)
    object.__setattr__(cells, "shape", (30, 30)), object.__setattr__(cells, "size", 1)
    assert find_areas(cells, residual) is None


def test_detail_is_usual_where_the_hsi_varies_and_not_where_it_is_flat():
    expected = np.full((1, 8, 16), 100.0, np.float32)
    expected[:, ::2, 8:] = 200.0
    areas = Areas(np.zeros((8, 16), np.uint8), 1, expected, np.array([5.0]))
    window = range(32), range(64)
    _, smooth = areas.unusual(np.zeros((1, 32, 64)), *window, 4.0, (0.0, 0.0))
    far, again = areas.unusual(smooth + 40.0, *window, 4.0, (0.0, 0.0))
    assert np.array_equal(smooth, again)
    assert np.allclose(far[:, :24], 8.0) and (far[:, 40:] < 1.0).all()
