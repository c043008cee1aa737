"""Scenes through the whole method on simulated pairs, beside interpolation and the closed forms: for training runs and
benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from .metrics.radiometric import band_statistics, psnr
from .metrics.spectral import sam
from .observation import Degradation, Sampling, Upsampling, gaussian_field, noise_std
from .scene.block import Block, whole_block
from .scene.methods.names import CLOSED_FORMS
from .scene.methods.subspace import ClosedForms
from .scene.model import COMPONENTS, SceneModel, fit_scene
from .scene.reduced.guard import decide
from .scene.sensors.response import estimate_psf
from .scene.subspace.subspace import fit_subspace
from .scene.tiles.spectra import bounded_tile
from .scene.window import Window
from .trial_defects import DEFECTS, damaged
from .trial_fields import field, seen, turned
from .trial_light import CLEAR, LIGHTS, lit
from .wire.tile import TileRequest

Runner = Callable[[dict[str, np.ndarray], dict[str, Any]], dict[str, np.ndarray]]
FOUR_BANDS = ((485.0, 70.0), (560.0, 60.0), (660.0, 60.0), (835.0, 120.0))
EIGHT_BANDS = (
    (490.0, 65.0),
    (560.0, 35.0),
    (665.0, 30.0),
    (705.0, 15.0),
    (783.0, 20.0),
    (865.0, 20.0),
    (1610.0, 90.0),
    (2200.0, 175.0),
)
NETWORK = "network"  # what a model is called among the methods
LEAST_FACTOR = 0.1  # on the network's expected errors, even where what lies outside the subspace would cover everything
PANCHROMATIC = ((650.0, 330.0),)


@dataclass(frozen=True)
class Case:
    """A simulated pair: ratio, PSF in HSI pixels, MSI bands as (centre, width) in nm, SNR in dB (0: clean), gain and
    offset of the MSI.

    offset is a share of each MSI band's mean. field and field_rms: the HSI's local displacement as `trial_fields.field`
    names it, in MSI pixels; shift (y, x) in MSI pixels and turn in degrees: where else it lies. light: of the MSI, as
    `trial_light.lit` names it; defect: of the HSI, as `trial_defects.damaged` names it.
    """

    name: str
    ratio: int = 4
    fwhm: float = 1.0
    bands: tuple[tuple[float, float], ...] = FOUR_BANDS
    snr_db: float = 0.0
    gain: float = 1.0
    offset: float = 0.0
    field: str = ""
    field_rms: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    light: str = ""
    defect: str = ""

    def displacement(self, size: tuple[int, int], seed: int = 0) -> np.ndarray | None:
        """(2, rows, cols) in MSI pixels, None where the HSI lies where its grid says."""
        found = None
        if self.shift != (0.0, 0.0) or self.turn:
            found = turned(size, self.shift, self.turn)
        if self.field:
            local = field(self.field, self.field_rms, size, seed)
            found = local if found is None else found + local
        return found


CASES = (
    Case("clean"),
    Case("35 dB", snr_db=35.0),
    Case("25 dB", snr_db=25.0),
    Case("8 bands", fwhm=1.6, bands=EIGHT_BANDS, snr_db=45.0),
    Case("panchromatic", bands=PANCHROMATIC, snr_db=40.0),
    Case("gain 1.1", gain=1.1, offset=0.1),
    Case("ratio 2", ratio=2),
    Case("ratio 8", ratio=8),
)
DISPLACED = (
    Case("0.5 px wave", fwhm=1.2, snr_db=35.0, field="wave", field_rms=0.5),
    Case("1 px wave clean", fwhm=1.2, field="wave", field_rms=1.0),
    Case("1 px two waves", fwhm=1.2, snr_db=35.0, field="waves", field_rms=1.0),
    Case("3 px wave", fwhm=1.2, snr_db=35.0, field="wave", field_rms=3.0),
    Case("0.5 px jitter", fwhm=1.2, snr_db=35.0, field="jitter", field_rms=0.5),
    Case("0.5 px step", fwhm=1.2, snr_db=35.0, field="step", field_rms=0.5),
    Case("1 px bump", fwhm=1.2, snr_db=35.0, field="bump", field_rms=1.0),
    Case("11 px and 0.6 degrees", fwhm=1.2, snr_db=35.0, shift=(9.3, -6.7), turn=0.6),
)

LIT = tuple(Case(light, snr_db=35.0, light=light) for light in LIGHTS)
DAMAGED = tuple(Case(defect, snr_db=35.0, defect=defect) for defect in DEFECTS)


@dataclass(frozen=True)
class Scene:
    """A reference cube (L, H, W) and its wavelengths in nm (L,), exact or the nominal range of its sensor."""

    cube: np.ndarray
    wavelengths: np.ndarray


@dataclass(frozen=True)
class Pair:
    """What a case makes of a scene: truth (L, H, W), hsi (L, h, w), msi (l, H, W) and the true sampling.

    still: the HSI as it would be where its grid says and without defects; judged: rows and columns of the ground that
    both saw, clouds far off.
    """

    truth: np.ndarray
    hsi: np.ndarray
    msi: np.ndarray
    sampling: Sampling
    wavelengths: np.ndarray
    still: np.ndarray | None = None
    judged: tuple[slice, slice] = (slice(None), slice(None))


def box_response(wavelengths: np.ndarray, bands: tuple[tuple[float, float], ...]) -> np.ndarray:
    """R (l, L): boxes over the HSI's bands; MSI bands beyond its range are left out, a box between two bands takes the
    nearest.
    """
    rows = []
    for centre, width in bands:
        if not wavelengths.min() - width / 2 <= centre <= wavelengths.max() + width / 2:
            continue
        row = (np.abs(wavelengths - centre) <= width / 2).astype(float)
        row[np.abs(wavelengths - centre).argmin()] = 1.0
        rows.append(row / row.sum())
    return np.array(rows)


def simulate(scene: Scene, case: Case, seed: int = 0) -> Pair:
    """The pair of a case, the scene cut to whole coarse pixels."""
    height, width = (n // case.ratio * case.ratio for n in scene.cube.shape[1:])
    truth = scene.cube[:, :height, :width].astype(np.float32)
    sampling = Sampling(case.ratio, case.fwhm, case.fwhm)
    down, moved = Degradation.whole(sampling, (height, width)), case.displacement((height, width), seed)
    still = down(truth)
    hsi = still if moved is None else down(seen(truth, moved))
    msi = case.gain * np.tensordot(box_response(scene.wavelengths, case.bands).astype(np.float32), truth, axes=1)
    msi = msi + np.float32(case.offset) * msi.mean(axis=(1, 2), keepdims=True)
    if case.snr_db:
        still, hsi, msi = (_noisy(image, case.snr_db, seed, n) for n, image in zip((0, 0, 1), (still, hsi, msi)))
    far = 0 if moved is None else int(np.ceil(np.abs(moved).max())) + 2 * case.ratio
    judged = slice(far, -far) if far else slice(None)
    rows = slice(int(CLEAR * height), None) if case.light == "cloud" else judged
    if case.light:
        msi = lit(msi, case.light, seed)
    if case.defect:
        hsi = damaged(hsi, case.defect, seed)
    unspoilt = None if moved is None and not case.defect else still
    return Pair(truth, hsi, msi, sampling, scene.wavelengths, unspoilt, (rows, judged))


def _noisy(image: np.ndarray, snr_db: float, seed: int, stream: int) -> np.ndarray:
    std = noise_std((image.astype(np.float64) ** 2).mean(axis=(1, 2)), snr_db).astype(np.float32)
    return image + std[:, None, None] * gaussian_field(
        seed, range(image.shape[1]), range(image.shape[2]), len(image), stream
    )


@dataclass(frozen=True)
class Fitted:
    """A scene model, its one block and place, and both images as a method wants them."""

    scene: SceneModel
    block: Block
    seen: Block
    wavelengths: np.ndarray | None = None

    @classmethod
    def to(
        cls,
        block: Block,
        sampling: Sampling | None,
        wavelengths: np.ndarray | None = None,
        components: int = COMPONENTS,
    ) -> Fitted:
        """Fit a block that is a whole scene; the PSF is estimated from the pair where `sampling` is None."""
        if sampling is None:
            nominal = Sampling(round(block.z.shape[-1] / block.y.shape[-1]))
            subspace = fit_subspace(block.y.reshape(len(block.y), -1).T, components)
            fwhm = estimate_psf([block], subspace, nominal).fwhm
            sampling = Sampling(nominal.ratio, fwhm, fwhm)
        scene = fit_scene([block], sampling, components, wavelengths=wavelengths)
        return cls(scene, block, scene.standardised(block), wavelengths)

    def fuse(self, runner: Runner | None = None, denoise: bool = False, **options: Any) -> dict[str, np.ndarray]:
        """Every method: name -> (L, H, W), closed forms of the MSI as it is or, with `denoise`, with its noise
        filtered; `network` where a runner is given, with the options of its request.
        """
        forms = self.closed_forms(denoise)
        fused = {"interpolation": self.interpolate()}
        for name in CLOSED_FORMS:
            fused[name] = self.expand(forms.named(name))
        if runner is not None:
            fused[NETWORK] = self.expand(self.infer(runner, **options)["x"].mean(axis=0))
        return fused

    def closed_forms(self, denoise: bool = False) -> ClosedForms:
        """Coefficients (K, H, W) by all closed forms, the MSI's noise filtered first or not."""
        return ClosedForms.of(self.seen, self.scene.coefficients, denoise)

    def expand(self, x: np.ndarray) -> np.ndarray:
        """Spectra (L, H, W) of fused coefficients (K, H, W)."""
        return bounded_tile(self.scene, x, self.block)

    def infer(self, runner: Runner, **options: Any) -> dict[str, np.ndarray]:
        """The runner's reply for the scene as one tile."""
        place = self.block.place
        return runner(self.seen.images, TileRequest(self.scene.coefficients, place, place.fine, **options))

    def interpolate(self) -> np.ndarray:
        """Cubic interpolation of the HSI, the calibration row of every table."""
        return Upsampling.whole(self.scene.coefficients.sampling, self.block.scene_shape)(self.block.y)


