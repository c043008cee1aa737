"""Plotly figures as plain dictionaries: spectra, and errors along wavelength."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# First the reference, then what is compared with it; told apart in print by the dash.
_LINES = (
    ("#111111", "solid"),
    ("#d1495b", "solid"),
    ("#2a6f97", "dash"),
    ("#7a9e3f", "dot"),
    ("#8d6a9f", "dashdot"),
    ("#e08e0b", "solid"),
    ("#17a398", "dash"),
    ("#a0522d", "dot"),
    ("#5c6bc0", "dashdot"),
    ("#c2185b", "dash"),
    ("#777777", "dot"),
    ("#4f7942", "dashdot"),
)
_SHADES = ("#9bc1e4", "#a9d6a5", "#f2c078", "#e3a3a3", "#c9b6e4", "#b8c4c2")
_FONT = {"family": "Helvetica, Arial, sans-serif", "size": 13, "color": "#222222"}
_AXIS = {"showline": True, "linecolor": "#555555", "gridcolor": "#e6e6e6", "zeroline": False, "ticks": "outside"}

Ranges = Sequence[tuple[str, float, float]]


def band_figure(
    lines: Mapping[str, np.ndarray],
    y_title: str,
    wavelengths_nm: np.ndarray | None = None,
    msi_bands: Ranges = (),
    height: int = 320,
    named: bool = True,
    from_zero: bool = False,
) -> dict[str, Any]:
    """A figure of lines (L,) over the bands, in order of wavelength where that is known.

    A line has a gap at NaN and where bands are missing (more than five times the usual step between wavelengths).
    msi_bands: (name, from nm, to nm), shaded and, if `named`, named at the top; from_zero: the y axis starts at 0.
    """
    length = max((len(values) for values in lines.values()), default=0)
    known = wavelengths_nm is not None and len(wavelengths_nm) == length
    x = np.asarray(wavelengths_nm, dtype=np.float64) if known else np.arange(1, length + 1, dtype=np.float64)
    order = np.argsort(x, kind="stable")
    order = order[np.isfinite(x[order])]
    steps = np.diff(x[order])
    gaps = np.flatnonzero(steps > 5 * np.median(steps)) + 1 if steps.size else np.zeros(0, dtype=int)
    places = np.insert(x[order], gaps, np.nan)
    markers = length <= 12
    data = []
    for (name, values), (colour, dash) in zip(lines.items(), _LINES * (1 + len(lines) // len(_LINES))):
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if markers else "lines",
                "name": name,
                "x": plain(places),
                "y": plain(np.insert(np.asarray(values, dtype=np.float64)[order], gaps, np.nan)),
                "line": {"color": colour, "width": 1.6, "dash": dash},
                "connectgaps": False,
            }
        )
    layout: dict[str, Any] = {
        "height": height,
        "margin": {"l": 70, "r": 20, "t": 40 if (msi_bands and named) or len(lines) > 1 else 14, "b": 50},
        "font": _FONT,
        "plot_bgcolor": "#ffffff",
        "paper_bgcolor": "#ffffff",
        "xaxis": {**_AXIS, "title": {"text": "Wavelength (nm)" if known else "Band"}},
        "yaxis": {
            **_AXIS,
            "title": {"text": y_title},
            "exponentformat": "power",
            "rangemode": "tozero" if from_zero else "normal",
        },
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "showlegend": len(lines) > 1,
    }
    if known:
        layout["xaxis"]["range"] = _span(x)
    if known and msi_bands:
        layout["shapes"], names = _shading(msi_bands)
        layout["annotations"] = names if named else []
    return {"data": data, "layout": layout}


def curve_figure(x: np.ndarray, y: np.ndarray, x_title: str, y_title: str, height: int = 260) -> dict[str, Any]:
    """A figure of one line through the points (x, y), both (n,)."""
    line = {"color": _LINES[1][0], "width": 1.6}
    return {
        "data": [{"type": "scatter", "mode": "lines+markers", "x": plain(x), "y": plain(y), "line": line}],
        "layout": {
            "height": height,
            "margin": {"l": 70, "r": 20, "t": 14, "b": 50},
            "font": _FONT,
            "plot_bgcolor": "#ffffff",
            "paper_bgcolor": "#ffffff",
            "xaxis": {**_AXIS, "title": {"text": x_title}},
            "yaxis": {**_AXIS, "title": {"text": y_title}},
            "showlegend": False,
        },
    }


def interval_figure(
    x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray, x_title: str, y_title: str, height: int = 280
) -> dict[str, Any]:
    """A figure of columns y at x with error bars from low to high, all (n,)."""
    figure = curve_figure(x, y, x_title, y_title, height)
    bars = {
        "type": "data",
        "symmetric": False,
        "array": plain(high - y),
        "arrayminus": plain(y - low),
        "color": "#111111",
    }
    figure["data"] = [{"type": "bar", "x": plain(x), "y": plain(y), "marker": {"color": _LINES[2][0]}, "error_y": bars}]
    return figure


def _span(x: np.ndarray) -> list[float]:
    """The axis shows the HSI's wavelengths; an MSI's panchromatic or thermal band does not widen it."""
    low, high = float(np.nanmin(x)), float(np.nanmax(x))
    edge = 0.02 * (high - low) or 10.0
    return [low - edge, high + edge]


def short_names(names: Sequence[str]) -> list[str]:
    """Band names without what is in brackets and without the words that all of them begin with: "Sentinel-2A 8A (865
    nm)" is "8A".
    """
    words = [name.split(" (")[0].split() or [name] for name in names]
    while len(words) > 1 and all(len(w) > 1 and w[0] == words[0][0] for w in words):
        words = [w[1:] for w in words]
    return [" ".join(w) for w in words]


def _shading(msi_bands: Ranges) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    shapes, names = [], []
    short = dict(zip((name for name, _, _ in msi_bands), short_names([str(name) for name, _, _ in msi_bands])))
    ordered = sorted(msi_bands, key=lambda band: band[1] + band[2])
    for (name, low, high), colour in zip(ordered, _SHADES * (1 + len(ordered) // len(_SHADES))):
        shape = {"type": "rect", "xref": "x", "yref": "paper", "x0": float(low), "x1": float(high), "y0": 0, "y1": 1}
        shapes.append({**shape, "fillcolor": colour, "opacity": 0.35, "line": {"width": 0}, "layer": "below"})
        label = {"x": (float(low) + float(high)) / 2, "y": 1.0, "xref": "x", "yref": "paper", "yanchor": "bottom"}
        names.append({**label, "text": short[name], "showarrow": False, "font": {"size": 10}, "textangle": -45})
    return shapes, names


def plain(values: np.ndarray) -> list[float | None]:
    """JSON numbers of six digits; None where not finite."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in np.asarray(values).tolist()]
