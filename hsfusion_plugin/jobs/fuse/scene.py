"""The way of the data, shared by diffusion and closed forms: tiles through a method into the outputs, and what is told
about it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from ....hsfusion_plugin import reports
from ....models.heap import give_back
from ....models.scene.tiles.plan import plan_tiles
from ....models.scene.window import Window
from ....models.version import VERSION
from ...rasters.writing.colour import colour_bands
from ...rasters.writing.layout import BLOCK
from ..methods.draw import Draw, correlation, law_of
from ..methods.method import Method
from ..pair import displacement
from ..pair.defects import defect_record
from ..pair.estimates import Estimates
from ..pair.pair import Pair
from ..request import FusionRequest
from ..run.memory import CLOSED_FORM_TILE, tile_size
from ..run.process_limits import make_room
from ..run.progress import Progress
from .call_times import CallTimes
from .consistency import Consistency, Gallery
from .log import say_calls
from .outputs import msi_ranges, open_outputs, outside_range
from .quality import Quality
from .tiles import fused_tiles, member_reach


@dataclass
class Clock:
    """Seconds per phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began


@dataclass(frozen=True)
class Result:
    """What a run reports beside its rasters."""

    consistency: Consistency
    gallery: Gallery
    record: dict[str, Any]
    tiles: int


def fuse_scene(
    pair: Pair,
    estimates: Estimates,
    method: Method,
    request: FusionRequest,
    about: Mapping[str, Any],
    clock: Clock,
    progress: Progress,
) -> Result:
    """Fuse the output window tile by tile and write it; `about` (method, model, backend) joins the provenance."""
    scene, alignment = estimates.scene, pair.alignment
    output = Window(alignment.output_rows, alignment.output_cols)
    size = tile_size(len(pair.hsi_bands), max(output.shape)) if method.remote else CLOSED_FORM_TILE
    # Spectra are computed one output block at a time. Wide blocks keep GDAL's block list short; it is the only
    # structure that grows with the raster.
    block = (BLOCK, BLOCK if method.remote else CLOSED_FORM_TILE)
    draw = Draw.of(request.samples, request.drawn_by, request.seed, method, scene) if request.ensemble else None
    members = draw.members if draw else None
    halo = method.halo + (member_reach(scene) if members else 0)
    tiles = plan_tiles(output, scene.coefficients, request.tile_size or size, halo, method.multiple)
    progress.info(f"Fusing {output.shape[1]} x {output.shape[0]} pixels in {len(tiles)} tile(s) with {method.name}.")
    colours = list(colour_bands(pair.hsi, pair.hsi_bands))
    gallery = Gallery(
        output,
        [pair.hsi_bands.index(b) for b in colours],
        [pair.msi_bands.index(b) for b in colour_bands(pair.msi, pair.msi_bands)],
    )
    consistency = Consistency(scene)
    record = {**provenance(pair, estimates, request), **about}
    if method.filters:
        record["noise"]["msi_filtered_std"] = scene.coefficients.denoising.removed * scene.z_scale
    if method.weighs:
        record["detail_kept"] = scene.coefficients.agreement
        if request.uncertainty:
            record["uncertainty"] = correlation(law_of(method, scene))
    if draw:
        record["ensemble"] = {"folder": request.ensemble, **draw.record()}
    quality = Quality(estimates.flags, estimates.msi_range)
    calls = CallTimes()
    give_back()
    make_room(pair.strip_bytes(max(t.place.fine.shape[0] for t in tiles), max(t.place.coarse.shape[0] for t in tiles)))
    progress.phase("Fusing")
    with open_outputs(pair, request, 1.1 * estimates.largest, record, block, quality, draw, progress) as outputs:
        # Closed before the outputs are: a run that breaks off must not leave threads at work behind it.
        fused = fused_tiles(pair, scene, method, tiles, progress, calls, block, members)
        with clock.phase("tiles"), closing(fused):
            for tile in fused:
                outputs.write(tile)
                consistency.add(tile)
                gallery.add(tile, scene)
                del tile  # its spectra shall not wait for the next one's
                give_back()
        record["consistency_db"] = {"hsi": consistency.hsi_db, "msi": consistency.msi_db}
        record["quality"] = quality.record()
        if shortfall := consistency.shortfall():
            record["warnings"] = [shortfall, *record.get("warnings", ())]
        record["seconds"] = {**clock.seconds, **({"network": calls.seconds} if calls.calls else {})}
        record["network_calls"] = calls.record()
        progress.check()
    say_calls(calls, clock.seconds["tiles"], progress)
    if outputs.fused.clipped:
        progress.warn(
            f"{outputs.fused.clipped} values did not fit into Int16 and were clipped: use DATA_TYPE Float32 to keep "
            "them."
        )
    progress.info(f"Consistency with the HSI {consistency.hsi_db:.1f} dB, with the MSI {consistency.msi_db:.1f} dB.")
    if shortfall:
        progress.warn(shortfall)
    return Result(consistency, gallery, record, len(tiles))


def provenance(pair: Pair, estimates: Estimates, request: FusionRequest) -> dict[str, Any]:
    """How a result came to be: the request, what was estimated, versions."""
    scene, sampling = estimates.scene, estimates.sampling
    return {
        "version": VERSION,
        "parameters": request.parameters(),
        "ratio": sampling.ratio,
        "psf": {
            "fwhm_y": sampling.fwhm_y,
            "fwhm_x": sampling.fwhm_x,
            "unit": "HSI pixels",
            "source": estimates.psf_source,
        },
        "shift": {**_axes(estimates.shift), "unit": "MSI pixels", "source": estimates.shift_source},
        "displacement": displacement.record(estimates.geometry),
        "phase": {**_axes((pair.alignment.phase_y, pair.alignment.phase_x)), "unit": "MSI pixels"},
        "srf": {"response": scene.spectral_response, "offset": scene.spectral_offset},
        "gain": scene.spectral_response.sum(axis=1),
        "gain_identifiable": estimates.nominal,
        "unexplained": scene.unexplained,
        "noise": {"hsi_std": scene.subspace.band_noise, "msi_std": scene.msi_noise},
        "components": scene.subspace.components,
        "hsi_bands": [b + 1 for b in pair.hsi_bands],
        "msi_bands": msi_ranges(pair),
        "msi_sharpening": None if pair.sharpening is None else vars(pair.sharpening),
        "light": None if pair.light is None else pair.light.to_dict(),
        "defects": defect_record(pair.defects, pair.hsi_bands),
        "bands_outside_msi_range": outside_range(pair),
        "software": reports.software_versions(),
    }


def _axes(pair: tuple[float, float]) -> dict[str, float]:
    return {"y": pair[0], "x": pair[1]}


def numbers(estimates: Estimates, consistency: Consistency) -> dict[str, float]:
    """The numeric outputs; NaN becomes null in JSON."""
    sampling = estimates.sampling
    return {
        "HSI_CONSISTENCY": consistency.hsi_db,
        "MSI_CONSISTENCY": consistency.msi_db,
        "PSF_FWHM_USED": math.sqrt(sampling.fwhm_y * sampling.fwhm_x),
        "SHIFT_X_USED": estimates.shift[1],
        "SHIFT_Y_USED": estimates.shift[0],
    }
