"""A quick-look PNG: rasters of the same place side by side in true colour, all with one stretch. GDAL's tools only."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from bisect import bisect_left
from itertools import accumulate
from pathlib import Path

RGB_NM = (650.0, 550.0, 470.0)
GAP = 4  # pixels between two panels
QUIET = {**os.environ, "GDAL_PAM_ENABLED": "NO"}  # no .aux.xml beside the user's rasters


def _gdal(*command: object) -> str:
    return subprocess.run([str(c) for c in command], env=QUIET, check=True, capture_output=True, text=True).stdout


def true_colour_bands(raster: Path) -> list[int]:
    """The bands (1-based) nearest to red, green and blue; first, middle and last where the raster names no
    wavelengths.
    """
    bands = json.loads(_gdal("gdalinfo", "-json", raster))["bands"]
    wavelengths = {}
    for band in bands:
        items = band.get("metadata", {}).get("", {})
        if "wavelength" in items:
            unit = items.get("wavelength_units", "").lower()
            wavelengths[band["band"]] = float(items["wavelength"]) * (1000.0 if unit.startswith("micro") else 1.0)
    if not wavelengths:
        return [len(bands), (len(bands) + 1) // 2, 1]
    return [min(wavelengths, key=lambda b: abs(wavelengths[b] - colour)) for colour in RGB_NM]


def percentiles(histogram: dict, low: float = 0.02, high: float = 0.98) -> tuple[float, float]:
    """Values below which a share `low` and `high` of the pixels lie, from gdalinfo's histogram."""
    step = (histogram["max"] - histogram["min"]) / histogram["count"]
    running = list(accumulate(histogram["buckets"]))
    lower, upper = (bisect_left(running, share * running[-1]) for share in (low, high))
    return histogram["min"] + lower * step, histogram["min"] + (upper + 1) * step


def quicklook(rasters: list[Path], png: Path, height: int = 512) -> None:
    """Writes `png`: the rasters left to right, scaled to `height` rows; the last one sets the stretch."""
    with tempfile.TemporaryDirectory() as folder:
        stretch, panels, left = [], [], 0
        for number, raster in reversed(list(enumerate(rasters))):
            colours = [argument for band in true_colour_bands(raster) for argument in ("-b", band)]
            picked = Path(folder, f"rgb{number}.vrt")
            _gdal("gdal_translate", "-q", "-of", "VRT", *colours, raster, picked)
            if not stretch:
                for channel, band in enumerate(
                    json.loads(_gdal("gdalinfo", "-json", "-hist", picked))["bands"], start=1
                ):
                    low, high = percentiles(band["histogram"])
                    stretch += [f"-scale_{channel}", low, high, 1, 255]
        for number, raster in enumerate(rasters):
            columns, rows = json.loads(_gdal("gdalinfo", "-json", raster))["size"]
            width = max(1, round(height * columns / rows))
            panel = Path(folder, f"panel{number}.tif")
            place = ["-a_srs", "EPSG:3857", "-a_ullr", left, height, left + width, 0]
            size = ["-outsize", width, height, "-r", "nearest"]
            _gdal(
                "gdal_translate",
                "-q",
                "-ot",
                "Byte",
                "-a_nodata",
                "none",
                *stretch,
                *size,
                *place,
                Path(folder, f"rgb{number}.vrt"),
                panel,
            )
            panels.append(panel)
            left += width + GAP
        mosaic = Path(folder, "mosaic.vrt")
        _gdal("gdalbuildvrt", "-q", mosaic, *panels)
        _gdal("gdal_translate", "-q", "-of", "PNG", mosaic, png)
