"""What is done to the MSI and the HSI whenever they are read, so that everything after sees both under one light."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...block import Block
from .areas import Areas, Holder
from .bilinear import GAINS
from .fields import Seam, cosines, orders
from .robust import robust_scale
from .tone import Tone

USUAL = 0.98  # share of the MSI's pixels that are near enough to what the HSI lets one expect


@dataclass(frozen=True)
class Fields:
    """Gain and offset of every MSI band over the scene: z = gain(place) z' + offset(place), z' being the MSI under one
    light.

    order: of the cosines (`fields.orders`); gain, offset (m, l): coefficients of the cosines and, last, of the seam's
    far side where there is one.
    """

    scene_shape: tuple[int, int]
    order: int
    seam: Seam | None
    gain: np.ndarray
    offset: np.ndarray

    def at(self, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gain and offset (l, H, W) at pixel centres rows (H,), cols (W,) in MSI pixels from the scene's first
        corner.
        """
        along = [cosines(max(self.order, 1), t, n) for t, n in zip((rows, cols), self.scene_shape)]
        count = len(orders(self.order))
        fields = []
        for coefficients in (self.gain, self.offset):
            table = np.zeros((coefficients.shape[1], max(self.order, 1), max(self.order, 1)))
            for (a, b), values in zip(orders(self.order), coefficients[:count]):
                table[:, a, b] = values
            fields.append(np.einsum("ar,lab,bc->lrc", along[0], table, along[1], optimize=True))
        gain, offset = 1.0 + fields[0], fields[1]
        if self.seam is not None:
            far = self.seam.distance(rows[:, None], cols[None, :]) > 0
            gain = gain + self.gain[count][:, None, None] * far
            offset = offset + self.offset[count][:, None, None] * far
        return np.clip(gain, *GAINS), offset


@dataclass(frozen=True)
class Light:
    """fields: gain and offset of the MSI over the scene, None = the same everywhere; areas: what only one image shows,
    None = nothing.

    ratio: MSI pixels per HSI pixel; shift (y, x): of the HSI's grid in MSI pixels, where the areas' cells begin. tone:
    what makes the MSI linear before anything else, None = it is.
    """

    ratio: float
    shift: tuple[float, float]
    fields: Fields | None = None
    areas: Areas | None = None
    tone: Tone | None = None

    def apply(self, z: np.ndarray, rows: range, cols: range) -> np.ndarray:
        """z (l, H, W) of a window under one light, float32: every pixel by itself and its place."""
        if self.tone is not None:
            z = self.tone(z)
        if self.fields is None:
            return z
        gain, offset = self.fields.at(*(np.arange(r.start, r.stop) + 0.5 for r in (rows, cols)))
        return ((z - offset) / gain).astype(np.float32)

    def msi(self, values: np.ndarray, mask: np.ndarray, rows: range, cols: range) -> tuple[np.ndarray, np.ndarray]:
        """A window of the MSI as it is read: values under one light, 0 where the mask is, which leaves out what only
        the MSI shows.
        """
        if self.areas is not None:
            mask = np.where(self.left_out(rows, cols), np.float32(0), mask)
        return self.apply(values, rows, cols) * mask, mask

    def hsi(self, values: np.ndarray, mask: np.ndarray, rows: range, cols: range) -> tuple[np.ndarray, np.ndarray]:
        """A window of the HSI as it is read: without what only the HSI shows."""
        if self.areas is None:
            return values, mask
        mask = np.where(self.areas.of_coarse(rows, cols) == Holder.HSI, np.float32(0), mask)
        return values * mask, mask

    def filled(self, z: np.ndarray, rows: range, cols: range) -> tuple[np.ndarray, np.ndarray]:
        """The MSI z (l, H, W), under one light, with what the HSI lets one expect where it is not believed, and where
        that is, bool (H, W).

        Of `left_out` these are the pixels that the HSI does not bear out: at the rim of an area a cell has both kinds.
        Filled, they spoil neither their neighbours' low frequencies nor what a network sees.
        """
        out = self.left_out(rows, cols)
        if not out.any():
            return z, out
        unusual, expected = self.areas.unusual(z, rows, cols, self.ratio, self.shift)
        out &= unusual > self.areas.usual
        return np.where(out, expected, z), out

    def measured(self, blocks: list[Block]) -> Light:
        """The same, told by blocks under this light how far MSI pixels usually are from what the HSI lets one expect of
        them.
        """
        if self.areas is None:
            return self
        areas, rest = self.areas, []
        for block in blocks:
            window = block.fine_rows, block.fine_cols
            rest.append((block.z - areas.expected_at(*window, self.ratio, self.shift))[:, block.z_mask > 0])
        areas = replace(areas, spread=robust_scale(np.concatenate(rest, axis=1).T))
        unusual = []
        for block in blocks:
            far, _ = areas.unusual(block.z, block.fine_rows, block.fine_cols, self.ratio, self.shift)
            unusual.append(far[block.z_mask > 0])
        return replace(self, areas=replace(areas, usual=float(np.quantile(np.concatenate(unusual), USUAL))))

    def left_out(self, rows: range, cols: range) -> np.ndarray:
        """Where the MSI is not believed, bool (H, W): what it alone shows, and what nobody can tell to be the HSI's."""
        if self.areas is None:
            return np.zeros((len(rows), len(cols)), bool)
        holder = self.areas.of_fine(rows, cols, self.ratio, self.shift)
        return (holder == Holder.MSI) | (holder == Holder.UNDECIDED)

    def block(self, block: Block) -> Block:
        """A block that was read without this light."""
        z, z_mask = self.msi(block.z, block.z_mask, block.fine_rows, block.fine_cols)
        y, y_mask = self.hsi(block.y, block.y_mask, block.coarse_rows, block.coarse_cols)
        return replace(block, y=y, y_mask=y_mask, z=z, z_mask=z_mask)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for provenance."""
        plain: dict[str, Any] = {}
        if self.tone is not None:
            plain["tone_exponents"] = self.tone.exponent.tolist()
        if self.fields is not None:
            f = self.fields
            plain.update(order=f.order, gain=f.gain.tolist(), offset=f.offset.tolist())
            if f.seam is not None:
                plain["seam"] = [list(point) for point in f.seam.points()]
        if self.areas is not None:
            plain["left_out"] = {h.name.lower(): self.areas.share(h) for h in Holder if h}
        return plain
