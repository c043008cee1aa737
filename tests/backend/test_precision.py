"""bfloat16 is used where the processor is made for it and nothing is lost; tiles agree in it too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hsfusion.models.runners import engine as engine_module
from hsfusion.models.runners import precision
from hsfusion.models.runners.engine import Engine
from hsfusion.models.runners.precision import (
    BFLOAT16,
    FLOAT32,
    LARGEST_LOSS_DB,
    has_amx,
    has_bfloat16,
    loss_db,
    made_up_tile,
    preferred,
)
from hsfusion.models.runners.subspace import SubspaceRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.scene.tiles.plan import plan_tiles
from hsfusion.models.scene.window import Window

MODEL = Path(__file__).resolve().parents[2] / "resources" / "models" / "hsfusion-base.safetensors"
pytestmark = pytest.mark.skipif(not MODEL.is_file(), reason="no weights")


@pytest.fixture(scope="module")
def runner() -> SubspaceRunner:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield SubspaceRunner(read_card(MODEL), load_state(MODEL))
    torch.set_num_threads(before)


def test_the_bundled_model_loses_nothing_in_bfloat16(runner):
    fast = runner.with_precision(BFLOAT16)
    assert (runner.precision, fast.precision) == (FLOAT32, BFLOAT16) and fast.network is runner.network
    assert loss_db(runner, fast, runner.components) <= LARGEST_LOSS_DB
    assert loss_db(runner, runner, runner.components) == 0.0


ONLY_AMX = pytest.mark.skipif(not has_amx(), reason="bfloat16 is used on processors with AMX alone")


@pytest.mark.parametrize("how", [FLOAT32, pytest.param(BFLOAT16, marks=ONLY_AMX)])
def test_a_tile_gives_the_whole_scenes_pixels_in_either_precision(runner, how):
    """With the bundled weights: to 1e-4 of the data range in float32, to 1e-3 in bfloat16."""
    chosen = runner.with_precision(how)
    tensors, request, truth, _ = made_up_tile(runner.components, 256)
    model = request.model
    whole = chosen(tensors, request)["x"][0]
    tile = plan_tiles(Window.whole((256, 256)), model, 64, 48, 8)[0]
    p = tile.place
    fine = np.s_[p.fine_rows.start : p.fine_rows.stop, p.fine_cols.start : p.fine_cols.stop]
    coarse = np.s_[p.coarse_rows.start : p.coarse_rows.stop, p.coarse_cols.start : p.coarse_cols.stop]
    assert p.fine_rows.stop < 256
    part = {
        "y": tensors["y"][(slice(None), *coarse)],
        "z": tensors["z"][(slice(None), *fine)],
        "y_mask": tensors["y_mask"][coarse],
        "z_mask": tensors["z_mask"][fine],
    }
    found = chosen(part, replace(request, place=p, core=Window.whole((64, 64))))["x"][0]
    weight = np.asarray(model.weight)[:, None, None]
    difference = np.abs(weight * (found - whole[:, :64, :64])).max() / np.ptp(weight * truth)
    assert difference < (1e-4 if how == FLOAT32 else 1e-3)


def test_the_processor_decides_and_not_the_clock(monkeypatch):
    monkeypatch.setattr(precision, "has_amx", lambda: True)
    assert preferred("auto", "cpu")[0] == BFLOAT16 and preferred("auto", "cuda:0")[0] == FLOAT32
    assert preferred(FLOAT32, "cpu") == (FLOAT32, "asked for")
    monkeypatch.setattr(precision, "has_amx", lambda: False)
    assert preferred("auto", "cpu")[0] == FLOAT32 and preferred(BFLOAT16, "cpu")[0] == BFLOAT16


def test_training_in_bfloat16_needs_a_processor_that_multiplies_in_it(monkeypatch):
    for flags, wanted in (("avx2 avx512_bf16", True), ("avx2 amx_bf16", True), ("avx2 avx512f", False), ("", False)):
        monkeypatch.setattr(precision, "_processor", lambda flags=flags: flags)
        assert has_bfloat16() is wanted


def test_a_model_that_bfloat16_harms_runs_in_float32(monkeypatch):
    engine = Engine([MODEL], "cpu", precision=BFLOAT16)
    assert engine._runner(engine.models()[0]).precision == BFLOAT16
    monkeypatch.setattr(engine_module, "loss_db", lambda *_: 0.03)
    engine = Engine([MODEL], "cpu", precision=BFLOAT16)
    assert engine._runner(engine.models()[0]).precision == FLOAT32
    assert engine.precision == FLOAT32 and "loses 0.03 dB" in engine.precision_reason
