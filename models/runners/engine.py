"""The engine: which models there are, the device they run on, and one call per tile. Server and scripts stand on it."""

from __future__ import annotations

import gc
import importlib
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np

from ..cards import ModelError, ModelInfo, find_model, find_models
from ..errors import HSFusionError, RunCancelled
from ..heap import give_back
from ..listener import never
from .precision import BFLOAT16, FLOAT32, LARGEST_LOSS_DB, loss_db, preferred

log = logging.getLogger("hsfusion.engine")

Tensors = dict[str, np.ndarray]
Runner = Callable[[Mapping[str, np.ndarray], Any, Callable[[], bool]], Tensors]

RUNNERS: dict[str, str | Callable[..., Runner]] = {
    "subspace": ".subspace:SubspaceRunner",
    "full-band": ".full_band:FullBandRunner",
}
"""Spectral mode of a card -> runner class `(card, state_dict, device)`, by name so that nothing is imported before it
is needed.
"""


class OutOfMemory(HSFusionError):
    """The tile does not fit into the device's memory."""


class ModelChanged(HSFusionError):
    """The model is no longer the one that the run began with."""


def choose_device(wanted: str = "auto") -> tuple[str, str]:
    """The torch device to use and, in words, why: `auto` takes the first CUDA device that works, else the CPU."""
    return choose_devices(wanted)[0]


def choose_devices(wanted: str = "auto") -> list[tuple[str, str]]:
    """Device and reason for each worker: `auto` takes all CUDA devices that work, else the CPU; several may be named
    (`cuda:0,cuda:1`).

    HSFusionError where a device that was named cannot be used.
    """
    named = [part.strip() for part in wanted.split(",") if part.strip()] or ["auto"]
    if named == ["auto"]:
        found, why = _cuda_devices()
        return found or [("cpu", f"fallen back to, because {why}")]
    for device in named:
        problem = "" if device == "cpu" else _problem(device)
        if problem:
            raise HSFusionError(
                f"The device '{device}' cannot be used ({problem}): set HSFUSION_DEVICE to auto, cpu or cuda:N."
            )
    return [(device, "asked for") for device in named]


def _cuda_devices() -> tuple[list[tuple[str, str]], str]:
    """The CUDA devices that work with their names and, where there is none, why."""
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return [], f"torch {torch.__version__} is built for the CPU only"
    if not torch.cuda.is_available():
        return [], f"torch {torch.__version__} finds no GPU with a working driver"
    devices, why = [], "no CUDA device works"
    for number in range(torch.cuda.device_count()):
        problem = _problem(f"cuda:{number}")
        if problem:
            why = f"cuda:{number} fails ({problem})"
            log.warning("%s is left out: %s", f"cuda:{number}", problem)
        else:
            devices.append((f"cuda:{number}", torch.cuda.get_device_name(number)))
    return devices, why


def _problem(device: str) -> str:
    """Why a small calculation on the device fails; empty if it does not."""
    import torch

    try:
        number = float((torch.ones(8, device=device) * 2).sum().cpu())
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0].rstrip(".:") if str(error) else type(error).__name__
    return "" if number == 16.0 else "it calculates wrongly"


@dataclass(frozen=True)
class TileJob:
    """One tile of a batch; `cancelled()` turns true when nobody waits for it any more."""

    tensors: Mapping[str, np.ndarray]
    request: Any
    cancelled: Callable[[], bool] = never


