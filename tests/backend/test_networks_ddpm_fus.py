"""DDPM-Fus's U-Net against its paper's figures."""

from __future__ import annotations

import pytest
import torch

from hsfusion.models.networks.ddpm_fus import DDPMFus
from hsfusion.models.networks.sr3_layers import SelfAttention, noise_angle, sinusoid

torch.set_num_threads(1)  # tensors are small: more threads only wait for each other


@pytest.mark.parametrize(
    ("hsi", "msi", "millions", "within"), [(31, 3, 1.69, 0.01), (128, 4, 1.93, 0.03), (102, 4, 1.86, 0.03)]
)
def test_size_is_the_papers(hsi, msi, millions, within):
    with torch.device("meta"):
        network = DDPMFus(hsi, msi)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, rel=within)


def test_attention_is_at_the_lowest_resolution_only():
    network, seen = DDPMFus(5, 3), []
    for module in network.modules():
        if isinstance(module, SelfAttention):
            module.register_forward_hook(lambda m, given, out: seen.append(tuple(out.shape[-2:])))
    network(torch.zeros(1, 5, 16, 16), torch.ones(1), torch.zeros(1, 3, 16, 16), torch.zeros(1, 5, 16, 16))
    assert seen == [(4, 4)] * 3
    assert network.multiple == 4


def test_attention_is_softmax_over_all_pixels():
    torch.manual_seed(0)
    layer, x = SelfAttention(8, 2, 4), torch.randn(2, 8, 3, 5)
    q, k, v = layer.qkv(layer.norm(x)).reshape(2, 3, 2, 4, 15).unbind(1)
    weights = (torch.einsum("bhcn,bhcm->bhnm", q, k) / 4**0.5).softmax(-1)
    expected = x + layer.out(torch.einsum("bhnm,bhcm->bhcn", weights, v).reshape(2, 8, 3, 5))
    torch.testing.assert_close(layer(x), expected)


def test_every_level_has_an_embedding_of_its_own():
    """Unlike sinusoids of gamma itself: neighbours differ, near noise as near the clean image."""
    angles = torch.linspace(0, torch.pi / 2, 101)
    positions = noise_angle(angles.cos())
    torch.testing.assert_close(positions, torch.linspace(0, 1000, 101), atol=0.1, rtol=0)
    assert sinusoid(positions, 64).diff(dim=0).norm(dim=1).min() > 0.5
