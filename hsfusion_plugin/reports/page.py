"""Reports as one HTML file each, which opens offline: everything, the charts' library included, stands inside."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...models.metrics import CONVENTIONS
from ..rasters.writing.provenance import plain_json
from ..rasters.writing.staging import write_text
from .contents import EvaluationReport, FusionReport, Map, PixelSpectra
from .field import draw_field
from .figures import band_figure
from .pictures import draw_map, draw_pictures, ramp_css

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_DECIMALS = {"dB": 2, "°": 3, "s": 1, "%": 1}


def write_fusion_report(path: str | Path, report: FusionReport) -> None:
    """Write the report of a fusion; HSFusionError when the file cannot be written."""
    charts = Charts()
    page = render(
        "fusion.html",
        report=report,
        pictures=draw_pictures(report.pictures),
        maps=[draw_map(chart) for chart in report.maps],
        spectra=_spectra(charts, report),
        field=None if report.displacement is None else draw_field(report.displacement),
        charts=charts,
    )
    write_text(path, page, "REPORT")


def write_evaluation_report(path: str | Path, report: EvaluationReport) -> None:
    """Write the report of an evaluation; HSFusionError when the file cannot be written."""
    charts, scores = Charts(), report.scores
    length = scores.bands_total
    errors = {"RMSE": _on_all_bands(scores.rmse_bands, scores.bands, length)}
    relative = np.where(
        scores.mean_bands > 0, 100 * scores.rmse_bands / np.where(scores.mean_bands > 0, scores.mean_bands, 1), np.nan
    )
    page = render(
        "evaluation.html",
        report=report,
        conventions=CONVENTIONS,
        pictures=draw_pictures(report.pictures),
        maps=[
            draw_map(Map("Spectral angle (SAM)", scores.sam_map, "°")),
            draw_map(Map("Error: RMSE over bands", scores.error_map, report.unit)),
        ],
        spectra=_spectra(charts, report),
        error_chart=charts.add(
            band_figure(errors, f"RMSE ({report.unit})", report.wavelengths_nm, report.msi_bands, from_zero=True)
        ),
        relative_chart=charts.add(
            band_figure(
                {"RMSE": _on_all_bands(relative, scores.bands, length)},
                "RMSE (% of the band mean)",
                report.wavelengths_nm,
                report.msi_bands,
                from_zero=True,
            )
        ),
        charts=charts,
    )
    write_text(path, page, "REPORT")


class Charts:
    """The plotly figures of one page; `add` returns the id of the element in which a figure is drawn."""

    def __init__(self) -> None:
        self._figures: list[dict[str, Any]] = []

    def add(self, figure: dict[str, Any]) -> str:
        """Keep a figure and name its place."""
        self._figures.append(figure)
        return f"chart-{len(self._figures)}"

    def json(self) -> str:
        """All figures by id, fit to stand inside a script element."""
        figures = {f"chart-{i + 1}": figure for i, figure in enumerate(self._figures)}
        return json.dumps(figures, separators=(",", ":")).replace("<", "\\u003c")

    def library(self) -> str:
        """plotly.js for the page; empty when there is nothing to draw or this QGIS came without plotly."""
        return plotly_library() if self._figures else ""


@lru_cache(maxsize=1)
def plotly_library() -> str:
    """The plotly.js that ships with QGIS's plotly, gzipped and in base64: 2 MB instead of 9; every browser can unpack
    it.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        return ""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode("utf-8"), 6, mtime=0)).decode("ascii")


def _spectra(charts: Charts, report: FusionReport | EvaluationReport) -> list[tuple[PixelSpectra, str]]:
    return [
        (pixel, charts.add(band_figure(pixel.lines, report.unit, report.wavelengths_nm, report.msi_bands, 260, False)))
        for pixel in report.spectra
    ]


def _on_all_bands(values: np.ndarray, bands: np.ndarray, length: int) -> np.ndarray:
    """(L,) of the whole file from the compared bands only; NaN elsewhere, which leaves a gap in a line."""
    whole = np.full(length, np.nan)
    whole[bands] = values
    return whole


def render(template: str, **values: Any) -> str:
    """A page from a template of this room."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["tick"] = _tick
    environment.filters["pretty"] = _pretty
    return environment.get_template(template).render(ramp=ramp_css(), letters="ABCDEFGHIJKLMNOPQRSTUVWXYZ", **values)


def number(value: object, unit: str = "") -> str:
    """A number as a person writes it: two decimals for dB, three for angles, else four significant digits; text as it
    is.
    """
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return "not defined"
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        text = f"{value:.{_DECIMALS[unit]}f}" if unit in _DECIMALS else f"{value:.4g}"
        return text.replace("-", "−")
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str):
        return ", ".join(number(item, unit) for item in value)
    return "" if value is None else str(value)


def _tick(value: float, high: float) -> str:
    """A label of a colour bar, with three digits of the bar's upper end."""
    decimals = max(0, 2 - math.floor(math.log10(abs(high)))) if high else 0
    return f"{value:.{decimals}f}".replace("-", "−") if decimals < 6 else f"{value:.2e}"


def _pretty(value: object) -> str:
    return json.dumps(plain_json(value), indent=2, ensure_ascii=False)
