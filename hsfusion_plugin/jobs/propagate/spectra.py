"""Reference spectra from a table or a spectral library, on the raster's bands."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import HSFusionError

LEAST_COVERED = 0.5  # share of the raster's bands that a spectrum must tell something of
_FIELD = re.compile(r"^([\w ]+?)\s*=\s*(\{[^}]*\}|[^\n]*)", re.MULTILINE)
LARGEST_RATIO = 20.0  # of mean levels, beyond which a spectrum is in other units than the raster


@dataclass(frozen=True)
class Spectra:
    """names, and values (n, L) in the units of the raster, NaN at bands that the source does not tell."""

    names: list[str]
    values: np.ndarray


def read_spectra(path: str, wavelengths: np.ndarray | None) -> Spectra:
    """From a CSV (first column wavelength in nm or micrometres, one column per spectrum) or an ENVI library (.sli, .hdr
    beside it).

    wavelengths (L,) of the raster's bands in nm. HSFusionError where the file cannot be used.
    """
    if wavelengths is None:
        raise HSFusionError("SPECTRA needs wavelengths, and the raster has none: add them to the hyperspectral raster.")
    names, nm, table = (
        _library(Path(path)) if Path(path).suffix.lower() in (".sli", ".hdr", ".esl") else _table(Path(path))
    )
    if np.nanmax(nm) < 100.0:
        nm = nm * 1000.0
    order = np.argsort(nm)
    values = np.stack([np.interp(wavelengths, nm[order], row[order], left=np.nan, right=np.nan) for row in table])
    if np.isfinite(values).mean() < LEAST_COVERED:
        raise HSFusionError(
            f"SPECTRA: '{path}' covers {nm.min():.0f} to {nm.max():.0f} nm, which is less than half of the raster's "
            "bands: choose other spectra."
        )
    return Spectra(names, values)


def check_units(spectra: Spectra, level: np.ndarray) -> None:
    """HSFusionError where the spectra's level is far from the raster's, level (L,): reflectance 0 to 1 against 0 to
    10000, for example.
    """
    own, theirs = float(np.nanmean(np.abs(spectra.values))), float(np.nanmean(np.abs(level)))
    ratio = own / max(theirs, 1e-30)
    if not 1 / LARGEST_RATIO < ratio < LARGEST_RATIO:
        raise HSFusionError(
            f"SPECTRA has values around {own:.3g} and the raster around {theirs:.3g}: bring the spectra to the "
            "raster's units."
        )


def _table(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise HSFusionError(f"SPECTRA: '{path}' cannot be read as a table: give a CSV file in UTF-8.") from error
    first = text.split("\n", 1)[0]
    delimiter = next((d for d in (";", "\t", ",") if d in first), ",")
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(cell.strip() for cell in row)]
    try:
        numbers = np.array([[float(cell.replace(",", ".")) for cell in row] for row in rows[1:]])
        if numbers.ndim != 2 or numbers.shape[1] < 2 or len(numbers) < 2:
            raise ValueError
    except ValueError as error:
        raise HSFusionError(
            f"SPECTRA: '{path}' must have a line of names, then a column of wavelengths and a column per spectrum."
        ) from error
    return [name.strip() for name in rows[0][1:]], numbers[:, 0], numbers[:, 1:].T


def _library(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    header = path.with_suffix(".hdr") if path.suffix.lower() != ".hdr" else path
    data = next(
        (p for p in (path.with_suffix(".sli"), path.with_suffix(".esl"), path.with_suffix("")) if p.is_file()), None
    )
    if not header.is_file() or data is None:
        raise HSFusionError(f"SPECTRA: '{path}' needs its header (.hdr) and its data (.sli) side by side.")
    try:
        fields = dict(_FIELD.findall(header.read_text(encoding="latin-1")))
        fields = {key.strip().lower(): value.strip() for key, value in fields.items()}
        count, length = int(fields["lines"]), int(fields["samples"])
        kind = {"4": "f4", "5": "f8", "2": "i2", "12": "u2", "3": "i4"}[str(fields["data type"]).strip()]
        order = ">" if str(fields.get("byte order", "0")).strip() == "1" else "<"
        nm = np.array([float(v) for v in _items(fields["wavelength"])])
        values = np.fromfile(data, order + kind).astype(np.float64)[: count * length].reshape(count, length)
        names = _items(fields.get("spectra names", "")) or [f"spectrum {n + 1}" for n in range(count)]
        return [str(name) for name in names], nm, values
    except (KeyError, ValueError, OSError) as error:
        raise HSFusionError(f"SPECTRA: the spectral library '{path}' cannot be read ({error}).") from error


def _items(text: object) -> list[str]:
    return [item.strip() for item in str(text).strip("{} \n").split(",") if item.strip()]
