"""What the three published networks share: shapes, every condition reaches the output, gradients flow, one
interface.
"""

from __future__ import annotations

import functools

import pytest
import torch

from hsfusion.models.diffusion import losses, objectives, samplers, schedules
from hsfusion.models.networks.ddpm_fus import DDPMFus
from hsfusion.models.networks.ddrf import DDRF
from hsfusion.models.networks.hsr_diff import CDFormer

torch.set_num_threads(1)  # tensors are small: more threads only wait for each other

NETWORKS = {
    "ddpm-fus": functools.partial(DDPMFus, width=16),
    "hsr-diff": functools.partial(CDFormer, width=16, layers=2, heads=2),
    "ddrf": functools.partial(DDRF, width=16, multipliers=(1, 2, 2), blocks=1),
}


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)


def build(name, hsi_bands=5, msi_bands=3):
    """The network with every parameter moved off its start, since some layers start at zero."""
    network = NETWORKS[name](hsi_bands, msi_bands).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network


def inputs(hsi_bands=5, msi_bands=3, height=16, width=24, batch=2):
    return {
        "x": torch.randn(batch, hsi_bands, height, width),
        "level": torch.tensor([0.9, 0.2])[:batch],
        "msi": torch.rand(batch, msi_bands, height, width),
        "hsi_up": torch.rand(batch, hsi_bands, height, width),
    }


@pytest.mark.parametrize(("hsi_bands", "msi_bands"), [(5, 3), (8, 1), (4, 4)])
@pytest.mark.parametrize("name", NETWORKS)
def test_output_is_shaped_as_the_noisy_image(name, hsi_bands, msi_bands):
    given = inputs(hsi_bands, msi_bands)
    with torch.no_grad():
        assert build(name, hsi_bands, msi_bands)(**given).shape == given["x"].shape


@pytest.mark.parametrize("changed", ["x", "level", "msi", "hsi_up"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_input_reaches_the_output(name, changed):
    network, given = build(name), inputs()
    with torch.no_grad():
        before = network(**given)
        other = dict(given, **{changed: given[changed] * 0.5 + 0.1})
        assert (network(**other) - before).abs().mean() > 1e-4 * before.abs().mean()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_band_of_both_conditions_reaches_the_output(name):
    network, given = build(name), inputs()
    for key in ("msi", "hsi_up"):
        given[key].requires_grad_()
    network(**given).square().mean().backward()
    for key in ("msi", "hsi_up"):
        assert (given[key].grad.abs().mean((0, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_every_parameter(name):
    network = build(name).train()
    network(**inputs()).square().mean().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # a bias that is the same for all keys of a softmax changes nothing: its gradient is zero but for rounding
    assert [key for key in without if not key.endswith("bias")] == []


@pytest.mark.parametrize("name", NETWORKS)
def test_items_of_a_batch_do_not_see_each_other(name):
    network, given = build(name), inputs()
    with torch.no_grad():
        together = network(**given)
        alone = network(**{key: value[1:] for key, value in given.items()})
    torch.testing.assert_close(together[1:], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("level", [1.0, 0.9999, 0.0066, 0.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_extreme_levels_give_numbers(name, level):
    given = dict(inputs(), level=torch.full((2,), level))
    with torch.no_grad():
        assert build(name)(**given).isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_runs_in_the_same_denoiser_and_sampler_as_any_other(name):
    levels = schedules.zero_terminal_cosine(100)
    given = inputs()
    denoiser = objectives.make_denoiser("x0", build(name), levels, scale_input=True)
    bound = functools.partial(denoiser, msi=given["msi"], hsi_up=given["hsi_up"])
    with torch.no_grad():
        x = samplers.ddim(bound, given["x"], levels[schedules.subsequence(100, 2)])
        again = samplers.ddim(bound, given["x"] + 1, levels[schedules.subsequence(100, 1)])
        torch.testing.assert_close(again, bound(given["x"], levels[-1]))  # the level without signal: blind to the start
    assert x.shape == given["x"].shape and x.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_few_steps_of_training_lower_the_loss(name):
    """One image by heart, at every level: the smallest proof that objective, network and gradient fit together."""
    torch.manual_seed(1)
    given, levels = inputs(height=16, width=16, batch=2), schedules.zero_terminal_cosine(100)
    truth = given["hsi_up"] + 0.2 * given["msi"][:, :1]
    residual = objectives.Residual(given["hsi_up"] if name == "ddrf" else None)
    denoiser = objectives.make_denoiser("x0", NETWORKS[name](5, 3), levels)
    optimizer = torch.optim.Adam(denoiser.parameters(), 3e-3)
    values = []
    for _ in range(40):
        t = schedules.draw_timesteps(100, 2)
        target = residual.encode(truth)
        noise = torch.randn_like(target)
        loss = losses.denoising_loss(denoiser, target, noise, levels[t], msi=given["msi"], hsi_up=given["hsi_up"])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        values.append(float(loss.detach()))
    assert sum(values[-5:]) < 0.75 * sum(values[:5])