class Engine:
    """Models in `places` (folders or files), run on `device` (`auto`, `cpu`, `cuda:N`); loads each model once.

    With a `reason` the device is taken as chosen. `told(event, model)` may be set to hear of `load` (a model was
    loaded) and `halved` (a batch did not fit into memory).
    """

    def __init__(self, places: Iterable[Path], device: str = "auto", reason: str = "", precision: str = "auto") -> None:
        self.places = [Path(place) for place in places]
        self.device, self.device_reason = (device, reason) if reason else choose_device(device)
        self.precision, self.precision_reason = preferred(precision, self.device)
        self.told: Callable[[str, str], None] = _unheard
        self._runners: dict[str, tuple[str, Runner]] = {}
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def models(self) -> list[ModelInfo]:
        """The usable models; the others are named in the log."""
        models, broken = find_models(self.places)
        for error in broken:
            if str(error) not in self._said:  # once, for lists of models are asked for often
                self._said.add(str(error))
                log.warning("%s", error)
        return models

    def load(self, name: str) -> None:
        """Make a model ready for its first tile; raises UnknownModel or ModelError."""
        self._runner(find_model(name, self.places))

    def request(self, model: ModelInfo, details: Mapping[str, Any]) -> Any:
        """What the model's runner makes of a request's details: checked, and able to say its `cost`; HSFusionError
        where they are malformed.
        """
        kind = getattr(runner_class(model), "Request", None)
        return details if kind is None else kind.from_message(details)

    def infer(
        self,
        name: str,
        tensors: Mapping[str, np.ndarray],
        request: Any,
        cancelled: Callable[[], bool] = never,
        expected_sha256: str = "",
    ) -> Tensors:
        """Run one tile through a model.

        Raises UnknownModel, ModelError, ModelChanged (the file is not `expected_sha256`), OutOfMemory, RunCancelled
        (when `cancelled()` turns true between two steps) or another HSFusionError of the runner.
        """
        model = find_model(name, self.places)
        if expected_sha256 and expected_sha256 != model.sha256:
            raise ModelChanged(f"The model '{name}' has been replaced since the run began: start the run again.")
        if cancelled():
            raise RunCancelled("The run was cancelled.")
        try:
            found = self._runner(model)(tensors, request, cancelled)
            give_back()  # or tiles of all sizes would leave holes, and the process would grow with their number
            return found
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the except block, so that the error's traceback no longer holds the tile's tensors.
        self._release()
        raise OutOfMemory(
            f"The backend ran out of memory on {self.device}: choose a smaller TILE_SIZE or close other programs."
        )

    def batches(self, model: ModelInfo) -> bool:
        """Whether the model's runner can work on several tiles together."""
        return hasattr(runner_class(model), "many")

    def infer_many(self, name: str, jobs: Sequence[TileJob], expected_sha256: str = "") -> list[Tensors | Exception]:
        """Tiles of equal shapes and options together: for each its tensors, or the exception that `infer` would have
        raised.

        A batch that does not fit into memory is halved, as often as need be; a single tile that does not is
        OutOfMemory.
        """
        if len(jobs) > 1:
            full = False
            try:
                model = find_model(name, self.places)
                if expected_sha256 == model.sha256:
                    every = [job.cancelled for job in jobs]
                    tiles = [(job.tensors, job.request) for job in jobs]
                    return self._runner(model).many(tiles, lambda: all(cancelled() for cancelled in every))
            except Exception as error:
                full = is_out_of_memory(error)
                log.info("a batch of %d tiles failed (%s: %s)", len(jobs), type(error).__name__, error)
            if full:
                self._release()
                self.told("halved", name)
                half = (len(jobs) + 1) // 2
                log.warning(
                    "a batch of %d tiles does not fit into the memory of %s: it is halved", len(jobs), self.device
                )
                return [
                    *self.infer_many(name, jobs[:half], expected_sha256),
                    *self.infer_many(name, jobs[half:], expected_sha256),
                ]
        outcomes: list[Tensors | Exception] = []
        for job in jobs:
            try:
                outcomes.append(self.infer(name, job.tensors, job.request, job.cancelled, expected_sha256))
            except Exception as error:
                outcomes.append(error)
        return outcomes

    def _runner(self, model: ModelInfo) -> Runner:
        with self._lock:
            kept = self._runners.get(model.name)
            if kept and kept[0] == model.sha256:
                return kept[1]
            make = runner_class(model)
            from .weights import load_state

            state = load_state(model.path)
            try:
                made = make(model.card, state, self.device)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise
                raise ModelError(
                    f"The card of the model '{model.name}' does not fit its weights ({type(error).__name__}: "
                    f"{' '.join(str(error).split())[:200]}): copy or download the model again."
                ) from error
            runner = self._in_precision(made, model.name)
            self._runners[model.name] = (model.sha256, runner)
            log.info("loaded %s (%s) on %s", model.name, model.sha256[:12], self.device)
            self.told("load", model.name)
            return runner

    def _in_precision(self, runner: Runner, name: str) -> Runner:
        """The runner in the engine's precision, if it has a choice and loses no accuracy by it on a tile with a known
        truth.
        """
        if self.precision != BFLOAT16 or not hasattr(runner, "with_precision"):
            return runner
        fast = runner.with_precision(BFLOAT16)
        try:
            loss = loss_db(runner, fast, runner.components)
        except RuntimeError as error:  # a processor or a torch without bfloat16
            log.warning("%s runs in float32: bfloat16 fails (%s)", name, str(error).splitlines()[0])
            loss = float("inf")
        if loss <= LARGEST_LOSS_DB:
            log.info("%s runs in bfloat16 (%s), %+.4f dB on a tile of known truth", name, self.precision_reason, -loss)
            return fast
        log.warning("%s runs in float32: bfloat16 loses %.3f dB", name, loss)
        self.precision, self.precision_reason = FLOAT32, f"bfloat16 loses {loss:.2g} dB with {name}"
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
            f"The model '{model.name}' works in mode '{model.card['spectral_mode']}', which this version of HSFusion "
            "does not know: update HSFusion."
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


def _unheard(event: str, model: str) -> None:
    """Nobody wants to know."""
