"""Two real sensors over one place, on one grid: the HSI is degraded and compared with itself, the MSI stays as it was
measured.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.ndimage import shift as moved

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.runners.subspace import SubspaceRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.model import COMPONENTS
from hsfusion.models.trials import Fitted, guarded, scores
from hsfusion.scripts.benchmarking.quality import YARDSTICK, blind_sampling
from hsfusion.scripts.data.scenes import read_scene

BORDER = 4  # pixels left out: a moved reference knows nothing beyond its edge


def real_pair(hsi: Path, msi: Path, ratio: int, model: Path) -> list[str]:
    """Markdown: PSNR and SAM of every method, once with the two grids believed, once with the shift between the sensors
    estimated.

    In the second way the fused image lies on the MSI's grid, so the reference is moved onto it by the same shift (cubic
    spline).
    """
    truth, sharp = read_scene(hsi).cube, read_scene(msi).cube
    if truth.shape[1:] != sharp.shape[1:]:
        raise HSFusionError("Both rasters of a real pair must lie on one grid: resample one of them first.")
    rows, cols = (n // ratio * ratio for n in truth.shape[1:])
    truth, sharp = truth[:, :rows, :cols], sharp[:, :rows, :cols]
    sampling = Sampling(ratio)
    block = whole_block(Degradation.whole(sampling, (rows, cols))(truth), sharp)
    card = read_card(model)
    runner = SubspaceRunner(card, load_state(model))
    estimated = blind_sampling(block, ratio)
    shift = (estimated.shift_y, estimated.shift_x)
    on_grid = np.stack([moved(band, shift, order=3, mode="nearest") for band in truth])
    believed = Sampling(ratio, estimated.fwhm_y, estimated.fwhm_x)
    lines = [
        f"Estimated: PSF {estimated.fwhm_y:.2f} x {estimated.fwhm_x:.2f} HSI pixels, shift {shift[1]:+.2f} east, "
        f"{shift[0]:+.2f} south (MSI pixels).",
        "",
        "| method | grids believed | shift estimated, on the MSI's grid |",
        "|---|---|---|",
    ]
    columns = [
        _scored(lambda k: Fitted.to(block, believed, components=k), runner, card, truth),
        _scored(lambda k: Fitted.to(block, estimated, components=k), runner, card, on_grid),
    ]
    lines += [f"| {m} | " + " | ".join(f"{c[m][0]:.2f} / {c[m][1]:.2f}" for c in columns) + " |" for m in columns[0]]
    return lines


def _scored(
    fit: Callable[[int], Fitted], runner: SubspaceRunner, card: dict, truth: np.ndarray
) -> dict[str, tuple[float, float]]:
    """method -> (PSNR, SAM) inside the border."""
    plain, fitted = fit(COMPONENTS), fit(int(card["components"]))
    fused = {**plain.fuse(), card["name"]: fitted.fuse(runner)["network"]}
    choice = guarded(fitted, runner)
    fused["guarded"] = fused[card["name"]] if choice == "network" else fitted.fuse(denoise=True)[choice]
    inside = (slice(None), slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    found = {name: scores(truth[inside], cube[inside]) for name, cube in fused.items() if name != YARDSTICK}
    return {name: (s["psnr"], s["sam"]) for name, s in found.items()}
