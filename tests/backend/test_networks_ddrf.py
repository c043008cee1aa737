"""DDRF's U-Net against its paper's figures; the Haar transform, both injections, the self-condition."""

from __future__ import annotations

import functools

import pytest
import torch

from hsfusion.models.diffusion import objectives, samplers, schedules
from hsfusion.models.networks.ddrf import (
    DDRF,
    SelfConditioned,
    StyleModulation,
    WaveletModulation,
    haar,
    training_self_condition,
)

torch.set_num_threads(1)  # tensors are small: more threads only wait for each other


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)


def small(**settings):
    return DDRF(5, 3, width=8, multipliers=(1, 2), blocks=1, dropout=0.0, drop_path=0.0, **settings)


def given(batch=1):
    return {"msi": torch.rand(batch, 3, 16, 16), "hsi_up": torch.rand(batch, 5, 16, 16)}


def test_backbone_has_the_papers_size():
    with torch.device("meta"):
        backbone = DDRF(31, 3, style=False, wavelet=False)
        whole, pansharpening = DDRF(31, 3), DDRF(8, 1)
    assert sum(p.numel() for p in backbone.parameters()) / 1e6 == pytest.approx(5.8, rel=0.01)
    assert sum(p.numel() for p in whole.parameters()) > sum(p.numel() for p in backbone.parameters())
    assert pansharpening.multiple == 8


def test_haar_averages_and_loses_nothing():
    image = torch.rand(2, 3, 8, 6)
    low, details = haar(image)
    torch.testing.assert_close(low, torch.nn.functional.avg_pool2d(image, 2))  # the image's own range, not twice it
    h, v, d = details.chunk(3, dim=1)
    torch.testing.assert_close(low + h + v + d, image[..., ::2, ::2])
    torch.testing.assert_close(low - h - v + d, image[..., 1::2, 1::2])
    flat = haar(torch.full((1, 1, 4, 4), 0.7))
    torch.testing.assert_close(flat[1], torch.zeros(1, 3, 2, 2))
    stripes = torch.zeros(1, 1, 4, 4)
    stripes[..., ::2, :] = 1  # rows change: the horizontal detail alone
    assert haar(stripes)[1][0, :, 0, 0].tolist() == [0.5, 0, 0]


def test_style_modulation_starts_as_its_own_convolution_and_scales_and_shifts():
    layer, x, condition = StyleModulation(6, 4, 8), torch.randn(1, 6, 8, 8), torch.rand(1, 4, 16, 16)
    into = layer.into(x)
    torch.testing.assert_close(layer(x, condition), into)
    with torch.no_grad():
        layer.net[-1].bias[:8], layer.net[-1].bias[8:] = 1.0, 3.0
    torch.testing.assert_close(layer(x, condition), 2 * into + 3)


def test_wavelet_attention_is_linear_in_memory_and_normalised_over_channels_and_pixels():
    layer, x, condition = WaveletModulation(16, 4, 8, heads=2).eval(), torch.randn(2, 16, 6, 6), torch.rand(2, 4, 6, 6)
    with torch.no_grad():
        layer.feed[-1].weight.zero_(), layer.feed[-1].bias.zero_()
        k, v = layer.kv(condition).chunk(2, dim=1)
        normed = layer.norm(x)
        q = layer.q(normed).reshape(2, 2, 8, 36).softmax(2)
        k, v = k.reshape(2, 2, 8, 36).softmax(3), v.reshape(2, 2, 8, 36)
        weights = torch.einsum("bhcn,bhcm->bhnm", q, k)  # the pixel-by-pixel matrix that the layer never builds
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 36))
        attended = torch.einsum("bhnm,bhcm->bhcn", weights, v).reshape(2, 16, 6, 6) / 8**0.5
        expected = layer.out(attended) + layer.skip(
            normed
        )  # the residual is of the normed input, as in the public code
        torch.testing.assert_close(layer(x, condition), expected)


@pytest.mark.parametrize(("style", "wavelet"), [(True, False), (False, True), (False, False)])
def test_each_injection_carries_the_conditions_by_itself(style, wavelet):
    network, conditions = small(style=style, wavelet=wavelet), given()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        x, level = torch.randn(1, 5, 16, 16), torch.tensor([0.5])
        before = network(x, level, **conditions)
        for key in conditions:
            other = dict(conditions, **{key: torch.rand_like(conditions[key])})
            changed = not torch.allclose(network(x, level, **other), before, atol=1e-5)
            assert changed == (style or wavelet)


def test_self_condition_is_the_last_estimate():
    """The public code feeds x_t instead; here every step but the first sees the estimate before it."""
    seen, truth = [], torch.rand(1, 5, 16, 16)

    def denoiser(x, level, self_condition):
        seen.append(self_condition)
        return truth * level

    levels = schedules.zero_terminal_cosine(100)[schedules.subsequence(100, 3)]
    samplers.ddim(SelfConditioned(denoiser), torch.randn(1, 5, 16, 16), levels)
    assert torch.equal(seen[0], torch.zeros_like(truth))
    for condition, level in zip(seen[1:], levels):
        torch.testing.assert_close(condition, truth * level)


def test_self_condition_reaches_the_output_and_training_gives_it_to_a_share():
    network, conditions = small(), given(batch=64)
    denoiser = functools.partial(objectives.X0Denoiser(network), **conditions)
    x, level = torch.randn(64, 5, 16, 16), torch.full((64,), 0.5)
    condition = training_self_condition(denoiser, x, level)
    assert not condition.requires_grad
    share = (condition.abs().sum((1, 2, 3)) > 0).float().mean()
    assert 0.3 < share < 0.7
    assert not torch.allclose(denoiser(x, level, self_condition=condition), denoiser(x, level))


def test_drop_path_is_for_training_only():
    layer, x, condition = WaveletModulation(8, 4, 8, drop_path=0.9), torch.randn(8, 8, 4, 4), torch.rand(8, 4, 4, 4)
    whole = layer.eval()(x, condition)
    torch.testing.assert_close(whole, layer(x, condition))
    found = layer.train()(x, condition)
    with torch.no_grad():
        layer.feed[-1].weight.zero_(), layer.feed[-1].bias.zero_()
    attention = layer.eval()(x, condition)  # drop path is on the feed-forward alone
    dropped = (found - attention).abs().amax((1, 2, 3)) < 1e-6
    assert dropped.any() and not torch.allclose(whole, attention, atol=1e-3)


def test_a_block_is_injection_residual_block_attention():
    """The public code's order, by the order in which the parts of a block are called; without an injection the last
    two.
    """
    network, calls = small(), []
    for level in (*network.down, *network.up):
        for block in level:
            for part in ("modulation", "residual", "attention"):
                getattr(block, part).register_forward_hook(lambda *_, part=part: calls.append(part))
    network(torch.randn(1, 5, 16, 16), torch.tensor([0.5]), **given())
    blocks = len(calls) // 3
    assert blocks == sum(len(level) for level in (*network.down, *network.up))
    assert calls == ["modulation", "residual", "attention"] * blocks


def test_without_injections_the_conditions_may_be_concatenated():
    network, conditions = small(style=False, wavelet=False, concatenate=True), given()
    x, level = torch.randn(1, 5, 16, 16), torch.tensor([0.5])
    other = dict(conditions, msi=torch.rand_like(conditions["msi"]))
    assert not torch.allclose(network(x, level, **conditions), network(x, level, **other), atol=1e-5)
