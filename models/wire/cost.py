"""What a request costs, known before anything is computed: for the server, which refuses too much, and for the client,
which cuts tiles to fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import HSFusionError
from ..observation import Sampling
from ..observation.axis import gaussian_reach
from ..scene.window import Place

_FLOAT = 4
_MIB = 1 << 20
_PER_TAP = 60  # bytes: its pixel, its weight, and what they are made of


LIMITS = {"samples": 256, "passes": 50_000, "work": 1e11, "reply": 1024 * _MIB}
"""What a tile may cost where nobody says otherwise; how much memory depends on the machine."""


class TooMuch(HSFusionError):
    """A request would cost more than the server gives to one; `smaller`: a smaller tile would pass."""

    def __init__(self, sentence: str, smaller: bool) -> None:
        super().__init__(sentence)
        self.smaller = smaller


@dataclass(frozen=True)
class Cost:
    """memory: bytes at the peak; reply: bytes of the answer; samples: as asked for; passes: times that a network sees
    the tile; work: the pixels it sees, all passes together.
    """

    memory: float
    reply: float
    samples: int
    passes: int
    work: float

    def check(self, most: Mapping[str, Any]) -> None:
        """TooMuch where one of these is above its limit, as a server tells them (`Cost`'s names -> the most); without a
        limit nothing is.
        """
        for name, told in _SENTENCES.items():
            limit = most.get(name)
            cost = getattr(self, name)
            if isinstance(limit, (int, float)) and not isinstance(limit, bool) and 0 < limit < cost:
                raise TooMuch(told(cost, limit), smaller=name not in ("samples", "passes"))


_SENTENCES = {
    "samples": lambda cost, limit: (
        f"The tile asks for {cost:.0f} samples and the server draws {limit:.0f}: set SAMPLES lower."
    ),
    "passes": lambda cost, limit: (
        f"The tile asks for {cost:.0f} passes of the network (samples x steps) and the server makes {limit:.0f}: set "
        "SAMPLES or STEPS lower."
    ),
    "memory": lambda cost, limit: (
        f"The tile needs about {cost / _MIB:.0f} MiB of memory and the server gives {limit / _MIB:.0f}: choose a "
        "smaller TILE_SIZE."
    ),
    "reply": lambda cost, limit: (
        f"The tile's answer has {cost / _MIB:.0f} MiB and the server sends {limit / _MIB:.0f}: choose a smaller "
        "TILE_SIZE or fewer SAMPLES."
    ),
    "work": lambda cost, limit: (
        f"The tile is {cost:.3g} pixels of work and the server takes {limit:.3g}: choose a smaller TILE_SIZE, or fewer "
        "SAMPLES or STEPS."
    ),
}


NAMES = tuple(_SENTENCES)


def pixels(place: Place) -> int:
    """Fine pixels of a place."""
    return place.fine.pixels


def operators(place: Place, sampling: Sampling) -> float:
    """Bytes of D and of the interpolation at a place, with what making them takes: matrices, or the taps of a displaced
    HSI.
    """
    (h, w), (height, width) = place.coarse.shape, place.fine.shape
    taps_y, taps_x = (2 * gaussian_reach(sampling.ratio, fwhm) + 1 for fwhm in (sampling.fwhm_y, sampling.fwhm_x))
    if sampling.displacement is None:
        return 40.0 * (h * taps_y + w * taps_x) + 24.0 * (h * height + w * width)
    return _PER_TAP * (1.5 * taps_y * h * width + 1.5 * taps_x * h * w + 4.0 * height * w + 4.0 * height * width)


def subspace_cost(
    place: Place, sampling: Sampling, core: int, card: Mapping[str, Any], msi_bands: int, samples: int, steps: int
) -> Cost:
    """Of a tile of a subspace model, whose card says K and the network's width; `core`: fine pixels wanted back.

    Fitted to peaks measured at K = 12 and width 64 in float32 (scripts/benchmark.py --speed).
    """
    k, width = int(card.get("components") or 12), int((card.get("settings") or {}).get("width") or 64)
    each = 22 * k + 6 * msi_bands + 2 * width
    passes = 2 + 2 * ((samples + 1) // 2) * max(1, steps)
    drawn = 4 * samples * k
    memory = _FLOAT * pixels(place) * (each + drawn) + operators(place, sampling)
    reply = _FLOAT * core * k * (max(1, samples) + 1)
    return Cost(memory, reply, samples, passes, float(passes) * pixels(place))


def full_band_cost(
    place: Place, sampling: Sampling, core: int, card: Mapping[str, Any], samples: int, steps: int
) -> Cost:
    """Of a tile of a full-band model, which works on windows: their number in one batch is bounded, the images
    are not.
    """
    bands, msi_bands, window = (int(card.get(name) or 1) for name in ("bands", "msi_bands", "window"))
    batch = 400 * _MIB + _FLOAT * 60 * (bands + msi_bands) * window**2
    images = 3 * (bands + msi_bands) * pixels(place) + 4 * bands * core
    passes = 1 + max(1, samples) * max(1, steps)
    memory = batch + _FLOAT * images + operators(place, sampling)
    return Cost(memory, _FLOAT * core * bands * (1 + (samples > 1)), samples, passes, float(passes) * pixels(place))
