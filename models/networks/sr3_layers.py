"""Layers of the SR3 family of U-Nets (Saharia et al. 2022, after Ho et al. 2020), which DDPM-Fus and DDRF both build
on.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..diffusion.schedules import sigma


def sinusoid(position: Tensor, channels: int) -> Tensor:
    """Sines and cosines of (B,) at `channels` / 2 wavelengths from 2 pi to 20000 pi (Vaswani et al. 2017, section 3.5):
    (B, channels).
    """
    half = channels // 2
    frequencies = torch.exp(torch.arange(half, device=position.device, dtype=torch.float32) * (-math.log(1e4) / half))
    angles = position.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def noise_angle(level: Tensor) -> Tensor:
    """Angle of (a, s) in thousandths of a quarter turn: 0 at the clean level, 1000 where no signal is left; (B,) ->
    (B,).

    It stands for the papers' integer t: it means the same under every schedule and sub-sequence, so nothing has to be
    remapped.
    """
    return torch.atan2(sigma(level.float()), level.float()) * (2000 / math.pi)


class LevelEmbedding(nn.Module):
    """Sinusoid, Linear to 4C, Swish, Linear to C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.SiLU(), nn.Linear(4 * channels, channels))

    def forward(self, level: Tensor) -> Tensor:
        """Levels (B,) -> (B, C)."""
        return self.mlp(sinusoid(noise_angle(level), self.channels))


class ResidualBlock(nn.Module):
    """norm, Swish, conv, bias from the level, norm, Swish, dropout, conv, skip."""

    def __init__(self, channels_in: int, channels: int, embedding: int, groups: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(groups, channels_in), nn.SiLU(), nn.Conv2d(channels_in, channels, 3, padding=1)
        )
        self.level = nn.Linear(embedding, channels)
        self.last = nn.Sequential(
            nn.GroupNorm(groups, channels), nn.SiLU(), nn.Dropout(dropout), nn.Conv2d(channels, channels, 3, padding=1)
        )
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, Cin, H, W), (B, E) -> (B, C, H, W)."""
        return self.skip(x) + self.last(self.first(x) + self.level(embedding)[:, :, None, None])


class SelfAttention(nn.Module):
    """Every pixel attends to every other: for the lowest resolution only, its cost is the square of the pixels."""

    def __init__(self, channels: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same."""
        q, k, v = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1)).transpose(-1, -2).unbind(1)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(x.shape)
        return x + self.out(attended)


class Shrink(nn.Conv2d):
    """Half the size: 3x3 convolution with stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=1)


class Grow(nn.Sequential):
    """Twice the size: nearest neighbour, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(channels, channels, 3, padding=1))
