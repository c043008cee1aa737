"""How members of an ensemble are drawn around a method's result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....models.scene.model import SceneModel
from ....models.scene.posterior.error_law import TEMPERATURE, ErrorLaw
from ....models.scene.posterior.members import Members
from ...errors import HSFusionError
from .closed_form import CLOSED_FORMS
from .method import Method

GAUSSIAN, DIFFUSION = "gaussian", "diffusion"
FEWEST = 2  # members that have a spread


@dataclass(frozen=True)
class Draw:
    """`count` members by `sampler`; law: of the method's errors, which the Gaussian sampler draws from; members: None
    where the backend draws.
    """

    count: int
    sampler: str
    seed: int
    law: ErrorLaw
    members: Members | None

    @classmethod
    def of(cls, count: int, sampler: str, seed: int, method: Method, scene: SceneModel) -> Draw:
        """Around a closed form or a subspace model; HSFusionError where such an ensemble cannot be drawn."""
        check_method(method.name, method.in_coefficients)
        if count < FEWEST:
            raise HSFusionError(f"An ensemble needs {FEWEST} members or more: set SAMPLES to {FEWEST} or more.")
        if sampler == DIFFUSION and not method.remote:
            raise HSFusionError(
                f"SAMPLER diffusion needs a diffusion model, and {method.name} is used: set SAMPLER to gaussian or "
                "auto."
            )
        law = law_of(method, scene)
        fitted = scene.denoised() if method.filters else scene
        return cls(count, sampler, seed, law, Members(fitted, law, seed) if sampler == GAUSSIAN else None)

    def record(self) -> dict[str, Any]:
        """For provenance: what the members are, and how large and how wide their errors are taken to be."""
        about: dict[str, Any] = {"members": self.count, "sampler": self.sampler, "seed": self.seed}
        if self.members is not None:
            about["calibration"] = {"temperature": self.law.temperature, **correlation(self.law)}
        return about


def check_method(name: str, in_coefficients: bool) -> None:
    """HSFusionError where a method has no members."""
    if not in_coefficients:
        raise HSFusionError(
            f"{name} has no ensemble of its own: choose a subspace model such as hsfusion-base, or one of "
            f"{', '.join(CLOSED_FORMS)}."
        )


def law_of(method: Method, scene: SceneModel) -> ErrorLaw:
    """Of the errors that a method leaves."""
    kind = "model" if method.remote else method.name
    return ErrorLaw.of(scene.denoised() if method.filters else scene, TEMPERATURE[kind])


def correlation(law: ErrorLaw) -> dict[str, Any]:
    """Over which area errors hang together, so that the error of a mean can be told without an ensemble."""
    return {
        "correlation_length_px": law.correlation_length,
        "std_of_block_means": {f"{n}x{n}": round(share, 3) for n, share in law.block_shares().items()},
        "meaning": "the expected error of a mean over n x n pixels is this share of that of one pixel",
    }
