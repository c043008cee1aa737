"""Scene adaptation: a short one on a made-up pair, what it learns from and what it keeps away from."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from hsfusion.models.cards import OBJECTIVE, check_weights, model_info
from hsfusion.models.errors import HSFusionError, RunCancelled
from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.runners.subspace import SubspaceRunner, build_network
from hsfusion.models.runners.weights import load_state, save_model
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.model import fit_scene
from hsfusion.models.scene.reduced.examples import coefficient_metric, reduced_examples
from hsfusion.models.scene.reduced.held_out import CHOOSE, TEST, TRAIN
from hsfusion.models.training.adaptation import training as module
from hsfusion.models.training.adaptation.request import adapt
from hsfusion.models.training.adaptation.training import Adaptation, Moment
from hsfusion.models.wire.adaptation import AdaptationRequest, Training
from hsfusion.models.wire.tile import TileRequest

torch.set_num_threads(1)
SETTINGS = {"components": 4, "width": 8, "depth": 1}
CARD = {
    "name": "small",
    "objective": OBJECTIVE,
    "architecture": "subspace-unet",
    "settings": SETTINGS,
    "spectral_mode": "subspace",
    "components": 4,
    "schedule": {"kind": "zero-terminal-cosine", "steps": 100},
    "default_steps": 1,
}


class Clock:
    """Time that passes by 0.02 s whenever somebody looks: so many steps, however busy the machine is."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 0.02
        return self.now


@pytest.fixture(scope="module")
def state():
    """A network that is wrong on purpose: there is something to gain."""
    torch.manual_seed(0)
    return {k: v + 0.1 * torch.randn_like(v) for k, v in build_network(SETTINGS).state_dict().items()}


@pytest.fixture(scope="module")
def problem(make_scene):
    """(examples, judged, gram, noise) of a pair of 48 x 48 HSI pixels, ratio 2."""
    truth, sampling = make_scene(10, 96, 96), Sampling(2, 1.0, 1.0)
    block = whole_block(Degradation.whole(sampling, (96, 96))(truth), truth[[2, 5, 8]])
    scene = fit_scene([block], sampling, 4)
    return (*reduced_examples([block], scene, sampling), *coefficient_metric(scene))


def asked(problem, minutes) -> AdaptationRequest:
    """An adaptation of `small` to the pair."""
    examples, judged, gram, noise = problem
    return AdaptationRequest(Training("small", "mine", judged, gram, noise, minutes), examples, {"hsi": "a.tif"})


def training_of(state, problem) -> Adaptation:
    """What a job makes of such a request."""
    request = asked(problem, 1.0)
    return Adaptation(CARD, state, request.blocks, request.training)


def message(problem, **changes):
    """Tensors and parameters as they travel."""
    tensors, plain = asked(problem, 0.03).to_message()
    return tensors, {**json.loads(json.dumps(plain)), **changes}


