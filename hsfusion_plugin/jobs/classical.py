"""hsfusion:fuseclassical: the closed forms, which need no backend and no weights."""

from __future__ import annotations

from typing import Any

from .estimation import estimate
from .fusion_report import write_report
from .methods import ClosedForm
from .outputs import check_outputs
from .pair import Pair
from .progress import Progress
from .request import FusionRequest
from .work import Clock, fuse_scene, numbers


def run(request: FusionRequest, progress: Progress) -> dict[str, Any]:
    """Fuse with `request.method`; returns the outputs by name. Raises HSFusionError, Cancelled."""
    clock = Clock()
    check_outputs(request)
    pair = Pair.open(request, progress)
    with clock.phase("estimation"):
        estimates = estimate(pair, request, progress.part(0.0, 0.2))
    method = ClosedForm(request.method)
    result = fuse_scene(pair, estimates, method, request, {"method": method.name}, clock, progress.part(0.2, 1.0))
    write_report("fuseclassical", request, pair, estimates, result, method.name, "", clock)
    return {
        "OUTPUT": request.output,
        "REPORT": request.report,
        "USED_METHOD": method.name,
        **numbers(estimates, result.consistency),
    }
