"""Training the published systems: each resumes to the bit, obeys its paper's schedule, and learns what it is
told to.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsfusion.models.errors import HSFusionError
from hsfusion.models.training.full_band.config import Stage
from hsfusion.models.training.full_band.loop import FullBandTrainer, build_full_band
from hsfusion.tests.backend.full_band_tiny import SETTINGS, make_trainer, same, tiny

torch.set_num_threads(1)


def run(trainer, checkpoint, steps: int | None = None) -> list[float]:
    """Train up to `steps` (or the end); the losses."""
    losses = []
    while trainer.step < (steps or trainer.config.steps):
        losses.append(trainer.train_step())
    trainer.save(checkpoint)
    return losses


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("ddpm-fus", {"objective": "eps", "loss": "l1", "schedule": {"kind": "linear", "steps": 100}, "bf16": True}),
        ("hsr-diff", {"loss": "three-term", "continuous_levels": True, "stages": (Stage(8, 4, 3), Stage(16, 2, 3))}),
        ("ddrf", {"settings": {**SETTINGS["ddrf"], "dropout": 0.3, "drop_path": 0.3}, "jitter": 0.1}),
        ("ddrf", {"regression": True}),
    ],
    ids=["eps, bf16", "three terms, progressive", "dropout and self-condition", "regression"],
)
def test_interrupted_and_resumed_equals_uninterrupted(make_scene, tmp_path, architecture, changes):
    config = tiny(architecture, **changes)
    whole, first, second = (make_trainer(make_scene, config) for _ in range(3))
    run(whole, tmp_path / "whole")
    run(first, tmp_path / "part", steps=4)
    second.resume(tmp_path / "part")
    assert second.step == 4 and second.seconds == first.seconds > 0
    run(second, tmp_path / "part")
    assert same(whole.network.state_dict(), second.network.state_dict()) and same(whole.average, second.average)


def test_only_the_second_half_learns_at_full_size(make_scene, tmp_path):
    config = tiny("hsr-diff", stages=(Stage(8, 2, 2), Stage(16, 1, 2, second_half_only=True)))
    trainer = make_trainer(make_scene, config)
    run(trainer, tmp_path / "c", steps=2)
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    run(trainer, tmp_path / "c")
    changed = {k for k, v in trainer.network.state_dict().items() if not torch.equal(v, before[k])}
    assert "layers.1.feed.out.weight" in changed and "sr_layers.1.feed.out.weight" in changed
    assert not {k for k in changed if k.startswith(("head", "sr_head", "layers.0", "sr_layers.0"))}


def test_cosine_cycles_restart_warm(make_scene):
    trainer = make_trainer(make_scene, tiny(stages=(Stage(16, 2, 200),), cycle=50, warmup=0, least_rate=0.1))
    rates = [trainer.learning_rate(step) for step in range(200)]
    assert rates[0] == rates[50] == rates[150] == pytest.approx(2e-3)
    assert rates[49] == pytest.approx(2e-4, rel=0.02) and rates[25] == pytest.approx(1.1e-3)
    steps = make_trainer(make_scene, tiny(stages=(Stage(16, 2, 200),), milestones=(50, 100), decay=0.2))
    assert [round(steps.learning_rate(s) / 2e-3, 6) for s in (49, 50, 100)] == [1, 0.2, 0.04]


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_optimiser_is_the_one_asked_for(make_scene, optimizer):
    found = type(make_trainer(make_scene, tiny(optimizer=optimizer)).optimizer)
    assert found is {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimizer]


def test_a_regression_sees_no_noise(make_scene):
    """Its loss depends on the patches alone, not on what noise was drawn."""
    trainer = make_trainer(make_scene, tiny(regression=True))
    batch = trainer.source.draw(np.random.default_rng(0), 2, 16)
    losses = [float(trainer.loss(batch, torch.Generator().manual_seed(n)).detach()) for n in (0, 1)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("objective", ["eps", "x0", "v"])
@pytest.mark.parametrize("loss", ["l1", "l2", "three-term"])
def test_every_objective_goes_with_every_loss(make_scene, objective, loss):
    trainer = make_trainer(make_scene, tiny("hsr-diff", objective=objective, loss=loss))
    assert trainer.train_step() > 0
    assert all(torch.isfinite(v).all() for v in trainer.network.state_dict().values())


def test_a_loss_that_is_no_number_stops(make_scene, tmp_path, monkeypatch):
    trainer = make_trainer(make_scene, tiny())
    run(trainer, tmp_path / "good", steps=2)
    monkeypatch.setattr(
        FullBandTrainer, "loss", lambda self, batch, generator: self.network.head.weight.sum() * float("nan")
    )
    with pytest.raises(HSFusionError, match="no longer a number at step 2"):
        trainer.train_step()
    monkeypatch.undo()
    resumed = make_trainer(make_scene, tiny())
    resumed.resume(tmp_path / "good")
    assert resumed.step == 2 and all(torch.isfinite(v).all() for v in resumed.average.values())


@pytest.mark.parametrize(
    ("architecture", "changes", "message"),
    [
        ("ddpm-fus", {"settings": {"layers": 3}}, "settings does not suit ddpm-fus"),
        ("ddrf", {"settings": {"width": 8}, "stages": (Stage(20, 2, 2),)}, r"stages\[0\].size must be a multiple of 8"),
        ("ddrf", {"stages": (Stage(16, 2, 2, second_half_only=True),)}, "only hsr-diff has two halves"),
    ],
    ids=["settings", "size", "halves"],
)
def test_a_network_that_cannot_be_is_named(architecture, changes, message):
    with pytest.raises(HSFusionError, match=message):
        build_full_band(tiny(architecture, **changes))
