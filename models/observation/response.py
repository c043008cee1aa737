"""Spectral response functions: the rows of R, which turn a spectrum of the HSI into the bands of the MSI."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import HSFusionError
from .response_table import read_response_table


@dataclass(frozen=True)
class Sensor:
    """A multispectral sensor: band names, centre wavelengths and widths in nanometres, each of length l."""

    name: str
    bands: tuple[str, ...]
    centre_nm: np.ndarray
    fwhm_nm: np.ndarray


def load_sensors(path: Path | str) -> dict[str, Sensor]:
    """Sensors by name from a CSV with the columns sensor, band, centre_nm, fwhm_nm."""
    rows: dict[str, list[tuple[str, float, float]]] = {}
    with open(path, newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            rows.setdefault(row["sensor"], []).append((row["band"], float(row["centre_nm"]), float(row["fwhm_nm"])))
    return {
        name: Sensor(
            name, tuple(b for b, _, _ in bands), np.array([c for _, c, _ in bands]), np.array([f for _, _, f in bands])
        )
        for name, bands in rows.items()
    }


def _spacing(wavelengths: np.ndarray) -> np.ndarray:
    """Width in nm that each HSI band stands for; bands may come in any order, and overlap where two detectors meet."""
    order = np.argsort(wavelengths, kind="stable")
    ordered = wavelengths[order]
    edges = np.concatenate([[ordered[0]], (ordered[1:] + ordered[:-1]) / 2, [ordered[-1]]])
    width = np.empty_like(ordered)
    width[order] = np.diff(edges)
    if len(ordered) > 2:  # the outer bands stand for a whole interval, not half of one
        width[order[0]], width[order[-1]] = ordered[1] - ordered[0], ordered[-1] - ordered[-2]
    return width


def covered_bands(centre_nm: np.ndarray, fwhm_nm: np.ndarray, wavelengths_nm: np.ndarray) -> np.ndarray:
    """Which MSI bands the HSI sees, bool (l,): no point of the band's FWHM is farther than 0.6 FWHM from an
    HSI band.
    """
    probes = np.asarray(centre_nm)[:, None] + np.asarray(fwhm_nm)[:, None] * np.linspace(-0.5, 0.5, 9)
    gap = np.abs(probes[:, :, None] - np.asarray(wavelengths_nm)[None, None, :]).min(axis=2).max(axis=1)
    return gap <= np.maximum(0.6 * np.asarray(fwhm_nm), 10.0)


def gaussian_response(centre_nm: np.ndarray, fwhm_nm: np.ndarray, wavelengths_nm: np.ndarray) -> np.ndarray:
    """R (l, L), rows summing to 1, from Gaussian bands: an approximation where measured curves are not at hand.

    Each HSI band counts with the interval of wavelength it stands for. Raises HSFusionError naming an MSI band that the
    HSI does not see.
    """
    centre, fwhm = np.asarray(centre_nm, float), np.asarray(fwhm_nm, float)
    wavelengths = np.asarray(wavelengths_nm, float)
    missing = np.flatnonzero(~covered_bands(centre, fwhm, wavelengths))
    if len(missing):
        raise HSFusionError(_not_seen(float(centre[missing[0]]), wavelengths))
    distance = (wavelengths[None, :] - centre[:, None]) / fwhm[:, None]
    # A band narrower than the HSI's own sampling still falls on its nearest bands: never narrower than the local
    # spacing.
    width = np.maximum(1.0, np.abs(_spacing(wavelengths))[np.abs(distance).argmin(axis=1)] / fwhm)
    response = np.exp(-4.0 * np.log(2.0) * (distance / width[:, None]) ** 2) * _spacing(wavelengths)
    return response / response.sum(axis=1, keepdims=True)


def _not_seen(centre: float, wavelengths: np.ndarray) -> str:
    """One sentence on an MSI band beyond the HSI's bands or in a gap between two of them (water vapour, a join of
    detectors).
    """
    advice = "leave that band out of the multispectral raster"
    below, above = wavelengths[wavelengths <= centre], wavelengths[wavelengths > centre]
    if len(below) and len(above):
        gap = f"the HSI has no band between {below.max():.0f} and {above.min():.0f} nm"
        return f"The MSI band at {centre:.0f} nm falls into a gap of the HSI's bands ({gap}): {advice}."
    span = f"{wavelengths.min():.0f} to {wavelengths.max():.0f} nm"
    return f"The MSI band at {centre:.0f} nm lies outside the HSI's bands ({span}): {advice}."


def read_response(path: Path | str, wavelengths_nm: np.ndarray) -> np.ndarray:
    """R (l, L), rows summing to 1, from a CSV: a column of wavelengths in nm, and one column of relative response per
    MSI band.

    Raises HSFusionError where the file is no such table or a band has no response inside the HSI's wavelengths.
    """
    table, wavelengths = read_response_table(path), np.asarray(wavelengths_nm, float)
    sampled = [np.interp(wavelengths, table.wavelengths, curve, left=0.0, right=0.0) for curve in table.curves]
    response = np.stack(sampled) * _spacing(wavelengths)
    total = response.sum(axis=1, keepdims=True)
    empty = np.flatnonzero(total[:, 0] <= 0)
    if len(empty):
        raise HSFusionError(
            f"Band {table.names[empty[0]]} of {path} has no response inside the HSI's wavelengths: is its wavelength "
            "column in nanometres?"
        )
    return response / total


def relative_curves(response: np.ndarray, wavelengths_nm: np.ndarray) -> np.ndarray:
    """Curves (l, L) at the HSI's wavelengths, peak 1, from which `read_response` makes the rows of `response` again up
    to their sum.

    What an estimate has below zero is noise and becomes zero.
    """
    curves = np.clip(response, 0.0, None) / np.maximum(_spacing(np.asarray(wavelengths_nm, float)), 1e-9)
    return curves / np.maximum(curves.max(axis=1, keepdims=True), 1e-30)
