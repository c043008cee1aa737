"""QGIS 4 has Qt 6: enums are scoped, modules come from qgis.PyQt, and some old names are gone. The code must run on
both.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    ROOT / "__init__.py",
    *(path for room in ("processing", "hsfusion_plugin") for path in sorted((ROOT / room).rglob("*.py"))),
]
GONE = {"exec_", "QRegExp", "QDesktopWidget", "QVariant", "qApp"}  # QVariant's types moved to QMetaType
COMPILED = ("resources_rc", "ui_")


def complaints(source: str) -> list[str]:
    """What Qt 6 would not take, as 'line: what'."""
    tree = ast.parse(source)
    found, classes = [], set()
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            if modules[0].split(".")[0] == "qgis":
                classes |= {alias.asname or alias.name for alias in node.names if alias.name.startswith("Q")}
            modules += [alias.name for alias in node.names if alias.name in GONE or alias.name.startswith(COMPILED)]
        for name in modules:
            if name.split(".")[0].startswith(("PyQt", "PySide", "sip")) or name in GONE or name.startswith(COMPILED):
                found.append(f"{node.lineno}: import of {name}")
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        if node.attr in GONE:
            found.append(f"{node.lineno}: {node.attr}")
        # Qt.UserRole ends at a class's member: only an enum's value is written so, and it lacks the enum's name. What
        # is called is a class within a class.
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if owner in classes and node.attr[0].isupper() and not node.attr.isupper() and id(node) not in inner | called:
            found.append(f"{node.lineno}: {owner}.{node.attr} is an enum's value without its scope")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_is_ready_for_qt6(path):
    assert not complaints(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "line",
    [
        "import PyQt5",
        "from PyQt6.QtCore import Qt",
        "from qgis.PyQt.QtCore import Qt\nrole = Qt.UserRole",
        "from qgis.core import QgsProcessing\nkind = QgsProcessing.TypeRaster",
        "from qgis.core import Qgis\nlevel = Qgis.Warning",
        "from qgis.PyQt.QtCore import QRegExp",
        "dialog.exec_()",
        "from . import resources_rc",
    ],
)
def test_what_qt6_does_not_take_is_found(line):
    assert len(complaints(line)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "from qgis.PyQt.QtCore import Qt\nrole = Qt.ItemDataRole.UserRole",
        "from qgis.core import Qgis\nlevel, version = Qgis.MessageLevel.Warning, Qgis.QGIS_VERSION",
        "from qgis.core import QgsProcessingParameterNumber as Number\nkind = Number.Type.Double",
        "dialog.exec()",
        "from qgis.core import QgsPalettedRasterRenderer as Renderer\nentry = Renderer.Class(1, colour, 'cloud')",
    ],
)
def test_what_both_take_is_left_alone(line):
    assert not complaints(line)
