"""The page that hsfusion:diagnostics writes, and its first part: this computer and QGIS."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field

from ...backend.settings import PLUGIN_FOLDER
from ...numpy_binding import outcome
from ..diagnose import blas
from ..run.progress import Progress

_SLOW = 4.0  # Gflop/s, which no optimised library falls below on one core
_BINDING = {
    "bound": "QGIS brings slower functions of the same names along (libgslcblas), so numpy was bound to its own library first",  # noqa: E501
    "too late": "QGIS brings slower functions of the same names along (libgslcblas), and numpy was loaded before HSFusion could bind it to its own",  # noqa: E501
    "not needed": "nothing in this process stands in its way",
}


@dataclass
class Page:
    """Lines of the page, under headings."""

    progress: Progress
    lines: list[str] = field(default_factory=list)
    problems: int = 0

    def heading(self, text: str) -> None:
        """Begin a part of the page."""
        self.progress.phase(text)
        self.lines += ["", text, "-" * len(text)]

    def say(self, text: str) -> None:
        """A fact."""
        self.lines.append(text)

    def problem(self, text: object) -> None:
        """Something that does not work, and the remedy."""
        self.problems += 1
        self.lines.append(f"PROBLEM: {text}")


def say_software(page: Page) -> None:
    """System, versions, and the speed of numpy's linear algebra."""
    import numpy as np
    from osgeo import gdal
    from qgis.core import Qgis

    page.heading("This computer and QGIS")
    page.say(f"System: {platform.platform()}, {os.cpu_count()} processors{_memory()}")
    page.say(
        f"QGIS {Qgis.QGIS_VERSION}, Python {sys.version.split()[0]}, GDAL {gdal.__version__}, numpy {np.__version__}"
    )
    page.say(f"Plugin: {PLUGIN_FOLDER}")
    name, speed, binding = blas.blas_name(), blas.gigaflops(), outcome()
    page.say(f"Linear algebra of numpy: {name}, {speed:.1f} Gflop/s; {_BINDING[binding]}")
    if binding == "too late" and speed < _SLOW:
        page.problem(
            "numpy multiplies with the GNU Scientific Library's slow functions, because another plugin loaded it "
            "before HSFusion: "
            "switch that plugin off, or start QGIS with LD_PRELOAD=libopenblas.so.0."
        )
    elif name == "reference BLAS":
        page.problem(
            "numpy uses the reference BLAS, which is several times slower: install OpenBLAS (Debian, Ubuntu: sudo "
            "apt-get install libopenblas0)."
        )


def _memory() -> str:
    try:
        return f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB of memory"
    except (AttributeError, ValueError, OSError):  # Windows
        return ""
