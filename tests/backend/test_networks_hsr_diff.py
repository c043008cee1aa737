"""CDFormer against its paper's figures; its windows, its cache, its two halves."""

from __future__ import annotations

import functools

import pytest
import torch

from hsfusion.models.diffusion import objectives, samplers, schedules
from hsfusion.models.networks.hsr_diff import PAPER, CDFormer, SpectralAttention, WindowAttention

torch.set_num_threads(1)  # tensors are small: more threads only wait for each other


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)


def inputs(height=16, width=16):
    return torch.rand(1, 3, height, width), torch.rand(1, 5, height, width)


def test_size_is_the_papers():
    with torch.device("meta"):
        network = CDFormer(31, 3, **PAPER)
        small = CDFormer(31, 3)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(31.56, rel=0.01)
    assert sum(p.numel() for p in small.parameters()) / 1e6 < 0.8


def windows(shift=0, size=4):
    layer = WindowAttention(8, 2, size, shift)
    with torch.no_grad():
        layer.bias.normal_()
    return layer


def test_window_attention_is_softmax_within_a_window():
    layer, x = windows(), torch.randn(1, 8, 8, 12)
    tokens = x[0, :, 4:8, 8:12].flatten(1).T
    q, k, v = layer.qkv(tokens).reshape(16, 3, 2, 4).permute(1, 2, 0, 3)
    at = torch.tensor([[i // 4, i % 4] for i in range(16)])
    apart = at[:, None] - at[None] + 3
    bias = layer.bias[:, apart[..., 0] * 7 + apart[..., 1]]
    expected = (q @ k.transpose(1, 2) / 2 + bias).softmax(-1) @ v
    expected = layer.out(expected.permute(1, 0, 2).reshape(16, 8)).T.reshape(8, 4, 4)
    torch.testing.assert_close(layer(x)[0, :, 4:8, 8:12], expected)


@pytest.mark.parametrize("shift", [0, 2])
def test_window_attention_sits_on_the_absolute_grid(shift):
    """A crop that knows its origin gives what the whole image gives, in every window that it holds whole."""
    layer, x = windows(shift), torch.randn(1, 8, 24, 24)
    whole, origin = layer(x), (5, 7)
    crop = layer(x[:, :, 5:22, 7:23], origin)
    first = [-(-(o + shift) // 4) * 4 - shift for o in origin]
    rows, cols = slice(first[0], first[0] + 12), slice(first[1], first[1] + 12)
    torch.testing.assert_close(
        crop[:, :, rows.start - 5 : rows.stop - 5, cols.start - 7 : cols.stop - 7], whole[:, :, rows, cols]
    )
    lost = layer(x[:, :, 5:22, 7:23])  # and without its origin it does not
    assert not torch.allclose(lost[:, :, 4:8, 4:8], whole[:, :, 9:13, 11:15], atol=1e-3)


def test_cut_windows_do_not_see_their_padding():
    layer, x = windows(), torch.randn(1, 8, 6, 4)
    torch.testing.assert_close(layer(x)[:, :, 4:], layer(x[:, :, 4:]))
    alone = layer(x[:, :, 5:, 3:], (5, 3))  # one pixel of a window attends to itself
    torch.testing.assert_close(alone.flatten(), layer.out(layer.qkv(x[0, :, 5, 3])[16:]))


def test_a_pixel_is_seen_within_its_window_alone():
    layer, x = windows(2), torch.randn(1, 8, 16, 16)
    other = x.clone()
    other[:, :, 7, 7] += 1
    changed = (layer(other) - layer(x)).abs().sum(1)[0] > 1e-6
    assert changed[6:10, 6:10].all()
    changed[6:10, 6:10] = False
    assert not changed.any()


def test_spectral_attention_mixes_channels_and_takes_a_source():
    layer, x, source = SpectralAttention(8, 2), torch.randn(2, 8, 6, 6), torch.randn(2, 8, 6, 6)
    assert layer(x).shape == x.shape
    torch.testing.assert_close(layer(x), layer(x, x))
    assert not torch.allclose(layer(x, source), layer(x))


def test_sr_stream_runs_once_for_all_steps_and_changes_nothing():
    network = CDFormer(5, 3, width=16, layers=2).eval()
    msi, hsi_up = inputs()
    levels, start, calls = schedules.zero_terminal_cosine(100), torch.randn(1, 5, 16, 16), []
    for layer in network.sr_layers:
        layer.register_forward_hook(lambda *_: calls.append(1))
    denoiser = objectives.X0Denoiser(network)
    walk = levels[schedules.subsequence(100, 4)]
    with torch.no_grad():
        plain = samplers.ddim(functools.partial(denoiser, msi=msi, hsi_up=hsi_up), start, walk)
        assert len(calls) == 4 * 2
        calls.clear()
        features = network.encode(msi, hsi_up)
        cached = samplers.ddim(functools.partial(denoiser, msi=msi, hsi_up=hsi_up, features=features), start, walk)
    assert len(calls) == 2
    assert torch.equal(plain, cached)


def test_layers_are_conditioned_on_the_features_of_their_own_depth():
    network = CDFormer(5, 3, width=16, layers=3).eval()
    msi, hsi_up = inputs()
    x, level = torch.randn(1, 5, 16, 16), torch.tensor([0.5])
    with torch.no_grad():
        features = network.encode(msi, hsi_up)
        before = network(x, level, msi, hsi_up, features)
        for depth in range(3):
            other = list(features)
            other[depth] = torch.randn_like(features[depth])
            assert not torch.allclose(network(x, level, msi, hsi_up, other), before, atol=1e-4)


def test_residual_reconstruction():
    network = CDFormer(5, 3, width=16, layers=2).eval()
    torch.nn.init.zeros_(network.tail.weight)
    msi, hsi_up = inputs()
    x, level = torch.randn(1, 5, 16, 16), torch.tensor([0.5])
    torch.testing.assert_close(network(x, level, msi, hsi_up), hsi_up)
    network.residual = False
    torch.testing.assert_close(network(x, level, msi, hsi_up), torch.zeros_like(hsi_up))


def test_only_the_second_half_learns_at_full_size():
    network = CDFormer(5, 3, width=16, layers=4)
    network.only_second_half = True
    msi, hsi_up = inputs()
    network(torch.randn(1, 5, 16, 16), torch.tensor([0.5]), msi, hsi_up).square().mean().backward()
    learning = {
        key.rsplit(".weight")[0].split(".")[0] + key.split(".")[1]
        for key, p in network.named_parameters()
        if p.grad is not None
    }
    assert {"layers2", "layers3", "sr_layers2", "sr_layers3"} <= learning
    assert not {"layers0", "layers1", "sr_layers0", "sr_layers1", "headweight", "sr_headweight"} & learning


def test_noise_embedding_is_not_constant():
    network = CDFormer(5, 3, width=64, layers=1)
    seen = []
    network.layers[0].noise.register_forward_hook(lambda m, given, out: seen.append(given[0]))
    msi, hsi_up = inputs(8, 8)
    for level in (0.95, 0.5, 0.05):
        network(torch.zeros(1, 5, 8, 8), torch.tensor([level]), msi, hsi_up)
    assert (torch.cat(seen).std(0) > 0.1).float().mean() > 0.6


def test_without_its_sr_stream_it_has_no_cross_attention_and_sees_the_conditions():
    network = CDFormer(5, 3, width=16, layers=2, sr_stream=False)
    msi, hsi_up = inputs()
    assert network.encode(msi, hsi_up) == []
    assert not [name for name, _ in network.named_parameters() if "cross" in name or name.startswith("sr_")]
    x, level = torch.randn(1, 5, 16, 16), torch.tensor([0.5])
    with torch.no_grad():
        network.tail.weight *= 100
        before = network(x, level, msi, hsi_up)
        assert not torch.allclose(network(x, level, torch.rand_like(msi), hsi_up), before, atol=1e-4)


def test_the_convolutional_layer_has_the_transformers_size():
    """CD-CNN: as many parameters within 10 %, and the same streams."""
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in CDFormer(31, 3, **PAPER, layer=k).parameters())
            for k in ("transformer", "convolution")
        ]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)
    network = CDFormer(5, 3, width=16, layers=2, layer="convolution")
    msi, hsi_up = inputs()
    assert len(network.encode(msi, hsi_up)) == 2 and not hasattr(network.layers[0], "spatial")
    assert network(torch.randn(1, 5, 16, 16), torch.tensor([0.5]), msi, hsi_up).shape == (1, 5, 16, 16)
