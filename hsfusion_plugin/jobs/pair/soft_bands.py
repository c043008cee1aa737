"""MSI_GSD: the bands of one raster that were taken with larger pixels than it has, and what is done about them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from osgeo import osr

from ....models.errors import HSFusionError
from ....models.scene.block import Block
from ....models.scene.sensors.placing import spread
from ....models.scene.sensors.soft_bands import SHARP, Sharpening, fit_sharpening, softness
from ...rasters.reading.raster import Raster
from ..run.progress import Progress

if TYPE_CHECKING:
    from .pair import Pair

WINDOW = 384  # fine pixels, of the parts that a sharpening is fitted to
WINDOWS_PER_AXIS = 2
PROBED = 192  # fine pixels, of the parts whose bands are compared
METRES_PER_DEGREE = 111_320.0
SMALLEST = 0.5  # of the raster's pixel, below which a size is a mistake


def told_sizes(msi: Raster) -> str:
    """MSI_GSD by what the raster's bands say of themselves; "" where they say nothing or all the same."""
    width, height = msi.pixel_size
    sizes = [band.gsd_m or math.sqrt(width * height) for band in msi.bands]
    told = len({band.gsd_m for band in msi.bands if band.gsd_m}) > 1
    return ",".join(f"{size:.10g}" for size in sizes) if told else ""


def own_sizes(text: str, msi: Raster) -> np.ndarray:
    """Pixel size of every band in the raster's pixels, from numbers in its CRS's units (metres also where those are
    degrees).

    HSFusionError where they are no numbers, not one per band, smaller than the raster's pixels, or all larger.
    """
    try:
        values = np.array([float(word) for word in text.replace(";", ",").replace(" ", ",").split(",") if word])
    except ValueError as error:
        raise HSFusionError(f"MSI_GSD is '{text}': give one pixel size per band, such as 10,10,10,20.") from error
    if len(values) != msi.count:
        raise HSFusionError(f"MSI_GSD has {len(values)} numbers and the MSI {msi.count} bands: give one per band.")
    width, height = msi.pixel_size
    pixel = math.sqrt(width * height)
    if msi.crs_wkt and osr.SpatialReference(msi.crs_wkt).IsGeographic() and values.max() > 1.0:
        latitude = math.radians((msi.bounds[1] + msi.bounds[3]) / 2)
        pixel *= METRES_PER_DEGREE * math.sqrt(max(math.cos(latitude), 1e-3))
    sizes = values / pixel
    if not (np.isfinite(sizes).all() and (sizes > SMALLEST).all()):
        raise HSFusionError(
            f"MSI_GSD names {values.min():g}, and the MSI's pixels are {pixel:g}: give each band's own pixel size."
        )
    if (sizes > SHARP).all():
        raise HSFusionError(
            f"MSI_GSD calls all bands coarser than the MSI's pixels of {pixel:g}: resample the MSI to {values.min():g} "
            "first (gdalwarp -tr)."
        )
    return sizes


def sharpening_of(pair: Pair, text: str, progress: Progress) -> tuple[Sharpening | None, str]:
    """What sharpens the bands that MSI_GSD calls coarser, fitted to parts of the scene, and a sentence for the log."""
    sizes = own_sizes(text, pair.msi)[pair.msi_bands]
    if not (sizes > SHARP).any():
        return None, ""
    progress.phase("Sharpening the coarser MSI bands")
    found = fit_sharpening(_parts(pair), sizes)
    if found is None:
        raise HSFusionError(
            "None of the MSI's bands that hold data is sharp by MSI_GSD: choose another area, or leave it out."
        )
    soft, sharp = (", ".join(str(pair.msi_bands[b] + 1) for b in some) for some in (found.soft, found.sharp))
    return found, (
        f"MSI band(s) {soft} have larger pixels of their own (MSI_GSD): the detail that they lack was taken from "
        f"band(s) {sharp} first."
    )


def _parts(pair: Pair) -> list[tuple[np.ndarray, np.ndarray]]:
    rows, cols = (spread(size, WINDOW, WINDOWS_PER_AXIS) for size in pair.alignment.scene_shape)
    parts = [pair.read_msi(range(r.start, r.stop), range(c.start, c.stop)) for r in rows for c in cols]
    if not any((mask > 0).any() for _, mask in parts):
        raise HSFusionError(
            "MSI holds no pixel that is valid in all bands: check nodata values, the mask and the area."
        )
    return parts


def softness_warning(pair: Pair, blocks: list[Block], noise: np.ndarray) -> str:
    """One sentence where bands are clearly softer than others that resemble them, which nobody has said; "" otherwise.

    noise (l,): std of the noise of the MSI's bands.
    """
    if pair.sharpening is not None or len(pair.msi_bands) < 2:
        return ""
    blurs = softness([_middle(block) for block in blocks[:: max(1, len(blocks) // 3)]], noise)
    soft = [str(number + 1) for number, blur in zip(pair.msi_bands, blurs) if blur > 0]
    if not soft:
        return ""
    width = float(np.median(blurs[blurs > 0]))
    return (
        f"MSI band(s) {', '.join(soft)} look softer than the others, as if blurred by about {width:.1f} MSI pixels, "
        "and soften the result: "
        "if they were resampled from larger pixels, say so with MSI_GSD, or leave them out."
    )


def _middle(block: Block) -> tuple[np.ndarray, np.ndarray]:
    cut = []
    for size in block.z.shape[1:]:
        start = max(0, (size - PROBED) // 2)
        cut.append(slice(start, start + PROBED))
    return block.z[(slice(None), *cut)], block.z_mask[tuple(cut)]
