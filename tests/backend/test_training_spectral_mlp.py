"""Training of spectral-mlp: a law that no linear one follows is learnt, it ends when asked, and a server runs it."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from hsfusion.hsfusion_plugin.backend.client.adaptation import AdaptationJob
from hsfusion.hsfusion_plugin.backend.client.client import Client
from hsfusion.models.errors import RunCancelled
from hsfusion.models.scene.methods.spectral_mlp import Examples, PixelNetwork
from hsfusion.models.training.per_scene import spectral_mlp as training
from hsfusion.models.wire.scene_training import SceneTraining, SceneTrainingRequest
from hsfusion.tests.backend.test_server_adaptation import TOKEN, base, serve  # noqa: F401
from hsfusion.tests.backend.test_training_adaptation import state  # noqa: F401

RANDOM = np.random.default_rng(5)


def request(minutes: float, pixels: int = 600) -> SceneTrainingRequest:
    """Spectra that bend: sines of two bands."""
    low = RANDOM.normal(size=(pixels, 2)).astype(np.float32)
    spectra = np.stack([np.sin(2 * low[:, 0]), np.cos(low[:, 1] * low[:, 0]), low[:, 1]], axis=1).astype(np.float32)
    return SceneTrainingRequest(SceneTraining("spectral-mlp", minutes), low, spectra)


def never() -> bool:
    return False


def test_it_learns_what_a_linear_law_cannot(monkeypatch):
    monkeypatch.setattr(training, "MOST_STEPS", 250)
    moments = []
    outcome = training.train(request(2.0), "cpu", moments.append, never)
    assert outcome.gain > 5.0 and outcome.steps <= 250
    assert [m.step for m in moments] == sorted(m.step for m in moments) and moments[-1].gain == outcome.gain


def test_numpy_applies_what_torch_trained(monkeypatch):
    monkeypatch.setattr(training, "MOST_STEPS", 3)
    asked = request(1.0)
    outcome = training.train(asked, "cpu", lambda moment: None, never)
    network = training.network(2, 3)
    linear = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    for number, layer in enumerate(linear):
        layer.load_state_dict({name: outcome.state[f"{number}.{name}"] for name in ("weight", "bias")})
    layers = tuple(
        (outcome.state[f"{n}.weight"].numpy(), outcome.state[f"{n}.bias"].numpy()) for n in range(len(linear))
    )
    plain = PixelNetwork(layers, np.zeros(3, np.float32), np.ones(3, np.float32))
    with torch.no_grad():
        expected = network(torch.from_numpy(asked.low[:6])).numpy()
    np.testing.assert_allclose(plain(asked.low[:6].T[:, :, None])[:, :, 0].T, expected, atol=1e-5)


def test_it_ends_within_its_minutes_and_on_demand():
    began = time.monotonic()
    training.train(request(0.005), "cpu", lambda moment: None, never)
    assert time.monotonic() - began < 10
    with pytest.raises(RunCancelled):
        training.train(request(5.0), "cpu", lambda moment: None, lambda: True)


def test_a_server_trains_it(base):  # noqa: F811
    asked = request(0.03)
    client = Client(base, TOKEN)
    with AdaptationJob(client) as job:
        assert job.start(asked).state == "running"
        end = time.monotonic() + 120
        while (facts := job.facts()).state != "done":
            assert time.monotonic() < end
            time.sleep(0.1)
        examples = Examples(asked.low, asked.spectra, np.zeros(3), np.ones(3))
        found = PixelNetwork.of_file(job.model(), examples)
    assert facts.step > 0 and len(found.layers) == training.HIDDEN + 1
