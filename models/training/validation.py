"""Held-out scenes through the whole method, beside interpolation and the closed forms: PSNR in dB and SAM in degrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from ..metrics import evaluate
from ..observation import Degradation, Sampling, gaussian_field, noise_std
from ..scene.blocks import whole_block
from ..scene.fusion import expand_tile, outside_part
from ..scene.model import SceneModel, fit_scene
from ..scene.tile import Place, closed_forms

Runner = Callable[[dict[str, np.ndarray], dict[str, Any]], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Case:
    """A simulated sensor pair: MSI bands at these places of the HSI's band range (shares of L), PSF in HSI pixels, SNR in dB (0: clean)."""

    name: str
    ratio: int = 4
    fwhm: float = 1.0
    centres: tuple[float, ...] = (0.06, 0.12, 0.18, 0.3)
    width: float = 0.05
    snr_db: float = 0.0


CASES = (Case("clean"), Case("35 dB", snr_db=35.0), Case("25 dB", snr_db=25.0))


def box_response(bands: int, case: Case) -> np.ndarray:
    """R (l, L): boxes of `width` around `centres`, in shares of the band range."""
    position = (np.arange(bands) + 0.5) / bands
    response = (np.abs(position[None, :] - np.array(case.centres)[:, None]) <= case.width / 2).astype(float)
    response[np.arange(len(case.centres)), (np.array(case.centres) * bands).astype(int)] = 1.0
    return response / response.sum(axis=1, keepdims=True)


def simulate(scene: np.ndarray, case: Case, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, Sampling]:
    """truth (L, H, W) cut to whole coarse pixels, HSI, MSI and the true sampling."""
    height, width = (n // case.ratio * case.ratio for n in scene.shape[1:])
    truth = scene[:, :height, :width].astype(np.float32)
    sampling = Sampling(case.ratio, case.fwhm, case.fwhm)
    hsi = Degradation.whole(sampling, (height, width))(truth)
    msi = np.tensordot(box_response(len(truth), case).astype(np.float32), truth, axes=1)
    if case.snr_db:
        hsi, msi = (_noisy(image, case.snr_db, seed, stream) for stream, image in enumerate((hsi, msi)))
    return truth, hsi, msi, sampling


def _noisy(image: np.ndarray, snr_db: float, seed: int, stream: int) -> np.ndarray:
    std = noise_std((image.astype(np.float64) ** 2).mean(axis=(1, 2)), snr_db).astype(np.float32)
    return image + std[:, None, None] * gaussian_field(seed, range(image.shape[1]), range(image.shape[2]), len(image), stream)


def fuse_whole(hsi: np.ndarray, msi: np.ndarray, sampling: Sampling, runner: Runner | None, **options: Any) -> dict[str, np.ndarray]:
    """Every method on a scene small enough for one tile: name -> (L, H, W); `network` where a runner is given."""
    block = whole_block(hsi, msi)
    scene = fit_scene([block], sampling)
    y = scene.subspace.project(hsi).astype(np.float32)
    z = scene.standardise(msi)
    place = Place(block.fine_rows, block.fine_cols, block.coarse_rows, block.coarse_cols)
    forms = closed_forms(y, z, block.y_mask, block.z_mask, scene.coefficients, place)
    outside = outside_part(scene, hsi, block.y_mask, z, block.z_mask, place)
    fused = {"interpolation": interpolate(hsi, scene, place)}
    for name, x in (("glp-hs", forms.glp), ("loc", forms.loc), ("map", forms.map), ("average", forms.average)):
        fused[name] = expand_tile(scene, x, outside)
    if runner is not None:
        tensors = {"y": y, "z": z, "y_mask": block.y_mask, "z_mask": block.z_mask}
        request = tile_request(scene, place, **options)
        reply = runner(tensors, request)
        fused["network"] = expand_tile(scene, reply["x"].mean(axis=0), outside)
    return fused


def interpolate(hsi: np.ndarray, scene: SceneModel, place: Place) -> np.ndarray:
    """Cubic interpolation to the fine grid, the calibration row of every table."""
    from ..observation import Upsampling

    return Upsampling(
        scene.coefficients.sampling, scene.coefficients.scene_shape, place.fine_rows, place.fine_cols, place.coarse_rows, place.coarse_cols
    )(hsi)


def tile_request(scene: SceneModel, place: Place, **options: Any) -> dict[str, Any]:
    """The backend's request for a tile whose core is the whole of it."""
    ranges = {name: [r.start, r.stop] for name, r in vars(place).items()}
    return {
        "model": scene.coefficients.to_dict(),
        "place": ranges,
        "core_rows": ranges["fine_rows"],
        "core_cols": ranges["fine_cols"],
        **options,
    }


def validate(scenes: dict[str, np.ndarray], runner: Runner, cases: tuple[Case, ...] = CASES, **options: Any) -> list[dict[str, Any]]:
    """One row per scene, case and method: PSNR (global, peak = reference maximum) and SAM."""
    rows = []
    for name, cube in scenes.items():
        for case in cases:
            truth, hsi, msi, sampling = simulate(cube, case)
            for method, fused in fuse_whole(hsi, msi, sampling, runner, **options).items():
                scores = evaluate(truth, fused, case.ratio)
                rows.append({"scene": name, "case": case.name, "method": method, "psnr": scores.PSNR, "sam": scores.SAM})
    return rows


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, tuple[float, float]]]:
    """case -> method -> (mean PSNR, mean SAM)."""
    table: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        table.setdefault(row["case"], {}).setdefault(row["method"], []).append((row["psnr"], row["sam"]))
    return {
        case: {m: (float(np.mean([v[0] for v in values])), float(np.mean([v[1] for v in values]))) for m, values in methods.items()}
        for case, methods in table.items()
    }
