"""Places of the pixels of an image that has rational polynomial coefficients alone, at the mean height of the
ground.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from osgeo import gdal

from ...gdal_calls import collected_errors, scratch_files
from .cube import degrees
from .xml import Node

_STEP = 16  # pixels between the places that are worked out; those between them are interpolated


class RpcPlaces:
    """Places of an image by its RPC (GDAL's names of the items), as Places."""

    def __init__(self, rpc: Mapping[str, str], rows: int, cols: int) -> None:
        self.crs_wkt = degrees()
        virtual = gdal.GetDriverByName("MEM").Create("", cols, rows, 1)
        virtual.SetMetadata(dict(rpc), "RPC")
        with scratch_files(), collected_errors():
            height = rpc.get("HEIGHT_OFF", "0")
            self._transformer = gdal.Transformer(virtual, None, ["METHOD=RPC", f"RPC_HEIGHT={height}"])

    def read(self, rows: range, cols: range) -> tuple[np.ndarray, np.ndarray]:
        """As Places.read."""
        knots = [_knots(window) for window in (rows, cols)]
        points = [[col + 0.5, row + 0.5] for row in knots[0] for col in knots[1]]
        found, told = self._transformer.TransformPoints(False, points)
        values = np.where(np.array(told, bool)[:, None], np.array(found)[:, :2], np.nan)
        values = values.reshape(len(knots[0]), len(knots[1]), 2)
        return tuple(_between(values[..., i], knots, rows, cols) for i in (0, 1))


def rpc_of_enmap(xml: Node) -> dict[str, str] | None:
    """The polynomials of the middle band of EnMAP's first camera, by GDAL's names; None where there are none."""
    place = xml.first("RPC")
    bands = list(place.all("bandID")) if place is not None else []
    if not bands:
        return None
    band = bands[len(bands) // 5]  # of the first 91 of 224
    names = {"LINE": "ROW", "SAMP": "COL", "LAT": "LAT", "LONG": "LONG", "HEIGHT": "HEIGHT"}
    rpc = {
        f"{ours}_{kind}": band.value(f"{theirs}_{kind}") for ours, theirs in names.items() for kind in ("OFF", "SCALE")
    }
    for ours in ("LINE", "SAMP"):
        for kind in ("NUM", "DEN"):
            numbers = [band.value(f"{names[ours]}_{kind}_{i}") for i in range(1, 21)]
            rpc[f"{ours}_{kind}_COEFF"] = " ".join(numbers)
    return rpc if all(rpc.values()) else None


def _knots(window: range) -> np.ndarray:
    return np.unique(np.append(np.arange(window.start, window.stop, _STEP), window.stop - 1))


def _between(values: np.ndarray, knots: list[np.ndarray], rows: range, cols: range) -> np.ndarray:
    along = np.array([np.interp(np.array(cols), knots[1], line) for line in values])
    return np.array([np.interp(np.array(rows), knots[0], column) for column in along.T]).T
