"""DDRF (arXiv 2304.04774; DDIF in Information Fusion 104, 2024): a U-Net whose conditions are injected, not
concatenated.

From the paper and its public code (facts, no lines of it): SR3 U-Net of width 32, multipliers 1, 2, 2, 4, three
residual blocks per level (four on the way up), GroupNorm with one group, attention with 8 heads at the lowest of four
resolutions and in the middle, dropout 0.2 and drop path 0.2, self-conditioning by concatenation. Encoder blocks:
style transfer modulation, which turns [upsampled HSI, MSI] into scale and shift. Decoder blocks: wavelet modulation,
cross-attention with q from the features and k, v from [LL of the upsampled HSI, details of the MSI] of one Haar
level. A block is injection, residual block, attention, in this order. The injection brings the channels (with the
skip on the way up) to the block's width: by a 1 x 1 convolution of its own in the style modulation, on the residual
path in the wavelet modulation. The latter normalises its input first and adds to what it normalised; its feed-forward
is 3 x 3, SiLU, 3 x 3, 1 x 1, and drop path is on that alone. Objective x0 of the residual to the upsampled HSI
(`objectives.Residual`), l1, cosine schedule, 25 steps of DDIM. HSI + MSI and MS + PAN (msi_bands = 1) alike.

Departures, each where the public code slips or leaves its paper: the level enters as an angle, so that respacing
needs no remapping; the self-condition follows the sampler's last estimate (`SelfConditioned`); the linear attention's
softmaxes run over the channels of q and the pixels of k, as the paper has it; the Haar transform averages, so that LL
keeps the images' range; self-attention divides by the root of a head's channels, not of all. GroupNorm and both
attentions look at the whole tile: run it on windows of its training size.
"""

from __future__ import annotations

from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .sr3_layers import Grow, LevelEmbedding, ResidualBlock, SelfAttention, Shrink


