"""How well a fused image explains what it was made from, and pictures of it, gathered tile by tile."""

from __future__ import annotations

import numpy as np

from ....models.observation import Degradation, coarse_seen, fine_seen
from ....models.observation.axis import coarse_centres, gaussian_reach
from ....models.scene.model import SceneModel
from ....models.scene.window import Window
from .tiles import FusedTile

LARGEST_PICTURE = 512
ROWS, PART = 16, 64  # coarse and fine rows that are compared at a time
NOISE_FACTOR, MODEL_SHARE = 4.0, 0.05  # of the noise's and the image's variance, that a result may be off
SPECTRA_AT = ((0.2, 0.25), (0.4, 0.7), (0.65, 0.35), (0.85, 0.8))


class Consistency:
    """PSNR of D X against Y and of R X + o against Z, in dB; peak = the largest value of each image."""

    def __init__(self, scene: SceneModel) -> None:
        self.scene = scene
        self._hsi, self._msi = np.zeros(3), np.zeros(3)  # sum of squares, count, peak

    def add(self, fused: FusedTile) -> None:
        """Take in a tile: the coarse pixels whose PSF lies wholly in its core, and all its fine pixels."""
        s, shape = self.scene.coefficients.sampling, self.scene.coefficients.scene_shape
        tile = fused.tile
        if s.displacement is not None:
            coarse = Window(*coarse_seen(tile.core.axes, shape, s)) & tile.place.coarse
        else:
            coarse = Window(
                _inside(tile.core.rows, tile.place.coarse.rows, shape[0], s.ratio, s.fwhm_y, s.shift_y),
                _inside(tile.core.cols, tile.place.coarse.cols, shape[1], s.ratio, s.fwhm_x, s.shift_x),
            )
        finite = fused.known & np.isfinite(fused.values[0])
        known = finite.astype(np.float32)
        for top in range(0, coarse.shape[0], ROWS):
            if coarse.pixels:
                self._add_hsi(fused, known, coarse.part(slice(top, top + ROWS), slice(None)))
        response = self.scene.spectral_response.astype(np.float32)
        offset = self.scene.spectral_offset.astype(np.float32)[:, None]
        for top in range(0, len(known), PART):
            part = slice(top, top + PART)
            good = finite[part] & np.isfinite(fused.msi[0, part])
            values, msi = _pixels(fused.values[:, part], good), _pixels(fused.msi[:, part], good)
            self._msi = _gathered(self._msi, response @ values + offset, msi)

    def _add_hsi(self, fused: FusedTile, known: np.ndarray, coarse: Window) -> None:
        """Some of the tile's coarse pixels, from the fine rows that these see."""
        s, tile, shape = self.scene.coefficients.sampling, fused.tile, self.scene.coefficients.scene_shape
        reach = gaussian_reach(s.ratio, s.fwhm_y) + 1
        seen_rows = Window(*fine_seen(coarse.axes, shape, s, reach)).rows
        seen_window = Window(seen_rows, tile.core.cols) & tile.core
        if not seen_window.pixels:
            return
        fine, _ = seen_window.inside(tile.core)
        down = Degradation(s, shape, *seen_window.axes, *coarse.axes)
        values = fused.values[:, fine]
        seen, support = down.masked(values if known[fine].all() else np.nan_to_num(values), known[fine])
        at = coarse.inside(tile.place.coarse)
        good = (support > 0.98) & (fused.hsi_mask[at] > 0)
        if down.whole_psf is not None:
            good &= down.whole_psf
        self._hsi = _gathered(self._hsi, seen[:, good], fused.hsi[(slice(None), *at)][:, good])

    @property
    def sums(self) -> np.ndarray:
        """(2, 3): sum of squares, count and peak of HSI and MSI; what another process can `take`."""
        return np.stack([self._hsi, self._msi])

    def take(self, sums: np.ndarray) -> None:
        """Add the sums of tiles that were taken in elsewhere."""
        for mine, other in zip((self._hsi, self._msi), sums):
            mine[:2] += other[:2]
            mine[2] = max(mine[2], other[2])

    @property
    def hsi_db(self) -> float:
        """NaN where no coarse pixel lies wholly in a tile."""
        return _decibel(self._hsi)

    @property
    def msi_db(self) -> float:
        """The same for the MSI."""
        return _decibel(self._msi)

    def shortfall(self) -> str:
        """One sentence where the result contradicts an image by more than its noise and the scene's model allow, else
        "".
        """
        scene = self.scene
        noise = float((scene.subspace.band_noise**2).mean())
        spread = float((scene.subspace.basis**2).sum(axis=1).mean())
        apart = []
        if _mean_square(self._hsi) > NOISE_FACTOR * noise + MODEL_SHARE * spread:
            apart.append(("HSI", self.hsi_db))
        power = scene.z_scale**2
        allowed = NOISE_FACTOR * (scene.msi_noise**2 + scene.unexplained * power) + MODEL_SHARE * power
        if _mean_square(self._msi) > float(allowed.mean()):
            apart.append(("MSI", self.msi_db))
        if not apart:
            return ""
        names = " and the ".join(f"{name} (agreement {decibel:.1f} dB)" for name, decibel in apart)
        return (
            f"The result contradicts the {names} by more than noise explains, so it is not to be trusted as it is: "
            "look for nodata, clouds, saturation or displacement in both rasters, and leave such areas out with MASK."
        )


