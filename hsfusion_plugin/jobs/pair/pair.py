"""The two rasters of a fusion as one thing: aligned, their usable bands known, read as arrays and masks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....models.errors import HSFusionError
from ....models.scene.quality import Area
from ....models.scene.sensors.defects.find import Found
from ....models.scene.sensors.defects.repair import Repair, Repaired
from ....models.scene.sensors.light.correction import Light
from ....models.scene.sensors.soft_bands import Sharpening
from ...rasters.grids.align import Alignment, align, check_bands
from ...rasters.grids.warp import mask_on_grid_of, on_grid_of
from ...rasters.reading.bands import usable_bands
from ...rasters.reading.fill import copied_without_fill, find_unnamed_fill
from ...rasters.reading.masks import read_mask
from ...rasters.reading.palette import with_colours
from ...rasters.reading.raster import Raster
from ...rasters.reading.unpack import unpacked
from ..products.inputs import open_pair
from ..request import PairRequest
from ..run.progress import Progress
from .defects import hsi_defects
from .gaps import hsi_gaps, msi_gaps
from .origins import Origin, disagreements
from .soft_bands import sharpening_of, told_sizes


@dataclass(frozen=True)
class Checked:
    """The MSI: values (l, H, W) float32, 0 where unknown; mask (H, W) float32, 1 where they take part; left_out (H, W)
    bool: where there are data that take no part, so that the result is the interpolated HSI.
    """

    values: np.ndarray
    mask: np.ndarray
    left_out: np.ndarray


@dataclass(frozen=True)
class Pair:
    """hsi_bands, msi_bands: 0-based numbers of the bands that take part, in file order; notes: what was said about
    grids and bands.

    sharpening: what is done to MSI bands with larger pixels of their own whenever the MSI is read, or None; defects:
    what was found in the HSI, whose repair is done to it whenever it is read; msi_areas: where the MSI takes no part
    although it holds data; light: what is done to both so that they are seen under one light, or None.
    """

    hsi: Raster
    msi: Raster
    mask: Raster | None
    alignment: Alignment
    hsi_bands: list[int]
    msi_bands: list[int]
    notes: tuple[str, ...] = ()
    sharpening: Sharpening | None = None
    defects: Found = Found(Repair())
    light: Light | None = None
    msi_areas: tuple[Area, ...] = ()
    origins: tuple[Origin, Origin] = (Origin(), Origin())  # of the HSI and of the MSI

    @classmethod
    def open(cls, request: PairRequest, progress: Progress) -> Pair:
        """Open and align; HSFusionError in one sentence for everything that cannot be fused."""
        given, msi = open_pair(request.hsi, request.msi, progress)
        origins = Origin.of(given), Origin.of(msi)
        disagreeing = disagreements(*origins)
        msi, said_of_palette = with_colours(msi)
        mask = Raster.open(request.mask, "MASK") if request.mask else None
        check_bands(given, msi)
        hsi, said = on_grid_of(given, msi)
        mask, said_of_mask = mask_on_grid_of(mask, msi) if mask is not None else (None, "")
        alignment = align(hsi, msi, request.extent, mask)
        told = hsi.tell(progress) + msi.tell(progress) + (mask.tell(progress) if mask is not None else ())
        whole, msi = unpacked(given, progress), unpacked(msi, progress)
        hsi, of_hsi = _without_fill(whole, msi, bool(said), alignment, progress)
        of_msi = find_unnamed_fill(msi, progress, alignment.fine_rows, alignment.fine_cols, saturation=False)
        notes = tuple(
            filter(None, (*disagreeing, *of_hsi, *of_msi, said_of_palette, said, said_of_mask, *alignment.warnings))
        )
        for note in notes:
            progress.warn(note)
        notes += told
        hsi_bands = usable_bands(hsi, progress, alignment.coarse_rows, alignment.coarse_cols)
        msi_bands = usable_bands(msi, progress, alignment.fine_rows, alignment.fine_cols)
        hsi_bands, sample, of_hsi = hsi_gaps(hsi, hsi_bands, alignment, progress)
        defects, of_defects = hsi_defects(hsi, hsi_bands, sample, alignment, request.defects == "auto", progress)
        msi_bands, of_msi = msi_gaps(msi, msi_bands, alignment, progress)
        notes = (*of_hsi, *of_defects, *of_msi, *notes)
        if len(hsi_bands) < 2:
            raise HSFusionError(
                f"HSI: only {len(hsi_bands)} band holds data where the rasters overlap, and fusion needs at least 2: "
                "choose another raster or area."
            )
        if len(hsi_bands) < len(msi_bands):
            raise HSFusionError(
                f"The HSI has fewer usable bands ({len(hsi_bands)}) than the MSI ({len(msi_bands)}): the two may have "
                "been swapped."
            )
        pair = cls(hsi, msi, mask, alignment, hsi_bands, msi_bands, notes, defects=defects, origins=origins)
        sizes = request.msi_gsd or told_sizes(msi)
        if not sizes:
            return pair
        sharpening, said = sharpening_of(pair, sizes, progress)
        if said:
            progress.info(said)
        return replace(pair, sharpening=sharpening, notes=(*notes, said) if said else notes)

    @property
    def wavelengths(self) -> np.ndarray | None:
        """Wavelengths in nm of the HSI bands that take part, or None."""
        return None if self.hsi.wavelengths is None else self.hsi.wavelengths[self.hsi_bands]

    def read_hsi(self, rows: range, cols: range) -> tuple[np.ndarray, np.ndarray]:
        """A coarse window of the scene: values (L, h, w) float32, 0 where unknown, and the mask (h, w), 1 = valid in
        all bands, of which some may be predicted (see `repaired_hsi`).
        """
        found = self.repaired_hsi(rows, cols)
        return found.values, found.mask

    def repaired_hsi(self, rows: range, cols: range) -> Repaired:
        """The same with what was done to it.

        The window may reach beyond the overlap, where a displacement brings HSI pixels into it; beyond the raster
        nothing is known.
        """
        a, repair = self.alignment, self.defects.repair
        wide = [range(part.start - repair.reach, part.stop + repair.reach) for part in (rows, cols)]
        wanted = _shifted(wide[0], a.coarse_rows), _shifted(wide[1], a.coarse_cols)
        held = [range(max(w.start, 0), min(w.stop, n)) for w, n in zip(wanted, (self.hsi.rows, self.hsi.cols))]
        if tuple(held) == wanted:
            values = self.hsi.read(*wanted, self.hsi_bands)
        else:
            values = np.full((len(self.hsi_bands), len(wide[0]), len(wide[1])), np.nan, np.float32)
            if all(len(h) for h in held):
                there = tuple(slice(h.start - w.start, h.stop - w.start) for h, w in zip(held, wanted))
                values[(slice(None), *there)] = self.hsi.read(*held, self.hsi_bands)
        found = repair(values, *wide).part(repair.reach, repair.reach, len(rows), len(cols))
        return self._lit_hsi(found, rows, cols)

    def _lit_hsi(self, found: Repaired, rows: range, cols: range) -> Repaired:
        if self.light is None:
            return found
        values, mask = self.light.hsi(found.values, found.mask, rows, cols)
        return replace(found, values=values, mask=mask)

    def read_msi(self, rows: range, cols: range) -> tuple[np.ndarray, np.ndarray]:
        """A fine window of the scene: values (l, H, W) float32, 0 where unknown, and the mask (H, W), 1 where they take
        part: the user's mask, and what is left out, included.
        """
        found = self._sharpened_msi(rows, cols)
        if self.light is None:
            return found.values, found.mask
        return self.light.msi(found.values, found.mask, rows, cols)

    def checked_msi(self, rows: range, cols: range) -> Checked:
        """The same for a result: what was left out of areas is told pixel by pixel, and filled with what the HSI lets
        one expect.
        """
        found = self._sharpened_msi(rows, cols)
        if self.light is None:
            return found
        values, clouded = self.light.filled(self.light.apply(found.values, rows, cols), rows, cols)
        return Checked(values * found.mask, found.mask, found.left_out | (clouded & (found.mask > 0)))

    def _sharpened_msi(self, rows: range, cols: range) -> Checked:
        if self.sharpening is None:
            return self._read_msi(rows, cols)
        # As wide as it takes for a pixel to be the same in every window.
        reach, wide = self.sharpening.reach, []
        for window, whole, size in (
            (rows, self.alignment.fine_rows, self.msi.rows),
            (cols, self.alignment.fine_cols, self.msi.cols),
        ):
            wide.append(range(max(window.start - reach, -whole.start), min(window.stop + reach, size - whole.start)))
        found = self._read_msi(*wide)
        inner = tuple(slice(n.start - w.start, n.stop - w.start) for n, w in zip((rows, cols), wide))
        values = self.sharpening(found.values, found.mask)[(slice(None), *inner)]
        return Checked(values, found.mask[inner], found.left_out[inner])

    def _read_msi(self, rows: range, cols: range) -> Checked:
        a = self.alignment
        values = self.msi.read(_shifted(rows, a.fine_rows), _shifted(cols, a.fine_cols), self.msi_bands)
        valid = np.isfinite(values).all(axis=0)
        left_out = np.isfinite(values).any(axis=0) & ~valid
        for area in self.msi_areas:
            left_out |= area(rows, cols)
        if self.mask is not None:
            wanted = read_mask(self.mask, a, rows, cols)
            valid, left_out = valid & wanted, left_out & wanted
        valid &= ~left_out
        return Checked(np.where(valid, values, np.float32(0)), valid.astype(np.float32), left_out)

    def strip_bytes(self, fine_rows: int, coarse_rows: int) -> int:
        """What a row of tiles touches of rasters that lie on disk in strips, unpacked, in bytes."""
        return self.msi.strip_bytes(fine_rows) + self.hsi.strip_bytes(coarse_rows)

    def close(self) -> None:
        """Let go of this thread's handles; what is read later opens the files again."""
        for raster in filter(None, (self.hsi, self.msi, self.mask)):
            raster.close()


def _without_fill(
    whole: Raster, msi: Raster, warped: bool, alignment: Alignment, progress: Progress
) -> tuple[Raster, list[str]]:
    """The HSI on its grid with unnamed fill as nodata, and what is said of it; before it is warped, which would mix
    fill into data.
    """
    if not warped:
        placed, _ = on_grid_of(whole, msi)
        return placed, find_unnamed_fill(placed, progress, alignment.coarse_rows, alignment.coarse_cols)
    said = find_unnamed_fill(whole, progress)
    if whole.fill:
        whole = copied_without_fill(whole, progress)
    return on_grid_of(whole, msi)[0], said


def _shifted(window: range, whole: range) -> range:
    return range(whole.start + window.start, whole.start + window.stop)
