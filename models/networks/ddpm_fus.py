"""DDPM-Fus (arXiv 2307.03423): an SR3-style U-Net on the noisy image with both conditions concatenated.

From the paper: input [X_t, Z, bicubic(Y)], the level embedded into every residual block, convolutional residual
blocks, skips, attention; 1.69 M parameters and 2.66 GMAC per 64 x 64 patch for 31 + 3 bands, 1.93 M for 128 + 4, 1.86
M for 102 + 4. Objective eps, loss l1, linear schedule 0 to 0.01 over 2000.

Open in the paper (channel numbers stand only in a figure that the text does not carry) and chosen here: width 72 at
all of three resolutions, one residual block per level down and two up, one in the middle, single-head attention after
each block at the lowest resolution, GroupNorm with 8 groups. This gives 1.69 M, 1.88 M and 1.83 M parameters and 2.74
GMAC for the first: it matches the paper's size, which does not make it the paper's network. (The paper's other two
MAC counts grow too little with the bands for any network whose first and last convolutions are 3 x 3 at full
resolution; ours grow to 3.5 G.)

Departure: the level enters as the angle of its amplitudes, not as the integer t (`sr3_layers.noise_angle`). The paper
does not state the range of the images; here they lie in [0, 1] or little above (`scene.pixels.scaling`). GroupNorm
and attention look at the whole tile: run it on windows of its training size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .sr3_layers import Grow, LevelEmbedding, ResidualBlock, SelfAttention, Shrink


class DDPMFus(nn.Module):
    """(x_t, level, msi, hsi_up) -> prediction, shaped as x_t; H and W multiples of `multiple`."""

    tile_invariant = False

    def __init__(
        self, hsi_bands: int, msi_bands: int, width: int = 72, levels: int = 3, groups: int = 8, heads: int = 1
    ) -> None:
        super().__init__()
        self.multiple = 2 ** (levels - 1)
        self.embed = LevelEmbedding(width)
        self.head = nn.Conv2d(2 * hsi_bands + msi_bands, width, 3, padding=1)

        def block(channels_in: int, lowest: bool) -> nn.ModuleList:
            attention = SelfAttention(width, heads, groups) if lowest else nn.Identity()
            return nn.ModuleList([ResidualBlock(channels_in, width, width, groups), attention])

        lowest = levels - 1
        self.down = nn.ModuleList([block(width, i == lowest) for i in range(levels)])
        self.shrink = nn.ModuleList([Shrink(width) for _ in range(lowest)])
        self.middle = ResidualBlock(width, width, width, groups)
        self.up = nn.ModuleList(
            [nn.ModuleList([block(2 * width, i == lowest) for _ in range(2)]) for i in reversed(range(levels))]
        )
        self.grow = nn.ModuleList([Grow(width) for _ in range(lowest)])
        self.tail = nn.Sequential(nn.GroupNorm(groups, width), nn.SiLU(), nn.Conv2d(width, hsi_bands, 3, padding=1))

    def forward(self, x: Tensor, level: Tensor, msi: Tensor, hsi_up: Tensor) -> Tensor:
        """x (B, L, H, W), level (B,), msi (B, l, H, W), hsi_up = bicubic(Y) (B, L, H, W) -> (B, L, H, W)."""
        embedding = self.embed(level)
        x = self.head(torch.cat([x, msi, hsi_up], dim=1))
        skips = [x]
        for i, (residual, attention) in enumerate(self.down):
            x = attention(residual(x, embedding))
            skips.append(x)
            if i < len(self.shrink):
                x = self.shrink[i](x)
                skips.append(x)
        x = self.middle(x, embedding)
        for i, blocks in enumerate(self.up):
            for residual, attention in blocks:
                x = attention(residual(torch.cat([x, skips.pop()], dim=1), embedding))
            if i < len(self.grow):
                x = self.grow[i](x)
        return self.tail(x)
