"""The precision that a network runs in: bfloat16 where the processor multiplies matrices in it, and where that costs no
accuracy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np

from ..observation import Degradation, Sampling
from ..scene.block import whole_block
from ..scene.model import fit_scene
from ..wire.tile import TileRequest

FLOAT32, BFLOAT16 = "float32", "bfloat16"
LARGEST_LOSS_DB = 0.02
SIZE = 96  # fine pixels
_RATIO, _BANDS, _MATERIALS = 4, 24, 6

Tile = Callable[[dict[str, np.ndarray], TileRequest], dict[str, np.ndarray]]


def preferred(wanted: str, device: str) -> tuple[str, str]:
    """The precision to try and, in words, why. `auto` goes by the processor and not by the clock, so that a machine
    always answers alike.
    """
    if wanted != "auto":
        return wanted, "asked for"
    if device == "cpu" and has_amx():
        return BFLOAT16, "the processor has AMX"
    return FLOAT32, "the processor has no AMX" if device == "cpu" else "a GPU"


def has_amx() -> bool:
    """Whether the CPU multiplies matrices of bfloat16 in hardware; False where the system does not tell (Windows,
    macOS).

    AVX512_BF16 alone does not count: a tile takes two thirds of the time with it, but what the network makes of the
    same inputs depends on the tile's shape, so that tiles of another size differ by up to 1.1e-3 of the data range
    (AMX: by less than 1e-4).
    """
    return "amx_bf16" in _processor()


def has_bfloat16() -> bool:
    """Whether the CPU has any instructions for bfloat16; without them a step of training takes 8 times as long as in
    float32.
    """
    return has_amx() or "avx512_bf16" in _processor()


def _processor() -> str:
    """What Linux says of the CPU; empty elsewhere."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def loss_db(exact: Tile, fast: Tile, components: int) -> float:
    """By how much `fast` is farther than `exact` from the truth of a made-up tile, in dB; the same tile at
    each call.
    """
    tensors, request, truth, weight = made_up_tile(components)

    def error(runner: Tile) -> float:
        x = runner(tensors, request)["x"].mean(axis=0)
        return float(np.mean((weight[:, None, None] * (x - truth)) ** 2))

    return float(10 * np.log10(error(fast) / error(exact)))


def made_up_tile(
    components: int, size: int = SIZE
) -> tuple[dict[str, np.ndarray], TileRequest, np.ndarray, np.ndarray]:
    """A whole scene as one tile: tensors, request, the true coefficients (K, H, W) and the size of each in the raster's
    units.
    """
    rng = np.random.default_rng(5)
    position = np.linspace(0, 1, _BANDS)
    spectra = np.stack([1.2 + np.sin((k + 1) * 2.1 * position + 2 * k) for k in range(_MATERIALS)])
    amounts = np.exp(2 * rng.standard_normal((_MATERIALS, size, size)))
    for _ in range(2):
        amounts = (amounts + np.roll(amounts, 1, 1) + np.roll(amounts, 1, 2)) / 3
    truth = (500 * np.tensordot(spectra.T, amounts / amounts.sum(axis=0), axes=1)).astype(np.float32)
    sampling = Sampling(float(_RATIO))
    y = Degradation.whole(sampling, (size, size))(truth)
    z = truth.reshape(4, -1, size, size).mean(axis=1)
    y, z = (a + rng.normal(0, 0.01 * truth.mean(), a.shape).astype(np.float32) for a in (y, z))
    block = whole_block(y, z)
    scene = fit_scene([block], sampling, components)
    request = TileRequest(scene.coefficients, block.place, block.place.fine)
    weight = np.asarray(scene.coefficients.weight)
    return scene.standardised(block).images, request, scene.subspace.project(truth).astype(np.float32), weight
