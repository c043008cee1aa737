"""hsfusion:fuseclassical: closed forms and classical methods, which need no backend and no weights."""

from __future__ import annotations

from typing import Any

from ...errors import HSFusionError
from ..methods.classical import FULL_BAND, full_band_method
from ..methods.closed_form import CLOSED_FORMS, ClosedForm
from ..methods.method import Method
from ..pair.estimates import Estimates, estimate
from ..pair.pair import Pair
from ..request import FusionRequest
from ..run.progress import Progress
from .log import say_estimates, say_pair, say_times
from .outputs import check_request
from .report import write_report
from .scene import Clock, fuse_scene, numbers


def run(request: FusionRequest, progress: Progress) -> dict[str, Any]:
    """Fuse with `request.method`; returns the outputs by name. Raises HSFusionError, Cancelled."""
    return fuse_classical(request, request.method, progress)


def fuse_classical(request: FusionRequest, name: str, progress: Progress) -> dict[str, Any]:
    """Fuse with the method `name` of CLASSICAL, whichever algorithm asks for it."""
    clock = Clock()
    if request.denoise and name in FULL_BAND:
        raise HSFusionError(
            f"METHOD {name} works on the MSI as it is: switch DENOISE off, or choose one of {', '.join(CLOSED_FORMS)}."
        )
    check_request(request, progress)
    pair = Pair.open(request, progress)
    say_pair(pair, progress)
    with clock.phase("estimation"):
        estimates = estimate(pair, request, progress.part(0.0, 0.2))
    pair = estimates.pair
    say_estimates(pair, estimates, progress)
    method = _method(name, request.denoise, pair, estimates, progress.part(0.2, 0.7))
    estimates = estimates.without_blocks()
    result = fuse_scene(pair, estimates, method, request, {"method": method.name}, clock, progress.part(0.2, 1.0))
    say_times(clock.seconds, pair.alignment.output_pixels, progress)
    write_report(request, pair, estimates, result)
    return {
        "OUTPUT": request.output,
        "QUALITY": request.quality,
        **({"ENSEMBLE": request.ensemble} if request.ensemble else {}),
        "REPORT": request.report,
        "USED_METHOD": method.name,
        **numbers(estimates, result.consistency),
    }


def _method(name: str, denoise: bool, pair: Pair, estimates: Estimates, progress: Progress) -> Method:
    if name in FULL_BAND:
        return full_band_method(name, pair, estimates, progress)
    return ClosedForm(name, filters=denoise)
