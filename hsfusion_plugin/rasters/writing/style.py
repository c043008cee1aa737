"""Sidecar styles (.qml), which QGIS applies wherever the raster is opened: Toolbox, batch, or after a headless run.

QGIS ignores GDAL's colour interpretation, and a layer post-processor never runs under qgis_process; a sidecar always
works.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from osgeo import gdal
from qgis.core import (
    QgsColorRampLegendNodeSettings,
    QgsColorRampShader,
    QgsContrastEnhancement,
    QgsGradientColorRamp,
    QgsGradientStop,
    QgsMultiBandColorRenderer,
    QgsPalettedRasterRenderer,
    QgsRasterLayer,
    QgsRasterMinMaxOrigin,
    QgsRasterRenderer,
    QgsRasterShader,
    QgsSingleBandGrayRenderer,
    QgsSingleBandPseudoColorRenderer,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor

from ..reading.raster import Raster
from .colour import View, colour_bands, stretch, view_of
from .sidecars import mark
from .staging import staged

_RAMP = (
    "#1b0c41",
    "#781c6d",
    "#cf4446",
    "#fb9b06",
    "#f7f3a1",
)  # dark to light, readable in grey and by the colour-blind
_FLAG_COLOURS = ("#00000000", "#000000", "#56b4e9", "#e69f00", "#cc79a7", "#d55e00", "#009e73", "#f0e442")


def write_style(path: str | Path) -> bool:
    """Write `<stem>.qml` beside a raster: true colour by wavelength (grey for one band) between its 2 and 98 %
    quantiles.

    Returns whether QGIS could write it; a missing style is no reason to lose a raster. HSFusionError when the folder is
    not writable.
    """
    raster = Raster.open(path)
    view = view_of(raster)
    return _save(raster, path, lambda layer: _colour_renderer(layer, view))


def _colour_renderer(layer: QgsRasterLayer, view: View) -> QgsRasterRenderer:
    provider = layer.dataProvider()
    numbers = [b + 1 for b in view.bands]
    enhancements = [_enhancement(provider.dataType(n), *limits) for n, limits in zip(numbers, view.limits)]
    if len(numbers) == 3:
        renderer = QgsMultiBandColorRenderer(provider, *numbers)
        renderer.setRedContrastEnhancement(enhancements[0])
        renderer.setGreenContrastEnhancement(enhancements[1])
        renderer.setBlueContrastEnhancement(enhancements[2])
    else:
        renderer = QgsSingleBandGrayRenderer(provider, numbers[0])
        renderer.setContrastEnhancement(enhancements[0])
    origin = QgsRasterMinMaxOrigin()
    origin.setLimits(QgsRasterMinMaxOrigin.Limits.CumulativeCut)
    renderer.setMinMaxOrigin(origin)
    return renderer


def write_ramp_style(
    path: str | Path, band: int | None = None, low: float | None = None, high: float | None = None, unit: str = ""
) -> bool:
    """Write `<stem>.qml` that shows one band (from 0) as a colour ramp from `low` (default 0) to `high` (default its 98
    % quantile).

    For maps of error, spectral angle or spread. Without `band` it is the one that true colour would show red; the
    legend names `unit`, or else the band's own. Returns as write_style.
    """
    raster = Raster.open(path)
    shown = colour_bands(raster)[0] if band is None else band
    bottom = 0.0 if low is None else low
    top = float(f"{stretch(raster.thumbnail([shown], unscale=True)[0])[1]:.3g}") if high is None else high
    top, unit = max(top, bottom + 1e-6), unit or raster.bands[shown].unit
    return _save(raster, path, lambda layer: _ramp_renderer(layer, shown, bottom, top, unit))


def _ramp_renderer(layer: QgsRasterLayer, band: int, low: float, high: float, unit: str) -> QgsRasterRenderer:
    colours = [QColor(name) for name in _RAMP]
    stops = [QgsGradientStop(i / (len(colours) - 1), colour) for i, colour in enumerate(colours)][1:-1]
    function = QgsColorRampShader(low, high, QgsGradientColorRamp(colours[0], colours[-1], False, stops))
    function.classifyColorRamp(len(colours), band + 1)
    legend = QgsColorRampLegendNodeSettings()
    legend.setMaximumLabel(f"{high:.4g} {unit}" if unit else "")
    legend.setOrientation(Qt.Orientation.Horizontal)
    function.setLegendSettings(legend)
    shader = QgsRasterShader()
    shader.setRasterShaderFunction(function)
    renderer = QgsSingleBandPseudoColorRenderer(layer.dataProvider(), band + 1, shader)
    renderer.setClassificationMin(low)
    renderer.setClassificationMax(high)
    return renderer


def write_flag_style(path: str | Path, labels: Mapping[int, str]) -> bool:
    """Write `<stem>.qml` that gives each value of a raster of flags its own colour and words; 0 is transparent. Returns
    as write_style.
    """
    raster = Raster.open(path)

    def renderer(layer: QgsRasterLayer) -> QgsRasterRenderer:
        classes = [
            QgsPalettedRasterRenderer.Class(value, QColor(_flag_colour(value)), text) for value, text in labels.items()
        ]
        return QgsPalettedRasterRenderer(layer.dataProvider(), 1, classes)

    return _save(raster, path, renderer)


def _flag_colour(value: int) -> str:
    """Of the highest bit that is set: the palette of Okabe and Ito (2008), which the colour-blind can tell apart."""
    return _FLAG_COLOURS[min(value.bit_length(), len(_FLAG_COLOURS) - 1)]


def _enhancement(data_type: object, low: float, high: float) -> QgsContrastEnhancement:
    enhancement = QgsContrastEnhancement(data_type)
    enhancement.setContrastEnhancementAlgorithm(
        QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum
    )
    enhancement.setMinimumValue(low)
    enhancement.setMaximumValue(high)
    return enhancement


def _save(raster: Raster, path: str | Path, renderer_of: Callable[[QgsRasterLayer], QgsRasterRenderer]) -> bool:
    """Write the style through a layer of a few pixels that has the raster's bands.

    A style knows bands and limits, no pixels; opening the raster itself would make QGIS take statistics and leave an
    .aux.xml.
    """
    name = f"/vsimem/hsfusion-{uuid.uuid4().hex}.tif"
    tiny = gdal.GetDriverByName("GTiff").Create(name, 2, 2, raster.count, gdal.GetDataTypeByName(raster.dtype))
    for i, info in enumerate(raster.bands):
        tiny.GetRasterBand(i + 1).SetScale(info.scale)
        tiny.GetRasterBand(i + 1).SetOffset(info.offset)
        tiny.GetRasterBand(i + 1).WriteRaster(0, 0, 2, 2, bytes(range(4)), buf_type=gdal.GDT_Byte)
    tiny.SetGeoTransform((0.0, 1.0, 0.0, 2.0, 0.0, -1.0))
    tiny = None  # with a grid and values, so that QGIS has nothing to complain of
    layer = QgsRasterLayer(name, "style", "gdal")
    try:
        if not layer.isValid():
            return False
        layer.setRenderer(renderer_of(layer))
        with staged(Path(path).with_suffix(".qml"), role="style") as inside:
            saved = layer.saveNamedStyle(str(inside))[1]
            if saved:
                with inside.open("a", encoding="utf-8") as stream:
                    stream.write(f"<!-- {mark(Path(path))} -->\n")
            return saved
    finally:
        layer = None  # closes the file before it goes
        for left in (name, name + ".aux.xml"):
            if gdal.VSIStatL(left) is not None:
                gdal.Unlink(left)
