"""hsfusion:adapt: the weights of a model fine-tuned on the user's own pair, in the backend, and kept only where they
are better.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....models.cards import SUFFIX, check_weights
from ....models.scene.reduced.examples import coefficient_metric, reduced_examples
from ....models.wire.adaptation import AdaptationRequest, Facts, Training
from ...backend.client.adaptation import AdaptationJob
from ...backend.client.client import Client
from ...backend.local.session import backend_kind, open_backend
from ...backend.settings import Settings
from ...errors import HSFusionError
from ...rasters.writing.staging import check_outputs, staged
from ..fuse.log import say_backend, say_estimates, say_model, say_pair
from ..methods.choice import check_card, chosen_name, is_closed_form, local_card, remote_card
from ..pair.estimates import Estimates, estimate
from ..pair.pair import Pair
from ..request import ModelRequest
from ..run.progress import Progress, time_left
from .report import write_report

ASK_EVERY_S = 0.3
TELL_EVERY_S = 15.0
MODE = "subspace"


@dataclass(frozen=True)
class AdaptRequest(ModelRequest):
    """The parameters of `hsfusion:adapt`: a pair, the model to start from, and where the adapted one goes."""

    output_model: str = ""
    minutes: float = 10.0
    report: str | None = None

    def left_out(self) -> tuple[str, ...]:
        return ("extent", "consistency", "steps", "samples", "seed", "interpolate_bands", "uncertainty")


@dataclass(frozen=True)
class Parent:
    """The model that is adapted, behind the client of its backend."""

    name: str
    sha256: str
    card: Mapping[str, Any]
    kind: str
    client: Client


def run(request: AdaptRequest, progress: Progress) -> dict[str, Any]:
    """Adapt; returns the outputs by name, OUTPUT_MODEL only if the adapted weights are better on parts they never saw.

    Raises HSFusionError, Cancelled.
    """
    _check_outputs(request)
    pair = Pair.open(request, progress)
    say_pair(pair, progress)
    with _opened(request, pair, progress) as parent:
        estimates = estimate(pair, request, progress.part(0.02, 0.1), int(parent.card["components"]))
        pair = estimates.pair
        say_estimates(pair, estimates, progress)
        examples = _examples(request, pair, estimates, parent.name, progress)
        with AdaptationJob(parent.client, parent.name) as job:
            progress.phase("Adapting")
            job.start(examples, progress.cancelled)
            facts = _followed(job, request.minutes, progress.part(0.12, 0.99))
            if facts.better:
                _write(request.output_model, job.model(progress.cancelled))
    sentence = _verdict(request, parent, facts)
    (progress.info if facts.better else progress.warn)(sentence)
    write_report(request, pair, estimates, parent, facts, sentence)
    outputs = {"VALIDATION_GAIN": facts.validation_gain, "REPORT": request.report}
    return {**outputs, "OUTPUT_MODEL": request.output_model} if facts.better else outputs


def _check_outputs(request: AdaptRequest) -> None:
    if Path(request.output_model).suffix != SUFFIX:
        raise HSFusionError(f"OUTPUT_MODEL is {request.output_model}: end its name in {SUFFIX}.")
    inputs = (request.hsi, request.msi, request.mask, request.srf_file, request.model_file)
    check_outputs({"OUTPUT_MODEL": request.output_model, "REPORT": request.report}, inputs)


@contextlib.contextmanager
def _opened(request: AdaptRequest, pair: Pair, progress: Progress) -> Iterator[Parent]:
    """The model to adapt, checked, with its backend running."""
    if is_closed_form(request.model) and not request.model_file:
        raise HSFusionError(f"MODEL is {request.model}, which has no weights to adapt: choose an installed model.")
    settings, name = Settings.read(), chosen_name(request.model, request.model_file)
    kind = backend_kind(settings, request.backend)
    if kind == "remote" and request.model_file:
        raise HSFusionError(
            "MODEL_FILE is for the local backend; a remote server adapts its own models: name one of them as MODEL."
        )
    if kind == "local":
        card, sha256 = local_card(name, request.model_file, settings.model_places)
        warnings = _checked(name, card, pair)
    progress.phase("Starting the backend")
    extra = [Path(request.model_file)] if request.model_file else []
    with open_backend(settings, kind, progress, extra) as client:
        models = client.models(progress.cancelled)
        if kind == "remote":
            card, sha256 = remote_card(name, models, settings.model_places)
            client.pin(name, sha256)
            warnings = _checked(name, card, pair)
        say_backend(kind, client.server(progress.cancelled), client.endpoint, progress)
        say_model(name, card, sha256, 0, 0, progress)
        for warning in warnings:
            progress.warn(warning)
        yield Parent(name, sha256, card, kind, client)


def _checked(name: str, card: Mapping[str, Any], pair: Pair) -> list[str]:
    if card.get("spectral_mode") != MODE:
        raise HSFusionError(
            f"The model {name} works on the full spectra of one sensor, and only models of a spectral subspace can be "
            "adapted: choose hsfusion-base."
        )
    return check_card(name, card, pair)


def _examples(
    request: AdaptRequest, pair: Pair, estimates: Estimates, parent: str, progress: Progress
) -> AdaptationRequest:
    """What the job is given: the scene one scale down."""
    progress.phase("Preparing the pair at reduced resolution")
    examples, judged = reduced_examples(
        estimates.blocks, estimates.scene, estimates.sampling, pair.wavelengths, listener=progress
    )
    gram, noise = coefficient_metric(estimates.scene)
    sampling = estimates.sampling
    about = {
        "hsi": Path(request.hsi).name,
        "msi": Path(request.msi).name,
        "hsi_bands": len(pair.hsi_bands),
        "msi_bands": len(pair.msi_bands),
        "ratio": float(sampling.ratio),
        "psf_fwhm": [float(sampling.fwhm_y), float(sampling.fwhm_x)],
        "hsi_pixels": list(pair.alignment.coarse_shape),
    }
    name = Path(request.output_model).stem
    return AdaptationRequest(Training(parent, name, judged, gram, noise, request.minutes), examples, about)


def _followed(job: AdaptationJob, minutes: float, progress: Progress) -> Facts:
    """Ask until the job is done, and pass on how far it is; what it found."""
    told = time.monotonic()
    while True:
        facts = job.facts(progress.cancelled)
        if facts.state == "done":
            return facts
        progress.step(min(1.0, facts.seconds / (60 * minutes)))
        if time.monotonic() - told > TELL_EVERY_S and facts.loss is not None:
            told = time.monotonic()
            progress.info(
                f"Step {facts.step}, loss {facts.loss:.4f}, {facts.gain:+.2f} dB on parts that are held out, "
                f"{time_left(facts.seconds_left)}."
            )
        until = time.monotonic() + ASK_EVERY_S
        while time.monotonic() < until:
            progress.check()
            time.sleep(0.05)


def _write(path: str, content: bytes) -> None:
    """The model's file, whole or not at all; ModelError where it came damaged."""
    with staged(path, len(content), "OUTPUT_MODEL") as inside:
        inside.write_bytes(content)
        check_weights(inside)


def _verdict(request: AdaptRequest, parent: Parent, facts: Facts) -> str:
    gain, steps = facts.validation_gain, facts.step
    where = "on parts of the scene that were held out, at reduced resolution"
    if facts.better:
        return (
            f"After {steps} steps the adapted model is {gain:+.2f} dB against {parent.name} {where}: "
            f"{request.output_model} was written. "
            "It is a check at reduced resolution, no promise at full resolution."
        )
    return (
        f"After {steps} steps the adapted weights are not better than {parent.name} ({gain:+.2f} dB {where}): no model "
        "was written; "
        "give more MINUTES or a larger overlap, or use the model as it is."
    )
