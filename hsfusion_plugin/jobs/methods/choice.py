"""Which model a run uses, and whether its card covers the pair."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....models.cards import check_objective, find_model, model_files, model_info
from ....models.wire.full_band import SAMPLERS
from ...backend.client.client import Client
from ...errors import HSFusionError
from ..pair.pair import Pair
from ..request import ModelRequest
from ..run.progress import Progress
from .band_fit import BandFit, fit_bands
from .classical import CLASSICAL
from .full_band_model import FULL_BAND_MODE, Published
from .method import Method
from .subspace_model import Diffusion

AUTO = "hsfusion-base"

TOLD_FROM_IT = 1.02  # an estimated width cannot be told from one that is nearer


def is_closed_form(model: str) -> bool:
    """Whether MODEL names a method that needs no weights."""
    return model in CLASSICAL


def chosen_name(model: str, model_file: str | None) -> str:
    """The model's name: that of the file, where one is given, else MODEL with `auto` resolved."""
    if model_file:
        return Path(model_file).stem
    return AUTO if model == "auto" else model


def local_card(name: str, model_file: str | None, places: list[Path]) -> tuple[dict[str, Any], str]:
    """Card and sha256 of an installed model or a file; HSFusionError where it is missing, damaged or foreign."""
    info = model_info(Path(model_file)) if model_file else find_model(name, places)
    return info.card, info.sha256


def remote_card(name: str, models: list[Mapping[str, Any]], places: list[Path]) -> tuple[dict[str, Any], str]:
    """Card and sha256 from a server's list, or of the same model on this computer where the server (Triton, KServe)
    tells no cards.

    HSFusionError where the server has no such model, or where neither side has its card.
    """
    cards = {str(model["name"]): model.get("card") for model in models}
    if cards and name not in cards:
        raise HSFusionError(
            f"The server has no model '{name}' (it has: {', '.join(sorted(cards))}): choose one of these."
        )
    if cards.get(name):
        return dict(cards[name]), next(str(m.get("sha256") or "") for m in models if m["name"] == name)
    if name not in model_files(places):
        raise HSFusionError(
            f"The server does not tell the card of '{name}', as an HSFusion server does: copy the model's file to a "
            "model folder of this computer."
        )
    return local_card(name, None, places)


def check_model(
    name: str, card: Mapping[str, Any], pair: Pair, request: ModelRequest
) -> tuple[BandFit | None, list[str]]:
    """How the pair's bands become those of a full-band model (None for any other), and warnings; HSFusionError where
    the model cannot run on it.
    """
    full_band = card.get("spectral_mode") == FULL_BAND_MODE
    check_sampler(name, request.sampler, full_band)
    if not full_band:
        warnings = check_card(name, card, pair)
        if request.interpolate_bands:
            warnings.append(f"INTERPOLATE_BANDS changes nothing: {name} takes any bands as they are.")
        return None, warnings
    if request.uncertainty and request.samples < 2:
        raise HSFusionError(
            f"UNCERTAINTY of {name} is the spread of its samples: set SAMPLES to 2 or more, or leave UNCERTAINTY out."
        )
    return fit_bands(name, card, pair, request.interpolate_bands)


def check_sampler(name: str, sampler: str, full_band: bool) -> None:
    """HSFusionError where a model does not draw in the way that SAMPLER asks for."""
    if sampler == "auto" or (sampler in SAMPLERS) == full_band:
        return
    others = ", ".join(SAMPLERS) if full_band else "diffusion, gaussian"
    raise HSFusionError(f"The model {name} has no sampler {sampler}: set SAMPLER to auto, or to one of {others}.")


def model_method(
    name: str,
    card: Mapping[str, Any],
    bands: BandFit | None,
    client: Client,
    request: ModelRequest,
    progress: Progress,
) -> Method:
    """The model as a method of a job, behind the client of its backend; `bands` as `check_model` found them."""
    if bands is not None:
        return Published.of_card(card, bands, name, client, request, progress)
    return Diffusion.of_card(card, name, client, request, progress)


def check_card(name: str, card: Mapping[str, Any], pair: Pair) -> list[str]:
    """Warnings where the pair lies outside what the model has seen; HSFusionError where it cannot run on it at all."""
    if card.get("spectral_mode") != "subspace":
        raise HSFusionError(
            f"The model {name} works in mode '{card.get('spectral_mode')}', which this version of HSFusion does not "
            f"know: update HSFusion, or choose {AUTO}."
        )
    check_objective(card)
    ratio = pair.alignment.ratio
    low, high = card.get("ratios", [1.0, 1e9])
    if not low <= ratio <= high:
        raise HSFusionError(
            f"The model {name} is made for ratios {low:g} to {high:g} and this pair has {ratio:g}: choose another "
            "model, or a closed form such as average."
        )
    fewest, most = card.get("msi_bands", [1, 10**6])
    if not fewest <= len(pair.msi_bands) <= most:
        return [
            f"The model {name} was trained with {fewest} to {most} MSI bands and this pair has {len(pair.msi_bands)}."
        ]
    return []


def beyond_training(name: str, card: Mapping[str, Any], fwhm: tuple[float, float], snr_db: float) -> list[str]:
    """Warnings where what was estimated of the pair lies outside what the model has seen: FWHM (y, x) in HSI pixels,
    SNR of the HSI in dB.
    """
    warnings = []
    low, high = card.get("fwhm", [0.0, 1e9])
    outside = [width for width in fwhm if not low / TOLD_FROM_IT <= width <= high * TOLD_FROM_IT]
    if outside:
        warnings.append(
            f"The model {name} was trained for PSFs of {low:g} to {high:g} HSI pixels and this pair's is "
            f"{outside[0]:.2f} wide: "
            "trust the guard more than the model."
        )
    least = card.get("snr_db", [-1e9])[0]
    if snr_db < least:
        warnings.append(
            f"The model {name} was trained with an SNR of {least:g} dB and more and this HSI has about {snr_db:.0f} "
            "dB: trust the guard more than the model."
        )
    return warnings
