"""The training loop: it learns, it resumes to the bit, and it stops before it spoils a checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hsfusion.models.errors import HSFusionError
from hsfusion.models.runners.weights import save_model
from hsfusion.models.training.subspace.config import Sensors, TrainingConfig
from hsfusion.models.training.subspace.loop import Trainer
from hsfusion.models.training.subspace.simulation import draw_chunk

CONFIG = TrainingConfig(
    "tiny", ("a",), components=3, width=8, depth=1, patch=16, batch=4, steps=14, warmup=4, draws_per_chunk=3, patches_per_draw=2, reuse=2.0,  # noqa: E501
    window=3, bf16=False, sensors=Sensors(ratios=(2,), msi_bands=(1, 3)),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Bits are promised for one number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scenes(make_scene) -> list[np.ndarray]:
    """One small scene."""
    return [make_scene(10, 48, 48, seed=1)]


@pytest.fixture
def trainer(scenes):
    """A function that makes trainers and ends their pools when the test ends."""
    made = []

    def make(config: TrainingConfig = CONFIG) -> Trainer:
        made.append(Trainer(config, scenes, workers=0))
        return made[-1]

    yield make
    for one in made:
        one.pool.close()


def run(trainer: Trainer, checkpoint, steps: int | None = None, minutes_between: float = 60.0) -> list[float]:
    """Train up to `steps` (or the end); the losses."""
    losses = []

    def report(progress) -> None:
        losses.append(progress.loss)
        if progress.step == steps:
            raise KeyboardInterrupt

    try:
        trainer.run(checkpoint, report, lambda step: None, minutes_between)
    except KeyboardInterrupt:
        trainer.save(checkpoint)
    return losses


@pytest.mark.parametrize("bf16", [False, True])
def test_interrupted_and_resumed_equals_uninterrupted(trainer, tmp_path, bf16):
    config = replace(CONFIG, bf16=bf16)
    whole, first, second = (trainer(config) for _ in range(3))
    run(whole, tmp_path / "whole.safetensors")
    run(first, tmp_path / "part.safetensors", steps=6)
    second.resume(tmp_path / "part.safetensors")
    assert second.step == 6
    run(second, tmp_path / "part.safetensors")
    assert whole.step == second.step == config.steps
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], second.average[name]), name
    states = [t.optimizer.state_dict()["state"] for t in (whole, second)]
    assert all(torch.equal(v, states[1][n][k]) for n, state in states[0].items() for k, v in state.items())


def test_averages_of_one_run_are_averaged(trainer, tmp_path):
    """With a copy of an earlier checkpoint of the same configuration, and of no other."""
    one, checkpoint = trainer(), tmp_path / "early.safetensors"
    run(one, checkpoint, steps=3)
    early = {name: value.clone() for name, value in one.average.items()}
    run(one, tmp_path / "late.safetensors")
    late = {name: value.clone() for name, value in one.average.items()}
    assert one.average_with([checkpoint]) == [3]
    for name, value in one.average.items():
        torch.testing.assert_close(value, (early[name] + late[name]) / 2)
    with pytest.raises(HSFusionError, match="another configuration"):
        trainer(replace(CONFIG, seed=1)).average_with([checkpoint])


def test_a_run_is_averaged_with_the_model_that_it_started_from(trainer, tmp_path):
    card = {
        "name": "m",
        "architecture": "none",
        "spectral_mode": "subspace",
        "components": 2,
        "settings": {},
        "schedule": {"kind": "zero-terminal-cosine", "steps": 100},
        "default_steps": 1,
    }
    one, model = trainer(), tmp_path / "model.safetensors"
    start = {name: value.clone() for name, value in one.average.items()}
    save_model(model, start, card)
    run(one, tmp_path / "late.safetensors")
    late = {name: value.clone() for name, value in one.average.items()}
    assert one.average_with([model]) == [0]
    for name, value in one.average.items():
        torch.testing.assert_close(value, (start[name] + late[name]) / 2)
    save_model(model, {"weight": torch.zeros(1)}, card)
    with pytest.raises(HSFusionError, match="belong to another network"):
        one.average_with([model])


def test_weights_of_another_objective_keep_what_they_see_and_say_nothing_yet(trainer, tmp_path):
    """The residual and the gates begin at zero, in both networks; the rest, the expected error with it, is as it was
    learnt.
    """
    learnt, fresh = trainer(), trainer(replace(CONFIG, seed=1))
    run(learnt, tmp_path / "learnt.safetensors")
    fresh.start_from(learnt.average)
    fresh.forget()
    rows = 4 * CONFIG.components
    for name, value in fresh.average.items():
        if ".head." in name and "norm" not in name:
            assert not value[:rows].any() and not value[2 * rows :].any(), name
            assert torch.equal(value[rows : 2 * rows], learnt.average[name][rows : 2 * rows]), name
        else:
            assert torch.equal(value, learnt.average[name]), name
        assert torch.equal(value, fresh.network.state_dict()[name]), name
    before = {name: value.clone() for name, value in fresh.average.items()}
    run(fresh, tmp_path / "fresh.safetensors")
    assert (fresh.average["first.head.weight"] != before["first.head.weight"]).any()


def test_another_seed_is_another_training(trainer, tmp_path):
    a, b = trainer(), trainer(replace(CONFIG, seed=1))
    run(a, tmp_path / "a", steps=2)
    run(b, tmp_path / "b", steps=2)
    assert not torch.equal(a.average["first.stem.weight"], b.average["first.stem.weight"])


def test_a_checkpoint_of_another_configuration_is_refused(trainer, tmp_path):
    run(trainer(), tmp_path / "one.safetensors", steps=1)
    with pytest.raises(HSFusionError, match="belongs to another configuration"):
        trainer(replace(CONFIG, learning_rate=2e-3)).resume(tmp_path / "one.safetensors")


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(trainer, tmp_path, monkeypatch, where):
    checkpoint, good = tmp_path / "good.safetensors", trainer()
    original = Trainer.loss

    def spoilt(self, patches, generator):
        loss = original(self, patches, generator)
        if self.step < 4:
            return loss
        if where == "loss":
            return loss * float("nan")
        return loss + 0.0 * torch.sqrt(
            0.0 * self.network.first.stem.weight.sum().abs()
        )  # finite, with an infinite slope

    monkeypatch.setattr(Trainer, "loss", spoilt)
    with pytest.raises(HSFusionError, match="no longer a number at step 4"):
        run(good, checkpoint, minutes_between=0.0)
    monkeypatch.undo()
    resumed = trainer()
    resumed.resume(checkpoint)
    assert resumed.step == 4
    assert all(torch.isfinite(v).all() for v in (*resumed.average.values(), *resumed.network.state_dict().values()))


def test_no_partial_checkpoint_is_left(trainer, tmp_path):
    run(trainer(), tmp_path / "tiny.checkpoint.safetensors", steps=2)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.checkpoint.safetensors"]


def test_validation_comes_at_every_tenth_and_at_the_end(trainer, tmp_path):
    config, seen = replace(CONFIG, steps=25), []
    trainer(config).run(tmp_path / "c", lambda progress: None, seen.append)
    assert seen == [*range(2, 25, 2), 25]


def test_the_learning_rate_warms_up_and_falls(trainer):
    one = trainer(replace(CONFIG, steps=100, warmup=10))
    rates = [one.learning_rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4) and max(rates) == pytest.approx(1e-3)
    assert np.argmax(rates) in (9, 10) and rates[-1] < 3e-5 and np.all(np.diff(rates[10:]) < 0)
    assert trainer(replace(CONFIG, warmup=0)).learning_rate(0) == pytest.approx(1e-3)


@pytest.mark.slow
def test_training_lowers_the_loss(trainer, tmp_path, make_scene):
    """On fixed patches and noise: a hundred steps lower the loss of what was never trained on, most of which data
    consistency takes away already.
    """
    config = replace(
        CONFIG, width=16, steps=100, batch=8, draws_per_chunk=8, window=6, reuse=8.0, learning_rate=3e-3, warmup=10
    )
    one, unseen = trainer(config), draw_chunk([make_scene(10, 48, 48, seed=9)], config, 0)

    def held_out_loss() -> float:
        with torch.inference_mode():
            return float(np.mean([float(one.loss(unseen, torch.Generator().manual_seed(n))) for n in range(4)]))

    before = held_out_loss()
    run(one, tmp_path / "c")
    assert held_out_loss() < 0.96 * before
