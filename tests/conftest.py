"""What tests of several rooms share: synthetic scenes with a known truth (numpy only, so they also run in QGIS's
Python).
"""

from __future__ import annotations

import os

for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # small matrices on a busy machine: more threads only wait for each other

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# The same examples in every run: whether a commit passes must not hang on luck. HYPOTHESIS_PROFILE=default looks for
# new ones.
settings.register_profile("steady", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def fractal(rng: np.random.Generator, rows: int, cols: int, slope: float = 1.4) -> np.ndarray:
    """A random texture (rows, cols) whose amplitude spectrum falls as 1 / f^slope, as natural images do; mean
    0, std 1.
    """
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(cols)[None, :])
    frequency[0, 0] = 1.0
    image = np.fft.ifft2(np.fft.fft2(rng.standard_normal((rows, cols))) / frequency**slope).real
    return (image - image.mean()) / image.std()


def textured_scene(bands: int = 30, rows: int = 96, cols: int = 96, materials: int = 4, seed: int = 0) -> np.ndarray:
    """A cube (bands, rows, cols), float32, in reflectance x 10000: smooth spectra of a few materials, mixed by fractal
    textures and fields.
    """
    rng = np.random.default_rng(seed)
    position = np.linspace(0.0, 1.0, bands)
    centres, widths = rng.uniform(0, 1, (materials, 3)), rng.uniform(0.08, 0.4, (materials, 3))
    spectra = sum(
        rng.uniform(0.2, 1.0, (materials, 1)) * np.exp(-(((position - centres[:, [i]]) / widths[:, [i]]) ** 2))
        for i in range(3)
    )
    amounts = np.exp(np.stack([fractal(rng, rows, cols) for _ in range(materials)]))
    fields = np.kron(rng.integers(0, materials, (-(-rows // 12), -(-cols // 12))), np.ones((12, 12), int))[:rows, :cols]
    amounts += 2.0 * (fields[None] == np.arange(materials)[:, None, None])
    amounts *= 1.0 + 0.15 * fractal(rng, rows, cols)[None]
    return (3000.0 * np.tensordot(spectra.T, amounts / amounts.sum(axis=0).mean(), axes=1)).astype(np.float32)


@pytest.fixture(scope="session")
def make_scene():
    """`textured_scene`, called by tests with the size they need."""
    return textured_scene
