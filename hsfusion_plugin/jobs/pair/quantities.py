"""What a report says of each MSI band: response, offset, noise, and what of it the HSI does not explain."""

from __future__ import annotations

import numpy as np

from ....hsfusion_plugin import reports
from .estimates import Estimates
from .pair import Pair

IDENTIFIED = "Gain (MSI units per HSI unit) and offset (MSI units) are estimates against the nominal response."
NOT_IDENTIFIABLE = (
    "Gain and offset of an MSI band cannot be told apart from its response while that is unknown: many responses "
    "explain the pair as well, with "
    "other sums and offsets, so these scatter. They are what the fusion works with; for a calibration give SENSOR or "
    "SRF_FILE."
)


def msi_quantities(pair: Pair, estimates: Estimates, nominal: np.ndarray | None = None) -> list[reports.Quantity]:
    """One row per MSI band; called gain only where a nominal response was given, against which it is one.

    nominal (l, 2): gain and offset against a nominal response that was tried beside the estimate, NaN where a band does
    not follow it.
    """
    scene = estimates.scene
    found = np.column_stack([scene.spectral_response.sum(axis=1), scene.spectral_offset])
    known = np.full(len(found), estimates.nominal)
    if nominal is not None:
        known = np.isfinite(nominal[:, 0])
        found = np.where(known[:, None], nominal, found)
    rows = [
        reports.Quantity(
            f"MSI band {number + 1}",
            f"{'gain' if told else 'response sums to'} {total:.3g}, offset {_figure(offset)}, noise {_figure(noise)}",
            "",
            f"{100 * share:.1f} % of its variance is not explained by the HSI",
        )
        for number, told, (total, offset), noise, share in zip(
            pair.msi_bands, known, found, scene.msi_noise, scene.unexplained
        )
    ]
    if known.all():
        return [*rows, reports.Quantity("Calibration of the MSI", "estimated", "", IDENTIFIED)]
    value, text = "not identifiable", NOT_IDENTIFIABLE
    if known.any():
        value, text = "of some bands", f"{IDENTIFIED} Of the other bands they are not identifiable."
    return [*rows, reports.Quantity("Calibration of the MSI", value, "", text)]


def _figure(value: float) -> str:
    """Three digits, and no power of ten for thousands."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"
