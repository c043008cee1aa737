"""How the coefficients of a tile come about: a closed form here, or the diffusion model in the backend."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Protocol

import numpy as np

from ....models.scene.methods.subspace import ClosedForms, denoised
from ....models.scene.model import COMPONENTS, CoefficientModel
from ....models.scene.tiles.plan import Tile, plan_tiles
from ....models.wire.tile import TileRequest
from ...backend.client.client import Client
from ...backend.client.errors import TileTooLarge
from ..request import ModelRequest

ATTRIBUTES = {
    "glp-hs": "glp",
    "loc": "loc",
    "map": "map",
    "average": "average",
}  # of models/scene/methods/subspace.py: ClosedForms
CLOSED_FORMS = tuple(ATTRIBUTES)
SMALLEST_TILE = 32  # fine pixels


@dataclass(frozen=True)
class Arrays:
    """A tile's pixels: y (K, h, w) coefficients, z (l, H, W) standardised, and both masks."""

    y: np.ndarray
    z: np.ndarray
    y_mask: np.ndarray
    z_mask: np.ndarray

    def closed_forms(self, model: CoefficientModel, tile: Tile, denoise: bool = False) -> ClosedForms:
        """Of these pixels, which are those of the tile's place, the MSI filtered first or not; what several have in common is made once."""
        if denoise:
            z, quiet = denoised(self.z, self.z_mask, model, tile.place)
            return ClosedForms(self.y, z, self.y_mask, self.z_mask, quiet, tile.place)
        return ClosedForms(self.y, self.z, self.y_mask, self.z_mask, model, tile.place)


class Method(Protocol):
    """name: what the user is told; halo and multiple: what a tile of it needs, in fine pixels.

    band_std (L,): its error per band where it is known for the whole scene only; components: the K of the subspace that it works in; denoise:
    whether it filters the MSI's noise first.
    """

    name: str
    halo: int
    multiple: int
    band_std: np.ndarray | None
    components: int
    denoise: bool

    def __call__(self, arrays: Arrays, model: CoefficientModel, tile: Tile) -> tuple[np.ndarray, np.ndarray | None]:
        """Fused coefficients (K, rows, cols) of the tile's core and, where the method knows it, their standard deviation."""


@dataclass(frozen=True)
class ClosedForm:
    """GLP-HS, LOC, MAP or the average of the last two; denoise: of the MSI with less noise (models/scene/laws/denoising.py)."""

    name: str
    halo: int = 0
    multiple: int = 1
    band_std: np.ndarray | None = None
    components: int = COMPONENTS
    denoise: bool = False

    def __call__(self, arrays: Arrays, model: CoefficientModel, tile: Tile) -> tuple[np.ndarray, np.ndarray | None]:
        return self.of(arrays.closed_forms(model, tile, self.denoise))[(slice(None), *tile.inner)], None

    def of(self, forms: ClosedForms) -> np.ndarray:
        """Its coefficients (K, H, W) among all closed forms of a tile."""
        return getattr(forms, ATTRIBUTES[self.name])


@dataclass(frozen=True)
class Diffusion:
    """The subspace model `name` behind a client; a tile that does not fit into the backend's memory is sent in quarters.

    fits: the sizes that were found to be small enough, so that the tiles that follow are cut at once.
    """

    name: str
    client: Client
    request: ModelRequest
    halo: int
    multiple: int
    cancelled: Callable[[], bool]
    warn: Callable[[str], None]
    band_std: np.ndarray | None = None
    components: int = COMPONENTS
    denoise: bool = True
    fits: list[int] = field(default_factory=list)

    def __call__(self, arrays: Arrays, model: CoefficientModel, tile: Tile) -> tuple[np.ndarray, np.ndarray | None]:
        x, std = self.drawn(arrays, model, tile)
        return x[0] if len(x) == 1 else x.mean(axis=0), std

    @property
    def samples(self) -> int:
        """How many the backend draws; 0 = the mean estimate alone."""
        return self.request.samples if self.request.drawn_by == "diffusion" else 0

    def drawn(self, arrays: Arrays, model: CoefficientModel, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Samples (S, K, rows, cols) of the core, or the mean estimate as the only one, and the expected error (K, rows, cols)."""
        whole = max(len(tile.core_rows), len(tile.core_cols))
        if self.fits and min(self.fits) < whole:
            return self._in_parts(arrays, model, tile, min(self.fits))
        try:
            return self._infer(arrays, model, tile)
        except TileTooLarge as error:
            size = whole // 2
            if size < SMALLEST_TILE:
                raise
            self.warn(f"{error} This tile and those that follow are sent in parts of {size} pixels.")
            self.fits.append(size)
            return self._in_parts(arrays, model, tile, size)

    def _infer(self, arrays: Arrays, model: CoefficientModel, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        request = self.request
        asked = TileRequest.of(
            model,
            tile,
            seed=request.seed,
            steps=request.steps,
            samples=self.samples,
            consistency=request.consistency,
        )
        core = (len(arrays.y), len(tile.core_rows), len(tile.core_cols))
        reply = self.client.infer(
            self.name,
            {name: value.astype(np.float32, copy=False) for name, value in vars(arrays).items()},
            asked,
            self.cancelled,
            expect={"x": (max(1, self.samples), *core), "std": core},
        )
        return reply["x"], reply["std"]

    def _in_parts(
        self, arrays: Arrays, model: CoefficientModel, tile: Tile, size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        core = (len(arrays.y), len(tile.core_rows), len(tile.core_cols))
        x, std = np.empty((max(1, self.samples), *core), np.float32), np.empty(core, np.float32)
        seen = tile.place
        for part in plan_tiles(tile.core_rows, tile.core_cols, model, size, self.halo, self.multiple):
            fine = [
                slice(max(p.start, s.start) - s.start, min(p.stop, s.stop) - s.start)
                for p, s in ((part.place.fine_rows, seen.fine_rows), (part.place.fine_cols, seen.fine_cols))
            ]
            coarse = [
                slice(max(p.start, s.start) - s.start, min(p.stop, s.stop) - s.start)
                for p, s in ((part.place.coarse_rows, seen.coarse_rows), (part.place.coarse_cols, seen.coarse_cols))
            ]
            smaller = Arrays(
                arrays.y[(slice(None), *coarse)],
                arrays.z[(slice(None), *fine)],
                arrays.y_mask[tuple(coarse)],
                arrays.z_mask[tuple(fine)],
            )
            place = replace(
                seen,
                fine_rows=seen.fine_rows[fine[0]],
                fine_cols=seen.fine_cols[fine[1]],
                coarse_rows=seen.coarse_rows[coarse[0]],
                coarse_cols=seen.coarse_cols[coarse[1]],
            )
            inside = (
                slice(None),
                slice(part.core_rows.start - tile.core_rows.start, part.core_rows.stop - tile.core_rows.start),
                slice(part.core_cols.start - tile.core_cols.start, part.core_cols.stop - tile.core_cols.start),
            )
            x[(slice(None), *inside)], std[inside] = self.drawn(
                smaller, model, Tile(part.core_rows, part.core_cols, place)
            )
        return x, std
