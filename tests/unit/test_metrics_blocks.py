"""Cubes compared block by block: the scores of the whole, whatever the blocks and wherever nodata lie."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.metrics import evaluate, evaluate_cubes, summary
from hsfusion.models.metrics.blocks import InMemory, parts
from hsfusion.models.metrics.hypercomplex import q2n
from hsfusion.models.metrics.structural import ssim_bands, uiqi_bands


def cubes(rows: int, cols: int, bands: int = 5) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    waves = np.stack([np.sin(np.arange(rows)[:, None] / (5 + b)) * np.cos(np.arange(cols) / 9) for b in range(bands)])
    reference = (3000 + 700 * waves + random.normal(0, 40, waves.shape)).astype(np.float32)
    return reference, (reference + random.normal(0, 90, waves.shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(200, 150), (130, 64), (70, 300), (20, 20)])
@pytest.mark.parametrize("holes", ["none", "scattered", "a block", "a band"])
def test_blocks_add_up_to_the_whole(monkeypatch, shape, holes):
    x, y = cubes(*shape)
    if holes == "scattered":
        y[:, np.random.default_rng(0).random(shape) < 0.05] = np.nan
    if holes == "a block":  # the first block has no pixel in one band, which the others have
        y[2, :64, :64] = np.nan
        x[2, :9, :9] = np.nan
    if holes == "a band":
        x[1] = np.nan
    if holes == "a block" and max(shape) <= 64:
        y[2, -1, -1] = 5.0
    whole = evaluate(x, y, 4)
    monkeypatch.setattr(summary, "parts", lambda shape: parts(shape, values=1))
    found = evaluate_cubes(InMemory(x), InMemory(y), 4)
    assert found.numbers() == pytest.approx(whole.numbers(), rel=1e-9, nan_ok=True)
    assert found.counts() == whole.counts() and found.peak == whole.peak
    for name in ("sam_map", "error_map", "norm_map", "ssim_bands", "uiqi_bands", "cc_bands", "bias_bands"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-8, atol=1e-9)
    valid = np.isfinite(x).any(axis=(1, 2)) & np.isfinite(y).any(axis=(1, 2))
    one = [c[valid] for c in (x, y)]  # the definitions themselves, on the whole cubes
    np.testing.assert_allclose(found.ssim_bands, ssim_bands(*one, found.peak), rtol=1e-9)
    np.testing.assert_allclose(found.uiqi_bands, uiqi_bands(*one), rtol=1e-9)
    np.testing.assert_allclose(found.Q2N, q2n(*one), rtol=1e-9)


@pytest.mark.parametrize("shape", [(3, 1, 1), (200, 95, 64), (200, 3000, 2700), (5, 97, 128), (7, 31, 4000)])
def test_every_pixel_is_in_one_block(shape):
    seen = np.zeros(shape[1:], int)
    for part in parts(shape):
        seen[part.own] += 1
        assert part.rows.start % 64 == part.cols.start % 64 == 0
        assert part.rows == slice(0, shape[1]) or min(part.shape[0], shape[1]) >= 32
        assert shape[0] * part.shape[0] * part.shape[1] <= 2.5 * max(20_000_000, shape[0] * 96 * 96)
    assert (seen == 1).all()


def test_one_block_is_read_at_a_time(monkeypatch):
    """Every value is read twice, and never more than a block with the reach of its windows."""
    x, y = cubes(300, 200)

    class Watched(InMemory):
        read = 0

        def window(self, rows, cols, bands=None):
            values = super().window(rows, cols, bands)
            assert values[0].size <= (96 + 10) ** 2
            Watched.read += values.size
            return values

    monkeypatch.setattr(summary, "parts", lambda shape: parts(shape, values=1))
    evaluate_cubes(Watched(x), Watched(y), 4)
    assert Watched.read < 2 * 2 * 1.25 * x.size
