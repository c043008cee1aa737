"""LIGHT: the light that the two images were taken under, found once for the scene, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....hsfusion_plugin import reports
from ....models.observation import Sampling
from ....models.scene.block import Block, coarse_samples
from ....models.scene.sensors.light.areas import Holder
from ....models.scene.sensors.light.cells import Cells, CellSums, Components
from ....models.scene.sensors.light.correction import Light
from ....models.scene.sensors.light.find import FoundLight, find_light
from ....models.scene.sensors.light.robust import robust_scale, robust_weights, weighted_fit
from ....models.scene.sensors.light.tone import Tone, find_tone
from ....models.scene.window import Window
from ..run.progress import Progress
from .blocks import LARGEST_WHOLE, read_block, read_blocks
from .pair import Pair

MOST_CELLS = 96 * 96  # beyond it cells hold several HSI pixels
WINDOW = (64, 256)  # HSI pixels (rows, columns) that are read at a time
LEAST_SAID = 0.0005  # share of the scene
MAP_SIZE = 256  # pixels of the longer side of a report's maps


@dataclass(frozen=True)
class PairLight:
    """found: what is done about the light; warnings, notes: sentences about it, of which warnings ask for the user's
    eyes.
    """

    found: FoundLight
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def light(self) -> Light | None:
        """What is applied wherever the pair is read."""
        return self.found.light


def light_of(pair: Pair, samplings: list[Sampling], progress: Progress, blocks: list[Block]) -> PairLight:
    """The light of the whole overlap, at that of the samplings at which the images have most in common.

    A cloud misleads the search for the HSI's place as a wrong place misleads this one, so both are asked. blocks: the
    pair as the first sampling has it.
    """
    progress.phase("Comparing the light of the two images")
    found = []
    for sampling in samplings:
        moved = blocks if sampling.displacement == samplings[0].displacement else read_blocks(pair, sampling, progress)
        progress.check()
        tone = find_tone(moved, sampling)
        cells = _cells(pair, moved, sampling, tone, progress)
        one = find_light(cells, (sampling.shift_y, sampling.shift_x), progress)
        if tone is not None:
            light = one.light or Light(sampling.ratio, (sampling.shift_y, sampling.shift_x))
            one = replace(one, light=replace(light, tone=tone))
        found.append(one)
    best = min(found, key=lambda one: one.apart)
    if best.light is None:
        return PairLight(best)
    return PairLight(
        best, (*_of_seam(best.light), *_of_areas(best.light)), (*_of_tone(best.light), *_of_smooth(best.light))
    )


def apart(blocks: list[Block], sampling: Sampling) -> float:
    """How little the images have in common where `sampling` lays them: log of the typical residual's share of the MSI's
    spread, mean over bands.
    """
    samples = coarse_samples(blocks, sampling)
    predictors = Components.of(samples.spectra).predictors(samples.spectra)
    rest = samples.low - predictors @ weighted_fit(predictors, samples.low, robust_weights(predictors, samples.low))
    return float(np.log(robust_scale(rest) / np.maximum(samples.low.std(axis=0), 1e-30)).mean())


def _cells(pair: Pair, blocks: list[Block], sampling: Sampling, tone: Tone | None, progress: Progress) -> Cells:
    """Of the one block that is the scene, or of all of a larger one, read window by window."""

    def linear(block: Block) -> Block:
        return block if tone is None else tone.block(block)

    rows, cols = pair.alignment.coarse_shape
    size = max(1, int(np.ceil(np.sqrt(rows * cols / MOST_CELLS))))
    components = Components.of(coarse_samples(blocks, sampling).spectra)
    sums = CellSums(components, (rows, cols), size, pair.alignment.scene_shape)
    if rows * cols <= LARGEST_WHOLE:
        sums.add(linear(blocks[0]), sampling)
        return sums.cells(sampling)
    for window in Window.whole((rows, cols)).cuts(*(max(1, side // size) * size for side in WINDOW)):
        progress.check()
        sums.add(linear(read_block(pair, sampling, window)), sampling)
    pair.close()
    return sums.cells(sampling)


def _of_seam(light: Light) -> tuple[str, ...]:
    fields = light.fields
    if fields is None or fields.seam is None:
        return ()
    gains = ", ".join(f"{1 + gain:.2f}" for gain in fields.gain[-1])
    return (
        f"The MSI is a mosaic of 2 takes: across a seam its bands change by the factors {gains}, which is taken out "
        "before anything is "
        "estimated; set LIGHT to none if the step is on the ground.",
    )


def _of_tone(light: Light) -> tuple[str, ...]:
    if light.tone is None:
        return ()
    exponents = ", ".join(f"{exponent:.1f}" for exponent in light.tone.exponent)
    return (
        f"The MSI is a picture with a tone curve: its bands are raised to the powers {exponents} first, which makes "
        "them linear.",
    )


def _of_smooth(light: Light) -> tuple[str, ...]:
    fields = light.fields
    if fields is None or fields.order == 1:
        return ()
    height, width = fields.scene_shape
    gain, _ = fields.at(np.linspace(0, height, 33), np.linspace(0, width, 33))
    low, high = (np.quantile(gain, q, axis=(1, 2)) / np.median(gain, axis=(1, 2)) for q in (0.02, 0.98))
    spread = ", ".join(f"{a - 1:+.0%} to {b - 1:+.0%}".replace("%", " %") for a, b in zip(low, high))
    return (
        f"The light of the MSI varies over the scene (haze, view angle or illumination): gain per band {spread}, which "
        "is taken out before "
        "anything is estimated.",
    )


def _of_areas(light: Light) -> tuple[str, ...]:
    if light.areas is None:
        return ()
    sentences = {
        Holder.MSI: "of the scene shows in the MSI alone what the HSI does not (clouds, their shadows or changes): there the result is the "  # noqa: E501
        "interpolated HSI.",
        Holder.HSI: "of the scene shows in the HSI alone what the MSI does not (clouds, their shadows or changes): there the result is nodata.",  # noqa: E501
        Holder.UNDECIDED: "of the scene differs between the two images, and which of them changed cannot be told: there the result is the "  # noqa: E501
        "interpolated HSI.",
    }
    shares = {holder: light.areas.share(holder) for holder in sentences}
    return tuple(f"{100 * shares[h]:.1f} % {text}" for h, text in sentences.items() if shares[h] > LEAST_SAID)


def gain_maps(pair: Pair) -> list[reports.Map]:
    """For a report: the MSI's gain over the scene, a map per band, the seam as a gap; none where the light is the same
    everywhere.
    """
    fields = None if pair.light is None else pair.light.fields
    if fields is None:
        return []
    rows, cols = ((np.arange(min(n, MAP_SIZE)) + 0.5) * n / min(n, MAP_SIZE) for n in fields.scene_shape)
    gain, _ = fields.at(rows, cols)
    gain = gain / np.median(gain, axis=(1, 2), keepdims=True)
    spread = max(float(np.quantile(np.abs(gain - 1.0), 0.98)), 0.01)
    if fields.seam is not None:
        step = max(fields.scene_shape) / MAP_SIZE
        gain[:, np.abs(fields.seam.distance(rows[:, None], cols[None, :])) < max(step, 1.0)] = np.nan
    seam = "; the gap is the seam between two takes" if fields.seam is not None else ""
    return [
        reports.Map(
            f"Gain of MSI band {number + 1} over the scene",
            values,
            "of its median",
            1.0 - spread,
            1.0 + spread,
            f"taken out before anything was estimated{seam}",
            True,
            f"Map of the gain of MSI band {number + 1}, between {np.nanmin(values):.2f} and {np.nanmax(values):.2f} "
            f"of its median{seam}.",
        )
        for number, values in zip(pair.msi_bands, gain)
    ]
