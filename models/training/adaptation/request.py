"""An adaptation as it was asked for: from its request to training, and to the adapted model's file."""

from __future__ import annotations

from typing import Any, Callable

from ...cards import ModelInfo
from ...errors import HSFusionError
from ...runners.weights import load_state, model_bytes
from ...version import VERSION
from ...wire.adaptation import AdaptationRequest
from .training import Adaptation, Moment, Outcome

MODE = "subspace"


def adapt(
    request: AdaptationRequest,
    parent: ModelInfo,
    device: str,
    report: Callable[[Moment], None],
    cancelled: Callable[[], bool],
) -> tuple[Outcome, bytes | None]:
    """Train; the outcome and, if the adapted weights are better on cells that nothing was chosen by, the new model's
    file.
    """
    if parent.card.get("spectral_mode") != MODE:
        raise HSFusionError(
            f"The model {parent.name} works in mode '{parent.card.get('spectral_mode')}', and only models in mode "
            f"'{MODE}' can be adapted."
        )
    asked = request.training
    training = Adaptation(parent.card, load_state(parent.path), request.blocks, asked, device)
    outcome = training.run(60 * asked.minutes, report, cancelled)
    if not is_better(outcome):
        return outcome, None
    return outcome, model_bytes(outcome.state, adapted_card(request, parent, outcome))


def is_better(outcome: Outcome) -> bool:
    """Whether the adapted weights gained on both sets of held-out cells."""
    return outcome.gain > 0 and outcome.choosing > 0


def adapted_card(request: AdaptationRequest, parent: ModelInfo, outcome: Outcome) -> dict[str, Any]:
    """The parent's card, completed by what was done; its held-out scores stay those of the parent, and say so."""
    card = {**parent.card, "name": request.training.name, "code_version": VERSION}
    card["adaptation"] = {
        "parent": {"name": parent.name, "sha256": parent.sha256},
        "pair": request.about,
        "protocol": "Wald: both images one scale down, the HSI as truth, cells held out",
        "minutes": round(outcome.seconds / 60, 2),
        "steps": outcome.steps,
        "validation_gain_db": round(outcome.gain, 3),
        "choosing_gain_db": round(outcome.choosing, 3),
        "scores_are_of": "parent",
        "earlier": parent.card.get("adaptation"),
    }
    if card["adaptation"]["earlier"] is None:
        del card["adaptation"]["earlier"]
    return card