@dataclass(frozen=True)
class Network:
    """A model as the guard takes a method: the runner's mean estimate, in coefficients; options: of its requests."""

    runner: Runner
    options: dict[str, Any]
    name: str = NETWORK

    def fuse(self, block: Block, scene: SceneModel, core: Window) -> Estimate:
        """Coefficients of the core."""
        request = TileRequest(scene.coefficients, block.place, core, **self.options)
        reply = self.runner(scene.standardised(block).images, request)
        return Estimate(reply["x"].mean(axis=0))


@dataclass(frozen=True)
class Estimate:
    """Coefficients x (K, rows, cols)."""

    x: np.ndarray
    spectra: None = None


def guarded(fitted: Fitted, runner: Runner, **options: Any) -> str:
    """What hsfusion:fuse would ship: `network`, a closed form that is better one scale down, or `average` where the
    scene is too small.
    """
    return decide(fitted.scene, [fitted.block], Network(runner, options), fitted.wavelengths).shipped


def scores(truth: np.ndarray, fused: np.ndarray) -> dict[str, float]:
    """Global PSNR (dB, peak = the truth's maximum) and SAM (degrees), the two numbers of the tables."""
    return {"psnr": psnr(band_statistics(truth, fused), float(truth.max())), "sam": sam(truth, fused).mean}


