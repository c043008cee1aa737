"""The U-Net of `hsfusion-base`, on subspace coefficients; it sees only what is local, so that tiles agree."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MULTIPLE = 8  # fine pixels: pixel-unshuffle by 2, then two halvings


@dataclass(frozen=True)
class Estimate:
    """What the network says of the scaled residual: its mean (B, K, H, W) and the log of its expected absolute error
    (B, K, H, W).
    """

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
        hidden = torch.addcmul(shift, self.first(_silu(self.norm(x))), 1 + scale)
        return self.skip(x) + self.last(_silu(hidden))


class SubspaceUNet(nn.Module):
    """x0-prediction of the residual between truth and the closed forms' base, in units of its expected spread.

    Input: the noisy residual times its signal amplitude (zero at the highest level, where one step is the mean
    estimate) and conditions (B, C, H, W); `scalars` (B, S) and the log-SNR of the level enter every block through FiLM.
    Beside the residual the network sets, per pixel and component, a gate for each closed form that moves the result
    towards it (channels `gates` of the conditions). It has `levels` resolutions, from half of the pixels' on.
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

    def forward(
        self, noisy: Tensor | None, signal: Tensor, conditions: Tensor, scalars: Tensor, *more: Tensor
    ) -> Estimate:
        """noisy (B, K, H, W) with signal amplitude `signal` (B,), conditions (B, C, H, W), scalars (B, S); H, W
        multiples of 8.

        noisy None: where the signal is 0, and nothing of it would be seen. more: the last of the conditions, which are
        not copied to join them.
        """
        embedding = self.embed(torch.cat([level_features(signal), scalars], dim=1))
        parts = [part.to(conditions) for part in (conditions, *more)]
        if noisy is not None:
            parts = [(noisy * signal[:, None, None, None]).to(conditions), *parts]
        x = self._stem(parts)
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
        x = _silu(self.head_norm(x))
        mean = self._head(x, 0)
        for number, first in enumerate(self.gates):
            form = conditions[:, first : first + self.components].to(mean.dtype)
            mean = torch.addcmul(mean, self._head(x, 2 + number), form)
        return Estimate(mean, self._head(x, 1))

    @torch.no_grad()
    def forget(self) -> None:
        """Let the residual and the gates begin at zero again; what is seen, and the expected error, stay as they were
        learnt.
        """
        rows = 4 * self.components
        for parameter in (self.head.weight, self.head.bias):
            parameter[:rows] = 0.0
            parameter[2 * rows :] = 0.0

    def _head(self, x: Tensor, part: int) -> Tensor:
        """One part of the head's output, (B, K, H, W) float32; all at once they would be the most that a tile ever
        needs.
        """
        own = slice(4 * self.components * part, 4 * self.components * (part + 1))
        found = F.conv2d(x, self.head.weight[own], self.head.bias[own], padding=1)
        return F.pixel_shuffle(found, 2).float()

    def _stem(self, parts: list[Tensor]) -> Tensor:
        """The stem on `pixel_unshuffle(cat(parts), 2)` as convolutions with steps of 2: the same sums without the
        copies.

        The parts may lack the first channels, those of the noisy residual, where they are zero.
        """
        weight = self.stem.weight.unflatten(1, (-1, 2, 2)).permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
        first, bias = weight.shape[1] - sum(part.shape[1] for part in parts), self.stem.bias
        found: Tensor | None = None
        for part in parts:
            own = weight[:, first : first + part.shape[1]].contiguous(memory_format=torch.channels_last)
            one = F.conv2d(part, own, bias, stride=2, padding=2)
            found, bias, first = one if found is None else found + one, None, first + part.shape[1]
        return found  # type: ignore[return-value]


def _silu(x: Tensor) -> Tensor:
    """SiLU of what nobody needs any more, in its place where no gradient is asked for."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def level_features(signal: Tensor) -> Tensor:
    """Sinusoids of the level's log-SNR, clipped to [-12, 12], and a mark for the level without signal: (B,) ->
    (B, 17).
    """
    noise = (1 - signal.double() ** 2).clamp_min(1e-12).sqrt()
    log_snr = (2 * (signal.double().clamp_min(1e-6) / noise).log()).clamp(-12, 12).to(signal.dtype)
    frequencies = torch.exp(torch.arange(8, device=signal.device, dtype=signal.dtype) * (math.log(64.0) / 7)) * (
        math.pi / 48
    )
    angles = log_snr[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos(), (signal == 0).to(signal.dtype)[:, None]], dim=1)
