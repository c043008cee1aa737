"""The U-Net of `hsfusion-base`, on subspace coefficients; it sees only what is local, so that tiles agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MULTIPLE = 8  # fine pixels: pixel-unshuffle by 2, then two halvings


@dataclass(frozen=True)
class Estimate:
    """What the network says of the scaled residual: its mean (B, K, H, W) and the log of its expected absolute error (B, K, H, W)."""

    mean: Tensor
    log_error: Tensor


class PixelNorm(nn.Module):
    """LayerNorm over the channels of each pixel (Ba et al. 2016): no statistic of the tile, unlike GroupNorm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same; in channels_last memory both permutes are free."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ResidualBlock(nn.Module):
    """norm, conv, FiLM (Perez et al. 2018), SiLU, conv; the last convolution starts at zero."""

    def __init__(self, channels_in: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.norm = PixelNorm(channels_in)
        self.first = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * channels)
        self.last = nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, Cin, H, W), (B, E) -> (B, C, H, W)."""
        scale, shift = self.film(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden = self.first(F.silu(self.norm(x))) * (1 + scale) + shift
        return self.skip(x) + self.last(F.silu(hidden))


class SubspaceUNet(nn.Module):
    """x0-prediction of the residual between truth and the closed forms' average, in units of its expected spread.

    Input: the noisy residual times its signal amplitude (zero at the highest level, where one step is the mean estimate) and conditions
    (B, C, H, W); `scalars` (B, S) and the log-SNR of the level enter every block through FiLM. Beside the residual the network sets, per
    pixel and component, a gate for each closed form that moves the result towards it (channels `gates` of the conditions). It has `levels`
    resolutions, from half of the pixels' on.
    """

    def __init__(
        self,
        components: int,
        conditions: int,
        scalars: int,
        gates: tuple[int, ...],
        width: int,
        depth: int,
        levels: int,
    ) -> None:
        super().__init__()
        self.components, self.gates = components, gates
        embedding = 2 * width
        self.embed = nn.Sequential(
            nn.Linear(scalars + 17, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.stem = nn.Conv2d(4 * (components + conditions), width, 3, padding=1)
        widths = (width, width * 3 // 2, width * 2)[:levels]
        self.down, self.up, self.shrink, self.grow = nn.ModuleList(), nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for i, channels in enumerate(widths):
            self.down.append(nn.ModuleList([ResidualBlock(channels, channels, embedding) for _ in range(depth)]))
            if i + 1 < len(widths):
                self.shrink.append(nn.Conv2d(channels, widths[i + 1], 2, stride=2))
        for i in reversed(range(len(widths) - 1)):
            self.grow.append(nn.ConvTranspose2d(widths[i + 1], widths[i], 2, stride=2))
            self.up.append(
                nn.ModuleList(
                    [ResidualBlock((2 if j == 0 else 1) * widths[i], widths[i], embedding) for j in range(depth)]
                )
            )
        self.head_norm = PixelNorm(width)
        self.head = nn.Conv2d(width, 4 * (2 + len(gates)) * components, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, noisy: Tensor | None, signal: Tensor, conditions: Tensor, scalars: Tensor) -> Estimate:
        """noisy (B, K, H, W) with signal amplitude `signal` (B,), conditions (B, C, H, W), scalars (B, S); H, W multiples of 8.

        noisy None: where the signal is 0, and nothing of it would be seen.
        """
        embedding = self.embed(torch.cat([level_features(signal), scalars], dim=1))
        x = conditions
        if noisy is not None:
            x = torch.cat([(noisy * signal[:, None, None, None]).to(conditions.dtype), conditions], dim=1)
        x = self._stem(x)
        skips = []
        for i, blocks in enumerate(self.down):
            for block in blocks:
                x = block(x, embedding)
            if i < len(self.shrink):
                skips.append(x)
                x = self.shrink[i](x)
        for grow, blocks in zip(self.grow, self.up):
            x = torch.cat([grow(x), skips.pop()], dim=1)
            for block in blocks:
                x = block(x, embedding)
        # Each part as fine pixels, and as float32, when its turn comes: all at once they would be the most that a tile ever needs.
        x = self.head(F.silu(self.head_norm(x)))
        mean, log_error, *shares = (partial(_fine, part) for part in x.chunk(2 + len(self.gates), dim=1))
        mean = mean()
        for first, share in zip(self.gates, shares):
            mean = torch.addcmul(mean, share(), conditions[:, first : first + self.components].to(mean.dtype))
        return Estimate(mean, log_error())

    def _stem(self, x: Tensor) -> Tensor:
        """The stem on `pixel_unshuffle(x, 2)` as one convolution with steps of 2: the same sums without the shuffled copy.

        x may lack the first channels, those of the noisy residual, where they are zero.
        """
        weight = self.stem.weight[:, -4 * x.shape[1] :]
        weight = weight.unflatten(1, (-1, 2, 2)).permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
        return F.conv2d(x, weight.contiguous(memory_format=torch.channels_last), self.stem.bias, stride=2, padding=2)


def _fine(x: Tensor) -> Tensor:
    return F.pixel_shuffle(x, 2).float()


def level_features(signal: Tensor) -> Tensor:
    """Sinusoids of the level's log-SNR, clipped to [-12, 12], and a mark for the level without signal: (B,) -> (B, 17)."""
    noise = (1 - signal.double() ** 2).clamp_min(1e-12).sqrt()
    log_snr = (2 * (signal.double().clamp_min(1e-6) / noise).log()).clamp(-12, 12).to(signal.dtype)
    frequencies = torch.exp(torch.arange(8, device=signal.device, dtype=signal.dtype) * (math.log(64.0) / 7)) * (
        math.pi / 48
    )
    angles = log_snr[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos(), (signal == 0).to(signal.dtype)[:, None]], dim=1)