def test_a_wrong_network_becomes_better_where_it_was_not_trained(problem, state, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEARNING_RATE", 1e-3)  # far to go in a few steps
    monkeypatch.setattr(module, "time", Clock())
    save_model(tmp_path / "small.safetensors", state, CARD)
    moments: list[Moment] = []
    request = AdaptationRequest.from_message(*message(problem))
    outcome, file = adapt(request, model_info(tmp_path / "small.safetensors"), "cpu", moments.append, lambda: False)
    assert outcome.gain > 0.2 and outcome.choosing > 0.2
    assert 1.7 < outcome.seconds < 3 and len(moments) == outcome.steps and moments[-1].loss < moments[0].loss
    adapted = tmp_path / "mine.safetensors"
    adapted.write_bytes(file)
    assert check_weights(adapted)
    card = model_info(adapted).card
    assert card["name"] == "mine" and card["settings"] == SETTINGS
    story = card["adaptation"]
    assert story["parent"] == {"name": "small", "sha256": model_info(tmp_path / "small.safetensors").sha256}
    assert story["pair"] == {"hsi": "a.tif"} and story["validation_gain_db"] == round(outcome.gain, 3)
    training = training_of(load_state(adapted), problem)
    before, after = training.errors(state), training.errors(load_state(adapted))
    assert module.decibel(before[TEST], after[TEST]) == pytest.approx(outcome.gain, abs=1e-3)


def test_no_gain_no_file(problem, tmp_path, monkeypatch):
    """A network that says nothing leaves the closed forms as they are; a learning rate that destroys can only make it
    worse.
    """
    monkeypatch.setattr(module, "LEARNING_RATE", 0.5)
    monkeypatch.setattr(module, "time", Clock())
    save_model(tmp_path / "small.safetensors", build_network(SETTINGS).state_dict(), CARD)
    request = AdaptationRequest.from_message(*message(problem, minutes=0.02))
    outcome, file = adapt(request, model_info(tmp_path / "small.safetensors"), "cpu", lambda m: None, lambda: False)
    assert file is None and min(outcome.gain, outcome.choosing) <= 0


def test_held_out_truth_teaches_nothing(problem, state):
    """Truth that is changed outside the training cells changes no gradient; inside it does."""
    examples, judged, gram, noise = problem

    def gradient(change):
        changed = [replace(e, truth=np.where(change(e.roles), e.truth + 5, e.truth)) for e in examples]
        training = training_of(state, (changed, judged, gram, noise))
        training._loss().backward()
        return torch.cat([p.grad.ravel() for p in training.runner.network.parameters() if p.grad is not None])

    untouched = gradient(lambda roles: roles > 99)
    assert untouched.abs().sum() > 0
    torch.testing.assert_close(gradient(lambda roles: roles != TRAIN), untouched, rtol=0, atol=0)
    assert not torch.allclose(gradient(lambda roles: roles == TRAIN), untouched)


@pytest.mark.parametrize("agreement", [1.0, 0.6])
def test_it_trains_what_the_runner_computes(problem, state, agreement):
    """The errors that weights are chosen by are those of the runner's own result on the reduced block, however well
    both images agree.
    """
    examples, judged, gram, noise = problem
    examples = [replace(e, model=replace(e.model, agreement=agreement)) for e in examples]
    (tensors, _), block = message((examples, judged, gram, noise)), examples[0]
    request = TileRequest(block.model, block.place, block.place.fine)
    runner = SubspaceRunner(CARD, state)
    x = runner({name: tensors[f"0.{name}"] for name in ("y", "z", "y_mask", "z_mask")}, request)["x"][0]
    apart = x - block.truth
    square = np.einsum("khw,kj,jhw->hw", apart, gram, apart)
    errors = training_of(state, (examples, judged, gram, 0.0)).errors(state)
    for role in (CHOOSE, TEST):
        assert errors[role] == pytest.approx(np.sqrt(square[block.roles == role].mean()), rel=1e-4)


def test_a_mirrored_block_is_a_block_of_its_own(problem, state, make_scene):
    """Closed forms of a flipped block are the flipped closed forms: the operators know no left and right."""
    training = training_of(state, problem)
    prepared = training.blocks[0]
    for rows, cols, axes in ((True, False, (1,)), (True, True, (1, 2))):
        other = prepared.flipped(rows, cols)
        torch.testing.assert_close(other.forms.map, torch.flip(prepared.forms.map, axes), rtol=1e-3, atol=1e-3)
        assert other.flipped(False, False) is prepared and other.truth is not prepared.truth


def test_a_cancel_is_heard(problem, state):
    training, began = training_of(state, problem), time.monotonic()
    with pytest.raises(RunCancelled):
        training.run(60, lambda m: None, lambda: time.monotonic() > began + 1)
    assert time.monotonic() - began < 3


def test_what_cannot_be_is_said(problem, tmp_path):
    tensors, plain = message(problem)
    for broken in (
        lambda: AdaptationRequest.from_message(tensors, {**plain, "blocks": [{}]}),
        lambda: AdaptationRequest.from_message({**tensors, "0.truth": tensors["0.y"]}, plain),
        lambda: AdaptationRequest.from_message(tensors, {**plain, "minutes": 0}),
    ):
        with pytest.raises(HSFusionError, match="adaptation"):
            broken()
    save_model(
        tmp_path / "ddrf.safetensors",
        {},
        {**CARD, "spectral_mode": "full-band", "bands": 8, "msi_bands": 3, "window": 32, "overlap": 8},
    )
    with pytest.raises(HSFusionError, match="only models in mode 'subspace' can be adapted"):
        adapt(
            AdaptationRequest.from_message(tensors, plain),
            model_info(tmp_path / "ddrf.safetensors"),
            "cpu",
            print,
            bool,
        )
