"""Parameters that several algorithms share, declared once."""

from __future__ import annotations

import csv
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .strings import RESOURCES, tr

ESTIMATE = "estimate"
REGISTRATIONS = ("auto", "shift", "none")
AUTO_NONE = ("auto", "none")
DATA_TYPES = ("Float32", "Int16")


def advanced(parameter: QgsProcessingParameterDefinition) -> QgsProcessingParameterDefinition:
    """The same parameter, folded away under `Advanced`."""
    parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    return parameter


class _RasterByName(QgsProcessingParameterRasterLayer):
    """A raster that QGIS does not load to see whether it is one: `first_problem` opens it.

    QGIS would load it as for the map, with statistics of its pixels: seconds, a hundred megabytes and an .aux.xml
    beside a large raster. Its older releases also take no GDAL names (HDF5:"file"://cube, /vsizip/...).
    """

    def checkValueIsAcceptable(self, value: Any, context: QgsProcessingContext | None = None) -> bool:
        return bool(isinstance(value, str) and value) or super().checkValueIsAcceptable(value, context)


def raster(name: str, label: str, optional: bool = False) -> QgsProcessingParameterRasterLayer:
    """A raster that goes in."""
    return _RasterByName(name, label, optional=optional)


def number(name: str, label: str, default: float | None = None, **limits: Any) -> QgsProcessingParameterNumber:
    """A real number; without a default it may be left empty. Limits: minValue, maxValue."""
    kind = QgsProcessingParameterNumber.Type.Double
    parameter = QgsProcessingParameterNumber(name, label, kind, default, optional=default is None, **limits)
    parameter.setMetadata({"widget_wrapper": {"decimals": 3}})
    return parameter


def integer(name: str, label: str, default: int, **limits: Any) -> QgsProcessingParameterNumber:
    """A whole number. Limits: minValue, maxValue."""
    return QgsProcessingParameterNumber(name, label, QgsProcessingParameterNumber.Type.Integer, default, **limits)


def boolean(name: str, label: str, default: bool) -> QgsProcessingParameterBoolean:
    """A yes or no."""
    return QgsProcessingParameterBoolean(name, label, default)


def choice(name: str, label: str, options: tuple[str, ...], default: str) -> QgsProcessingParameterEnum:
    """One of a few names, which are the values that scripts and models store."""
    return QgsProcessingParameterEnum(name, label, list(options), False, default, usesStaticStrings=True)


def choices(name: str, label: str, options: tuple[str, ...], default: tuple[str, ...]) -> QgsProcessingParameterEnum:
    """Some of a few names; without a default it may be left empty."""
    optional = not default
    return QgsProcessingParameterEnum(name, label, list(options), True, list(default), optional, usesStaticStrings=True)


def text(
    name: str, label: str, default: str = "", hints: tuple[str, ...] = (), required: bool = False
) -> QgsProcessingParameterString:
    """A line of text; `hints` are offered in a list."""
    parameter = QgsProcessingParameterString(name, label, default, optional=not (default or required))
    if hints:
        parameter.setMetadata({"widget_wrapper": {"value_hints": list(hints)}})
    return parameter


def file(name: str, label: str, extension_filter: str) -> QgsProcessingParameterFile:
    """A file that may be given."""
    kind = QgsProcessingParameterFile.Behavior.File
    return QgsProcessingParameterFile(name, label, kind, optional=True, fileFilter=extension_filter)


def extent() -> QgsProcessingParameterExtent:
    """EXTENT: the part of the overlap to write."""
    return QgsProcessingParameterExtent(
        "EXTENT", tr("Extent to write (empty = all of the overlap; a small one is a quick preview)"), optional=True
    )


def raster_output(name: str, label: str, optional: bool = False) -> QgsProcessingParameterRasterDestination:
    """A raster that comes out."""
    return QgsProcessingParameterRasterDestination(name, label, None, optional, not optional)


