"""A full-band model in the backend as a method of a job: the papers' own form, for the sensor that its weights were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Callable

import numpy as np

from ....models.observation import Sampling
from ....models.scene.block import Block
from ....models.scene.methods.subspace import Place
from ....models.scene.model import COMPONENTS, SceneModel
from ....models.scene.pixels.scaling import JOINT, PER_BAND, QUANTILE, Scaling, scene_scaling
from ....models.scene.reduced.windows import interpolated
from ....models.scene.tiles.fixed_windows import Windows
from ....models.wire.full_band import FullBandRequest
from ...backend.client.client import Client
from ...backend.client.errors import TileTooLarge
from ...errors import HSFusionError
from ..request import ModelRequest
from .band_fit import BandFit

FULL_BAND_MODE = "full-band"
SMALLEST_TILE = 32  # fine pixels


@dataclass(frozen=True)
class Published:
    """The full-band model `name` behind a client, for the scene whose `scaling` it is given by `for_scene`.

    A tile that does not fit into the backend's memory is sent in quarters.
    """

    name: str
    client: Client
    request: ModelRequest
    windows: Windows
    bands: BandFit
    quantile: float
    normalisation: str
    cancelled: Callable[[], bool]
    warn: Callable[[str], None]
    scaling: Scaling | None = None
    band_std: np.ndarray | None = None
    components: int = COMPONENTS

    @classmethod
    def of_card(
        cls,
        name: str,
        card: Mapping[str, Any],
        bands: BandFit,
        client: Client,
        request: ModelRequest,
        cancelled: Callable[[], bool],
        warn: Callable[[str], None],
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
        return cls(name, client, request, windows, bands, quantile, kind, cancelled, warn)

    @property
    def halo(self) -> int:
        """Fine pixels: a window that touches a core reaches no further."""
        return self.windows.size

    @property
    def multiple(self) -> int:
        """Fine pixels: tiles cut where windows start compute the fewest of them twice."""
        return self.windows.stride

    def for_scene(self, blocks: list[Block], scene: SceneModel) -> Published:
        """The same with the scale of a scene's images; a model that was trained on Z = R X gets the MSI by the scene's response and gain."""
        scaling = scene_scaling([self._on_model_bands(block) for block in blocks], self.quantile)
        if self.normalisation == JOINT:
            scaling = scaling.joint(scene.spectral_response, scene.spectral_offset, scene.unexplained)
        return replace(self, scaling=scaling.of_bands(self.bands.msi_order))

    def _on_model_bands(self, block: Block) -> Block:
        if self.bands.to_model is None:
            return block
        return replace(block, y=np.tensordot(self.bands.to_model.astype(np.float32), block.y, axes=1))

    def spectra(
        self, block: Block, rows: range, cols: range, sampling: Sampling
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Fused spectra (L, rows, cols) of absolute fine pixels and, of two samples or more, their standard deviation."""
        try:
            return self._infer(block, rows, cols, sampling)
        except TileTooLarge as error:
            if max(len(rows), len(cols)) // 2 < SMALLEST_TILE:
                raise
            self.warn(f"{error} The tile is sent in smaller parts.")
        values, std = np.empty((len(block.y), len(rows), len(cols)), np.float32), None
        for part_rows in _halves(rows):
            for part_cols in _halves(cols):
                at = (
                    slice(None),
                    slice(part_rows.start - rows.start, part_rows.stop - rows.start),
                    slice(part_cols.start - cols.start, part_cols.stop - cols.start),
                )
                values[at], part_std = self.spectra(block, part_rows, part_cols, sampling)
                if part_std is not None:
                    std = np.empty_like(values) if std is None else std
                    std[at] = part_std
        return values, std

    def _infer(
        self, block: Block, rows: range, cols: range, sampling: Sampling
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if self.scaling is None:
            raise HSFusionError(f"The method {self.name} was not fitted to a scene.")
        request, fit = self.request, self.bands
        place = self.windows.place(rows, cols, block.scene_shape, sampling)
        fine, coarse = _slices(place, block)
        y = block.y[(slice(None), *coarse)]
        if fit.to_model is not None:
            y = np.tensordot(fit.to_model.astype(np.float32), y, axes=1)
        z, scaling = block.z[(slice(None), *fine)][fit.msi_order], self.scaling
        if fit.msi_to_model is not None:
            z, scaling = _mixed(z, fit.msi_to_model, scaling)
        tensors = {
            "y": y,
            "z": z,
            "y_mask": block.y_mask[coarse],
            "z_mask": block.z_mask[fine],
        }
        shape = (len(y), len(rows), len(cols))
        samples = max(1, request.samples)
        reply = self.client.infer(
            self.name,
            {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()},
            FullBandRequest(
                sampling=sampling,
                scene_shape=block.scene_shape,
                place=place,
                core_rows=rows,
                core_cols=cols,
                hsi_scale=scaling.hsi,
                msi_scale=scaling.msi,
                msi_offset=scaling.offset,
                seed=request.seed,
                steps=request.steps,
                samples=samples,
                sampler=request.sampler,
            ),
            self.cancelled,
            expect={"x": shape, **({"std": shape} if samples > 1 else {})},
        )
        return self._bands_back(reply["x"], reply.get("std"), block, rows, cols, sampling)

    def _bands_back(
        self, x: np.ndarray, std: np.ndarray | None, block: Block, rows: range, cols: range, sampling: Sampling
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """From the model's bands to the pair's: what the model adds to the interpolated HSI is carried over, the HSI's spectra stay."""
        fit = self.bands
        if fit.to_model is None or fit.back is None:
            return x, std
        to_model, back = fit.to_model.astype(np.float32), fit.back.astype(np.float32)
        before = interpolated(block, sampling, rows, cols).astype(np.float32)
        added = np.tensordot(back, x - np.tensordot(to_model, before, axes=1), axes=1)
        return before + added, None if std is None else np.tensordot(np.abs(back), std, axes=1)


def _mixed(z: np.ndarray, mix: np.ndarray, scaling: Scaling) -> tuple[np.ndarray, Scaling]:
    """The MSI (l, H, W) as bands of another sensor, mix (l', l), each band in its own normalised unit; with the scaling that is left to do."""
    offset, scale = (values[:, None, None] for values in (scaling.offset, scaling.msi))
    mixed = np.tensordot(mix, (z - offset) / scale, axes=1)
    return mixed, Scaling(scaling.hsi, np.ones(len(mixed)), np.zeros(len(mixed)))


def _slices(place: Place, block: Block) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """A place inside a block, as slices of its fine and coarse windows."""
    fine, coarse = (
        tuple(slice(w.start - b.start, w.stop - b.start) for w, b in zip(wanted, there))
        for wanted, there in (
            ((place.fine_rows, place.fine_cols), (block.fine_rows, block.fine_cols)),
            ((place.coarse_rows, place.coarse_cols), (block.coarse_rows, block.coarse_cols)),
        )
    )
    return fine, coarse  # type: ignore[return-value]


def _halves(whole: range) -> list[range]:
    middle = whole.start + len(whole) // 2
    return [range(whole.start, middle), range(middle, whole.stop)]
