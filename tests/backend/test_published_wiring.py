"""How the parts of the published systems are joined: roles of tensors, loops, the runner. Each test stands for one
way to get it wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hsfusion.models.diffusion.schedules import continuous, from_card
from hsfusion.models.errors import HSFusionError
from hsfusion.models.networks.ddrf import DDRF
from hsfusion.models.networks.hsr_diff import S2TL, CDFormer, GatedFeedForward
from hsfusion.models.observation import Upsampling
from hsfusion.models.runners.full_band import FullBandRunner
from hsfusion.models.runners.sampling import SAMPLERS
from hsfusion.models.training.full_band.config import Observation, Stage
from hsfusion.tests.backend.full_band_tiny import make_trainer, tiny
from hsfusion.tests.backend.test_full_band import Scene, card, state

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def scene(make_scene):
    return Scene(make_scene, (32, 32))


def test_cross_attention_asks_with_the_image_and_answers_with_the_condition():
    """NC-S2TL: q from F^DS, k and v from F_l^SR (transposed attention), written out for one head."""
    layer = S2TL(8, 1, 4, 0, 2.0, noisy=True, crossed=True)
    x, condition, embedding = torch.randn(1, 8, 6, 6), torch.randn(1, 8, 6, 6), torch.randn(1, 8)
    noisy = x + layer.noise(embedding)[:, :, None, None]
    q = layer.cross.q(layer.cross_norms[0](noisy)).flatten(2)
    k, v = layer.cross.kv(layer.cross_norms[1](condition)).flatten(2).chunk(2, dim=1)
    weights = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(1, 2) * layer.cross.temperature[0]
    merged = noisy + layer.cross.out((weights.softmax(-1) @ v).reshape(x.shape))
    after = merged + layer.spatial(layer.norms[0](merged))
    after = after + layer.spectral(layer.norms[1](after))
    after = after + layer.feed(layer.norms[2](after))
    torch.testing.assert_close(layer(x, (0, 0), embedding, condition), after)


def test_the_feed_forward_is_gated_by_a_product():
    layer, x = GatedFeedForward(4, 2.0), torch.randn(1, 4, 5, 5)
    gate, value = layer.mix(layer.into(x)).chunk(2, dim=1)
    torch.testing.assert_close(layer(x), layer.out(F.gelu(gate) * value))


def test_every_second_layer_shifts_its_windows_by_half():
    network = CDFormer(5, 3, width=16, layers=4, window=8)
    for stream in (network.layers, network.sr_layers):
        assert [layer.spatial.shift for layer in stream] == [0, 4, 0, 4]


def test_three_terms_compare_with_what_was_observed(make_scene):
    """||X - R Z|| + ||Y - Z D|| + ||Z0 - Z|| by numpy, D the mean of disjoint blocks, Y and X with their noise, for a
    network that says 0."""
    config = tiny("hsr-diff", loss="three-term", observation=Observation(4, "block-mean", snr_hsi=20, snr_msi=20))
    trainer = make_trainer(make_scene, config)
    torch.nn.init.zeros_(trainer.network.tail.weight)
    batch = trainer.source.draw(np.random.default_rng(0), 2, 16)
    found = float(trainer.loss(batch, torch.Generator().manual_seed(0)).detach())
    estimate, truth = batch.hsi_up.numpy(), batch.truth.numpy()  # CDFormer adds to the upsampled HSI
    low = estimate.reshape(2, 6, 4, 4, 4, 4).mean(axis=(3, 5))
    spectral = np.einsum("kl,blhw->bkhw", trainer.response, estimate) * batch.gain.numpy()[:, :, None, None]
    norms = [
        np.abs(a - b).sum() for a, b in ((spectral, batch.msi.numpy()), (low, batch.hsi.numpy()), (estimate, truth))
    ]
    assert found == pytest.approx(sum(norms) / truth.size, rel=1e-4)
    assert np.abs(batch.hsi.numpy() - truth.reshape(2, 6, 4, 4, 4, 4).mean(axis=(3, 5))).max() > 0.01, "Y has noise"


def test_levels_between_the_integers_are_trained(make_scene):
    """HSR-Diff draws abar uniformly between two steps of its schedule; the others stay on the steps."""
    levels = from_card({"kind": "cosine", "steps": 50})
    for wanted in (True, False):
        trainer, seen = make_trainer(make_scene, tiny("hsr-diff", continuous_levels=wanted)), []
        trainer.network.register_forward_pre_hook(lambda m, given, seen=seen: seen.append(given[1]))
        trainer.loss(trainer.source.draw(np.random.default_rng(0), 8, 16), torch.Generator().manual_seed(0))
        apart = (seen[0].double()[:, None] - levels[None]).abs().amin(dim=1)
        assert bool((apart > 1e-6).any()) is wanted
    t = torch.tensor([3, 3])
    assert continuous(levels, t, torch.tensor([0.0, 1.0])).tolist() == pytest.approx(
        [float(levels[2]), float(levels[3])]
    )


def test_ddrf_is_trained_with_its_own_estimate(make_scene):
    """For half of the items the network sees its first estimate, for the others zero."""
    trainer, seen = make_trainer(make_scene, tiny("ddrf", self_condition=0.5)), []
    trainer.network.register_forward_pre_hook(lambda m, a, k: seen.append(k["self_condition"]), with_kwargs=True)
    trainer.loss(trainer.source.draw(np.random.default_rng(0), 16, 16), torch.Generator().manual_seed(0))
    first, second = (s.abs().sum(dim=(1, 2, 3)) for s in seen)
    assert not first.any() and 0 < int((second > 0).sum()) < 16


def test_the_runner_hands_ddrf_its_last_estimate(scene, monkeypatch):
    seen, said, forward = [], [], DDRF.forward

    def recorded(self, x, level, msi, hsi_up, self_condition=None):
        seen.append(self_condition)
        said.append(forward(self, x, level, msi, hsi_up, self_condition))
        return said[-1]

    monkeypatch.setattr(DDRF, "forward", recorded)
    scene.run(FullBandRunner(card("ddrf"), state("ddrf")), steps=3)
    assert not seen[0].any()
    for given, before in zip(seen[1:], said):
        torch.testing.assert_close(given, before)


def test_the_runner_scales_the_residual_as_the_card_says(scene):
    """x0 of a network that says the constant c everywhere is base + scale c."""
    weights = {k: torch.zeros_like(v) for k, v in state("ddpm-fus").items()}
    weights["tail.2.bias"] += 1.0
    runner = FullBandRunner(card("ddpm-fus", residual=True, residual_scale=0.07), weights)
    base = Upsampling.whole(scene.sampling, scene.shape)(scene.y)
    found = scene.run(runner)["x"]
    np.testing.assert_allclose(found, base + 0.07 * scene.scales[0], rtol=1e-4, atol=1e-4 * scene.scales[0])


def test_the_runner_gives_the_network_the_scaled_input(scene):
    """scale_input: what enters at the noisiest level is a x, next to nothing."""
    for scaled in (True, False):
        runner = FullBandRunner(card("ddpm-fus", scale_input=scaled), state("ddpm-fus"))
        seen = []
        runner.network.register_forward_pre_hook(lambda m, given, seen=seen: seen.append(given[0].std()))
        scene.run(runner, steps=1)
        assert bool(seen[0] < 0.1) is scaled


def test_the_runner_takes_the_offset_off_the_msi(scene):
    runner = FullBandRunner(card("ddpm-fus"), state("ddpm-fus"))
    plain = scene.run(runner)["x"]
    moved = Scene.__new__(Scene)
    moved.__dict__.update(scene.__dict__, z=scene.z + np.float32(0.25))
    np.testing.assert_allclose(moved.run(runner, msi_offset=[0.25, 0.25])["x"], plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_request_or_the_card_chooses_the_sampler(scene, sampler):
    """The same image whichever asks; another one than ddim's where it is not ddim; a repeated run and a cut give the
    same pixels."""
    asked = FullBandRunner(card("hsr-diff"), state("hsr-diff"))
    told = FullBandRunner(card("hsr-diff", sampler=sampler), state("hsr-diff"))
    found = scene.run(asked, steps=4, sampler=sampler)["x"]
    np.testing.assert_array_equal(scene.run(told, steps=4)["x"], found)
    apart = np.abs(found - scene.run(asked, steps=4)["x"]).max()
    assert bool(apart > 1e-4 * np.ptp(found)) is (sampler != "ddim")
    part = scene.run(told, range(8, 20), range(4, 30), steps=4)["x"]
    assert np.abs(part - found[:, 8:20, 4:30]).max() < 1e-5 * np.ptp(found)


def test_hsr_diff_samples_by_its_own_schedule_with_the_upper_variance(scene):
    """100 steps linear, as the paper runs it; the noise added is larger than the posterior's, so the image differs."""
    own = {"kind": "linear", "steps": 100, "first": 1e-4, "last": 0.19}
    keys = {"sampler": "ancestral", "inference_schedule": own, "default_steps": 100}
    upper = FullBandRunner(card("hsr-diff", upper_variance=True, **keys), state("hsr-diff"))
    plain = FullBandRunner(card("hsr-diff", **keys), state("hsr-diff"))
    torch.testing.assert_close(upper.plan.walk(0), from_card(own).flip(0))
    assert float(upper.plan.walk(0)[0]) ** 2 < 1e-4, "it begins with noise"
    a, b = (scene.run(r, range(8), range(8), steps=4)["x"] for r in (upper, plain))
    assert np.abs(a - b).max() > 1e-4


