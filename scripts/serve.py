"""Run HSFusion's inference server: `PYTHON -I scripts/serve.py --help`.

The checkout (or the installed plugin) is made known as package `hsfusion` by its place on disk, whatever the folder is
called and without touching sys.path, on which our folder `processing` would hide QGIS's.
"""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def register_package() -> None:
    """Make `import hsfusion.models` work, from this folder and no other."""
    package = types.ModuleType("hsfusion")
    package.__path__ = [str(ROOT)]
    sys.modules["hsfusion"] = package


if __name__ == "__main__":
    if sys.version_info < (3, 9):
        sys.exit("HSFusion's backend needs Python 3.9 or newer, this is " + sys.version.split()[0] + ".")
    register_package()
    sys.exit(importlib.import_module("hsfusion.models.server.main").main())
