"""Dead and hot columns and lines, spikes and stripes: found whatever they look like, filled to the noise, and nothing
taken from a clean scene.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hsfusion.models.scene.sensors.defects.find import Found, find_defects
from hsfusion.models.scene.sensors.defects.prediction import Prediction
from hsfusion.models.scene.sensors.defects.repair import Repair

BANDS, ROWS, COLS, NOISE = 40, 28, 36, 6.0
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # a failing scene is as small as any other


def cube(seed: int, noise: float = NOISE) -> np.ndarray:
    """(BANDS, ROWS, COLS): five smooth spectra mixed by textures that are blurred as a sensor does, with noise."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(ROWS), np.fft.rfftfreq(COLS), indexing="ij"))
    waves = (
        np.fft.rfft2(random.normal(size=(5, ROWS, COLS)))
        / (frequency + 0.04) ** 1.3
        * np.exp(-((frequency / 0.4) ** 2))
    )
    maps = np.fft.irfft2(waves, (ROWS, COLS))
    shares = np.exp(1.5 * maps / maps.std(axis=(1, 2), keepdims=True))
    shares /= shares.sum(axis=0)
    knots = random.uniform(300, 4000, (5, 7))
    spectra = np.stack([np.interp(np.linspace(0, 6, BANDS), np.arange(7), k) for k in knots], axis=1)
    values = np.tensordot(spectra, shares, axes=1) + random.normal(0, noise, (BANDS, ROWS, COLS))
    return values.astype(np.float32)


def found_in(values: np.ndarray) -> tuple[Found, np.ndarray]:
    """What is found, by windows, and the repaired cube."""

    def windows():
        for row, col in ((0, 0), (0, 18)):
            yield values[:, row : row + ROWS, col : col + 18], row, col

    found = find_defects(windows, values.reshape(BANDS, -1), (ROWS, COLS))
    return found, found.repair(values, range(ROWS), range(COLS)).values


def rms(values: np.ndarray) -> float:
    return float(np.sqrt((values.astype(np.float64) ** 2).mean()))


@settings(max_examples=15, deadline=None, phases=PHASES)
@given(st.integers(0, 10_000), st.sampled_from([2.0, 6.0, 25.0]))
def test_a_clean_scene_stays_bit_for_bit(seed, noise):
    values = cube(seed, noise)
    values[:, 5, 7] += np.linspace(200, 1200, BANDS)  # a rare material in one pixel
    found, repaired = found_in(values)
    assert not found
    assert found.repair == Repair()
    assert np.array_equal(repaired, values)


@pytest.mark.parametrize("seed", [3, 81, 112, 170, 222, 280])
def test_many_far_values_of_one_pixel_are_a_material(seed):
    values = cube(seed, 2.0)
    values[:, 5, 7] += np.linspace(200, 1200, BANDS)
    assert not found_in(values)[0]