def test_estimates_are_cut_to_the_cards_range(scene):
    runner = FullBandRunner(card("ddpm-fus", clamp=[0.2, 0.3]), state("ddpm-fus"))
    found = scene.run(runner, steps=3)["x"] / scene.scales[0]
    assert found.min() > 0.2 - 1e-5 and found.max() < 0.3 + 1e-5


def test_half_of_the_patches_get_noise(make_scene):
    config = tiny(observation=Observation(4, noisy_share=0.5, noisy_snr=(20.0, 20.0)), jitter=0.0)
    source = make_trainer(make_scene, config).source
    batch = source.draw(np.random.default_rng(0), 64, 16)
    exact = np.einsum("kl,blhw->bkhw", source.response, batch.truth) * batch.gain.numpy()[:, :, None, None]
    noisy = np.abs(batch.msi.numpy() - exact).max(axis=(1, 2, 3)) > 1e-4
    assert 0.3 < noisy.mean() < 0.7


def test_a_joint_normalisation_keeps_z_equal_to_r_x(make_scene):
    source = make_trainer(make_scene, tiny(normalisation="joint", jitter=0.1)).source
    batch = source.draw(np.random.default_rng(0), 4, 16)
    torch.testing.assert_close(batch.gain, torch.ones_like(batch.gain))
    torch.testing.assert_close(
        batch.msi, torch.einsum("kl,blhw->bkhw", torch.from_numpy(source.response), batch.truth), rtol=1e-4, atol=1e-5
    )


def test_a_run_that_is_told_another_length_goes_on(make_scene, tmp_path):
    config = tiny(stages=(Stage(16, 2, 4),), cooldown=0.5, warmup=0)
    short = make_trainer(make_scene, config)
    short.train_step()
    short.save(tmp_path / "c")
    longer = make_trainer(make_scene, tiny(stages=(Stage(16, 2, 8),), cooldown=0.5, warmup=0))
    longer.resume(tmp_path / "c")
    assert longer.step == 1
    assert [longer.learning_rate(s) / config.learning_rate for s in (0, 4, 6)] == [1.0, 1.0, 0.5]
    with pytest.raises(HSFusionError, match="another configuration"):
        make_trainer(make_scene, tiny(stages=(Stage(16, 4, 8),), cooldown=0.5, warmup=0)).resume(tmp_path / "c")
