"""Parts of a scene that are kept from training: square cells, some to choose by and others to judge by, with a gap
around them.
"""

from __future__ import annotations

import numpy as np

TRAIN, CHOOSE, TEST, GAP = range(4)
CELLS_PER_AXIS = 4
SHARE = 1 / 8  # of the cells for each of CHOOSE and TEST, two at least


def held_out(shapes: list[tuple[int, int]], gap: int, seed: int = 0) -> list[np.ndarray]:
    """One uint8 image per block of (h, w) pixels: TRAIN, CHOOSE (picks the best weights), TEST (judges them), GAP
    (neither).

    Each block is cut into CELLS_PER_AXIS^2 cells; where there are as many blocks as that, whole blocks are the cells
    and need no gap.
    """
    whole = len(shapes) >= CELLS_PER_AXIS**2
    per_axis = 1 if whole else CELLS_PER_AXIS
    cells = [(n, i, j) for n in range(len(shapes)) for i in range(per_axis) for j in range(per_axis)]
    order = np.random.default_rng(seed).permutation(len(cells))
    count = max(2, round(SHARE * len(cells)))
    chosen = [(cells[k], role) for k, role in zip(order[: 2 * count], [CHOOSE, TEST] * count)]
    roles = [np.full(shape, TRAIN, np.uint8) for shape in shapes]
    for margin in (0 if whole else gap, 0):
        for (n, i, j), role in chosen:
            rows, cols = (_cell(k, size, per_axis, margin) for k, size in zip((i, j), shapes[n]))
            roles[n][rows, cols] = GAP if margin else role
    return roles


def _cell(number: int, size: int, per_axis: int, margin: int) -> slice:
    edges = np.linspace(0, size, per_axis + 1).round().astype(int)
    return slice(max(0, edges[number] - margin), min(size, edges[number + 1] + margin))
