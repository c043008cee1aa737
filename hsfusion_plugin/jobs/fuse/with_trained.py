"""hsfusion:fuse with a method that is trained on the pair itself, in the backend, and then applied tile by tile."""

from __future__ import annotations

from typing import Any

from ...backend.local.session import backend_kind, open_backend
from ...backend.settings import Settings
from ...errors import HSFusionError
from ..methods.trained import Trained
from ..pair.estimates import estimate
from ..pair.pair import Pair
from ..request import FusionRequest
from ..run.progress import Progress
from .log import say_backend, say_estimates, say_pair, say_times
from .outputs import check_request
from .report import write_report
from .scene import Clock, fuse_scene, numbers


def fuse_trained(request: FusionRequest, progress: Progress) -> dict[str, Any]:
    """Fuse with `request.model` of UNSUPERVISED; returns the outputs by name. Raises HSFusionError, Cancelled."""
    if request.ensemble:
        raise HSFusionError(f"ENSEMBLE is not made by {request.model}: leave it out, or choose map or hsfusion-base.")
    clock = Clock()
    check_request(request, progress)
    pair = Pair.open(request, progress)
    say_pair(pair, progress)
    with clock.phase("estimation"):
        estimates = estimate(pair, request, progress.part(0.0, 0.15))
    pair = estimates.pair
    say_estimates(pair, estimates, progress)
    settings = Settings.read()
    kind = backend_kind(settings, request.backend)
    progress.phase("Starting the backend")
    with open_backend(settings, kind, progress) as client:
        say_backend(kind, client.server(progress.cancelled), client.endpoint, progress)
        progress.phase(f"Training {request.model} on the scene")
        with clock.phase("training"):
            method = Trained(request.model, client, request.minutes, progress.part(0.15, 0.7))
            method = method.fitted(estimates.blocks, estimates.scene)
        backend = {"kind": kind, "endpoint": client.endpoint}
    estimates = estimates.without_blocks()
    about = {"method": method.name, "backend": backend}
    result = fuse_scene(pair, estimates, method, request, about, clock, progress.part(0.7, 1.0))
    say_times(clock.seconds, pair.alignment.output_pixels, progress)
    write_report(request, pair, estimates, result)
    return {
        "OUTPUT": request.output,
        "QUALITY": request.quality,
        "REPORT": request.report,
        "USED_METHOD": method.name,
        **numbers(estimates, result.consistency),
    }
