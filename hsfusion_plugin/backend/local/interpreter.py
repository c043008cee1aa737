"""The backend's Python interpreter: where it is, and the environment it gets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ..client.errors import NoBackend
from ..settings import PLUGIN_FOLDER, Settings

# QGIS's own Python, GDAL, PROJ and Qt must not reach into the child's.
_DROPPED_PREFIXES = (
    "PYTHON",
    "PIP_",
    "CONDA_",
    "QGIS_",
    "QT_",
    "GDAL_",
    "PROJ_",
    "GRASS",
    "OSGEO4W",
    "LD_",
    "DYLD_",
    "HSFUSION_",
)
_DROPPED = {"VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "GEOTIFF_CSV", "CPL_ZIP_ENCODING", "OGR_DRIVER_PATH", "GISBASE"}
_DROPPED_IF_DANGLING = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

# Read before main(). Threads that wait sleep, and leave their core to QGIS. Huge pages, since large activations are
# page-faulted anew in each layer; one arena, because tiles run on threads. Images of a tile, 4 MiB and more, go back
# to the system when they are done with: among smaller arrays they would leave holes, and the process would grow by a
# quarter from the first tile to the tenth (the network takes 5 to 8 % longer).
_LINUX = {
    "GOMP_SPINCOUNT": "0",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def find_python(settings: Settings) -> Path:
    """The interpreter of HSFUSION_PYTHON or the settings, else of `.venv` in the plugin's folder; NoBackend if there is
    none.

    The path is not resolved: a virtual environment's interpreter is a link, and knows its packages by its own place.
    """
    if settings.python:
        try:
            named = Path(settings.python).expanduser()
        except RuntimeError:  # ~nobody
            named = Path(settings.python)
        python = python_in(named) if named.is_dir() else named
        if not python.is_file():
            raise NoBackend(
                f"The backend's interpreter {named} (HSFUSION_PYTHON or the HSFusion options) does not exist"
            )
    else:
        python = python_in(PLUGIN_FOLDER / ".venv")
        if not python.is_file():
            raise NoBackend(f"HSFusion has no backend yet (no interpreter at {python}, and HSFUSION_PYTHON is not set)")
    if not os.access(python, os.X_OK):
        raise NoBackend(f"The backend's interpreter {python} is not a program that may be run")
    return python.absolute()


def python_in(folder: Path) -> Path:
    """Where a virtual environment in `folder` has its interpreter."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def child_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for the child: the user's, without what QGIS put there for itself and without HSFusion's own
    settings and token.
    """
    environment = os.environ if environment is None else environment
    kept = {
        name: value
        for name, value in environment.items()
        if name.upper() not in _DROPPED and not name.upper().startswith(_DROPPED_PREFIXES)
    }
    for name in _DROPPED_IF_DANGLING:
        if name in kept and not Path(kept[name]).exists():
            del kept[name]
    if sys.platform.startswith("linux"):
        kept.update(_LINUX)
    return kept
