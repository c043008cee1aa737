"""Cubes with an ENVI header: AVIRIS on its lookup table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .truth import Truth, spectra

NM, WIDTHS = np.linspace(376.44, 2500.12, 10), np.linspace(5.1, 6.2, 10)


def header(rows: int, cols: int, bands: int, code: int, interleave: str, more: str) -> str:
    return (
        f"ENVI\nsamples = {cols}\nlines = {rows}\nbands = {bands}\nheader offset = 0\nfile type = ENVI Standard\n"
        f"data type = {code}\ninterleave = {interleave}\nbyte order = 0\n{more}"
    )


def aviris_ng(folder: Path) -> Truth:
    """Radiance as the sensor saw it (BIL) and a lookup table in UTM, with fill and negative numbers, as JPL delivers
    level 1.
    """
    lines, samples, name = 5, 6, "ang20190712t123456_rdn_v2u1"
    swath = spectra(10, lines, samples, 0.1, 12).astype("<f4")
    listed = f"wavelength units = Nanometers\nwavelength = {{{', '.join(map(str, NM))}}}\nfwhm = {{{', '.join(map(str, WIDTHS))}}}\n"  # noqa: E501
    swath.transpose(1, 0, 2).tofile(folder / f"{name}_img")
    (folder / f"{name}_img.hdr").write_text(
        header(lines, samples, 10, 4, "bil", listed + "data ignore value = -9999\n")
    )
    rows, cols = np.meshgrid(np.arange(7) - 1, np.arange(8) - 1, indexing="ij")
    inside = (rows >= 0) & (rows < lines) & (cols >= 0) & (cols < samples)
    table = np.where(inside, np.array([cols + 1, rows + 1]), 0).astype("<i4")
    table[:, 2, 2] *= -1
    table.transpose(1, 2, 0).tofile(folder / f"{name}_glt")
    place = "map info = {UTM, 1.000, 1.000, 400000.0, 4100000.0, 4.2, 4.2, 11, North, WGS-84, units=Meters}\n"
    (folder / f"{name}_glt.hdr").write_text(header(7, 8, 2, 3, "bip", place))
    values = np.full((10, 7, 8), np.nan, np.float32)
    values[:, 1:6, 1:7] = swath
    mask = np.isfinite(values[0])
    grid = (400000.0, 4.2, 0.0, 4100000.0, 0.0, -4.2)
    return Truth(
        folder / f"{name}_img",
        values,
        NM,
        WIDTHS,
        grid,
        32611,
        mask,
        "ENVI cube",
        None,
        "AVIRIS-NG",
        "2019-07-12T12:34:56Z",
    )


MAKERS = (aviris_ng,)
