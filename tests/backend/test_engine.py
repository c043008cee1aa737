"""The engine: lazy runners, one load per model, errors in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsfusion.models.cards import UnknownModel
from hsfusion.models.errors import HSFusionError, RunCancelled
from hsfusion.models.runners import engine as engine_module
from hsfusion.models.runners.engine import Engine, ModelChanged, OutOfMemory, TileJob, choose_device, choose_devices
from hsfusion.models.runners.weights import save_model

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


def test_a_model_can_be_loaded_ahead(engine):
    engine.load("m")
    assert (Runner.made, ask(engine), Runner.made) == (1, 2.0, 1)
    with pytest.raises(UnknownModel, match="none"):
        engine.load("none")


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


class Together(Runner):
    """A runner whose device has room for two tiles."""

    sizes: list = []

    def many(self, tiles, cancelled):
        Together.sizes.append(len(tiles))
        if len(tiles) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return [self(tensors, request, cancelled) for tensors, request in tiles]


def test_a_batch_that_does_not_fit_is_halved_and_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(engine_module.RUNNERS, "fake", Together)
    Together.sizes = []
    save_model(tmp_path / "m.safetensors", {"weight": torch.full((1,), 2.0)}, CARD)
    engine, told = Engine([tmp_path], "cpu"), []
    engine.told = lambda event, model: told.append(event)
    sha256 = engine.models()[0].sha256
    jobs = [TileJob({"y": np.full(1, number, np.float32)}, {}) for number in range(5)]
    assert [float(done["x"][0]) for done in engine.infer_many("m", jobs, sha256)] == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert Together.sizes == [5, 3, 2, 2] and told.count("halved") == 2
    assert "a batch of 5 tiles does not fit into the memory of cpu: it is halved" in caplog.text
    bad = TileJob({"y": np.ones(1, np.float32)}, {"raise": HSFusionError("Not this one.")})
    gone = TileJob({"y": np.ones(1, np.float32)}, {}, lambda: True)
    good, refused = engine.infer_many("m", [jobs[1], bad], sha256)
    assert float(good["x"][0]) == 2.0 and str(refused) == "Not this one.", "one bad tile does not spoil the others"
    assert isinstance(engine.infer_many("m", [gone], sha256)[0], RunCancelled)
    changed = engine.infer_many("m", jobs[:2], "0" * 64)
    assert all(isinstance(outcome, ModelChanged) for outcome in changed)


def test_the_runners_by_name_exist():
    import importlib

    named = [runner for runner in engine_module.RUNNERS.values() if isinstance(runner, str)]
    assert named, "runners are named, and imported when one is needed"
    for runner in named:
        module, _, attribute = runner.partition(":")
        assert callable(getattr(importlib.import_module(module, "hsfusion.models.runners"), attribute))


def test_devices():
    assert choose_device("cpu") == ("cpu", "asked for")
    assert choose_device("auto")[0] in ("cpu", "cuda:0")
    for wanted in ("cuda:99", "nonsense", "cpu,nonsense"):
        with pytest.raises(HSFusionError, match="cannot be used"):
            choose_devices(wanted)
    assert choose_devices("cpu,cpu") == 2 * [("cpu", "asked for")], "one worker each"


def test_the_reason_of_falling_back_is_told(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    assert choose_device("auto") == (
        "cpu",
        f"fallen back to, because torch {torch.__version__} is built for the CPU only",
    )
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no GPU with a working driver" in choose_device("auto")[1]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU {number}")
    monkeypatch.setattr(engine_module, "_problem", lambda device: "no kernel image is available")
    assert choose_device("auto") == ("cpu", "fallen back to, because cuda:1 fails (no kernel image is available)")
    monkeypatch.setattr(engine_module, "_problem", lambda device: "")
    assert choose_devices("auto") == [("cuda:0", "GPU 0"), ("cuda:1", "GPU 1")]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_cuda_and_cpu_agree():
    from hsfusion.models.cards import find_model
    from hsfusion.models.server.main import BUNDLED_MODELS
    from hsfusion.tests.backend.test_fusion import Sampling, Scene

    random = np.random.default_rng(0)
    scene = Scene(
        random.normal(size=(12, 96, 96)).cumsum(axis=1).cumsum(axis=2).astype(np.float32), Sampling(4), [2, 6, 9]
    )
    model = find_model("hsfusion-base", [BUNDLED_MODELS])
    tile = scene.whole()
    results = [
        Engine([BUNDLED_MODELS], device).infer(model.name, scene.tensors(tile), scene.request(tile))
        for device in ("cpu", "cuda:0")
    ]
    assert scene.difference(results[0]["x"], results[1]["x"]) < 1e-3
