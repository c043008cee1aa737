"""What a message may say of a scene: the shapes and ranges of a `CoefficientModel` and of a `Sampling`."""

from __future__ import annotations

from math import comb
from typing import Any

from ..observation import Sampling
from ..scene.model import CoefficientModel
from .values import LARGEST, Malformed, Rules, plain, read

MOST_RATIO = 1000.0
MOST_FWHM = 100.0  # HSI pixels
FARTHEST = 2**40  # a pixel's absolute number
MOST_SHIFT = 1e6  # fine pixels
LEAST_STD = 1e-12

SAMPLING = Rules(
    ranges={
        "ratio": (1.0, MOST_RATIO),
        "fwhm_y": (1e-3, MOST_FWHM),
        "fwhm_x": (1e-3, MOST_FWHM),
        "shift_y": (-MOST_SHIFT, MOST_SHIFT),
        "shift_x": (-MOST_SHIFT, MOST_SHIFT),
        "displacement.scene_shape": (1, FARTHEST),
        "displacement.turn": (-180.0, 180.0),
        "displacement.scale": (0.1, 10.0),
        "displacement.field_y": (-MOST_SHIFT, MOST_SHIFT),
        "displacement.field_x": (-MOST_SHIFT, MOST_SHIFT),
    },
    choices={"psf": ("gaussian", "block-mean")},
)

_STD = (LEAST_STD, LARGEST)
MODEL = SAMPLING.under("sampling") | Rules(
    sizes={"K": 256, "l": 256, "m": 4096, "n": 100_000, "q": 64, "k": 256, "s": 257, "p": 512},
    shapes={
        "regression": "K l",
        "intercept": "K",
        "response": "l K",
        "offset": "l",
        "y_std": "K",
        "z_std": "l",
        "prior_std": "K",
        "target_std": "K",
        "loc_gain": "K",
        "weight": "K",
        "kernel.landmarks": "m l",
        "kernel.axes": "l q",
        "kernel.weights": "n K",
        "kernel.limit": "K",
        "kernel.gain": "K",
        "slopes.weights": "l s K",
        "slopes.least": "k",
        "slopes.most": "k",
        "unmixing.endmembers": "K p",
        "unmixing.origin": "K",
        "unmixing.misfit_std": "K",
        "unmixing.hsi.gain": "p K",
        "unmixing.hsi.constant": "p",
        "unmixing.hsi.gram": "p p",
        "unmixing.msi.gain": "p l",
        "unmixing.msi.constant": "p",
        "unmixing.msi.gram": "p p",
        "denoising.noise": "l",
        "denoising.axes": "l l",
        "denoising.removed": "l",
    },
    ranges={
        "scene_shape": (1, FARTHEST),
        "y_std": _STD,
        "z_std": _STD,
        "prior_std": _STD,
        "target_std": _STD,
        "loc_ridge": (0.0, LARGEST),
        "weight": (0.0, LARGEST),
        "kernel.width": (1e-9, LARGEST),
        "kernel.limit": (0.0, LARGEST),
        "denoising.noise": _STD,
        "denoising.removed": (0.0, LARGEST),
        "agreement": (0.0, 1.0),
    },
)


def sampling_from(value: Any) -> Sampling:
    """A sampling out of plain values; Malformed, or HSFusionError where no such sampling exists."""
    sampling = read(Sampling, value, SAMPLING)
    check_sampling(sampling)
    return sampling


def check_sampling(sampling: Sampling) -> None:
    """Malformed where the local field of a displacement is not as many cosines along one axis as along the other, the
    same in y and x.
    """
    moved = sampling.displacement
    if moved is None:
        return
    order = len(moved.field_y)
    if not order or any(
        len(field) != order or any(len(row) != order for row in field) for field in (moved.field_y, moved.field_x)
    ):
        raise Malformed("displacement.field_y and field_x must be square and of one size.")


def model_to_plain(model: CoefficientModel) -> dict[str, Any]:
    """A scene's model as JSON can write it."""
    return plain(model)


def model_from(value: Any) -> CoefficientModel:
    """A scene's model out of plain values; Malformed where it does not hang together."""
    model = read(CoefficientModel, value, MODEL)
    check_model(model)
    return model


def check_model(model: CoefficientModel) -> None:
    """Malformed where sizes do not belong together that have no letter in common."""
    check_sampling(model.sampling)
    along = model.kernel.axes.shape[1]
    if len(model.kernel.weights) != len(model.kernel.landmarks) + comb(along + 1, 2) + comb(along + 2, 3):
        raise Malformed("kernel.weights do not belong to kernel.landmarks and kernel.axes.")
    if model.slopes.weights.shape[1] != 1 + len(model.slopes.least) or len(model.slopes.least) > len(model.y_std):
        raise Malformed("slopes.weights do not belong to slopes.least.")
    removed = model.denoising.removed**2
    if (removed > model.z_std**2).any() or (model.regression**2 @ removed > model.target_std**2).any():
        raise Malformed("denoising.removed is more than the noise that there is.")
