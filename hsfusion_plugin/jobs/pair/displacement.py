"""What is told of a displacement: for the log, for provenance and for reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ....hsfusion_plugin import reports
from ....models.observation.axis import coarse_centres
from ....models.scene.quality import Flag, Flags
from ....models.scene.sensors.displacement import Found
from .geometry import Geometry
from .pair import Pair

ARROWS = 18  # along the longer side of the figure
CERTAIN = 0.25  # HSI pixels of standard deviation, from which a place's displacement is flagged as uncertain


def outputs(geometry: Geometry) -> dict[str, float]:
    """ROTATION in degrees clockwise, SCALE and LOCAL_RMS in MSI pixels; no displacement where one shift does
    for all.
    """
    displacement, found = geometry.sampling.displacement, geometry.displacement
    if displacement is None or found is None:
        return {"ROTATION": 0.0, "SCALE": 1.0, "LOCAL_RMS": 0.0}
    return {"ROTATION": found.turn.value, "SCALE": found.scale.value, "LOCAL_RMS": displacement.local_rms}


def record(geometry: Geometry) -> dict[str, Any] | None:
    """For provenance; None where one shift does for all."""
    displacement, found = geometry.sampling.displacement, geometry.displacement
    if displacement is None or found is None:
        return None
    return {
        "rotation": found.turn.value,
        "rotation_interval": [found.turn.low, found.turn.high],
        "scale": found.scale.value,
        "scale_interval": [found.scale.low, found.scale.high],
        "local_rms": displacement.local_rms,
        "units": "degrees clockwise, 1, MSI pixels",
        "cosines_per_axis": displacement.order,
        "held_out_misfit": list(found.held_out),
        "agreed": found.agreed,
        "field": asdict(displacement),
    }


def quantities(geometry: Geometry) -> list[reports.Quantity]:
    """Rows of a report's table; none where one shift does for all."""
    displacement, found = geometry.sampling.displacement, geometry.displacement
    if displacement is None or found is None:
        return []
    before, after = found.held_out
    return [
        reports.Quantity(
            "Rotation",
            round(found.turn.value, 3),
            "degrees",
            f"clockwise, between {found.turn.low:.3f} and {found.turn.high:.3f}",
        ),
        reports.Quantity(
            "Scale", round(found.scale.value, 5), "", f"between {found.scale.low:.5f} and {found.scale.high:.5f}"
        ),
        reports.Quantity(
            "Local displacement",
            round(displacement.local_rms, 3),
            "MSI pixels rms",
            f"{displacement.order} cosines per axis",
        ),
        reports.Quantity(
            "Misfit of HSI pixels that took no part",
            f"{before:.4f} before, {after:.4f} after",
            "of the spread",
            f"{100 * found.agreed:.0f} % of the compared pixels agree",
        ),
    ]


def figure(pair: Pair, geometry: Geometry) -> reports.FieldFigure | None:
    """The arrows of a report; None where one shift does for all."""
    if geometry.displacement is None or geometry.sampling.displacement is None:
        return None
    a, ratio, found = pair.alignment, geometry.sampling.ratio, geometry.displacement
    rows, cols = a.scene_shape
    step = max(rows, cols) / ARROWS
    places = [np.arange(step / 2, size, step) - 0.5 for size in (rows, cols)]
    moves = geometry.sampling.displacement.at(*places)
    told = found.spread(*places).max(axis=0) <= CERTAIN * ratio
    grid = np.stack(np.meshgrid(*places, indexing="ij"))
    picture = pair.msi.thumbnail(pair.msi_bands[:1], 512)[0]
    shares = [
        slice(int(window.start / size * n), max(int(window.stop / size * n), 1))
        for window, size, n in zip((a.fine_rows, a.fine_cols), (pair.msi.rows, pair.msi.cols), picture.shape)
    ]
    return reports.FieldFigure(
        picture[shares[0], shares[1]],
        a.scene_shape,
        grid.reshape(2, -1).T,
        moves.reshape(2, -1).T,
        told.ravel(),
        abs(a.geotransform[1]),
        "units of the CRS",
    )


def sentence(geometry: Geometry) -> str:
    """One for the log; empty where one shift does for all."""
    displacement, found = geometry.sampling.displacement, geometry.displacement
    if displacement is None or found is None:
        return ""
    before, after = found.held_out
    return (
        f"Displacement: turned by {found.turn.value:.2f} degrees, scale {found.scale.value:.4f}, "
        f"{displacement.local_rms:.2f} MSI pixels rms "
        f"locally ({displacement.order} cosines per axis); misfit of held-out HSI pixels {before:.3f} before, "
        f"{after:.3f} after; "
        f"{100 * found.agreed:.0f} % of the compared pixels agree."
    )


@dataclass(frozen=True)
class Uncertain:
    """Flags fine pixels where the displacement is uncertain, one HSI pixel at a time."""

    found: Found

    def __call__(self, rows: range, cols: range) -> np.ndarray:
        """uint8 (rows, cols) of `Flag` for a window of the scene, in fine pixels."""
        ratio = self.found.sampling.ratio
        numbers = [np.floor(np.arange(r.start, r.stop) / ratio).astype(int) for r in (rows, cols)]
        coarse = [range(int(n[0]), int(n[-1]) + 1) for n in numbers]
        spread = self.found.spread(*(coarse_centres(c, ratio, 0.0) for c in coarse))
        uncertain = spread.max(axis=0) > CERTAIN * ratio
        there = uncertain[np.ix_(numbers[0] - coarse[0].start, numbers[1] - coarse[1].start)]
        return np.where(there, Flag.DISPLACEMENT_UNCERTAIN, 0).astype(np.uint8)


def flags(geometry: Geometry) -> tuple[Flags, ...]:
    """What QUALITY is to say of the displacement: nothing where one shift does for all."""
    return () if geometry.displacement is None else (Uncertain(geometry.displacement),)
