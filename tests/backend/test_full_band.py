"""The full-band runner: published networks on fixed windows, the same pixels however a scene is cut. Weights are random
and small.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch

from hsfusion.models.errors import HSFusionError, RunCancelled
from hsfusion.models.networks.hsr_diff import CDFormer
from hsfusion.models.observation import Degradation, Sampling, Upsampling
from hsfusion.models.runners.full_band import NETWORKS, FullBandRunner
from hsfusion.models.scene.tiles.fixed_windows import Windows
from hsfusion.models.scene.window import Place, Window
from hsfusion.models.wire.values import plain

torch.set_num_threads(1)
BANDS, MSI = 6, [1, 4]
SETTINGS = {
    "ddpm-fus": {"width": 16},
    "hsr-diff": {"width": 16, "layers": 2, "heads": 2},
    "ddrf": {"width": 8, "multipliers": [1, 2], "blocks": 1},
}


def card(name, **changes):
    return {
        "name": name,
        "architecture": name,
        "spectral_mode": "full-band",
        "settings": SETTINGS[name],
        "bands": BANDS,
        "msi_bands": len(MSI),
        "ratios": [4, 4],
        "window": 32,
        "overlap": 8,
        "objective": "x0",
        "residual": name == "ddrf",
        "schedule": {"kind": "cosine", "steps": 100},
        "default_steps": 2,
        "normalisation": {"kind": "scene-quantile", "quantile": 0.999},
        **changes,
    }


def state(name):
    torch.manual_seed(3)
    network = NETWORKS[name](hsi_bands=BANDS, msi_bands=len(MSI), **SETTINGS[name])
    return {k: v + 0.05 * torch.randn_like(v) for k, v in network.state_dict().items()}


class Scene:
    """A simulated pair and tiles of it sent to a runner."""

    def __init__(self, make_scene, shape=(84, 76), sampling=None):
        self.shape, self.sampling = shape, sampling or Sampling(4, 1.0, 1.0)
        self.truth = make_scene(BANDS, *shape)
        self.y, self.z = Degradation.whole(self.sampling, shape)(self.truth), self.truth[MSI]
        self.y_mask, self.z_mask = np.ones(self.y.shape[1:], np.float32), np.ones(shape, np.float32)
        self.scales = float(self.y.max()), self.z.max(axis=(1, 2))

    def run(self, runner, rows=None, cols=None, cancelled=lambda: False, unit=1.0, **options):
        rows, cols = rows or range(self.shape[0]), cols or range(self.shape[1])
        place = runner.windows.place(Window(rows, cols), self.shape, self.sampling)
        fine, coarse = (
            np.s_[r.start : r.stop, c.start : c.stop]
            for r, c in ((place.fine_rows, place.fine_cols), (place.coarse_rows, place.coarse_cols))
        )
        tensors = {
            "y": unit * self.y[(slice(None), *coarse)],
            "z": unit * self.z[(slice(None), *fine)],
            "y_mask": self.y_mask[coarse],
            "z_mask": self.z_mask[fine],
        }
        return runner(tensors, self.request(place, rows, cols, unit, **options), cancelled)

    def request(self, place: Place, rows, cols, unit=1.0, **options):
        return {
            "sampling": asdict(self.sampling),
            "scene_shape": list(self.shape),
            "place": plain(place),
            "core": plain(Window(rows, cols)),
            "hsi_scale": unit * self.scales[0],
            "msi_scale": (unit * self.scales[1]).tolist(),
            "msi_offset": [0.0] * len(self.scales[1]),
            "seed": 5,
            **options,
        }


@pytest.fixture(scope="module")
def scene(make_scene):
    return Scene(make_scene)


@pytest.fixture(scope="module", params=SETTINGS)
def runner(request):
    return FullBandRunner(card(request.param), state(request.param))


@pytest.fixture(scope="module")
def whole(scene, runner):
    return scene.run(runner, samples=2)


def test_any_cut_gives_the_whole_scenes_pixels(scene, runner, whole):
    """Cores at the border and inside, smaller than a window and larger."""
    for rows, cols in ((range(0, 17), range(17, 34)), (range(34, 51), range(51, 76)), (range(60, 84), range(40, 76))):
        found = scene.run(runner, rows, cols, samples=2)
        for name, image in whole.items():
            expected = image[:, rows.start : rows.stop, cols.start : cols.stop]
            assert np.abs(found[name] - expected).max() < 1e-5 * np.ptp(whole["x"])


def test_samples_seed_and_steps(scene, runner, whole):
    rows = cols = range(20, 40)
    part = whole["x"][:, 20:40, 20:40]
    one = scene.run(runner, rows, cols, samples=1)
    assert set(one) == {"x"} and one["x"].shape == (BANDS, 20, 20)
    assert np.abs(one["x"] - part).max() > 0, "the mean of two is not the first"
    assert (whole["std"] >= 0).all() and whole["std"].mean() > 0
    assert not np.array_equal(scene.run(runner, rows, cols, samples=1, seed=6)["x"], one["x"])
    np.testing.assert_array_equal(scene.run(runner, rows, cols, samples=0, steps=2)["x"], one["x"])
    assert not np.array_equal(scene.run(runner, rows, cols, steps=5)["x"], one["x"])


def test_the_result_is_in_the_rasters_units(scene, runner):
    rows = cols = range(10)
    reflectance, scaled = (scene.run(runner, rows, cols, unit=unit)["x"] for unit in (1.0, 1e4))
    np.testing.assert_allclose(scaled, 1e4 * reflectance, rtol=1e-3, atol=1e-3 * np.abs(scaled).max())


def test_a_cancel_is_heard_between_two_steps(scene, runner):
    calls = []

    def cancelled():
        calls.append(None)
        return len(calls) > 4

    with pytest.raises(RunCancelled):
        scene.run(runner, steps=50, cancelled=cancelled)
    assert len(calls) == 5


def test_a_masked_pixels_value_never_leaks(make_scene, runner):
    scene = Scene(make_scene, (48, 40))
    scene.y_mask[3:5, 2:6], scene.z_mask[10:14, 20:30] = 0, 0
    before = scene.run(runner)["x"]
    scene.y[:, 3:5, 2:6], scene.z[:, 10:14, 20:30] = 1e6, -1e6
    np.testing.assert_array_equal(scene.run(runner)["x"], before)
    assert np.isfinite(before).all()


@pytest.mark.parametrize(("shape", "sampling"), [((20, 24), Sampling(4)), ((45, 60), Sampling(2.5, 1, 1, 0.4, -0.6))])
def test_any_size_and_ratio(make_scene, runner, shape, sampling):
    """Smaller than a window, and a ratio that is no integer: whether that makes sense is for the card to say."""
    scene = Scene(make_scene, shape, sampling)
    found = scene.run(runner)["x"]
    assert found.shape == (BANDS, *shape) and np.isfinite(found).all()


def test_a_network_that_says_nothing_leaves_the_interpolation(scene):
    """Residual learning with zero weights: the blended windows are the interpolated HSI, at every pixel."""
    silent = {k: torch.zeros_like(v) for k, v in state("ddrf").items()}
    found = scene.run(FullBandRunner(card("ddrf"), silent))["x"]
    np.testing.assert_allclose(found, Upsampling.whole(scene.sampling, scene.shape)(scene.y), rtol=1e-4, atol=1e-5)


def test_the_sr_stream_runs_once_for_all_steps_of_a_window(scene, monkeypatch):
    runner, calls = FullBandRunner(card("hsr-diff"), state("hsr-diff")), []
    encode = CDFormer.encode
    monkeypatch.setattr(CDFormer, "encode", lambda self, *given: calls.append(None) or encode(self, *given))
    scene.run(runner, range(10), range(10), steps=4, samples=2)
    assert len(calls) == 1


def test_weights_kept_in_half_precision_are_used_in_full(scene):
    half = {k: v.half() if v.is_floating_point() else v for k, v in state("ddpm-fus").items()}
    runner = FullBandRunner(card("ddpm-fus"), half)
    assert {p.dtype for p in runner.network.parameters()} == {torch.float32}
    assert np.isfinite(scene.run(runner, range(8), range(8))["x"]).all()


def test_what_does_not_fit_is_said(scene):
    weights = state("ddpm-fus")
    for changes, words in (
        ({"bands": BANDS + 1}, "does not fit its weights"),
        ({"architecture": "of-the-future"}, "does not fit its weights"),
        ({"window": 30}, "multiple of 4"),
        ({"overlap": 20}, "at most half"),
        ({"objective": "eps", "schedule": {"kind": "zero-terminal-cosine", "steps": 10}}, "keeps some signal"),
    ):
        with pytest.raises(HSFusionError, match=words):
            FullBandRunner(card("ddpm-fus", **changes), weights)
    runner = FullBandRunner(card("ddpm-fus"), weights)
    rows = cols = range(8)
    place = runner.windows.place(Window(rows, cols), scene.shape, scene.sampling)
    request = scene.request(place, rows, cols)
    ones = {"y_mask": scene.y_mask, "z_mask": scene.z_mask}
    with pytest.raises(HSFusionError, match="tensor y must have the shape"):
        runner({"y": scene.y[:3], "z": scene.z, **ones}, request)
    with pytest.raises(HSFusionError, match="malformed"):
        runner({}, {key: value for key, value in request.items() if key != "sampling"})
    small = Windows(16, 4).place(Window(rows, cols), scene.shape, scene.sampling)
    fine, coarse = small.fine.shape, small.coarse.shape
    cut = {"y": np.ones((BANDS, *coarse)), "z": np.ones((2, *fine)), "y_mask": np.ones(coarse), "z_mask": np.ones(fine)}
    with pytest.raises(HSFusionError, match="window must hold"):
        runner(cut, scene.request(small, rows, cols))
