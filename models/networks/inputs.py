"""What the subspace network sees of a tile: closed forms in units of the spread they are expected to leave, and a few
scalars.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..scene.methods.subspace import ClosedForms
from ..scene.model import CoefficientModel

CONDITION_NAMES = ("y_up", "detail", "misfit", "loc", "map", "laws", "mixtures", "mixtures_misfit")
SCALARS_PER_COMPONENT = 6
COMMON_SCALARS = 5
LIMIT = (
    12.0  # conditions are clipped here, in units of expected spread: one bright pixel must not blind a neighbourhood
)

# likewise of what the network is to find: beyond it neither its residual nor its expected error was ever taught
TARGET_LIMIT = 20.0


def condition_channels(components: int) -> int:
    """C of `conditions`."""
    return len(CONDITION_NAMES) * components


def scalar_count(components: int) -> int:
    """S of `scalars`."""
    return SCALARS_PER_COMPONENT * components + COMMON_SCALARS


def channel_of(name: str, components: int) -> int:
    """First channel of a condition."""
    return CONDITION_NAMES.index(name) * components


def target_scale(model: CoefficientModel, like: Tensor) -> Tensor:
    """Expected spread per component, shaped (K, 1, 1)."""
    return like.new_tensor(np.asarray(model.target_std))[:, None, None]


def conditions(
    forms: ClosedForms,
    model: CoefficientModel,
    dtype: torch.dtype = torch.float32,
    layout: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """(8K, H, W) from the closed forms of one tile (torch tensors), one after the other."""
    glp = forms.glp
    scale = target_scale(model, glp)
    parts: tuple[Callable[[], Tensor], ...] = (
        lambda: forms.y_up,
        lambda: glp - forms.y_up,
        lambda: 4.0 * forms.misfit / scale,
        lambda: (forms.loc - glp) / scale,
        lambda: (forms.map - glp) / scale,
        lambda: (forms.laws - glp) / scale,
        lambda: (forms.map_of_mixtures - glp) / scale,
        lambda: 4.0 * forms.mixtures_misfit / scale,
    )
    count, *size = glp.shape
    found = torch.empty(1, len(parts) * count, *size, dtype=dtype, device=glp.device, memory_format=layout)[0]
    for number, part in enumerate(parts):
        found[number * count : (number + 1) * count] = part().clamp(-LIMIT, LIMIT)
    return found


def scalars(model: CoefficientModel) -> np.ndarray:
    """(S,) float32: per component spread, noise against spread, scores of LOC and of the kernel, noise let through,
    misfit of the mixtures; ratio, PSF, the MSI's noise, bands.
    """
    s = model.sampling
    noise_through = np.sqrt((model.regression**2) @ (model.z_std**2))
    values = [
        0.5 * np.log(model.target_std),
        0.5 * np.log(model.y_std / model.target_std),
        model.loc_gain,
        model.kernel.gain,
        0.5 * np.log(noise_through / model.target_std + 1e-3),
        0.5 * np.log(model.unmixing.misfit_std / model.target_std + 1e-3),
        [
            np.log2(s.ratio) - 2.0,
            s.fwhm_y - 1.0,
            s.fwhm_x - 1.0,
            0.5 * np.log(np.mean(model.z_std)) + 2.0,
            np.log2(len(model.z_std)) - 2.0,
        ],
    ]
    return np.concatenate([np.asarray(v, np.float32) for v in values]).astype(np.float32)


def pad_components(model: CoefficientModel, components: int) -> CoefficientModel:
    """A scene with fewer bands than the network has components: the missing ones are empty, with unit scales."""
    missing = components - len(model.y_std)
    if missing <= 0:
        return model
    values: dict[str, Any] = dict(vars(model))
    for name, fill in (
        ("intercept", 0.0),
        ("y_std", 1.0),
        ("prior_std", 1.0),
        ("target_std", 1.0),
        ("loc_gain", 0.0),
        ("weight", 0.0),
    ):
        values[name] = np.concatenate([values[name], np.full(missing, fill)])
    values["regression"] = np.concatenate([model.regression, np.zeros((missing, model.regression.shape[1]))])
    kernel = model.kernel
    values["kernel"] = replace(
        kernel,
        weights=np.concatenate([kernel.weights, np.zeros((len(kernel.weights), missing))], axis=1),
        limit=np.concatenate([kernel.limit, np.zeros(missing)]),
        gain=np.concatenate([kernel.gain, np.zeros(missing)]),
    )
    slopes = model.slopes
    empty = np.zeros((*slopes.weights.shape[:2], missing))
    values["slopes"] = replace(slopes, weights=np.concatenate([slopes.weights, empty], axis=2))
    unmixing = model.unmixing
    values["unmixing"] = replace(
        unmixing,
        endmembers=np.concatenate([unmixing.endmembers, np.zeros((missing, unmixing.endmembers.shape[1]))]),
        origin=np.concatenate([unmixing.origin, np.zeros(missing)]),
        hsi=replace(
            unmixing.hsi, gain=np.concatenate([unmixing.hsi.gain, np.zeros((len(unmixing.hsi.gain), missing))], axis=1)
        ),
        misfit_std=np.concatenate([unmixing.misfit_std, np.zeros(missing)]),
    )
    values["response"] = np.concatenate([model.response, np.zeros((model.response.shape[0], missing))], axis=1)
    return CoefficientModel(**values)
