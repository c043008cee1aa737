"""What a run tells the log about itself: inputs, backend, model, estimates, time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..pair import displacement
from ..pair.estimates import Estimates
from ..pair.pair import Pair
from ..run.progress import Progress
from .call_times import CallTimes


def say_pair(pair: Pair, progress: Progress) -> None:
    """Both rasters and the ratio of their pixels."""
    rows, cols = pair.alignment.coarse_shape
    progress.info(
        f"HSI: {len(pair.hsi_bands)} of {pair.hsi.count} bands{_range(pair.wavelengths)}, {cols} x {rows} pixels in "
        "the overlap; "
        f"MSI: {len(pair.msi_bands)} of {pair.msi.count} band(s); ratio {pair.alignment.ratio:g}."
    )


def say_backend(kind: str, server: Mapping[str, Any], endpoint: str, progress: Progress) -> None:
    """Where the model runs, on which device, and why there."""
    ours = server.get("hsfusion") or {}
    reason = f" ({ours['device_reason']})" if ours.get("device_reason") else ""
    precision = f", network in {ours['precision']} ({ours['precision_reason']})" if ours.get("precision") else ""
    place = "this computer" if kind == "local" else endpoint
    progress.info(f"Backend: {kind}, {place}, device {ours.get('device', 'unknown')}{reason}{precision}.")


def say_model(name: str, card: Mapping[str, Any], sha256: str, steps: int, samples: int, progress: Progress) -> None:
    """The model, and what it is asked to do."""
    steps = steps or int(card.get("default_steps") or 1)
    wanted = f"mean of {samples} sample(s)" if samples else "mean estimate"
    progress.info(
        f"Model: {name}, {card.get('architecture', 'unknown architecture')}, sha256 {sha256[:12] or 'unknown'}; "
        f"{steps} step(s), {wanted}."
    )


def say_estimates(pair: Pair, estimates: Estimates, progress: Progress) -> None:
    """PSF, shift, noise and what the HSI does not explain, with where each comes from."""
    sampling, scene, (south, east) = estimates.sampling, estimates.scene, estimates.shift
    progress.info(
        f"PSF: FWHM {sampling.fwhm_x:.2f} x {sampling.fwhm_y:.2f} HSI pixels (columns x rows, {estimates.psf_source}); "
        f"shift: {east:.2f} east, {south:.2f} south MSI pixels ({estimates.shift_source})."
    )
    if said := displacement.sentence(estimates.geometry):
        progress.info(said)
    bands = ", ".join(
        f"{number + 1}: {gain:.3g}, {100 * share:.1f} %"
        for number, gain, share in zip(pair.msi_bands, scene.spectral_response.sum(axis=1), scene.unexplained)
    )
    total = "gain" if estimates.nominal else "sum of its response"
    progress.info(
        f"Subspace: {scene.subspace.components} components. MSI band: {total}, share not explained by the HSI: {bands}."
    )


def say_times(seconds: Mapping[str, float], pixels: int, progress: Progress) -> None:
    """Seconds per phase, and speed over the tiles."""
    parts = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    tiles = seconds.get("tiles", 0.0)
    speed = f"; {pixels / 1e6 / tiles:.2f} megapixels a second over the tiles" if tiles > 0 else ""
    progress.info(f"Time: {parts}, {math.fsum(seconds.values()):.1f} s in all{speed}.")


def say_calls(calls: CallTimes, tiles: float, progress: Progress) -> None:
    """How much of the tiles' time the network took, and the share of its pixels that are halo."""
    if calls.calls and calls.seconds > 0:
        progress.info(
            f"Network: {calls.calls} tile(s) sent, {100 * calls.halo_share:.0f} % of their pixels are halo; "
            f"{calls.seconds:.1f} s with the "
            f"network, and all of the tiles took {tiles / calls.seconds:.2f} times that."
        )


def _range(wavelengths: Any) -> str:
    return "" if wavelengths is None else f" ({min(wavelengths):.0f}-{max(wavelengths):.0f} nm)"
