"""HSI with defects of its detector, for trials: a dead column in a fifth of the bands, spikes, columns of
other gain.
"""

from __future__ import annotations

import numpy as np

DEFECTS = ("dead column", "spikes", "stripes")
SHARE_OF_BANDS, SPIKES, GAIN = 0.2, 1 / 2000, 0.03


def damaged(hsi: np.ndarray, defect: str, seed: int = 0) -> np.ndarray:
    """hsi (L, h, w) with zeros in one column of a fifth of its bands, with one value in 2,000 replaced by one to three
    times its band's largest, or with gains of 3 % rms for each column and band; another for each seed.

    Raises ValueError for a defect that is not one of DEFECTS.
    """
    rng, result = np.random.default_rng([seed, DEFECTS.index(defect)]), hsi.copy()
    if defect == "dead column":
        bands = rng.random(len(hsi)) < SHARE_OF_BANDS
        result[bands, :, rng.integers(hsi.shape[2])] = 0
    elif defect == "spikes":
        high = hsi.max(axis=(1, 2), keepdims=True) * rng.uniform(1, 3, hsi.shape)
        result = np.where(rng.random(hsi.shape) < SPIKES, high, hsi)
    else:
        result = hsi * (1 + GAIN * rng.normal(size=(len(hsi), 1, hsi.shape[2])))
    return result.astype(hsi.dtype)
