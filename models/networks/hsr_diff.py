"""CDFormer of HSR-Diff (ICCV 2023, arXiv 2306.12085): two transformer streams at full resolution, one conditioning
the other.

From the paper: an SR stream (3 x 3 convolution, stacked S2TL, features of every depth F_l^SR) and a denoising stream
(stacked NC-S2TL, layer l conditioned on F_l^SR), no downsampling, reconstruction by a 3 x 3 convolution added to a
residual image. S2TL is window spatial attention (Swin), transposed spectral attention (Restormer MDTA) and a gated
feed-forward (Restormer GDFN), each after LayerNorm and with a residual; NC-S2TL merges a linear transform of the
noise embedding and cross-attends to F^SR first. Width 256 in both streams, 31.56 M parameters, Kaiming
initialisation, x0 objective, `losses.three_terms`, progressive patches with only the second half trained at full
size.

Open in the paper and chosen here: 12 layers per stream, 8 heads, window 8 (every second layer shifted by half),
relative position bias, feed-forward factor 3 (31.7 M parameters for 31 + 3 bands; Restormer's 2.66 fits no even
number of layers); the SR stream sees [X, bicubic(Y)]; the residual adds to bicubic(Y); cross-attention is transposed
(linear in pixels). Defaults are the small network (width 64, 4 layers, 4 heads), `PAPER` the large one.

Departures: the last convolution starts at a hundredth of Kaiming's weights, so that a run begins near bicubic(Y) and
not 30 dB below it; the embedding is of 1000 sqrt(gamma): as printed, sinusoids of gamma in [0, 1] hardly vary.
Shifted windows at the border are partial and masked, not rolled around. Windows sit on the scene's grid by `origin`;
the transposed attentions average over the whole tile all the same, so run it on windows of its training size.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .sr3_layers import sinusoid

PAPER: dict[str, Any] = {"width": 256, "layers": 12, "heads": 8, "window": 8, "expansion": 3.0}
FIRST_OUTPUT = 0.01  # of Kaiming's weights in the last convolution


class PixelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class WindowAttention(nn.Module):
    """Spatial multi-head attention within windows that lie on the absolute grid (Liu et al. 2021, eq. 4)."""

    def __init__(self, channels: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.bias = nn.Parameter(torch.zeros(heads, (2 * window - 1) ** 2))
        at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        apart = at[:, :, None] - at[:, None] + window - 1
        self.register_buffer("relative", apart[0] * (2 * window - 1) + apart[1], persistent=False)

    def forward(self, x: Tensor, origin: tuple[int, int] = (0, 0)) -> Tensor:
        """(B, C, H, W) whose first pixel is at absolute (row, col) `origin` -> same shape."""
        batch, channels, height, width = x.shape
        w = self.window
        top, left = ((start + self.shift) % w for start in origin)
        bottom, right = -(top + height) % w, -(left + width) % w
        x = F.pad(x, (left, right, top, bottom))
        rows, cols = x.shape[2] // w, x.shape[3] // w
        tokens = (
            x.reshape(batch, channels, rows, w, cols, w)
            .permute(0, 2, 4, 3, 5, 1)
            .reshape(batch, rows * cols, w * w, channels)
        )
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5).unbind(0)
        bias = self.bias[:, self.relative].to(q.dtype)[None, None]
        if top or left or bottom or right:
            inside = F.pad(q.new_ones(height, width), (left, right, top, bottom))
            inside = inside.reshape(rows, w, cols, w).permute(0, 2, 1, 3).reshape(1, rows * cols, 1, 1, w * w)
            bias = bias + (inside - 1) * 1e4
        attended = self.out(F.scaled_dot_product_attention(q, k, v, bias).transpose(2, 3).flatten(3))
        image = attended.reshape(batch, rows, cols, w, w, channels).permute(0, 5, 1, 3, 2, 4)
        return image.reshape(batch, channels, rows * w, cols * w)[:, :, top : top + height, left : left + width]


class SpectralAttention(nn.Module):
    """Attention between channels (Zamir et al. 2022, MDTA): q from x, k and v from `source`, which is x itself where
    none is given."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.q, self.kv = self._projection(channels, channels), self._projection(channels, 2 * channels)
        self.out = nn.Conv2d(channels, channels, 1)

    @staticmethod
    def _projection(channels: int, out: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(channels, out, 1), nn.Conv2d(out, out, 3, padding=1, groups=out))

    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        """(B, C, H, W) twice -> (B, C, H, W)."""
        k, v = self.kv(x if source is None else source).chunk(2, dim=1)
        q, k, v = (part.flatten(2).unflatten(1, (self.heads, -1)) for part in (self.q(x), k, v))
        weights = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2) * self.temperature).softmax(-1)
        return self.out((weights @ v).reshape(x.shape))


