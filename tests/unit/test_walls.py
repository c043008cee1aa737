"""What import-linter cannot say: lists of what is allowed, and the scripts."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STDLIB = set(getattr(sys, "stdlib_module_names", ())) | {"__future__"}
QGIS_SHIPS = {"qgis", "osgeo", "numpy", "requests", "yaml", "jinja2", "plotly"}
BACKEND_HAS = {"numpy", "torch", "safetensors", "yaml", "fastapi", "pydantic", "starlette", "uvicorn", "h11", "tqdm"}
ALLOWED = {
    "processing": QGIS_SHIPS,
    "hsfusion_plugin": QGIS_SHIPS,
    "models": BACKEND_HAS,
    "models/observation": {"numpy"},
    "models/scene": {"numpy"},
    "models/metrics": {"numpy"},
    "scripts": {"numpy", "torch", "yaml", "rasterio", "tqdm", "tensorboard", "hsfusion", "uvicorn"}
    | {"ray", "pytriton", "kserve", "fastapi", "requests", "scipy", "skimage", "h5py"},
}
OWN = {
    "hsfusion_plugin/gui/modeler.py": {"processing"},
    "hsfusion_plugin/gui/product.py": {"processing"},
    "scripts/dev/make_modeler_model.py": {"qgis"},
    "scripts/dev/site_reference.py": {"mkdocs"},
    "scripts/dev/products_full_size.py": {"osgeo"},
}  # QGIS's, not ours


def imported(path: Path) -> set[str]:
    """Top-level names of everything a file imports absolutely, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("folder", ALLOWED)
@pytest.mark.skipif(sys.version_info < (3, 10), reason="sys.stdlib_module_names came with Python 3.10")
def test_imports_are_on_the_list(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    wrong = {
        str(path.relative_to(ROOT)): extra
        for path in files
        if (extra := imported(path) - STDLIB - ALLOWED[folder] - OWN.get(path.relative_to(ROOT).as_posix(), set()))
    }
    assert files and not wrong


def test_every_folder_of_code_is_a_package():
    """Otherwise setup.py leaves it out of the installed package."""
    folders = {
        path.parent
        for room in ("processing", "hsfusion_plugin", "models", "scripts")
        for path in (ROOT / room).rglob("*.py")
    }
    assert not [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").is_file()]


def test_no_conftest_at_the_root():
    """It would put the root, and with it our folder `processing`, on sys.path."""
    assert not (ROOT / "conftest.py").exists()