@settings(max_examples=12, deadline=None, phases=PHASES)
@given(
    st.integers(0, 1000),
    st.sampled_from(["zero", "constant", "saturated", "random"]),
    st.sampled_from(["column", "line"]),
    st.integers(1, 3),
    st.floats(0.05, 0.4),
)
def test_columns_and_lines_that_show_nothing(seed, kind, way, count, share):
    clean, random = cube(seed), np.random.default_rng(seed)
    values = clean.copy() if way == "column" else clean.swapaxes(1, 2).copy()
    places = random.choice(values.shape[2], count, replace=False)
    bands = np.flatnonzero(random.random(BANDS) < share)[: BANDS // 2 - 1]  # pixels with more bad bands are nodata
    bands = bands if bands.size else np.array([3])
    fill = {"zero": 0.0, "constant": 900.0, "saturated": 65535.0}.get(kind)
    for band in bands:
        for place in places:
            values[band, :, place] = random.uniform(0, 8000, values.shape[1]) if fill is None else fill
    bad = np.zeros(values.shape, bool)
    bad[np.ix_(bands, np.arange(values.shape[1]), places)] = True
    values, bad = (values, bad) if way == "column" else (values.swapaxes(1, 2).copy(), bad.swapaxes(1, 2))
    found, repaired = found_in(values)
    told = found.repair.columns if way == "column" else found.repair.lines
    wrong = told != bad.any(axis=1 if way == "column" else 2)
    assert wrong.mean() <= (0.01 if kind == "random" else 0.001)
    assert np.mean(repaired[~bad] != values[~bad]) < 0.01
    assert rms((repaired - clean)[bad]) < 1.8 * NOISE


@settings(max_examples=12, deadline=None, phases=PHASES)
@given(st.integers(0, 1000), st.floats(1.5, 20), st.sampled_from([-1.0, 1.0]))
def test_spikes(seed, size, sign):
    clean, random = cube(seed), np.random.default_rng(seed)
    bad = random.random(clean.shape) < 1 / 2000
    values = np.where(bad, clean + sign * size * np.ptp(clean, axis=(1, 2))[:, None, None], clean).astype(np.float32)
    found, repaired = found_in(values)
    assert found.spikes == pytest.approx(bad.mean(), rel=0.5)
    assert (repaired != values)[bad].mean() > 0.75
    assert (repaired != values)[~bad].sum() <= 2
    assert np.quantile(np.abs(repaired - clean)[bad & (repaired != values)], 0.9) < 3 * NOISE


@settings(max_examples=8, deadline=None, phases=PHASES)
@given(st.integers(0, 1000), st.floats(0.02, 0.06))
def test_columns_of_other_gain(seed, size):
    clean = cube(seed)
    gains = 1 + size * np.random.default_rng(seed).normal(size=(BANDS, 1, COLS)).astype(np.float32)
    found, repaired = found_in(clean * gains)
    assert found.repair.gains is not None and found.repair.spikes is None
    assert rms(repaired - clean) < 0.6 * rms(clean * gains - clean)


def test_a_pixel_that_is_bad_in_more_than_half_of_its_bands_is_nodata():
    values = cube(1)
    values[: BANDS // 2 + 3, :, 11] = 0
    found = find_defects(lambda: iter([(values, 0, 0)]), values.reshape(BANDS, -1), (ROWS, COLS))
    repaired = found.repair(values, range(ROWS), range(COLS))
    assert not repaired.mask[:, 11].any() and repaired.mask.sum() == ROWS * (COLS - 1)
    assert not repaired.values[:, :, 11].any()


def test_a_window_is_a_crop_of_the_whole_and_json_keeps_everything():
    random = np.random.default_rng(4)
    values = cube(4) * (1 + 0.03 * random.normal(size=(BANDS, 1, COLS)).astype(np.float32))
    values[random.random(values.shape) < 1 / 1000] = 30000
    values[10:20, :, 30] = 0
    found, repaired = found_in(values)
    repair = Repair.from_dict(json.loads(json.dumps(found.repair.to_dict())))
    assert repair.reach == 1 and repair.gains is not None and repair.columns is not None
    rows, cols = range(5, 17), range(8, 33)
    wide = values[:, rows.start - 1 : rows.stop + 1, cols.start - 1 : cols.stop + 1]
    part = repair(wide, range(rows.start - 1, rows.stop + 1), range(cols.start - 1, cols.stop + 1))
    part = part.part(1, 1, len(rows), len(cols))
    assert np.allclose(part.values, repaired[:, rows.start : rows.stop, cols.start : cols.stop], rtol=1e-5)
    beyond = repair(np.full((BANDS, 3, 3), np.nan, np.float32), range(-3, 0), range(COLS, COLS + 3))
    assert not beyond.mask.any()


def test_missing_bands_are_predicted_to_their_noise():
    clean, random = cube(2), np.random.default_rng(2)
    lacking = random.random(clean.shape) < 0.2
    values = np.where(lacking, np.float32(np.nan), clean)
    prediction = Prediction.fit(values.reshape(BANDS, -1))
    repaired = Repair(prediction)(values, range(ROWS), range(COLS))
    assert repaired.mask.all() and repaired.filled.mean() > 0.9
    assert np.array_equal(repaired.values[~lacking], clean[~lacking])
    assert rms((repaired.values - clean)[lacking]) < 1.5 * NOISE


def test_leaving_out_by_the_identity_is_leaving_out():
    spectra = cube(3).reshape(BANDS, -1)[:, :50].astype(np.float64)
    prediction = Prediction.fit(cube(3).reshape(BANDS, -1))
    quick = prediction.without_itself(spectra)
    for band in (0, 17, 39):
        known = np.ones(spectra.shape, bool)
        known[band] = False
        assert np.allclose(quick[band], prediction.expected(spectra, known)[band], rtol=1e-6)
