"""Bands that lack pixels which the other bands have."""

from __future__ import annotations

from collections import Counter

import numpy as np


class Gaps:
    """Counts, window by window, of pixels that only some of the bands know.

    pixels: with data in at least one band; whole: in all bands; lost: in no more than half of them; missing (bands,):
    among the pixels that are known in more than half of the bands, those that the band lacks.
    """

    def __init__(self, bands: int) -> None:
        self.bands, self.pixels, self.whole, self.lost = bands, 0, 0, 0
        self.missing = np.zeros(bands, np.int64)
        self._patterns: Counter[bytes] = Counter()

    def add(self, values: np.ndarray) -> None:
        """Take in values (bands, ...), NaN where unknown."""
        known = np.isfinite(values.reshape(len(values), -1))
        count = known.sum(axis=0)
        self.pixels += int((count > 0).sum())
        self.whole += int((count == self.bands).sum())
        some = (count > 0) & (count < self.bands)
        if not some.any():
            return
        most = 2 * count[some] > self.bands
        self.lost += int((~most).sum())
        self.missing += (~known[:, some][:, most]).sum(axis=1)
        packed, times = np.unique(np.packbits(known[:, some], axis=0), axis=1, return_counts=True)
        self._patterns.update({column.tobytes(): int(n) for column, n in zip(packed.T.copy(), times)})

    def share(self) -> np.ndarray:
        """(bands,) of the pixels that are known in more than half of the bands, the share that the band lacks."""
        return self.missing / max(self.pixels - self.lost, 1)

    def lost_without(self, left_out: list[int]) -> int:
        """Pixels that lack some of the bands that are not left out, and have others."""
        kept = frozenset(range(self.bands)) - set(left_out)
        return sum(count for lacking, count in self._lacking().items() if lacking & kept and not kept <= lacking)

    def _lacking(self) -> dict[frozenset[int], int]:
        """How many pixels lack which bands."""
        return {
            frozenset(np.flatnonzero(np.unpackbits(np.frombuffer(key, np.uint8))[: self.bands] == 0).tolist()): count
            for key, count in self._patterns.items()
        }

    def costly(self, most: float) -> list[int]:
        """Bands without which more than the share `most` of the pixels would be known in all bands; the dearest first,
        never all of them.
        """
        patterns = self._lacking()
        left_out: list[int] = []
        while len(left_out) < self.bands - 1:
            gains = Counter[int]()
            for lacking, count in patterns.items():
                for band in lacking if len(lacking) == 1 else ():
                    gains[band] += count
            if not gains:  # only together do they cost pixels: begin with the band that lacks most
                for lacking, count in patterns.items():
                    for band in lacking:
                        gains[band] += count
            if not gains:
                break
            band, count = gains.most_common(1)[0]
            if count <= most * self.pixels:
                break
            left_out.append(band)
            kept = Counter[frozenset[int]]()
            for lacking, n in patterns.items():
                kept[lacking - {band}] += n
            patterns = {lacking: n for lacking, n in kept.items() if lacking}
        return left_out
