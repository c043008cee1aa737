"""The engine under a server that is not ours (Triton, KServe): one call per request, whatever brought it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..cards import find_model
from ..runners.engine import Engine, Tensors
from ..wire import protocol
from ..wire.cost import LIMITS
from .memory import memory_of_a_tile

INPUTS = {"y": 3, "z": 3, "y_mask": 2, "z_mask": 2}  # name -> number of axes; all FP32, all sizes free


def outputs_of(card: Mapping[str, Any]) -> dict[str, int]:
    """Name -> number of axes of what a model gives: samples of coefficients, or spectra; `std` of a full-band model
    comes with two samples or more.
    """
    return {"x": 3 if card["spectral_mode"] == "full-band" else 4, "std": 3}


def answer(
    engine: Engine, name: str, tensors: Mapping[str, np.ndarray], parameters: Mapping[str, Any]
) -> tuple[Tensors, str]:
    """One tile: the output tensors and the sha256 of the model that made them.

    `parameters` are those of the request. A request that names another sha256 is refused, so that a client whose server
    cannot echo one still knows which model answered. Raises what `Engine.infer` raises, and ProtocolError.
    """
    model = find_model(name, engine.places)
    wanted = str(parameters.get("model_sha256") or "") or model.sha256
    request = engine.request(model, protocol.details(parameters))
    if hasattr(request, "cost"):
        request.cost(model.card).check({**LIMITS, "memory": memory_of_a_tile([engine])})
        request.check_tensors(tensors, model.card)
    return engine.infer(name, tensors, request, expected_sha256=wanted), wanted
