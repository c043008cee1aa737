"""Unnamed fill is told from data: any value, any place, integers and floats, in all bands or one; clean rasters have
none.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsfusion.models.scene.sensors.defects.fill import Fill
from hsfusion.models.scene.sensors.defects.find_fill import find_fill
from hsfusion.models.scene.sensors.defects.survey import Survey

SIZE = 32
FLOATS = (-9999.0, 0.0, 65535.0, float(np.float32(-3.4028235e38)), float(np.float32(1e20)), -32768.0, -999.0)


def textures(bands: int, seed: int, kind: type) -> np.ndarray:
    """(bands, SIZE, SIZE) of mixed spectra, 200 to 4000."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.rfftfreq(SIZE), indexing="ij")) + 0.03
    maps = np.fft.irfft2(np.fft.rfft2(random.normal(size=(4, SIZE, SIZE))) / frequency**1.5, (SIZE, SIZE))
    shares = np.exp(maps / maps.std(axis=(1, 2), keepdims=True))
    shares /= shares.sum(axis=0)
    values = np.tensordot(random.uniform(200, 4000, (bands, 4)), shares, axes=1) + random.normal(
        0, 5, (bands, SIZE, SIZE)
    )
    return (np.rint(values) if kind is int else values).astype(np.float32)


def places() -> dict[str, np.ndarray]:
    """Areas (SIZE, SIZE), bool, as fill has them."""
    rows, cols = np.indices((SIZE, SIZE))
    return {
        "corner": (rows < 2) & (cols < 2),
        "border": cols >= SIZE - 3,
        "slanted": rows + 2 * cols < 20,
        "half": rows + cols < SIZE,
        "hole": (abs(rows - 15) < 3) & (abs(cols - 20) < 4),
    }


def found(values: np.ndarray) -> tuple[Fill, np.ndarray]:
    """The fill of a raster that is surveyed in windows, and the values without it."""
    survey = Survey(len(values), values.shape[1:])
    for row in range(0, SIZE, 16):
        for col in range(0, SIZE, 16):
            survey.add(values[:, row : row + 16, col : col + 16].copy(), row, col)
    fill, cleaned = find_fill(survey), values.copy()
    fill.blank(cleaned, range(len(values)), lambda band: values[band])
    return fill, cleaned


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(FLOATS),
    st.sampled_from(sorted(places())),
    st.sampled_from([int, float]),
    st.sampled_from([4, 12, 30]),
    st.integers(0, 50),
)
def test_a_value_in_all_bands_of_an_area_is_fill_and_nothing_else_is(value, place, kind, bands, seed):
    values, area = textures(bands, seed, kind), places()[place]
    values[:, area] = np.float32(value)
    _, cleaned = found(values)
    assert np.isnan(cleaned[:, area]).all()
    assert np.array_equal(cleaned[:, ~area], values[:, ~area])


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([v for v in FLOATS if v != 0.0]),
    st.sampled_from(sorted(places())),
    st.sampled_from([int, float]),
    st.integers(0, 11),
    st.integers(0, 50),
)
def test_a_far_value_in_single_bands_is_fill_there_alone(value, place, kind, band, seed):
    values, area = textures(12, seed, kind), places()[place]
    values[band, area] = np.float32(value)
    _, cleaned = found(values)
    assert np.isnan(cleaned[band, area]).all()
    assert np.isfinite(cleaned).sum() == cleaned.size - area.sum()


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([int, float]), st.sampled_from([1, 3, 4, 12, 30]), st.integers(0, 1000), st.floats(0, 4))
def test_data_hold_no_fill(kind, bands, seed, brightness):
    """Bright materials in a few pixels included."""
    values, random = textures(bands, seed, kind), np.random.default_rng(seed)
    at = random.integers(0, SIZE, (2, 6))
    values[:, at[0], at[1]] += np.float32(4000 * brightness) * random.uniform(0.5, 1.5, (bands, 6)).astype(np.float32)
    fill, cleaned = found(np.rint(values) if kind is int else values)
    assert not fill
    assert np.isfinite(cleaned).all()


@pytest.mark.parametrize("kind", [int, float])
@pytest.mark.parametrize("bands", [4, 30])
def test_dark_water_keeps_its_zeros(kind, bands):
    """Infrared bands of a lake were cut at zero; the lake reaches the border."""
    values = textures(bands, 5, kind)
    rows, cols = np.indices((SIZE, SIZE))
    lake, infrared = (rows - 20) ** 2 + (cols - 4) ** 2 < 60, slice(bands // 2, None)
    values[:, lake] = np.rint(0.05 * values[:, lake]) if kind is int else 0.05 * values[:, lake]
    values[infrared, lake] = 0
    fill, cleaned = found(values)
    assert not fill
    assert np.isfinite(cleaned).all()


def test_the_fill_of_pixels_with_real_zeros_beside_it():
    """Zeros in all bands are fill; those of a lake's infrared are data in the same raster."""
    values = textures(30, 6, float)
    rows, cols = np.indices((SIZE, SIZE))
    border, lake = cols < 3, (rows - 20) ** 2 + (cols - 20) ** 2 < 40
    values[15:, lake] = 0
    values[:, border] = 0
    _, cleaned = found(values)
    assert np.array_equal(np.isnan(cleaned), np.broadcast_to(border, values.shape))


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([int, float]), st.floats(0.9, 0.98), st.integers(0, 50))
def test_a_plateau_at_the_top_is_saturation(kind, share, seed):
    values = textures(12, seed, kind)
    limit = np.quantile(values[3], share).astype(np.float32)
    limit = np.rint(limit) if kind is int else limit
    values[3] = np.minimum(values[3], limit)
    fill, cleaned = found(values)
    assert fill.saturated == ((3, float(limit)),)
    assert np.array_equal(np.isnan(cleaned[3]), values[3] == limit)


def test_eight_bit_pictures_hold_no_fill_but_their_border():
    random = np.random.default_rng(1)
    grey = np.clip(textures(3, 7, float) / 16 + random.normal(0, 3, (3, SIZE, SIZE)), 0, 255)
    values = np.rint(grey).astype(np.float32)
    assert not found(values)[0]
    area = places()["slanted"]
    values[:, area] = 0
    _, cleaned = found(values)
    assert np.array_equal(np.isnan(cleaned).all(axis=0), area | (values == 0).all(axis=0))