def quality_output() -> QgsProcessingParameterRasterDestination:
    """QUALITY: flags of every pixel of the result."""
    return advanced(raster_output("QUALITY", tr("Quality flags"), optional=True))


def file_output(
    name: str, label: str, extension_filter: str, expected: bool = False
) -> QgsProcessingParameterFileDestination:
    """A file that comes out if it is wanted; an `expected` one is wanted in dialogs unless the user says no."""
    return QgsProcessingParameterFileDestination(name, label, extension_filter, None, True, expected)


def folder_output(name: str, label: str) -> QgsProcessingParameterFolderDestination:
    """A folder of files that come out if they are wanted."""
    return QgsProcessingParameterFolderDestination(name, label, None, True, False)


def report_output(expected: bool = False) -> QgsProcessingParameterFileDestination:
    """REPORT: one HTML file."""
    return file_output("REPORT", tr("Report"), tr("HTML files (*.html)"), expected)


def pair() -> list[QgsProcessingParameterDefinition]:
    """The two rasters of every job on a pair."""
    return [
        raster("HSI", tr("Hyperspectral raster (many bands, coarse pixels)")),
        raster("MSI", tr("Multispectral or panchromatic raster (few bands, fine pixels)")),
    ]


def pair_details() -> list[QgsProcessingParameterDefinition]:
    """What else is known of a pair, folded away: where it is used, and the sensor set."""
    mask = raster("MASK", tr("Mask (non-zero = use)"), optional=True)
    return [advanced(parameter) for parameter in (mask, *sensor_set())]


def sensor_set() -> list[QgsProcessingParameterDefinition]:
    """What is known of the two sensors; everything may be left to estimation."""
    return [
        choice("SENSOR", tr("Multispectral sensor"), (ESTIMATE, *sensor_names()), ESTIMATE),
        file("SRF_FILE", tr("Spectral response functions of the multispectral bands"), tr("CSV files (*.csv)")),
        msi_gsd(),
        number("PSF_FWHM", tr("Width of the PSF (FWHM, HSI pixels; empty = estimate)"), minValue=0.1, maxValue=10.0),
        number(
            "PSF_FWHM_Y",
            tr("Width of the PSF from north to south (empty = the same)"),
            minValue=0.1,
            maxValue=10.0,
        ),
        number(
            "SHIFT_X", tr("HSI's shift to the east (MSI pixels; empty = estimate)"), minValue=-2000.0, maxValue=2000.0
        ),
        number(
            "SHIFT_Y", tr("HSI's shift to the south (MSI pixels; empty = estimate)"), minValue=-2000.0, maxValue=2000.0
        ),
        choice(
            "REGISTRATION",
            tr("What is corrected (auto = shift, rotation, scale and local field)"),
            REGISTRATIONS,
            REGISTRATIONS[0],
        ),
        choice("LIGHT", tr("Light that varies over the scene: haze, seams, clouds"), AUTO_NONE, AUTO_NONE[0]),
        choice("DEFECTS", tr("Dead columns, spikes and stripes of the hyperspectral raster"), AUTO_NONE, AUTO_NONE[0]),
    ]


def msi_gsd() -> QgsProcessingParameterString:
    """MSI_GSD: for rasters whose bands were taken with pixels of several sizes."""
    return text("MSI_GSD", tr("Own pixel size of each multispectral band, such as 10,10,10,20 (empty = all sharp)"))


def raster_set() -> list[QgsProcessingParameterDefinition]:
    """How the fused raster is stored."""
    return [
        text("OPTIONS", tr("GeoTIFF creation options (NAME=VALUE, separated by |)")),
        choice("DATA_TYPE", tr("Data type of the fused raster"), DATA_TYPES, DATA_TYPES[0]),
    ]


def sensor_names() -> tuple[str, ...]:
    """The names in sensors.csv, in the file's order; reads no numbers, so that loading the provider needs no numpy."""
    with open(RESOURCES / "sensors.csv", newline="", encoding="utf-8") as stream:
        return tuple(dict.fromkeys(row["sensor"] for row in csv.DictReader(stream)))
