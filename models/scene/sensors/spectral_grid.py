"""From one sensor's bands to another's by linear interpolation along wavelength, the work-around of papers whose
networks know one sensor.
"""

from __future__ import annotations

import numpy as np


def interpolation(from_nm: np.ndarray, to_nm: np.ndarray) -> np.ndarray:
    """Matrix (len(to), len(from)) of linear interpolation; beyond the range the outermost band is held. Bands may come
    in any order.
    """
    order = np.argsort(from_nm, kind="stable")
    nodes, inverse = np.unique(np.asarray(from_nm, float)[order], return_inverse=True)
    matrix = np.stack([np.interp(to_nm, nodes, unit) for unit in np.eye(len(nodes))], axis=1)
    columns = np.zeros((len(to_nm), len(order)))
    columns[:, order] = (matrix / np.bincount(inverse))[:, inverse]  # bands of one wavelength share its weight
    return columns


def beyond(nm: np.ndarray, known_nm: np.ndarray, tolerance: float = 5.0) -> np.ndarray:
    """Which bands lie outside the range of the known ones, bool; what interpolation says of them is only held."""
    nm = np.asarray(nm, float)
    return (nm < np.min(known_nm) - tolerance) | (nm > np.max(known_nm) + tolerance)