def expected_error(fitted: Fitted, reply: dict[str, np.ndarray]) -> np.ndarray:
    """One standard deviation per band and pixel (L, H, W) from a runner's reply, as hsfusion:fuse writes
    UNCERTAINTY.
    """
    return np.sqrt(network_variance(fitted, reply) + fitted.scene.outside_std[:, None, None] ** 2)


def network_variance(fitted: Fitted, reply: dict[str, np.ndarray]) -> np.ndarray:
    """The network's part of the expected square error, (L, H, W)."""
    return np.tensordot(fitted.scene.error_law(), reply["std"].astype(np.float64) ** 2, axes=1)


def error_quantile(
    scenes: dict[str, Scene],
    runner: Runner,
    share: float = 0.95,
    cases: tuple[Case, ...] = CASES,
    components: int = COMPONENTS,
) -> float:
    """The factor by which the network's expected errors must grow so that +-2 standard deviations cover `share` of all
    errors of these scenes.

    Split conformal; what is expected outside the subspace stays as it is. Every scene and case counts the same; the
    scenes must not have been trained on.
    """
    pooled = []
    for scene in scenes.values():
        for case in cases:
            pair = simulate(scene, case)
            fitted = Fitted.to(whole_block(pair.hsi, pair.msi), pair.sampling, pair.wavelengths, components)
            reply = fitted.infer(runner)
            square = (fitted.expand(reply["x"][0]) - pair.truth).astype(np.float64) ** 2
            outside = fitted.scene.outside_std[:, None, None] ** 2
            needed = ((square / 4.0 - outside) / np.maximum(network_variance(fitted, reply), 1e-24)).ravel()
            pooled.append(needed[:: max(1, needed.size // 50_000)])
    return float(np.sqrt(max(np.quantile(np.concatenate(pooled), share), LEAST_FACTOR**2)))


def validate(
    scenes: dict[str, Scene],
    runner: Runner,
    cases: tuple[Case, ...] = CASES[:3],
    components: int = COMPONENTS,
    **options: Any,
) -> list[dict[str, Any]]:
    """One row per scene, case and method, PSF known: PSNR (global, peak = reference maximum, dB) and SAM (degrees)."""
    rows = []
    for name, scene in scenes.items():
        for case in cases:
            pair = simulate(scene, case)
            fitted = Fitted.to(whole_block(pair.hsi, pair.msi), pair.sampling, pair.wavelengths, components)
            for method, fused in fitted.fuse(runner, **options).items():
                rows.append({"scene": name, "case": case.name, "method": method, **scores(pair.truth, fused)})
    return rows


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, tuple[float, float]]]:
    """case -> method -> (mean PSNR, mean SAM)."""
    table: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        table.setdefault(row["case"], {}).setdefault(row["method"], []).append((row["psnr"], row["sam"]))
    return {
        case: {
            m: (float(np.mean([v[0] for v in values])), float(np.mean([v[1] for v in values])))
            for m, values in methods.items()
        }
        for case, methods in table.items()
    }
