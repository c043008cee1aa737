"""Reports: one self-contained HTML file each, from a jinja2 template and plotly figures."""

from __future__ import annotations

from .comparison import Column, ComparedMethod, ComparisonReport, write_comparison_report
from .contents import EvaluationReport, FieldFigure, FusionReport, Map, Origin, Picture, PixelSpectra, Quantity
from .displacement import DisplacementReport, write_displacement_report
from .origin import repeat_command, software_versions
from .page import number, write_evaluation_report, write_fusion_report
from .pictures import pick_pixels
from .sensors import SensorReport, write_sensor_report

__all__ = [
    "Column",
    "ComparedMethod",
    "ComparisonReport",
    "DisplacementReport",
    "EvaluationReport",
    "FieldFigure",
    "FusionReport",
    "Map",
    "Origin",
    "Picture",
    "PixelSpectra",
    "Quantity",
    "SensorReport",
    "number",
    "pick_pixels",
    "repeat_command",
    "software_versions",
    "write_comparison_report",
    "write_displacement_report",
    "write_evaluation_report",
    "write_fusion_report",
    "write_sensor_report",
]
