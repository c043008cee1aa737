"""The request to train a network on one scene alone: its pixels one scale down, and how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .adaptation import LONGEST_MINUTES
from .values import Malformed, Rules, plain, read

METHODS = ("spectral-mlp",)
MOST_PIXELS = 4_000_000
LEAST_PIXELS = 16


@dataclass(frozen=True)
class SceneTraining:
    """method: what is trained, of METHODS; minutes: how long at most."""

    method: str
    minutes: float
    seed: int = 0


@dataclass(frozen=True)
class SceneTrainingRequest:
    """training: of what and how long; low (N, l), spectra (N, L): standardised, float32."""

    training: SceneTraining
    low: np.ndarray
    spectra: np.ndarray

    def to_message(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Tensors, and what JSON can write."""
        return {"low": self.low, "spectra": self.spectra}, plain(self.training)

    @classmethod
    def from_message(cls, tensors: Mapping[str, np.ndarray], message: Mapping[str, Any]) -> SceneTrainingRequest:
        """The inverse of `to_message`; HSFusionError that names what is missing or malformed."""
        try:
            training = read(SceneTraining, dict(message), RULES)
            if set(tensors) != {"low", "spectra"}:
                raise Malformed("the tensors must be low and spectra.")
            low, spectra = (np.asarray(tensors[name]) for name in ("low", "spectra"))
            for name, image in (("low", low), ("spectra", spectra)):
                if image.ndim != 2 or image.dtype != np.float32 or not np.isfinite(image).all():
                    raise Malformed(f"{name} must be finite float32 of two axes.")
            if len(low) != len(spectra) or not LEAST_PIXELS <= len(low) <= MOST_PIXELS:
                raise Malformed(f"low and spectra must have the same {LEAST_PIXELS} to {MOST_PIXELS} pixels.")
        except Malformed as error:
            raise Malformed(
                f"The request to train on a scene is malformed ({str(error).rstrip('.')}): plugin and backend must be "
                "of the same version."
            ) from error
        return cls(training, low, spectra)


RULES = Rules(choices={"method": METHODS}, ranges={"minutes": (1e-3, LONGEST_MINUTES), "seed": (-(2**63), 2**63 - 1)})
