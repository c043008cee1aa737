"""One tile of a made-up scene through a backend, to see that it works and how long it takes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ....models.cards import find_model
from ....models.observation import Degradation, Sampling
from ....models.scene.block import Block, coarse_samples, whole_block
from ....models.scene.model import fit_scene
from ....models.scene.subspace.subspace import fit_subspace
from ...backend.client.client import Client
from ..methods.choice import AUTO
from ..methods.subspace_model import Diffusion
from ..request import ModelRequest
from ..run.progress import Progress

SIZE = 256  # fine pixels
RATIO = 4
_BANDS, _MSI_BANDS, _COMPONENTS = 40, 4, 8


def time_tile(client: Client, places: list[Path], progress: Progress, size: int = SIZE) -> tuple[float, float]:
    """Seconds for the first small tile (loading the model) and for one of `size` x `size` pixels; whatever the backend
    raises.
    """
    card = find_model(AUTO, places).card
    client.models(progress.cancelled)
    method = Diffusion.of_card(card, AUTO, client, ModelRequest("", ""), progress)
    return _timed(method, size // 4), _timed(method, size)


def _timed(method: Diffusion, size: int) -> float:
    sampling = Sampling(float(RATIO))
    block = _scene(size, sampling)
    samples = coarse_samples([block], sampling)
    scene = fit_scene([block], sampling, _COMPONENTS, fit_subspace(samples.spectra, _COMPONENTS))
    began = time.monotonic()
    method.fuse(block, scene, block.place.fine)
    return time.monotonic() - began


def _scene(size: int, sampling: Sampling) -> Block:
    """Smooth spectra mixed by blurred noise, degraded to a pair with a little noise of its own."""
    rng = np.random.default_rng(0)
    position = np.linspace(0, 1, _BANDS)
    spectra = np.stack([1 + np.sin((k + 1) * 2.5 * position + k) for k in range(6)])
    amounts = np.exp(rng.standard_normal((6, size, size)))
    for _ in range(3):
        amounts = (amounts + np.roll(amounts, 1, 1) + np.roll(amounts, 1, 2)) / 3
    truth = (500 * np.tensordot(spectra.T, amounts, axes=1)).astype(np.float32)
    y = Degradation.whole(sampling, (size, size))(truth)
    z = truth.reshape(_MSI_BANDS, -1, size, size).mean(axis=1)
    y, z = (a + rng.normal(0, 5, a.shape).astype(np.float32) for a in (y, z))
    return whole_block(y, z)