def _inside(core: range, coarse: range, size: int, ratio: float, fwhm: float, shift: float) -> range:
    centres, reach = coarse_centres(coarse, ratio, shift), gaussian_reach(ratio, fwhm)
    low = -np.inf if core.start == 0 else core.start + reach
    high = np.inf if core.stop == size else core.stop - 1 - reach
    good = np.flatnonzero((centres >= low) & (centres <= high))
    return coarse[good[0] : good[-1] + 1] if len(good) else range(coarse.start, coarse.start)


def _gathered(sums: np.ndarray, found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    if wanted.size == 0:
        return sums
    error = np.sum((found.astype(np.float64) - wanted) ** 2)
    return np.array([sums[0] + error, sums[1] + wanted.size, max(sums[2], float(wanted.max()))])


def _pixels(image: np.ndarray, good: np.ndarray) -> np.ndarray:
    """(bands, N) of the good pixels; where all are, no copy that picks them one by one."""
    return image.reshape(len(image), -1) if good.all() else image[:, good]


def _mean_square(sums: np.ndarray) -> float:
    return float(sums[0] / sums[1]) if sums[1] else 0.0


def _decibel(sums: np.ndarray) -> float:
    error, count, peak = sums
    return float(10 * np.log10(peak**2 * count / error)) if count and error > 0 and peak > 0 else float("nan")


class Gallery:
    """Thinned-out pictures (3 or 1, rows, cols) of the output window, and whole spectra at a few places of it."""

    def __init__(self, output: Window, hsi_bands: list[int], msi_bands: list[int]) -> None:
        rows, cols = self.rows, self.cols = output.axes
        self.step = max(1, -(-max(output.shape) // LARGEST_PICTURE))
        self._hsi_bands, self._msi_bands = hsi_bands, msi_bands
        shape = -(-len(rows) // self.step), -(-len(cols) // self.step)
        self.interpolated, self.fused = (np.full((len(hsi_bands), *shape), np.nan, np.float32) for _ in range(2))
        self.msi = np.full((len(msi_bands), *shape), np.nan, np.float32)
        self.std: np.ndarray | None = None
        self.spectra: list[tuple[int, int, np.ndarray, np.ndarray]] = []  # row, column, interpolated, fused

    def add(self, fused: FusedTile, scene: SceneModel) -> None:
        """Take in a tile."""
        tile = fused.tile
        (to_rows, from_rows), (to_cols, from_cols) = (
            _thinned(core, whole, self.step) for core, whole in zip(tile.core.axes, (self.rows, self.cols))
        )
        there, here = (slice(None), to_rows, to_cols), (slice(None), from_rows, from_cols)
        self.interpolated[there] = fused.interpolated(scene, tile.core, self._hsi_bands)[here]
        self.fused[there] = fused.values[self._hsi_bands][here]
        self.msi[there] = fused.msi[self._msi_bands][here]
        std = fused.std(from_rows, from_cols)
        if std is not None:
            if self.std is None:
                self.std = np.full(self.fused.shape[1:], np.nan, np.float32)
            self.std[there[1:]] = np.sqrt((std**2).mean(axis=0))
        for share_y, share_x in SPECTRA_AT:
            row, col = self.rows[int(share_y * len(self.rows))], self.cols[int(share_x * len(self.cols))]
            if row in tile.core.rows and col in tile.core.cols:
                at = (slice(None), row - tile.core.rows.start, col - tile.core.cols.start)
                before = fused.interpolated(scene, Window(range(row, row + 1), range(col, col + 1)))[:, 0, 0]
                self.spectra.append((row, col, before.copy(), fused.values[at].copy()))  # a view would keep the tile


def _thinned(core: range, whole: range, step: int) -> tuple[slice, slice]:
    """Where a core's thinned pixels go in the picture, and where they come from in the core."""
    first = -(-(core.start - whole.start) // step)
    last = -(-(core.stop - whole.start) // step)
    offset = first * step - (core.start - whole.start)
    return slice(first, last), slice(offset, len(core), step)
