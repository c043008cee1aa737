"""With what, and by which command, a result came about."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping

import numpy as np

from ...models.version import VERSION


def software_versions() -> dict[str, str]:
    """Versions of what takes part in a run inside QGIS."""
    versions = {"HSFusion": VERSION}
    try:
        from qgis.core import Qgis

        versions["QGIS"] = Qgis.QGIS_VERSION
    except ImportError:  # a job run without QGIS, as in tests
        versions["QGIS"] = "none"
    from osgeo import gdal

    versions["GDAL"] = gdal.VersionInfo("RELEASE_NAME")
    versions["Python"] = platform.python_version()
    versions["numpy"] = np.__version__
    versions["System"] = f"{platform.system()} {platform.machine()}"
    return versions


def repeat_command(algorithm: str, parameters: Mapping[str, object]) -> str:
    """The qgis_process command that repeats a run; parameters that were left out stay out."""
    words = ["qgis_process", "run", f"hsfusion:{algorithm}", "--"]
    for name, value in parameters.items():
        if value is None or value == "":
            continue
        if isinstance(value, (tuple, list)):
            value = ",".join(str(part) for part in value)
        words.append(shlex.quote(f"{name}={value}"))
    return " ".join(words)
