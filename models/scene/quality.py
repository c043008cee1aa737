"""What is to be known of single pixels of a result: flags, one bit each, and how parts of the program set them."""

from __future__ import annotations

from enum import IntFlag
from typing import Protocol

import numpy as np


class Flag(IntFlag):
    """Bits of the QUALITY raster; 0 is a pixel of which nothing is to be said."""

    NO_SUPPORT = 1
    HSI_FILLED = 2
    MSI_LEFT_OUT = 4
    DISPLACEMENT_UNCERTAIN = 8
    OUTSIDE_RANGE = 16
    BOUNDED = 32


LABELS = {
    Flag.NO_SUPPORT: "no support",
    Flag.HSI_FILLED: "HSI filled",
    Flag.MSI_LEFT_OUT: "MSI left out",
    Flag.DISPLACEMENT_UNCERTAIN: "displacement uncertain",
    Flag.OUTSIDE_RANGE: "outside the MSI's range",
    Flag.BOUNDED: "bounded",
}


def label(value: int) -> str:
    """The flags of a value in words: "HSI filled, bounded"; "nothing to note" of 0."""
    return ", ".join(text for flag, text in LABELS.items() if value & flag) or "nothing to note"


class Flags(Protocol):
    """Something found once for the scene that flags pixels: a pure function of their place."""

    def __call__(self, rows: range, cols: range) -> np.ndarray:
        """Bits of `Flag` for a window of the scene, in fine pixels: uint8 (rows, cols)."""


class Area(Protocol):
    """Something found once for the scene that leaves pixels out: clouds in one image, for example."""

    def __call__(self, rows: range, cols: range) -> np.ndarray:
        """Which pixels of a window of the scene, in fine pixels, take no part: bool (rows, cols)."""
