"""spectral-mlp without torch: its network against a plain loop, what is put back, tiles, files and bad input."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.scene.methods import spectral_mlp as m
from hsfusion.models.scene.tiles.plan import plan_tiles
from hsfusion.models.scene.window import Window
from hsfusion.models.wire.scene_training import SceneTraining, SceneTrainingRequest
from hsfusion.tests.unit.mixtures import BANDS, SHAPE, mixture, with_holes

RANDOM = np.random.default_rng(4)


def layers(*sizes: int) -> tuple:
    return tuple(
        (RANDOM.normal(size=(b, a)).astype(np.float32) / a**0.5, RANDOM.normal(size=b).astype(np.float32))
        for a, b in zip(sizes, sizes[1:])
    )


def file_of(tensors: dict[str, np.ndarray]) -> bytes:
    """As the safetensors format says: length, JSON, data."""
    head, data = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.astype("<f4").tobytes()
        head[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps({"__metadata__": {"card": "name: x"}, **head}).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_the_network_is_the_plain_one():
    network = m.PixelNetwork(layers(2, 5, 3), np.array([1.0, 2, 3], np.float32), np.array([2.0, 1, 1], np.float32))
    z = RANDOM.normal(size=(2, 3, 4)).astype(np.float32)
    found = network(z)
    (w1, b1), (w2, b2) = network.layers
    hidden = w1 @ z[:, 1, 2] + b1
    expected = (w2 @ (hidden / (1 + np.exp(-hidden))) + b2) * network.scale + network.mean
    np.testing.assert_allclose(found[:, 1, 2], expected, rtol=1e-5)


@pytest.fixture(scope="module")
def fitted():
    """A scene, its model, its examples, and a network that is the best linear law."""
    scene = mixture()
    model = scene.scene
    examples = m.Examples.of([scene.block], model)
    weight = np.linalg.lstsq(examples.low, examples.spectra, rcond=None)[0].T
    network = m.PixelNetwork(
        ((weight, np.zeros(BANDS, np.float32)),), *(np.float32(a) for a in (examples.mean, examples.scale))
    )
    return scene, model, examples, network


def test_the_hsi_is_put_back_and_tiles_equal_the_whole(fitted):
    scene, model, _, network = fitted
    core = scene.block.place.fine
    whole = m.put_back(network, scene.block, model, core)
    assert scene.psnr(whole) > scene.psnr(network(model.standardise(scene.block.z))) + 1.0
    assert scene.psnr(whole) > scene.psnr(scene.interpolated()) + 6.0
    for tile in plan_tiles(Window.whole(SHAPE), model.coefficients, 32):
        part = m.put_back(network, scene.block.cut(tile.place), model, tile.core)
        np.testing.assert_allclose(part, whole[(slice(None), *tile.core.inside(core))], rtol=1e-5)
    holed = with_holes(scene.block, 0.0)
    assert np.isfinite(m.put_back(network, holed, model, core)).all()


def test_files(fitted):
    _, _, examples, _ = fitted
    made = layers(4, 7, BANDS)
    tensors = {f"{n}.{name}": value for n, layer in enumerate(made) for name, value in zip(("weight", "bias"), layer)}
    found = m.PixelNetwork.of_file(file_of(tensors), examples)
    for (a, b), (c, d) in zip(found.layers, made):
        assert np.array_equal(a, c) and np.array_equal(b, d)
    with pytest.raises(HSFusionError, match="no network"):
        m.PixelNetwork.of_file(b"nonsense" * 4, examples)
    with pytest.raises(HSFusionError, match="another shape"):
        m.PixelNetwork.of_file(file_of({**tensors, "1.bias": np.zeros(3)}), examples)


def test_too_few_pixels_and_too_many_bands(fitted, monkeypatch):
    scene, model, _, _ = fitted
    few = replace(scene.block, y_mask=np.where(np.arange(20) < 2, scene.block.y_mask, 0.0))
    with pytest.raises(HSFusionError, match="MODEL spectral-mlp .* needs 64 .* there are 48"):
        m.Examples.of([few], model)
    samples = m.coarse_samples([scene.block], model.coefficients.sampling)
    monkeypatch.setattr(m, "coarse_samples", lambda *_: replace(samples, low=samples.spectra))
    with pytest.raises(HSFusionError, match="fewer MSI bands than HSI bands"):
        m.Examples.of([scene.block], model)


def test_the_request_and_what_is_malformed():
    low, spectra = RANDOM.normal(size=(70, 4)).astype(np.float32), RANDOM.normal(size=(70, 9)).astype(np.float32)
    request = SceneTrainingRequest(SceneTraining("spectral-mlp", 2.0), low, spectra)
    tensors, plain = request.to_message()
    again = SceneTrainingRequest.from_message(tensors, json.loads(json.dumps(plain)))
    assert again.training == request.training and np.array_equal(again.low, low)
    for wrong in ({"minutes": 0.0}, {"method": "other"}, {"minutes": "two"}):
        with pytest.raises(HSFusionError, match="train on a scene is malformed"):
            SceneTrainingRequest.from_message(tensors, {**plain, **wrong})
    for bad in ({"low": low[:5]}, {"low": low * np.nan}, {"low": low.astype(np.float64)}):
        with pytest.raises(HSFusionError, match="malformed"):
            SceneTrainingRequest.from_message({**tensors, **bad}, plain)
