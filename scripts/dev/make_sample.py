#!/usr/bin/env python3
"""Makes resources/sample/indian_pines.tif, the bundled scene, from the public Indian Pines cube.

The cube: AVIRIS, 12 June 1992, Indian Pine Test Site 3, 145 x 145 pixels of about 20 m, 200 bands without the water
bands; Baumgardner, Biehl and Landgrebe (2015), Purdue University Research Repository, doi:10.4231/R7RX991C. The PyPI
package tensorly carries it:

    pip download --no-deps tensorly && unzip -j tensorly-*.whl tensorly/datasets/data/Indian_pines_corrected.npy
    .venv/bin/python scripts/dev/make_sample.py Indian_pines_corrected.npy

A GeoTIFF of the 200 bands is taken as well. Centre wavelengths come from indian_pines_bands.csv beside the sample (the
data set's own 92AV3C.spc less bands 104-108, 150-163 and 220); where AVIRIS's spectrometers overlap they step back.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform
from rasterio.windows import Window

SAMPLE = Path(__file__).resolve().parents[2] / "resources" / "sample"
PIXEL_M = 20.0
CENTRE_LON, CENTRE_LAT = -87.0, 40.46  # of the whole scene, known to a few hundred metres only
TAGS = {
    "TITLE": "Indian Pines, crop (AVIRIS, 12 June 1992, test site 3, 200 bands without the water bands)",
    "CITATION": "Baumgardner, M. F., Biehl, L. L., Landgrebe, D. A. (2015). 220 Band AVIRIS Hyperspectral Image Data Set: "  # noqa: E501
    "June 12, 1992 Indian Pine Test Site 3. Purdue University Research Repository. doi:10.4231/R7RX991C",
    "VALUES": "scaled radiance as distributed",
    "GEOREFERENCE": "APPROXIMATE: the scene is distributed without one; its centre was set to 40.46 N 87.0 W, north up, 20 m pixels. "  # noqa: E501
    "Good enough to look at, not to measure with.",
}


def read_cube(path: Path) -> np.ndarray:
    """(bands, rows, cols) uint16 from the .npy (rows, cols, bands) or a GeoTIFF."""
    if path.suffix == ".npy":
        cube = np.moveaxis(np.load(path, allow_pickle=False), -1, 0)
    else:
        with rasterio.open(path) as source:
            cube = source.read()
    if cube.shape != (200, 145, 145):
        raise SystemExit(f"{path} holds {cube.shape} values, not the 200 bands of 145 x 145 pixels of Indian Pines.")
    return cube.astype(np.uint16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cube", type=Path, help="Indian_pines_corrected.npy, or a GeoTIFF of it")
    parser.add_argument("--output", type=Path, default=SAMPLE / "indian_pines.tif")
    parser.add_argument("--window", type=int, nargs=3, default=(8, 8, 128), metavar=("ROW", "COL", "SIZE"))
    arguments = parser.parse_args()

    cube = read_cube(arguments.cube)
    with open(SAMPLE / "indian_pines_bands.csv", newline="", encoding="utf-8") as file:
        bands = list(csv.DictReader(file))
    row, col, size = arguments.window
    crs = CRS.from_epsg(32616)
    (x,), (y,) = transform(CRS.from_epsg(4326), crs, [CENTRE_LON], [CENTRE_LAT])
    west, north = (round(v / PIXEL_M) * PIXEL_M for v in (x - 72.5 * PIXEL_M, y + 72.5 * PIXEL_M))

    with rasterio.open(
        arguments.output,
        "w",
        driver="GTiff",
        dtype="uint16",
        count=len(bands),
        height=size,
        width=size,
        crs=crs,
        transform=from_origin(west + col * PIXEL_M, north - row * PIXEL_M, PIXEL_M, PIXEL_M),
        tiled=True,
        blockxsize=size,
        blockysize=size,
        compress="deflate",
        zlevel=9,
        predictor=2,
        interleave="band",
    ) as target:
        target.update_tags(**TAGS)
        target.write(cube[:, row : row + size, col : col + size], window=Window(0, 0, size, size))
        for index, band in enumerate(bands, start=1):
            wavelength = float(band["wavelength_nm"])
            target.set_band_description(index, f"AVIRIS band {band['aviris_band']} ({wavelength:.2f} Nanometers)")
            target.update_tags(index, wavelength=f"{wavelength:.2f}", wavelength_units="Nanometers")
            target.update_tags(index, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=f"{wavelength / 1000:.5f}")


if __name__ == "__main__":
    main()
