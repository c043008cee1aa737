"""A full-band model in the backend as a method of a job: the papers' own form, for the sensor that its weights were
trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ....models.observation import Sampling
from ....models.scene.block import Block
from ....models.scene.model import COMPONENTS, SceneModel
from ....models.scene.pixels.scaling import JOINT, PER_BAND, QUANTILE, Scaling, scene_scaling
from ....models.scene.tiles.fixed_windows import Windows
from ....models.scene.window import Place, Window
from ....models.wire.full_band import FullBandRequest
from ...backend.client.client import Client
from ...errors import HSFusionError
from ..request import ModelRequest
from ..run.progress import Progress
from .band_fit import BandFit
from .method import Answer
from .remote import RemoteMethod

FULL_BAND_MODE = "full-band"


@dataclass(frozen=True)
class Published(RemoteMethod):
    """The full-band model `name` behind a client, for the scene whose `scaling` it is given by `fitted`."""

    name: str
    client: Client
    request: ModelRequest
    progress: Progress
    windows: Windows
    bands: BandFit
    quantile: float
    normalisation: str
    scaling: Scaling | None = None
    components: int = COMPONENTS
    filters: bool = False
    in_coefficients: bool = False
    weighs: bool = False
    fits: list[int] = field(default_factory=list)

    @property
    def halo(self) -> int:
        """Fine pixels: a window that touches a core reaches no further."""
        return self.windows.size

    @property
    def multiple(self) -> int:
        """Fine pixels: tiles cut where windows start compute the fewest of them twice."""
        return self.windows.stride

    @classmethod
    def of_card(
        cls,
        card: Mapping[str, Any],
        bands: BandFit,
        name: str,
        client: Client,
        request: ModelRequest,
        progress: Progress,
    ) -> Published:
        """The method that a full-band card describes; HSFusionError where the card lacks something."""
        try:
            windows = Windows(int(card["window"]), int(card["overlap"]))
            normalisation = card.get("normalisation") or {}
            quantile, kind = float(normalisation.get("quantile", QUANTILE)), str(normalisation.get("kind", PER_BAND))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise HSFusionError(
                f"The card of the model {name} is not complete ({error!r}): copy or download the model again."
            ) from error
        return cls(name, client, request, progress, windows, bands, quantile, kind)

    def fitted(self, blocks: Sequence[Block], scene: SceneModel) -> Published:
        """The same with the scale of a scene's images; a model that was trained on Z = R X gets the MSI by the
        scene's response and gain."""
        scaling = scene_scaling([self._on_model_bands(block) for block in blocks], self.quantile)
        if self.normalisation == JOINT:
            scaling = scaling.joint(scene.spectral_response, scene.spectral_offset, scene.unexplained)
        return replace(self, scaling=scaling.of_bands(self.bands.msi_order))

    def _on_model_bands(self, block: Block) -> Block:
        if self.bands.to_model is None:
            return block
        return replace(block, y=np.tensordot(self.bands.to_model.astype(np.float32), block.y, axes=1))

    def place(self, core: Window, scene: SceneModel) -> Place:
        """All pixels of the windows that touch a core."""
        return self.windows.place(core, scene.coefficients.scene_shape, scene.coefficients.sampling)

    def ask(self, block: Block, scene: SceneModel, core: Window) -> Answer:
        """Spectra of the core and, of two samples or more, their standard deviation."""
        if self.scaling is None:
            raise HSFusionError(f"The method {self.name} was not fitted to a scene.")
        request, fit, sampling = self.request, self.bands, scene.coefficients.sampling
        seen = block.cut(self.place(core, scene))
        y = seen.y if fit.to_model is None else np.tensordot(fit.to_model.astype(np.float32), seen.y, axes=1)
        z, scaling = seen.z[fit.msi_order], self.scaling
        if fit.msi_to_model is not None:
            z, scaling = _mixed(z, fit.msi_to_model, scaling)
        tensors = {**seen.images, "y": y, "z": z}
        shape = (len(y), *core.shape)
        samples = max(1, request.samples)
        reply = self.client.infer(
            self.name,
            {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()},
            FullBandRequest(
                sampling=sampling,
                scene_shape=block.scene_shape,
                place=seen.place,
                core=core,
                hsi_scale=scaling.hsi,
                msi_scale=scaling.msi,
                msi_offset=scaling.offset,
                seed=request.seed,
                steps=request.steps,
                samples=samples,
                sampler=request.sampler,
            ),
            self.progress.cancelled,
            expect={"x": shape, **({"std": shape} if samples > 1 else {})},
        )
        return self._bands_back(reply["x"], reply.get("std"), seen, core, sampling)

    def _bands_back(
        self, x: np.ndarray, std: np.ndarray | None, seen: Block, core: Window, sampling: Sampling
    ) -> Answer:
        """From the model's bands to the pair's: what the model adds to the interpolated HSI is carried over, the
        HSI's spectra stay."""
        fit = self.bands
        if fit.to_model is None or fit.back is None:
            return Answer(spectra=x, std=std)
        to_model, back = fit.to_model.astype(np.float32), fit.back.astype(np.float32)
        before = seen.interpolated(sampling, core).astype(np.float32)
        added = np.tensordot(back, x - np.tensordot(to_model, before, axes=1), axes=1)
        return Answer(spectra=before + added, std=None if std is None else np.tensordot(np.abs(back), std, axes=1))


def _mixed(z: np.ndarray, mix: np.ndarray, scaling: Scaling) -> tuple[np.ndarray, Scaling]:
    """The MSI (l, H, W) as bands of another sensor, mix (l', l), each band in its own normalised unit; with the
    scaling that is left to do."""
    offset, scale = (values[:, None, None] for values in (scaling.offset, scaling.msi))
    mixed = np.tensordot(mix, (z - offset) / scale, axes=1)
    return mixed, Scaling(scaling.hsi, np.ones(len(mixed)), np.zeros(len(mixed)))