class GatedFeedForward(nn.Module):
    """GELU of one half gates the other (Zamir et al. 2022, GDFN)."""

    def __init__(self, channels: int, expansion: float) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.into = nn.Conv2d(channels, 2 * hidden, 1)
        self.mix = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden)
        self.out = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same."""
        gate, value = self.mix(self.into(x)).chunk(2, dim=1)
        return self.out(F.gelu(gate) * value)


class S2TL(nn.Module):
    """Spatial-spectral transformer layer. `noisy`: it merges the noise embedding; `crossed`: it cross-attends to
    F_l^SR. Both: NC-S2TL."""

    def __init__(
        self, channels: int, heads: int, window: int, shift: int, expansion: float, noisy: bool, crossed: bool
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList([PixelNorm(channels) for _ in range(3)])
        self.spatial = WindowAttention(channels, heads, window, shift)
        self.spectral = SpectralAttention(channels, heads)
        self.feed = GatedFeedForward(channels, expansion)
        if noisy:
            self.noise = nn.Linear(channels, channels)
        if crossed:
            self.cross_norms = nn.ModuleList([PixelNorm(channels), PixelNorm(channels)])
            self.cross = SpectralAttention(channels, heads)

    def forward(
        self, x: Tensor, origin: tuple[int, int], embedding: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """(B, C, H, W); embedding (B, C) for a noisy layer, condition F_l^SR (B, C, H, W) for a crossed one -> (B, C,
        H, W)."""
        if embedding is not None:
            x = x + self.noise(embedding)[:, :, None, None]
        if condition is not None:
            x = x + self.cross(self.cross_norms[0](x), self.cross_norms[1](condition))
        x = x + self.spatial(self.norms[0](x), origin)
        x = x + self.spectral(self.norms[1](x))
        return x + self.feed(self.norms[2](x))


class ConvolutionLayer(nn.Module):
    """Two 3 x 3 convolutions in the place of a transformer layer, of about as many parameters (the paper's ablation
    CD-CNN)."""

    def __init__(self, channels: int, noisy: bool, crossed: bool) -> None:
        super().__init__()
        self.norm = PixelNorm(channels)
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.GELU(), nn.Conv2d(channels, channels, 3, padding=1)
        )
        if noisy:
            self.noise = nn.Linear(channels, channels)
        if crossed:
            self.merge = nn.Conv2d(2 * channels, channels, 1)

    def forward(
        self, x: Tensor, origin: tuple[int, int], embedding: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """As S2TL; the condition is concatenated."""
        if embedding is not None:
            x = x + self.noise(embedding)[:, :, None, None]
        if condition is not None:
            x = x + self.merge(torch.cat([x, condition], dim=1))
        return x + self.body(self.norm(x))


class CDFormer(nn.Module):
    """(x_t, level, msi, hsi_up) -> x0, shaped as x_t. `encode` runs the SR stream, which knows no level: once per
    tile for all steps.

    `sr_stream`: off = there is none, nor any cross-attention; the denoising stream's input holds the conditions (the
    paper's ablation). `layer`: "transformer", or "convolution" (the paper's ablation CD-CNN). `only_second_half`: the
    first half of both streams is computed without gradients (the paper's training at full size).
    """

    multiple = 1
    tile_invariant = False

    def __init__(
        self,
        hsi_bands: int,
        msi_bands: int,
        width: int = 64,
        layers: int = 4,
        heads: int = 4,
        window: int = 8,
        expansion: float = 2.66,
        residual: bool = True,
        sr_stream: bool = True,
        layer: str = "transformer",
    ) -> None:
        super().__init__()
        if layer not in ("transformer", "convolution"):
            raise ValueError(f"layer must be transformer or convolution, but it is {layer}")
        self.width, self.residual, self.only_second_half = width, residual, False
        self.sr_stream, given = sr_stream, hsi_bands + msi_bands
        self.head = nn.Conv2d(hsi_bands if sr_stream else hsi_bands + given, width, 3, padding=1)
        shifts = [window // 2 if i % 2 else 0 for i in range(layers)]

        def stack(noisy: bool, crossed: bool) -> nn.ModuleList:
            if layer == "convolution":
                return nn.ModuleList([ConvolutionLayer(width, noisy, crossed) for _ in shifts])
            return nn.ModuleList([S2TL(width, heads, window, s, expansion, noisy, crossed) for s in shifts])

        if sr_stream:
            self.sr_head = nn.Conv2d(given, width, 3, padding=1)
            self.sr_layers = stack(noisy=False, crossed=False)
        self.layers = stack(noisy=True, crossed=sr_stream)
        self.tail = nn.Conv2d(width, hsi_bands, 3, padding=1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.tail.weight *= FIRST_OUTPUT

    def encode(self, msi: Tensor, hsi_up: Tensor, origin: tuple[int, int] = (0, 0)) -> list[Tensor]:
        """The SR stream: msi (B, l, H, W), hsi_up (B, L, H, W) -> F_l^SR, one (B, C, H, W) per layer; none where it
        is off."""
        features: list[Tensor] = []
        if not self.sr_stream:
            return features
        with torch.set_grad_enabled(self._learns(0)):
            x = self.sr_head(torch.cat([msi, hsi_up], dim=1))
        for i, layer in enumerate(self.sr_layers):
            with torch.set_grad_enabled(self._learns(i)):
                x = layer(x, origin)
            features.append(x)
        return features

    def forward(
        self,
        x: Tensor,
        level: Tensor,
        msi: Tensor,
        hsi_up: Tensor,
        features: list[Tensor] | None = None,
        origin: tuple[int, int] = (0, 0),
    ) -> Tensor:
        """x (B, L, H, W), level (B,), msi (B, l, H, W), hsi_up = bicubic(Y) (B, L, H, W) -> x0; `features` from
        `encode` spare its work."""
        if features is None:
            features = self.encode(msi, hsi_up, origin)
        embedding = sinusoid(1000 * level, self.width).to(x.dtype)
        with torch.set_grad_enabled(self._learns(0)):
            x = self.head(x if self.sr_stream else torch.cat([x, msi, hsi_up], dim=1))
        for i, layer in enumerate(self.layers):
            condition = features[i] if self.sr_stream else None
            with torch.set_grad_enabled(self._learns(i)):
                x = layer(x, origin, embedding, condition)
        out = self.tail(x)
        return out + hsi_up if self.residual else out

    def _learns(self, layer: int) -> bool:
        return torch.is_grad_enabled() and not (self.only_second_half and layer < len(self.layers) // 2)
