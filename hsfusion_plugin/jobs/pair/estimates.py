"""Everything that is estimated once for a scene, from the whole overlap or, where that is large, from blocks spread
over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ....models.errors import HSFusionError
from ....models.observation import Sampling, Sensor, gaussian_response, load_sensors, read_response
from ....models.scene.block import Block, coarse_samples
from ....models.scene.model import COMPONENTS, SceneModel, fit_scene
from ....models.scene.quality import Flags
from ....models.scene.sensors.light.find import FoundLight
from ....models.scene.subspace.subspace import fit_subspace
from ...paths import RESOURCES
from ..pair import displacement
from ..request import PairRequest
from ..run.progress import Progress
from .blocks import field_blocks, read_blocks
from .geometry import Geometry, find_geometry, first_sampling
from .light import PairLight, apart, light_of
from .pair import Pair
from .soft_bands import softness_warning

UNEXPLAINED = 0.05
NEAR = 3.0  # MSI pixels of a shift that cannot mislead what is found of the light
LONE_FACTOR = 4.0  # how far the largest value of a band may lie above all but a thousandth of its values


@dataclass(frozen=True)
class Estimates:
    """The scene model, what it was fitted to, and what is told of it: `psf_source` is "given", "estimated" or
    "nominal".

    pair: as it is to be read from here on, under one light; lit: what was found of the light. shift: (y, x) in MSI
    pixels, of the HSI's content against its grid; `sampling` holds this and the phase between the grids. nominal:
    whether the MSI's response started from a known one, against which its row sums are gains. largest: of the HSI's
    values. snr_db: median over bands of the HSI's mean square over its noise variance. msi_range (l, 2): lowest and
    highest value of each MSI band at the HSI's resolution, in the pixels that the estimates come from. flags: what was
    found for the scene and is to be said of pixels in QUALITY.
    """

    pair: Pair
    lit: PairLight
    scene: SceneModel
    blocks: list[Block]
    sampling: Sampling
    psf_source: str
    shift: tuple[float, float]
    shift_source: str
    warnings: list[str]
    geometry: Geometry
    nominal: bool = False
    largest: float = 0.0
    snr_db: float = float("nan")
    msi_range: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    flags: tuple[Flags, ...] = ()

    def without_blocks(self) -> Estimates:
        """For the tiles: what was fitted, and not what it was fitted to."""
        return replace(self, blocks=[])

    @property
    def fwhm(self) -> tuple[float, float]:
        """(y, x) in HSI pixels."""
        return self.sampling.fwhm_y, self.sampling.fwhm_x


def estimate(pair: Pair, request: PairRequest, progress: Progress, components: int = COMPONENTS) -> Estimates:
    """PSF, response with gain and offset, noise, subspace and regression; what the user gives is taken as it is."""
    alignment = pair.alignment
    sampling = first_sampling(alignment.ratio, (alignment.phase_y, alignment.phase_x), request, alignment.scene_shape)
    progress.phase("Reading what the estimates need")
    blocks = read_blocks(pair, sampling, progress)
    pair, blocks, geometry, lit = _placed(pair, blocks, sampling, request, progress)
    sampling = geometry.sampling
    if sampling.displacement is not None:  # other pixels of both images belong together
        blocks = read_blocks(pair, sampling, progress)
    samples = coarse_samples(blocks, sampling)
    subspace = fit_subspace(samples.spectra, components, listener=progress)
    progress.phase("Estimating response, noise and regression")
    prior = nominal_response(pair, request)
    scene = fit_scene(blocks, sampling, components, subspace, pair.wavelengths, prior, progress)
    for note in lit.notes:
        progress.info(note)
    warnings = [*lit.warnings, *geometry.warnings]
    for number, share in zip(pair.msi_bands, scene.unexplained):
        if share > UNEXPLAINED:
            warnings.append(
                f"{100 * share:.0f} % of the variance of MSI band {number + 1} is not explained by the HSI: dates, "
                "registration or calibration may differ."
            )
    if soft := softness_warning(pair, blocks, scene.msi_noise):
        warnings.append(soft)
    for warning in warnings:
        progress.warn(warning)
    warnings = [*pair.notes, *warnings]
    return Estimates(
        pair=pair,
        lit=lit,
        scene=scene,
        blocks=blocks,
        sampling=sampling,
        psf_source=geometry.psf_source,
        shift=geometry.shift,
        shift_source=geometry.shift_source,
        warnings=warnings,
        geometry=geometry,
        nominal=prior is not None,
        largest=_largest(blocks),
        snr_db=_snr_db(blocks, subspace.band_noise),
        flags=displacement.flags(geometry),
        msi_range=np.stack([samples.low.min(axis=0), samples.low.max(axis=0)], axis=1),
    )


def _placed(
    pair: Pair, blocks: list[Block], start: Sampling, request: PairRequest, progress: Progress
) -> tuple[Pair, list[Block], Geometry, PairLight]:
    """Where the HSI lies on the MSI, and pair and blocks under one light: what is found of either serves the other."""

    def geometry_of(pair: Pair, blocks: list[Block]) -> Geometry:
        progress.phase("Estimating the point spread function and the shift")
        return find_geometry(
            blocks, start, request, progress, lambda moved: field_blocks(pair, blocks, moved, progress)
        )

    if request.light == "none":
        return pair, blocks, geometry_of(pair, blocks), PairLight(FoundLight(None))
    samplings, first, refused = [start], None, None
    try:
        first = geometry_of(pair, blocks)
    except HSFusionError as error:  # such as a place beyond all limits, which a cloud can make up
        refused = error
    if first is not None:
        near = max(abs(first.sampling.shift_y - start.shift_y), abs(first.sampling.shift_x - start.shift_x)) < NEAR
        samplings = [first.sampling] if near else [start, first.sampling]
    lit = light_of(pair, samplings, progress, blocks)
    if lit.light is None:
        if first is None:
            raise refused
        return pair, blocks, first, lit
    blocks = [lit.light.block(block) for block in blocks]
    pair = replace(pair, light=lit.light.measured(blocks))
    second = geometry_of(pair, blocks)
    places = [second] if first is None else [second, first]
    return pair, blocks, min(places, key=lambda place: apart(blocks, place.sampling)), lit


def _snr_db(blocks: list[Block], band_noise: np.ndarray) -> float:
    """Over the pixels that are valid; the zeros that stand for nodata are none of them."""
    pixels = np.concatenate([block.y[:, block.y_mask > 0] for block in blocks], axis=1)
    power = np.square(pixels, dtype=np.float64).mean(axis=1)
    return float(np.median(10 * np.log10(power / np.maximum(band_noise**2, 1e-30))))


def _largest(blocks: list[Block]) -> float:
    """Of the HSI's values, but for single ones that lie far above all others: Int16 gets its scale from it."""
    pixels = np.concatenate([np.abs(block.y[:, block.y_mask > 0]) for block in blocks], axis=1)
    return float(np.minimum(pixels.max(axis=1), LONE_FACTOR * np.quantile(pixels, 0.999, axis=1)).max())


