"""Full-band models on whole scenes, run as the backend runs them, beside interpolation and GLP-HS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...metrics.without_reference import consistency_db, d_lambda
from ...observation import Degradation, Sampling
from ...runners.full_band import FullBandRunner
from ...scene.block import whole_block
from ...scene.window import Place, Window
from ...trials import Fitted, scores
from ...wire.full_band import FullBandRequest
from .data import Observed

Table = dict[str, dict[str, tuple[float, float]]]
FULL_RESOLUTION = "full resolution"  # case whose two numbers are consistency with the HSI (dB) and D_LAMBDA


@dataclass(frozen=True)
class Trial:
    """A test pair with what the closed forms make of it."""

    pair: Observed
    sampling: Sampling
    rivals: dict[str, np.ndarray]

    @classmethod
    def of(cls, pair: Observed, sampling: Sampling) -> Trial:
        """Interpolation and GLP-HS, told the true PSF as the network is by its training."""
        fitted = Fitted.to(whole_block(pair.hsi, pair.msi), sampling, pair.wavelengths)
        glp_hs = fitted.expand(fitted.closed_forms().named("glp-hs"))
        return cls(pair, sampling, {"interpolation": fitted.interpolate(), "glp-hs": glp_hs})

    def fuse(self, runner: FullBandRunner, **options: Any) -> np.ndarray:
        """(L, H, W) of a network; options of its request are steps, seed, samples."""
        pair, (height, width) = self.pair, self.pair.msi.shape[1:]
        request = FullBandRequest(
            sampling=self.sampling,
            scene_shape=(height, width),
            place=Place(Window.whole((height, width)), Window.whole(pair.hsi.shape[1:])),
            core=Window.whole((height, width)),
            hsi_scale=pair.scaling.hsi,
            msi_scale=pair.scaling.msi,
            msi_offset=pair.scaling.offset,
            **options,
        )
        masks = {"y_mask": np.ones(pair.hsi.shape[1:], np.float32), "z_mask": np.ones((height, width), np.float32)}
        return runner({"y": pair.hsi, "z": pair.msi, **masks}, request)["x"]

    def score(self, fused: np.ndarray) -> tuple[float, float]:
        """PSNR (dB) and SAM (degrees); without a truth, consistency with the HSI (dB) and D_LAMBDA."""
        if self.pair.truth is not None:
            found = scores(self.pair.truth, fused)
            return found["psnr"], found["sam"]
        low = Degradation.whole(self.sampling, fused.shape[1:])(fused)
        return consistency_db(low, self.pair.hsi), d_lambda(low, self.pair.hsi)


def validate_full_band(trials: list[Trial], runner: FullBandRunner, **options: Any) -> Table:
    """case (`mean`, each scene, `full resolution`) -> method -> the two numbers of `Trial.score`."""
    table: Table = {}
    for trial in trials:
        fused = {**trial.rivals, "network": trial.fuse(runner, **options)}
        table[trial.pair.name] = {method: trial.score(cube) for method, cube in fused.items()}
    whole = {
        FULL_RESOLUTION: [t for t in trials if t.pair.truth is None],
        "mean": [t for t in trials if t.pair.truth is not None],
    }
    for case, chosen in whole.items():
        if chosen:
            rows = [table[t.pair.name] for t in chosen]
            table[case] = {m: _mean([row[m] for row in rows]) for m in rows[0]}
    return table


def _mean(values: list[tuple[float, float]]) -> tuple[float, float]:
    first, second = np.mean(values, axis=0)
    return float(first), float(second)
