"""The engine: lazy runners, one load per model, errors in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsfusion.models import engine as engine_module
from hsfusion.models.cards import UnknownModel
from hsfusion.models.engine import Engine, ModelChanged, OutOfMemory, choose_device
from hsfusion.models.errors import HSFusionError, RunCancelled
from hsfusion.models.weights import save_model

CARD = {"name": "m", "architecture": "none", "spectral_mode": "fake"}


class Runner:
    made = 0

    def __init__(self, card, state, device):
        Runner.made += 1
        self.weight = state["weight"].numpy()

    def __call__(self, tensors, request, cancelled):
        if request.get("raise"):
            raise request["raise"]
        return {"x": tensors["y"] * self.weight}


@pytest.fixture
def engine(tmp_path, monkeypatch):
    Runner.made = 0
    monkeypatch.setitem(engine_module.RUNNERS, "fake", Runner)
    save_model(tmp_path / "m.safetensors", {"weight": torch.full((1,), 2.0)}, CARD)
    return Engine([tmp_path], "cpu")


def ask(engine, **request):
    return engine.infer("m", {"y": np.ones(1, np.float32)}, request)["x"][0]


def test_a_model_is_loaded_once_and_again_when_its_file_changes(engine, tmp_path):
    assert (ask(engine), ask(engine), Runner.made) == (2.0, 2.0, 1)
    before = engine.models()[0].sha256
    save_model(tmp_path / "m.safetensors", {"weight": torch.full((1,), 3.0)}, CARD)
    assert (ask(engine), Runner.made) == (3.0, 2)
    with pytest.raises(ModelChanged, match="has been replaced"):
        engine.infer("m", {}, {}, expected_sha256=before)


def test_errors(engine, tmp_path):
    for error in (
        MemoryError(),
        RuntimeError("CUDA out of memory."),
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
    ):
        with pytest.raises(OutOfMemory, match="ran out of memory on cpu"):
            ask(engine, **{"raise": error})
    with pytest.raises(RuntimeError, match="size mismatch"):
        ask(engine, **{"raise": RuntimeError("size mismatch")})
    with pytest.raises(UnknownModel):
        engine.infer("none", {}, {})
    with pytest.raises(RunCancelled):
        engine.infer("m", {}, {}, cancelled=lambda: True)
    save_model(tmp_path / "n.safetensors", {}, {**CARD, "spectral_mode": "of-the-future"})
    with pytest.raises(HSFusionError, match="of-the-future"):
        engine.infer("n", {}, {})


def test_the_runners_by_name_exist():
    import importlib

    for runner in engine_module.RUNNERS.values():
        if isinstance(runner, str):
            module, _, attribute = runner.partition(":")
            assert callable(getattr(importlib.import_module(module, "hsfusion.models"), attribute))


def test_devices():
    assert choose_device("cpu") == ("cpu", "asked for")
    assert choose_device("auto")[0] in ("cpu", "cuda:0")
    for wanted in ("cuda:99", "nonsense"):
        with pytest.raises(HSFusionError, match="cannot be used"):
            choose_device(wanted)
