"""An adaptation as it travels: from the tensors and parameters of a request to training, and to the adapted model's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from ...cards import ModelInfo
from ...errors import HSFusionError
from ...runners.weights import load_state, model_bytes
from ...scene.methods.subspace import Place
from ...scene.model import CoefficientModel
from ...scene.reduced.examples import IMAGES, Reduced
from ...version import VERSION
from .training import Adaptation, Moment, Outcome

MODE = "subspace"


@dataclass(frozen=True)
class AdaptationRequest:
    """model: the parent's name; name: the adapted model's; about: what the card shall say of the pair; the rest as `Adaptation` wants it."""

    model: str
    name: str
    blocks: list[Reduced]
    judged: int
    gram: np.ndarray
    noise: float
    minutes: float
    seed: int
    about: dict[str, Any]

    @classmethod
    def from_message(cls, tensors: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> AdaptationRequest:
        """Tensors `0.y`, `0.z`, ... of block 0 and so on; HSFusionError where something is missing or malformed."""
        try:
            blocks = [
                Reduced(
                    CoefficientModel.from_dict(block["model"]),
                    Place(*(range(*map(int, block["place"][n])) for n in Place.__dataclass_fields__)),
                    *(tensors[f"{number}.{name}"] for name in IMAGES),
                )
                for number, block in enumerate(plain["blocks"])
            ]
            request = cls(
                str(plain["model"]),
                str(plain["name"]),
                blocks,
                int(plain["judged"]),
                np.asarray(plain["gram"], np.float64),
                float(plain["noise"]),
                float(plain["minutes"]),
                int(plain.get("seed", 0)),
                dict(plain.get("about") or {}),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise HSFusionError(
                f"The request of an adaptation is malformed ({error!r}): plugin and backend must be of the same version."
            ) from error
        request.check()
        return request

    def check(self) -> None:
        """HSFusionError where shapes do not belong together."""
        components = len(self.gram)
        for block in self.blocks:
            place = block.place
            fine, coarse = (
                (len(place.fine_rows), len(place.fine_cols)),
                (len(place.coarse_rows), len(place.coarse_cols)),
            )
            wanted = {
                "y": (components, *coarse),
                "z": (len(block.model.z_std), *fine),
                "y_mask": coarse,
                "z_mask": fine,
                "truth": (components, *fine),
                "roles": fine,
            }
            for name, shape in wanted.items():
                if getattr(block, name).shape != shape:
                    raise HSFusionError(
                        f"The adaptation's tensor {name} must have the shape {shape}, but it is {getattr(block, name).shape}."
                    )
        if not (self.blocks and 0 < self.judged <= len(self.blocks) and self.minutes > 0):
            raise HSFusionError("The adaptation needs at least one block, blocks to be judged by, and some minutes.")


def adapt(
    request: AdaptationRequest,
    parent: ModelInfo,
    device: str,
    report: Callable[[Moment], None],
    cancelled: Callable[[], bool],
) -> tuple[Outcome, bytes | None]:
    """Train; the outcome and, if the adapted weights are better on cells that nothing was chosen by, the new model's file."""
    if parent.card.get("spectral_mode") != MODE:
        raise HSFusionError(
            f"The model {parent.name} works in mode '{parent.card.get('spectral_mode')}', and only models in mode '{MODE}' can be adapted."
        )
    training = Adaptation(
        parent.card,
        load_state(parent.path),
        request.blocks,
        request.judged,
        request.gram,
        request.noise,
        device,
        request.seed,
    )
    outcome = training.run(60 * request.minutes, report, cancelled)
    if not is_better(outcome):
        return outcome, None
    return outcome, model_bytes(outcome.state, adapted_card(request, parent, outcome))


def is_better(outcome: Outcome) -> bool:
    """Whether the adapted weights gained on both sets of held-out cells."""
    return outcome.gain > 0 and outcome.choosing > 0


def adapted_card(request: AdaptationRequest, parent: ModelInfo, outcome: Outcome) -> dict[str, Any]:
    """The parent's card, completed by what was done; its held-out scores stay those of the parent, and say so."""
    card = {**parent.card, "name": request.name, "code_version": VERSION}
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
