"""Windows of a grid, and where a tile lies on the two grids of a scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ..observation import Degradation, Sampling, Upsampling


@dataclass(frozen=True)
class Window:
    """Rows and columns of a grid, as absolute pixel numbers of the scene."""

    rows: range
    cols: range

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Window:
        """All of a grid of (rows, columns)."""
        return cls(range(shape[0]), range(shape[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return len(self.rows), len(self.cols)

    @property
    def pixels(self) -> int:
        """How many there are."""
        return len(self.rows) * len(self.cols)

    @property
    def axes(self) -> tuple[range, range]:
        """(rows, cols), for what is said of both axes alike."""
        return self.rows, self.cols

    def __and__(self, other: Window) -> Window:
        """What both have; empty where they do not meet."""
        return Window(*(_common(a, b) for a, b in zip(self.axes, other.axes)))

    def __contains__(self, other: Window) -> bool:
        """Whether all of `other` lies in this window."""
        return all(a.start <= b.start and b.stop <= a.stop for a, b in zip(self.axes, other.axes))

    def inside(self, other: Window) -> tuple[slice, slice]:
        """Row and column slices of this window in an array that covers `other`: image[..., *window.inside(other)]."""
        rows, cols = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(self.axes, other.axes))
        return rows, cols

    def part(self, rows: slice, cols: slice) -> Window:
        """The window of a slice of an array that covers this one: the inverse of `inside`."""
        return Window(self.rows[rows], self.cols[cols])

    def grown(self, reach: int, shape: tuple[int, int], multiple: int = 1) -> Window:
        """With `reach` pixels to each side, out to absolute multiples of `multiple`, within a grid of `shape`."""
        return Window(
            *(
                range(
                    max(0, axis.start - reach) // multiple * multiple,
                    min(size, -(-(axis.stop + reach) // multiple) * multiple),
                )
                for axis, size in zip(self.axes, shape)
            )
        )

    def cuts(self, rows: int, cols: int | None = None) -> Iterator[Window]:
        """Parts cut at absolute multiples of `rows` and `cols` (the same if left out), row by row."""
        for part_rows in _cuts(self.rows, rows):
            for part_cols in _cuts(self.cols, rows if cols is None else cols):
                yield Window(part_rows, part_cols)

    def quarters(self) -> Iterator[Window]:
        """Four parts, each half as high and wide."""
        for part_rows in _halves(self.rows):
            for part_cols in _halves(self.cols):
                yield Window(part_rows, part_cols)


class OnGrids(Protocol):
    """What knows the grids of a scene: a coefficient model."""

    sampling: Sampling
    scene_shape: tuple[int, int]


@dataclass(frozen=True)
class Place:
    """Where a tile or block lies in its scene: its window of MSI pixels and its window of HSI pixels."""

    fine: Window
    coarse: Window

    @property
    def fine_rows(self) -> range:
        """Absolute MSI rows."""
        return self.fine.rows

    @property
    def fine_cols(self) -> range:
        """Absolute MSI columns."""
        return self.fine.cols

    @property
    def coarse_rows(self) -> range:
        """Absolute HSI rows."""
        return self.coarse.rows

    @property
    def coarse_cols(self) -> range:
        """Absolute HSI columns."""
        return self.coarse.cols

    def __and__(self, other: Place) -> Place:
        """What both have, on either grid."""
        return Place(self.fine & other.fine, self.coarse & other.coarse)

    def degradation(self, scene: OnGrids) -> Degradation:
        """D from the fine window to the coarse one."""
        return Degradation(scene.sampling, scene.scene_shape, *self.fine.axes, *self.coarse.axes)

    def upsampling(self, scene: OnGrids, fine: Window | None = None) -> Upsampling:
        """Interpolation from the coarse window to the fine one, or to the part `fine` of it."""
        return Upsampling(scene.sampling, scene.scene_shape, *(fine or self.fine).axes, *self.coarse.axes)

    def operators(self, scene: OnGrids) -> tuple[Degradation, Upsampling]:
        """D and the interpolation back."""
        return self.degradation(scene), self.upsampling(scene)


def _common(a: range, b: range) -> range:
    start = max(a.start, b.start)
    return range(start, max(start, min(a.stop, b.stop)))


def _cuts(axis: range, size: int) -> list[range]:
    edges = [axis.start, *range((axis.start // size + 1) * size, axis.stop, size), axis.stop]
    return [range(a, b) for a, b in zip(edges[:-1], edges[1:]) if b > a]


def _halves(axis: range) -> list[range]:
    middle = axis.start + len(axis) // 2
    return [range(axis.start, middle), range(middle, axis.stop)]
