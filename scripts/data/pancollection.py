"""Files of PanCollection: HDF5 with 4-D arrays gt (N, L, H, W), ms (N, L, h, w), lms and pan (N, l, H, W); gt is
absent at full resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hsfusion.models.errors import HSFusionError
from hsfusion.models.scene.pixels.scaling import Scaling
from hsfusion.models.training.full_band.config import FullBandConfig
from hsfusion.models.training.full_band.data import Observed

KEYS = ("gt", "ms", "pan")


def read_pancollection(path: Path, config: FullBandConfig, full_resolution: bool) -> list[Observed]:
    """Every crop as a pair, all on one scale: one number for both images, as the published code divides both by 2047
    or 1023.

    lms is not read: the networks get the MS image enlarged by this project's own operator. HSFusionError names file,
    key and what was expected.
    """
    arrays = _arrays(path, ("ms", "pan") if full_resolution else KEYS)
    ms, pan, gt = arrays["ms"], arrays["pan"], arrays.get("gt")
    centres = config.bands.nanometres("bands")[0]
    ratio, bands = round(config.observation.ratio), len(centres)
    count, _, height, width = ms.shape
    fine = (height * ratio, width * ratio)
    _expect(path, "ms", ms, (count, bands, height, width))
    _expect(path, "pan", pan, (count, len(config.msi.nanometres("msi")[0]), *fine))
    if gt is not None:
        _expect(path, "gt", gt, (count, bands, *fine))
    scale = float(np.quantile(ms, config.quantile)) or 1.0
    scaling = Scaling(scale, np.full(pan.shape[1], scale), np.zeros(pan.shape[1]))
    return [
        Observed(f"{path.stem} {n}", None if gt is None else gt[n], ms[n], pan[n], scaling, True, centres)
        for n in range(count)
    ]


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise HSFusionError(
                    f"The file {path} has no array {missing[0]} (it has: {', '.join(file) or 'none'}): a PanCollection "
                    "file holds "
                    f"{', '.join(names)}{'' if 'gt' in names else ' at full resolution'}."
                )
            return {name: np.asarray(file[name], np.float32) for name in names}
    except OSError as error:
        raise HSFusionError(f"The file {path} is not an HDF5 file of PanCollection: {error}.") from error


def _expect(path: Path, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise HSFusionError(
            f"The array {name} of {path} has the shape {array.shape}; it must be {shape}: crops, bands, rows, columns."
        )