def haar(image: Tensor) -> tuple[Tensor, Tensor]:
    """One level of the averaging Haar transform: (B, C, H, W), even sizes -> LL (B, C, H/2, W/2) and [H, V, D] (B,
    3C, H/2, W/2)."""
    a, b, c, d = (image[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
    details = torch.cat([a + b - c - d, a - b + c - d, a - b - c + d], dim=1)
    return (a + b + c + d) / 4, details / 4


def resized(condition: Tensor, like: Tensor) -> Tensor:
    """Bilinear to the feature's size; antialiased where that is smaller."""
    size = like.shape[-2:]
    if condition.shape[-2:] == size:
        return condition
    return F.interpolate(
        condition, size=size, mode="bilinear", align_corners=False, antialias=condition.shape[-1] > size[-1]
    )


class StyleModulation(nn.Module):
    """conv(x) (1 + scale) + shift, both from the condition (the paper's style transfer modulation); starts as conv(x)
    alone."""

    def __init__(self, channels_in: int, condition: int, channels: int) -> None:
        super().__init__()
        self.into = nn.Conv2d(channels_in, channels, 1)
        self.net = nn.Sequential(
            nn.Conv2d(condition, 4 * channels, 3, padding=1, bias=False),
            nn.GroupNorm(1, 4 * channels),
            nn.SiLU(),
            nn.Conv2d(4 * channels, 2 * channels, 1),
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, Cin, H, W), (B, Cc, any, any) -> (B, C, H, W)."""
        scale, shift = self.net(resized(condition, x)).chunk(2, dim=1)
        return self.into(x) * (1 + scale) + shift


class WaveletModulation(nn.Module):
    """Cross-attention of memory linear in pixels: q from features, k and v from wavelet coefficients; then a
    feed-forward."""

    def __init__(self, channels_in: int, condition: int, channels: int, heads: int = 8, drop_path: float = 0.2) -> None:
        super().__init__()
        self.heads, self.drop_path = heads, drop_path
        self.norm = nn.GroupNorm(1, channels_in)
        self.q = self._projection(channels_in, channels_in)
        self.kv = self._projection(condition, 2 * channels_in)
        self.out = nn.Conv2d(channels_in, channels, 1)
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()
        self.feed = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False),
            nn.SiLU(),
            nn.Conv2d(2 * channels, channels, 3, padding=1, bias=False),
            nn.Conv2d(channels, channels, 1),
        )

    @staticmethod
    def _projection(channels: int, out: int) -> nn.Sequential:
        spatial = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        return nn.Sequential(spatial, nn.Conv2d(channels, out, 1))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, Cin, H, W), (B, Cc, any, any) -> (B, C, H, W)."""
        x = self.norm(x)
        k, v = self.kv(resized(condition, x)).chunk(2, dim=1)
        q, k, v = (part.flatten(2).unflatten(1, (self.heads, -1)) for part in (self.q(x), k, v))
        context = k.softmax(-1) @ v.transpose(-1, -2)  # over pixels: (B, heads, c, c)
        attended = (context.transpose(-1, -2) @ q.softmax(-2)) / q.shape[2] ** 0.5
        x = self.out(attended.reshape(x.shape)) + self.skip(x)
        return x + self._dropped(self.feed(x))

    def _dropped(self, branch: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0:
            return branch
        kept = torch.rand(branch.shape[0], 1, 1, 1, device=branch.device) >= self.drop_path
        return branch * kept / (1 - self.drop_path)


class ModulatedBlock(nn.Module):
    """Modulation by the condition, residual block, attention where the resolution is lowest; without a modulation the
    last two."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        embedding: int,
        modulation: nn.Module | None,
        attention: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.modulation = modulation
        inner = channels_in if modulation is None else channels
        self.residual = ResidualBlock(inner, channels, embedding, 1, dropout)
        self.attention = SelfAttention(channels, 8, 1) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor, condition: Tensor) -> Tensor:
        """(B, Cin, H, W), (B, E), (B, Cc, H, W) -> (B, C, H, W)."""
        if self.modulation is not None:
            x = self.modulation(x, condition)
        return self.attention(self.residual(x, embedding))


class DDRF(nn.Module):
    """(x_t, level, msi, hsi_up, self_condition) -> prediction, shaped as x_t; H and W multiples of `multiple`.

    `style`, `wavelet`: off = that injection is left out. `concatenate`: the network's input holds hsi_up and msi too,
    as in SR3; with both injections off this is the network without the paper's idea.
    """

    tile_invariant = False

    def __init__(
        self,
        hsi_bands: int,
        msi_bands: int,
        width: int = 32,
        multipliers: tuple[int, ...] = (1, 2, 2, 4),
        blocks: int = 3,
        dropout: float = 0.2,
        drop_path: float = 0.2,
        style: bool = True,
        wavelet: bool = True,
        concatenate: bool = False,
    ) -> None:
        super().__init__()
        self.multiple, self.concatenate = 2 ** (len(multipliers) - 1), concatenate
        self.embed = LevelEmbedding(width)
        in_style, in_wavelet = hsi_bands + msi_bands, hsi_bands + 3 * msi_bands
        self.head = nn.Conv2d(2 * hsi_bands + (in_style if concatenate else 0), width, 3, padding=1)
        widths, lowest = [width * m for m in multipliers], len(multipliers) - 1
        skips, channels = [width], width
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        for i, wide in enumerate(widths):
            level = nn.ModuleList()
            for _ in range(blocks):
                modulation = StyleModulation(channels, in_style, wide) if style else None
                level.append(ModulatedBlock(channels, wide, width, modulation, i == lowest, dropout))
                channels = wide
                skips.append(channels)
            self.down.append(level)
            if i < lowest:
                self.shrink.append(Shrink(channels))
                skips.append(channels)
        self.before, self.after = (ResidualBlock(channels, channels, width, 1, dropout) for _ in range(2))
        self.middle = SelfAttention(channels, 8, 1)
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for i in reversed(range(len(widths))):
            level = nn.ModuleList()
            for _ in range(blocks + 1):
                inside = channels + skips.pop()
                modulation = WaveletModulation(inside, in_wavelet, widths[i], 8, drop_path) if wavelet else None
                level.append(ModulatedBlock(inside, widths[i], width, modulation, i == lowest, dropout))
                channels = widths[i]
            self.up.append(level)
            if i > 0:
                self.grow.append(Grow(channels))
        self.tail = nn.Sequential(nn.GroupNorm(1, channels), nn.SiLU(), nn.Conv2d(channels, hsi_bands, 3, padding=1))

    def forward(
        self, x: Tensor, level: Tensor, msi: Tensor, hsi_up: Tensor, self_condition: Tensor | None = None
    ) -> Tensor:
        """x (B, L, H, W), level (B,), msi (B, l, H, W), hsi_up (B, L, H, W), self_condition an earlier x0 estimate ->
        (B, L, H, W)."""
        embedding = self.embed(level)
        style = torch.cat([hsi_up, msi], dim=1)
        wavelet = torch.cat([haar(hsi_up)[0], haar(msi)[1]], dim=1)
        seen = [x, torch.zeros_like(x) if self_condition is None else self_condition]
        x = self.head(torch.cat([*seen, style] if self.concatenate else seen, dim=1))
        skips = [x]
        for i, blocks in enumerate(self.down):
            for block in blocks:
                x = block(x, embedding, style)
                skips.append(x)
            if i < len(self.shrink):
                x = self.shrink[i](x)
                skips.append(x)
        x = self.after(self.middle(self.before(x, embedding)), embedding)
        for i, blocks in enumerate(self.up):
            for block in blocks:
                x = block(torch.cat([x, skips.pop()], dim=1), embedding, wavelet)
            if i < len(self.grow):
                x = self.grow[i](x)
        return self.tail(x)


class SelfConditioned:
    """A denoiser that gives the network its last estimate of x0 (Chen et al. 2023, algorithm 2); make a new one for
    every run."""

    def __init__(self, denoiser: Callable[..., Tensor]) -> None:
        self.denoiser, self.last = denoiser, None

    def __call__(self, x: Tensor, level: Tensor) -> Tensor:
        """As the denoiser; the first step's self-condition is zero, as in training."""
        self.last = self.denoiser(x, level, self_condition=torch.zeros_like(x) if self.last is None else self.last)
        return self.last


def training_self_condition(denoiser: Callable[..., Tensor], x: Tensor, level: Tensor, share: float = 0.5) -> Tensor:
    """Self-condition of a training batch: the network's own x0 for a random `share` of the items, zero for the
    others; no gradient."""
    chosen = torch.rand(x.shape[0], 1, 1, 1, device=x.device) < share
    with torch.no_grad():
        return torch.where(chosen, denoiser(x, level, self_condition=torch.zeros_like(x)), torch.zeros_like(x))
