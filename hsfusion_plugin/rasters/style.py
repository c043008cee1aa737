"""Sidecar styles (.qml), which QGIS applies wherever the raster is opened: Toolbox, batch, or after a headless run.

QGIS ignores GDAL's colour interpretation, and a layer post-processor never runs under qgis_process; a sidecar always works.
"""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsColorRampShader,
    QgsContrastEnhancement,
    QgsGradientColorRamp,
    QgsGradientStop,
    QgsMultiBandColorRenderer,
    QgsRasterLayer,
    QgsRasterMinMaxOrigin,
    QgsRasterRenderer,
    QgsRasterShader,
    QgsSingleBandGrayRenderer,
    QgsSingleBandPseudoColorRenderer,
)
from qgis.PyQt.QtGui import QColor

from .colour import stretch, view_of
from .raster import Raster
from .staging import staged

_RAMP = (
    "#1b0c41",
    "#781c6d",
    "#cf4446",
    "#fb9b06",
    "#f7f3a1",
)  # dark to light, readable in grey and by the colour-blind


def write_style(path: str | Path) -> bool:
    """Write `<stem>.qml` beside a raster: true colour by wavelength (grey for one band) between its 2 and 98 % quantiles.

    Returns whether QGIS could write it; a missing style is no reason to lose a raster. HSFusionError when the folder is not writable.
    """
    view = view_of(Raster.open(path))
    layer = _layer(path)
    if layer is None:
        return False
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
    return _save(layer, renderer, path)


def write_ramp_style(path: str | Path, band: int = 0, low: float | None = None, high: float | None = None) -> bool:
    """Write `<stem>.qml` that shows one band (from 0) as a colour ramp from `low` (default 0) to `high` (default its 98 % quantile).

    For maps of error, spectral angle or spread. Returns as write_style.
    """
    values = Raster.open(path).thumbnail([band])[0]
    bottom = 0.0 if low is None else low
    top = stretch(values)[1] if high is None else high
    layer = _layer(path)
    if layer is None:
        return False
    colours = [QColor(name) for name in _RAMP]
    stops = [QgsGradientStop(i / (len(colours) - 1), colour) for i, colour in enumerate(colours)][1:-1]
    ramp = QgsGradientColorRamp(colours[0], colours[-1], False, stops)
    function = QgsColorRampShader(bottom, top if top > bottom else bottom + 1e-6, ramp)
    function.classifyColorRamp(len(colours), band + 1)
    shader = QgsRasterShader()
    shader.setRasterShaderFunction(function)
    renderer = QgsSingleBandPseudoColorRenderer(layer.dataProvider(), band + 1, shader)
    renderer.setClassificationMin(function.minimumValue())
    renderer.setClassificationMax(function.maximumValue())
    return _save(layer, renderer, path)


def _layer(path: str | Path) -> QgsRasterLayer | None:
    options = QgsRasterLayer.LayerOptions(False)  # with a default style QGIS takes statistics and leaves an .aux.xml
    layer = QgsRasterLayer(str(path), Path(path).stem, "gdal", options)
    return layer if layer.isValid() else None


def _enhancement(data_type: object, low: float, high: float) -> QgsContrastEnhancement:
    enhancement = QgsContrastEnhancement(data_type)
    enhancement.setContrastEnhancementAlgorithm(
        QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum
    )
    enhancement.setMinimumValue(low)
    enhancement.setMaximumValue(high)
    return enhancement


def _save(layer: QgsRasterLayer, renderer: QgsRasterRenderer, path: str | Path) -> bool:
    origin = QgsRasterMinMaxOrigin()
    origin.setLimits(QgsRasterMinMaxOrigin.Limits.CumulativeCut)
    renderer.setMinMaxOrigin(origin)
    layer.setRenderer(renderer)
    with staged(Path(path).with_suffix(".qml")) as inside:
        return layer.saveNamedStyle(str(inside))[1]
