"""hsfusion:fuse: the diffusion model in the backend, checked against the closed forms before the scene is worked on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np

from ....models.cards import beats_closed_forms
from ....models.scene.methods.names import UNSUPERVISED
from ....models.scene.model import COMPONENTS, SceneModel
from ....models.scene.reduced.guard import Verdict, decide
from ...backend.client.client import Client
from ...backend.local.session import backend_kind, coming_backend
from ...backend.settings import Settings
from ...errors import HSFusionError
from ..methods.card_line import card_line
from ..methods.choice import (
    beyond_training,
    check_model,
    chosen_name,
    is_closed_form,
    local_card,
    model_method,
    remote_card,
)
from ..methods.closed_form import CLOSED_FORMS, ClosedForm
from ..methods.draw import DIFFUSION, GAUSSIAN, check_method
from ..methods.kept_tiles import kept_tiles
from ..methods.method import Method
from ..pair.estimates import Estimates, estimate
from ..pair.pair import Pair
from ..request import FusionRequest, ModelRequest
from ..run.linear_algebra import one_thread
from ..run.progress import Progress
from .log import say_backend, say_estimates, say_model, say_pair, say_times
from .outputs import check_request
from .report import write_report
from .scene import Clock, fuse_scene, numbers
from .with_closed_form import fuse_classical
from .with_trained import fuse_trained

MOST_SPECTRA = 20_000  # of the HSI that are kept beside the estimates


def run(request: FusionRequest, progress: Progress) -> dict[str, Any]:
    """Fuse with `request.model`; returns the outputs by name. Raises HSFusionError, Cancelled.

    Where the guard finds a closed form better at reduced resolution, that is what OUTPUT holds, and USED_METHOD says
    so.
    """
    if is_closed_form(request.model) and not request.model_file:
        return _without_model(request, progress)
    if request.model in UNSUPERVISED and not request.model_file:
        _check_closed(request)
        return {"GUARD_GAIN": float("nan"), **fuse_trained(request, progress)}
    clock = Clock()
    check_request(request, progress)
    with prepared(request, progress, clock, request.guard) as fusion:
        pair, estimates, shipped, verdict = fusion.pair, fusion.estimates, fusion.method, fusion.verdict
        result = fuse_scene(pair, estimates, shipped, request, fusion.about, clock, progress.part(0.25, 1.0))
    say_times(clock.seconds, pair.alignment.output_pixels, progress)
    write_report(request, pair, estimates, result)
    return {
        "OUTPUT": request.output,
        "UNCERTAINTY": request.uncertainty,
        "QUALITY": request.quality,
        "ENSEMBLE": request.ensemble,
        "REPORT": request.report,
        "USED_METHOD": shipped.name,
        "GUARD_GAIN": verdict.gain if verdict and verdict.scores else float("nan"),
        **numbers(estimates, result.consistency),
    }


@dataclass(frozen=True)
class Fusion:
    """A pair that is ready to be fused tile by tile: the method that is shipped, what provenance says of it, what the
    guard found, and some spectra (N, L) of the HSI.
    """

    pair: Pair
    estimates: Estimates
    method: Any
    about: dict[str, Any]
    verdict: Verdict | None
    spectra: np.ndarray


@contextmanager
def prepared(
    request: ModelRequest, progress: Progress, clock: Clock | None = None, guard: bool = True
) -> Iterator[Fusion]:
    """Open and estimate the pair, start the backend where MODEL needs one, and let the guard choose. Raises
    HSFusionError, Cancelled.
    """
    clock = clock or Clock()
    pair = Pair.open(request, progress)
    say_pair(pair, progress)
    if is_closed_form(request.model) and not request.model_file:
        check_method(request.model, request.model in CLOSED_FORMS)
        with clock.phase("estimation"):
            estimates = estimate(pair, request, progress.part(0.02, 0.25))
        say_estimates(pair, estimates, progress)
        spectra = _some_spectra(estimates)
        yield Fusion(estimates.pair, estimates.without_blocks(), ClosedForm(request.model), {}, None, spectra)
        return
    with ExitStack() as stack:
        stack.enter_context(one_thread())
        components, arrived = stack.enter_context(_opened(request, pair, progress))
        with clock.phase("estimation"):
            estimates = estimate(pair, request, progress.part(0.02, 0.15), components)
        with clock.phase("waiting for the backend"):
            method, card, about = arrived()
        pair = estimates.pair
        if isinstance(request, FusionRequest):
            method = stack.enter_context(kept_tiles(method, request, about["model"]["sha256"], progress))
        method = method.fitted(estimates.blocks, estimates.scene)
        say_estimates(pair, estimates, progress)
        beyond = beyond_training(about["model"]["name"], card, estimates.fwhm, estimates.snr_db)
        for warning in beyond:
            progress.warn(warning)
        about["warnings"] = [*about["warnings"], *beyond]
        verdict = None
        if guard:
            with clock.phase("guard"):
                progress.phase("Checking at reduced resolution")
                known = estimates.scene, estimates.blocks
                checking, trusted = progress.part(0.15, 0.25), beats_closed_forms(card)
                verdict = decide(*known, method, pair.wavelengths, checking, trusted)
            progress.info(verdict.sentence(method.name))
        spectra = _some_spectra(estimates)
        estimates = estimates.without_blocks()
        shipped = _shipped(method, verdict, estimates.scene, request, progress)
        about = {**about, "method": shipped.name, "guard": _plain(verdict, method.name)}
        yield Fusion(pair, estimates, shipped, about, verdict, spectra)


def _some_spectra(estimates: Estimates) -> np.ndarray:
    """Spectra (N, L) of the HSI's valid pixels, spread evenly."""
    pixels = np.concatenate([block.y[:, block.y_mask > 0].T for block in estimates.blocks])
    return pixels[:: max(1, len(pixels) // MOST_SPECTRA)].astype(np.float32)


def _without_model(request: FusionRequest, progress: Progress) -> dict[str, Any]:
    """MODEL names a method that needs no weights: as `hsfusion:fuseclassical` does it, without a guard."""
    _check_closed(request)
    if request.ensemble:
        check_method(request.model, request.model in CLOSED_FORMS)
    return {"GUARD_GAIN": float("nan"), **fuse_classical(request, request.model, progress)}


def _check_closed(request: FusionRequest) -> None:
    """HSFusionError where something is asked for that a diffusion model alone gives."""
    if request.uncertainty:
        raise HSFusionError(
            f"UNCERTAINTY is known for a diffusion model only, and MODEL is {request.model}: leave UNCERTAINTY out."
        )
    if request.sampler not in ("auto", GAUSSIAN):
        raise HSFusionError(
            f"SAMPLER {request.sampler} needs a diffusion model, and MODEL is {request.model}: set SAMPLER to auto or "
            "gaussian."
        )


_Opened = tuple[Method, dict[str, Any], dict[str, Any]]  # with its card, what provenance says


@contextmanager
def _opened(request: ModelRequest, pair: Pair, progress: Progress) -> Iterator[tuple[int, Callable[[], _Opened]]]:
    """The model that MODEL names, with its backend on the way: how many components the scene is to have for it, and a
    call that waits for the backend and gives the method, its card, and what provenance says of both.
    """
    settings, name = Settings.read(), chosen_name(request.model, request.model_file)
    kind = backend_kind(settings, request.backend)
    if kind == "remote" and request.model_file:
        raise HSFusionError(
            "MODEL_FILE is for the local backend; a remote server runs its own models: name one of them as MODEL."
        )
    extra = [Path(request.model_file)] if request.model_file else []
    if kind == "local":
        card, sha256 = local_card(name, request.model_file, settings.model_places)
        bands, warnings = check_model(name, card, pair, request)
    progress.phase("Starting the backend")
    with coming_backend(settings, kind, progress, extra, name) as arrived:
        client: Client | None = None
        if kind == "remote":
            client = arrived()
            card, sha256 = remote_card(name, client.models(progress.cancelled), settings.model_places)
            client.pin(name, sha256)
            bands, warnings = check_model(name, card, pair, request)

        def method() -> _Opened:
            ready = client or arrived()
            if kind == "local":
                ready.models(progress.cancelled)
            say_backend(kind, ready.server(progress.cancelled), ready.endpoint, progress)
            averaged = request.samples if bands is not None or request.drawn_by == DIFFUSION else 0
            say_model(name, card, sha256, request.steps, averaged or int(bands is not None), progress)
            if isinstance(request, FusionRequest) and request.samples and not averaged and not request.ensemble:
                progress.info("SAMPLES is for ENSEMBLE: OUTPUT is the estimate that the members would scatter about.")
            line = card_line(card) if bands is not None else ""
            if line:
                progress.info(line)
            for warning in warnings:
                progress.warn(warning)
            about: dict[str, Any] = {
                "model": {"name": name, "sha256": sha256, "card": card.get("name"), "about": line},
                "backend": {"kind": kind, "endpoint": ready.endpoint},
                "warnings": warnings,
            }
            if bands is not None:
                about["bands_interpolated"] = bands.interpolated
            return model_method(name, card, bands, ready, request, progress), card, about

        yield COMPONENTS if bands is not None else int(card["components"]), method


def _shipped(
    method: Method, verdict: Verdict | None, scene: SceneModel, request: ModelRequest, progress: Progress
) -> Method:
    if verdict is None or verdict.shipped == method.name:
        return method
    if verdict.residual is None:
        band_std, known = (
            scene.denoised().expected_std(),
            "what the estimates expect to be left, which this small scene cannot check",
        )
    else:
        band_std, known = verdict.residual, f"the error of {verdict.shipped} at reduced resolution"
    if request.uncertainty:
        progress.warn(f"UNCERTAINTY is {known}, one number per band.")
    return ClosedForm(verdict.shipped, filters=True, band_std=band_std)


def _plain(verdict: Verdict | None, guarded: str) -> dict[str, Any]:
    """What the guard found, for provenance and report."""
    if verdict is None:
        return {"used": False}
    return {
        "used": True,
        "shipped": verdict.shipped,
        "gain_db": verdict.gain,
        "leads_db": verdict.leads,
        "rmse": verdict.scores,
        "sentence": verdict.sentence(guarded),
    }
