"""The request of a scene adaptation: the examples of a scene one scale down, and how long to train on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import HSFusionError
from ..scene.reduced.examples import IMAGES, Reduced
from ..scene.window import Place
from .places import PLACE, check_images
from .scene import model_from
from .values import LARGEST, Malformed, Rules, plain, read

MOST_BLOCKS = 256
LONGEST_MINUTES = 24 * 60.0


@dataclass(frozen=True)
class Training:
    """What an adaptation's message says beside its blocks.

    model: the parent's name; name: the adapted model's; judged: how many of the blocks, the first ones, judge the
    outcome; gram (K, K), noise: `coefficient_metric`.
    """

    model: str
    name: str
    judged: int
    gram: np.ndarray
    noise: float
    minutes: float
    seed: int = 0


@dataclass(frozen=True)
class Facts:
    """How far a job is: state is running, done, failed or cancelled; gains in dB; history: step, loss, gain, seconds of
    each look.

    better, validation_gain, choosing_gain and history come with a job that is done.
    """

    job: str
    state: str
    error: str = ""
    step: int = 0
    loss: float | None = None
    gain: float = 0.0
    seconds: float = 0.0
    seconds_left: float = 0.0
    better: bool = False
    validation_gain: float = 0.0
    choosing_gain: float = 0.0
    history: tuple[tuple[float, ...], ...] = ()

    def to_message(self) -> dict[str, Any]:
        """As JSON can write it."""
        return plain(self)

    @classmethod
    def from_message(cls, message: Any) -> Facts:
        """The inverse of `to_message`; Malformed where it is something else."""
        return read(cls, message, FACTS)


@dataclass(frozen=True)
class AdaptationRequest:
    """training: of what, how and how long; blocks: the examples; about: what the adapted model's card shall say of the
    pair.
    """

    training: Training
    blocks: list[Reduced]
    about: dict[str, Any] = field(default_factory=dict)

    def to_message(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Tensors `0.y`, `0.z`, ... of block 0 and so on, and what JSON can write."""
        tensors = {f"{n}.{name}": getattr(block, name) for n, block in enumerate(self.blocks) for name in IMAGES}
        blocks = [{"model": plain(block.model), "place": plain(block.place)} for block in self.blocks]
        return tensors, {**plain(self.training), "blocks": blocks, "about": plain(self.about)}

    @classmethod
    def from_message(cls, tensors: Mapping[str, np.ndarray], message: Mapping[str, Any]) -> AdaptationRequest:
        """The inverse of `to_message`; HSFusionError that names what is missing or malformed."""
        try:
            own = {name: value for name, value in message.items() if name not in ("blocks", "about")}
            training = read(Training, own, RULES)
            placed = message.get("blocks")
            if not (isinstance(placed, list) and 1 <= len(placed) <= MOST_BLOCKS):
                raise Malformed(f"blocks must be a list of 1 to {MOST_BLOCKS} objects.")
            blocks = [_block(block, number, tensors, len(training.gram)) for number, block in enumerate(placed)]
            if training.judged > len(blocks):
                raise Malformed("judged is more than there are blocks.")
            about = message.get("about") or {}
            if not isinstance(about, dict):
                raise Malformed("about must be an object.")
        except Malformed as error:
            raise Malformed(
                f"The request of an adaptation is malformed ({str(error).rstrip('.')}): plugin and backend must be of "
                "the same version."
            ) from error
        return cls(training, blocks, about)


def _block(value: Any, number: int, tensors: Mapping[str, np.ndarray], components: int) -> Reduced:
    if not isinstance(value, dict) or set(value) != {"model", "place"}:
        raise Malformed(f"blocks.{number} must be an object of model and place.")
    model = model_from(value["model"])
    place = read(_Placed, {"place": value["place"]}, PLACE).place
    if len(model.y_std) != components:
        raise Malformed(f"blocks.{number} has {len(model.y_std)} components and gram {components}.")
    fine, coarse = place.fine.shape, place.coarse.shape
    shapes = {
        "y": (components, *coarse),
        "z": (len(model.z_std), *fine),
        "y_mask": coarse,
        "z_mask": fine,
        "truth": (components, *fine),
        "roles": fine,
    }
    images = {name: tensors[f"{number}.{name}"] for name in IMAGES if f"{number}.{name}" in tensors}
    try:
        check_images({name: np.asarray(image) for name, image in images.items()}, shapes, integers=("roles",))
    except HSFusionError as error:
        raise Malformed(f"block {number}: {str(error).rstrip('.')}.") from error
    return Reduced(model, place, *(images[name] for name in IMAGES))


@dataclass(frozen=True)
class _Placed:
    place: Place


FACTS = Rules(choices={"state": ("running", "done", "failed", "cancelled")})
RULES = Rules(
    shapes={"gram": "K K"},
    sizes={"K": 256},
    ranges={
        "judged": (1, MOST_BLOCKS),
        "noise": (0.0, LARGEST),
        "minutes": (1e-3, LONGEST_MINUTES),
        "seed": (-(2**63), 2**63 - 1),
    },
)
