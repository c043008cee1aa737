"""The report of a scene adaptation, filled from what the run knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ....hsfusion_plugin import reports
from ....models.wire.adaptation import Facts
from ...reports.adaptation import AdaptationReport, write_adaptation_report
from ..fuse.report import _absolute, _estimates
from ..pair.estimates import Estimates
from ..pair.pair import Pair

if TYPE_CHECKING:
    from .job import AdaptRequest, Parent


def write_report(
    request: AdaptRequest, pair: Pair, estimates: Estimates, parent: Parent, facts: Facts, sentence: str
) -> None:
    """Write REPORT, where one is wanted."""
    if not request.report:
        return
    names = [Path(text).name for text in (request.hsi, request.msi)]
    result = Path(request.output_model).name if facts.better else "none, because nothing was gained"
    report = AdaptationReport(
        title="Adaptation of a model to a pair",
        summary=f"{parent.name} fine-tuned on {names[0]} and {names[1]}, reduced by the ratio so that the HSI is the known answer.",  # noqa: E501
        verdict=sentence,
        origin=reports.Origin(
            request.parameters(),
            reports.repeat_command("adapt", _absolute(request.parameters())),
            reports.software_versions(),
            {
                "parent": {"name": parent.name, "sha256": parent.sha256},
                "backend": {"kind": parent.kind, "endpoint": parent.client.endpoint},
            },
        ),
        numbers=(
            reports.Quantity(
                "Gain on the judging parts", facts.validation_gain, "dB", "nothing was trained on or chosen by these"
            ),
            reports.Quantity(
                "Gain on the choosing parts", facts.choosing_gain, "dB", "the best weights were picked by these"
            ),
            reports.Quantity("Steps", facts.step, "", f"in {facts.seconds:.0f} s"),
            reports.Quantity("Adapted model", result),
        ),
        estimates=_estimates(pair, estimates),
        history=[tuple(row) for row in facts.history],
        warnings=estimates.warnings,
    )
    write_adaptation_report(request.report, report)