def nominal_response(pair: Pair, request: PairRequest) -> np.ndarray | None:
    """R (l, L) of the sensor or file that the user names, over the bands that take part; None = estimate from the pair
    alone.
    """
    if request.srf_file is None and request.sensor == "estimate":
        return None
    if pair.wavelengths is None:
        raise HSFusionError(
            "SENSOR or SRF_FILE is given, but the HSI has no wavelengths: add them to the raster, or leave SENSOR at "
            "estimate."
        )
    if request.srf_file is not None:
        response = read_response(request.srf_file, pair.wavelengths)
        if len(response) != pair.msi.count and len(response) != len(pair.msi_bands):
            raise HSFusionError(
                f"SRF_FILE describes {len(response)} bands and the MSI has {pair.msi.count}: give one column per band."
            )
        return response[pair.msi_bands] if len(response) == pair.msi.count else response
    sensor = load_sensors(RESOURCES / "sensors.csv").get(request.sensor)
    if sensor is None:
        raise HSFusionError(
            f"SENSOR: {request.sensor} is not in the list of sensors: choose one of the list, or estimate."
        )
    bands = match_bands(sensor, pair.msi.wavelengths, pair.msi.descriptions, pair.msi.count, pair.msi_bands)
    return gaussian_response(sensor.centre_nm[bands], sensor.fwhm_nm[bands], pair.wavelengths)


def match_bands(
    sensor: Sensor, wavelengths: np.ndarray | None, descriptions: Sequence[str], count: int, used: Sequence[int]
) -> list[int]:
    """Which bands of the sensor the used MSI bands are: by wavelength, then by name, else in order where the counts
    agree.
    """
    if wavelengths is not None:
        nearest = [int(np.argmin(np.abs(sensor.centre_nm - wavelengths[i]))) for i in used]
        if all(
            abs(sensor.centre_nm[n] - wavelengths[i]) <= max(10.0, 0.5 * sensor.fwhm_nm[n])
            for n, i in zip(nearest, used)
        ):
            return nearest
    names = [b.upper().lstrip("B").lstrip("0") for b in sensor.bands]
    words = [[w.upper().lstrip("B").lstrip("0") for w in descriptions[i].replace("(", " ").split()] for i in used]
    found = [next((names.index(w) for w in line if w in names), -1) for line in words]
    if all(f >= 0 for f in found) and len(set(found)) == len(found):
        return found
    if count == len(sensor.bands):
        return list(used)
    raise HSFusionError(
        f"The MSI's {count} bands cannot be told apart among the {len(sensor.bands)} of {sensor.name}: name its bands "
        "after the sensor's, "
        "give them wavelengths, or leave SENSOR at estimate."
    )
