"""spectral-mlp: a small network per pixel from the MSI's bands to the HSI's, trained on the scene one scale down.

The idea of SpectraLift (a per-pixel network that lifts multispectral pixels to spectra, trained on the pair alone
through the spectral response). At the HSI's pixels both images are known: the MSI seen through D is the input and the
HSI's spectrum the answer. The network f then reads the MSI's own pixels, and the HSI is put back,

    X = f(Z) + up(Y - D f(Z)).

Ours: the input is D Z itself, where SpectraLift applies the spectral response to the HSI: gain, offset and noise are
then those of the image that the network will read. Three hidden layers of 96, SiLU. The HSI is put back by
interpolation, which the network alone would lose. Training runs in the backend (`training.per_scene`); what it finds is
small enough to be applied by numpy, tile by tile.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from ...errors import HSFusionError
from ...observation import Sampling
from ..block import Block, coarse_samples
from ..model import SceneModel
from ..window import Window

LEAST_PIXELS = 64  # of the HSI that both rasters see, to learn from and to judge by
PIXELS_AT_ONCE = 16_384
NAME = "spectral-mlp"


@dataclass(frozen=True)
class Examples:
    """low (N, l): the standardised MSI seen through D; spectra (N, L): the HSI's, standardised by mean and scale
    (L,). float32.
    """

    low: np.ndarray
    spectra: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, blocks: list[Block], scene: SceneModel) -> Examples:
        """All HSI pixels that both images see; HSFusionError where they are too few."""
        samples = coarse_samples(blocks, scene.coefficients.sampling)
        if len(samples.spectra) < LEAST_PIXELS:
            raise HSFusionError(
                f"MODEL {NAME} trains a network on the HSI's pixels and needs {LEAST_PIXELS} that both rasters see, "
                f"but there are {len(samples.spectra)}: give a larger overlap, or choose glp-hs."
            )
        if samples.low.shape[1] >= samples.spectra.shape[1]:
            raise HSFusionError(
                f"MODEL {NAME} needs fewer MSI bands than HSI bands, but there are {samples.low.shape[1]} and "
                f"{samples.spectra.shape[1]}: give the raster with more bands as HSI."
            )
        low = (samples.low - scene.z_mean) / scene.z_scale
        mean, scale = samples.spectra.mean(axis=0), np.maximum(samples.spectra.std(axis=0), 1e-12)
        spectra = (samples.spectra - mean) / scale
        return cls(low.astype(np.float32), spectra.astype(np.float32), mean, scale)


@dataclass(frozen=True)
class PixelNetwork:
    """f: layers of weights (out, in) and biases (out,), SiLU between them; its answer is scaled to spectra by mean and
    scale (L,).
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of_file(cls, content: bytes, examples: Examples) -> PixelNetwork:
        """From the file that the backend sends; HSFusionError where it does not fit the examples."""
        tensors = read_tensors(content)
        count = sum(name.endswith(".weight") for name in tensors)
        try:
            layers = tuple((tensors[f"{n}.weight"], tensors[f"{n}.bias"]) for n in range(count))
            sizes = [examples.low.shape[1], *(len(bias) for _, bias in layers)]
            fits = count and sizes[-1] == examples.spectra.shape[1]
            fits = fits and all(w.shape == (b, a) for (w, _), a, b in zip(layers, sizes, sizes[1:]))
        except (KeyError, TypeError):
            fits = False
        if not fits:
            raise HSFusionError(
                "The backend sent a network of another shape: plugin and backend must be of one version."
            )
        return cls(layers, examples.mean.astype(np.float32), examples.scale.astype(np.float32))

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Spectra (L, H, W) float32 of standardised MSI pixels (l, H, W)."""
        pixels = np.ascontiguousarray(z.reshape(len(z), -1), np.float32)
        found = np.empty((len(self.mean), pixels.shape[1]), np.float32)
        for start in range(0, pixels.shape[1], PIXELS_AT_ONCE):
            x = pixels[:, start : start + PIXELS_AT_ONCE]
            for number, (weight, bias) in enumerate(self.layers):
                x = weight @ x + bias[:, None]
                if number < len(self.layers) - 1:
                    x = silu(x)
            found[:, start : start + PIXELS_AT_ONCE] = x * self.scale[:, None] + self.mean[:, None]
        return found.reshape(-1, *z.shape[1:])


def silu(x: np.ndarray) -> np.ndarray:
    """x / (1 + exp(-x)), without overflow."""
    return x * (0.5 * (1.0 + np.tanh(0.5 * x)))


def read_tensors(content: bytes) -> dict[str, np.ndarray]:
    """The float32 tensors of a safetensors file; HSFusionError where it is none."""
    try:
        length = int.from_bytes(content[:8], "little")
        head = json.loads(content[8 : 8 + length])
        found = {}
        for name, entry in head.items():
            if name != "__metadata__":
                start, stop = entry["data_offsets"]
                values = np.frombuffer(content[8 + length + start : 8 + length + stop], "<f4")
                found[name] = values.reshape(entry["shape"]).astype(np.float32)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HSFusionError("The backend sent something that is no network: look at its log.") from error
    return found


def put_back(network: PixelNetwork, block: Block, scene: SceneModel, core: Window) -> np.ndarray:
    """X = f(Z) + up(Y - D f(Z)), (L, rows, cols) of the core. Where the MSI is masked, the interpolated HSI."""
    sampling: Sampling = scene.coefficients.sampling
    lifted = network(scene.standardise(block.z) * block.z_mask)
    down = block.degradation(sampling)
    low, support = down.masked(lifted, block.z_mask)
    known = block.y_mask * (support > down.least_support)
    up = block.upsampling(sampling, core)
    there = core.inside(block.place.fine)
    found = lifted[(slice(None), *there)] + up.masked(block.y - low, known)[0]
    return np.where(block.z_mask[there] > 0, found, up.masked(block.y, block.y_mask)[0]).astype(np.float32)
