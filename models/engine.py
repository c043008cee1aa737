"""The engine: which models there are, the device they run on, and one call per tile. Server and scripts stand on it."""

from __future__ import annotations

import gc
import importlib
import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Callable

import numpy as np

from .cards import ModelInfo, find_model, find_models
from .errors import HSFusionError, RunCancelled

log = logging.getLogger("hsfusion.engine")

Tensors = dict[str, np.ndarray]
Runner = Callable[[Mapping[str, np.ndarray], Mapping[str, Any], Callable[[], bool]], Tensors]

RUNNERS: dict[str, str | Callable[..., Runner]] = {
    "subspace": ".fusion:SubspaceRunner",
    "full-band": ".full_band:FullBandRunner",
}
"""Spectral mode of a card -> runner class `(card, state_dict, device)`, by name so that nothing is imported before it is needed."""


class OutOfMemory(HSFusionError):
    """The tile does not fit into the device's memory."""


class ModelChanged(HSFusionError):
    """The model is no longer the one that the run began with."""


def choose_device(wanted: str = "auto") -> tuple[str, str]:
    """The torch device to use and, in words, why: `auto` takes the first CUDA device that works, else the CPU."""
    if wanted == "cpu":
        return "cpu", "asked for"
    import torch

    if wanted == "auto":
        return (
            ("cuda:0", torch.cuda.get_device_name(0)) if torch.cuda.is_available() else ("cpu", "no usable CUDA device")
        )
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise HSFusionError(
            f"The device '{wanted}' cannot be used ({str(error).splitlines()[0]}): set HSFUSION_DEVICE to auto, cpu or cuda:N."
        ) from error
    return wanted, "asked for"


class Engine:
    """Models in `places` (folders or files), run on `device` (`auto`, `cpu`, `cuda:N`); loads each model once."""

    def __init__(self, places: Iterable[Path], device: str = "auto") -> None:
        self.places = [Path(place) for place in places]
        self.device, self.device_reason = choose_device(device)
        self._runners: dict[str, tuple[str, Runner]] = {}
        self._lock = threading.Lock()

    def models(self) -> list[ModelInfo]:
        """The usable models; the others are named in the log."""
        models, broken = find_models(self.places)
        for error in broken:
            log.warning("%s", error)
        return models

    def infer(
        self,
        name: str,
        tensors: Mapping[str, np.ndarray],
        request: Mapping[str, Any],
        cancelled: Callable[[], bool] = lambda: False,
        expected_sha256: str = "",
    ) -> Tensors:
        """Run one tile through a model.

        Raises UnknownModel, ModelError, ModelChanged (the file is not `expected_sha256`), OutOfMemory, RunCancelled (when `cancelled()`
        turns true between two steps) or another HSFusionError of the runner.
        """
        model = find_model(name, self.places)
        if expected_sha256 and expected_sha256 != model.sha256:
            raise ModelChanged(f"The model '{name}' has been replaced since the run began: start the run again.")
        if cancelled():
            raise RunCancelled("The run was cancelled.")
        try:
            return self._runner(model)(tensors, request, cancelled)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the except block, so that the error's traceback no longer holds the tile's tensors.
        self._release()
        raise OutOfMemory(
            f"The backend ran out of memory on {self.device}: choose a smaller TILE_SIZE or close other programs."
        )

    def _runner(self, model: ModelInfo) -> Runner:
        with self._lock:
            kept = self._runners.get(model.name)
            if kept and kept[0] == model.sha256:
                return kept[1]
            make = runner_class(model)
            from .weights import load_state

            runner = make(model.card, load_state(model.path), self.device)
            self._runners[model.name] = (model.sha256, runner)
            log.info("loaded %s (%s) on %s", model.name, model.sha256[:12], self.device)
            return runner

    def _release(self) -> None:
        gc.collect()
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()


def runner_class(model: ModelInfo) -> Callable[..., Runner]:
    """The runner that the card's spectral mode asks for; HSFusionError if this version has none."""
    found = RUNNERS.get(model.card["spectral_mode"])
    if found is None:
        raise HSFusionError(
            f"The model '{model.name}' works in mode '{model.card['spectral_mode']}', which this version of HSFusion does not know: update HSFusion."
        )
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        return getattr(importlib.import_module(module, __package__), attribute)
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the CPU (torch raises a bare RuntimeError there) or on a GPU."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
        or "not enough memory" in text
    )
