"""The card that a full-band training run writes into its weights."""

from __future__ import annotations

from typing import Any

from ...version import VERSION
from ..fields import plain
from .config import FullBandConfig, Source


def make_full_band_card(config: FullBandConfig, steps: int, seconds: float, scores: dict[str, Any]) -> dict[str, Any]:
    """What a user and the backend need to know of these weights."""
    centres, _ = config.bands.nanometres("bands")
    msi_centres, _ = config.msi.nanometres("msi")
    ratio = float(config.observation.ratio)
    card = {
        "name": config.name,
        "architecture": config.architecture,
        "spectral_mode": "full-band",
        "settings": config.settings,
        "bands": len(centres),
        "msi_bands": len(msi_centres),
        "wavelengths": [round(float(v), 1) for v in centres],
        "msi_centres": [round(float(v), 1) for v in msi_centres],
        "ratios": [ratio, ratio],
        "psf": config.observation.psf,
        "fwhm": [float(config.observation.fwhm)] * 2,
        "window": config.window_size,
        "overlap": config.overlap,
        "objective": config.objective,
        "scale_input": config.sees_scaled_input,
        "residual": config.residual,
        "residual_scale": float(config.residual_scale),
        "schedule": config.level_schedule,
        "default_steps": 1 if config.regression else config.default_steps,
        "sampler": config.sampler,
        "upper_variance": config.upper_variance,
        "inference_schedule": {} if config.regression else config.inference_schedule,
        "clamp": list(config.clamp),
        "normalisation": {"kind": config.normalisation, "quantile": config.quantile},
        "tile_invariant": False,
        "training": {
            "scenes": [describe(source) for source in config.train],
            "split": {"test": [describe(source) for source in config.test]},
            "steps": steps,
            "seconds": round(seconds),
            "configuration": config.to_dict(),
        },
        "scores": scores,
        "licence": config.licence,
        "note": config.note,
        "code_version": VERSION,
    }
    if config.observation.noisy_share:
        card["snr_db"] = list(config.observation.noisy_snr)
    return plain(card)


def describe(source: Source) -> str:
    """A scene and the part of it that was used, in pixels."""
    parts = [f"{name} {part[0]}-{part[1]}" for name, part in (("rows", source.rows), ("cols", source.cols)) if part]
    return ", ".join([source.file, *parts])
