"""Whatever a person reads in QGIS goes through tr, and one command collects it for translation."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for room in ("processing", "hsfusion_plugin/gui") for path in sorted((ROOT / room).glob("*.py"))]
THROUGH = {"tr", "_tr", "mark", "translate"}
# Three words, or two of which the first begins like a sentence: text for people, not a key or a pattern.
_PROSE = re.compile(r"[A-Z][a-z]+ [a-z(]{2,}|[A-Za-z]{2,} [a-z]{2,} [A-Za-z]{2,}")


def untranslated(source: str) -> list[str]:
    """Literal prose that no tr saw; docstrings and what only a programmer meets (a raised ValueError or HSFusionError)
    aside.
    """
    tree = ast.parse(source)
    aside: set[int] = set()

    def leave(node: ast.AST) -> None:
        aside.update(id(inner) for inner in ast.walk(node))

    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            leave(node.body[0])
        elif isinstance(node, ast.Raise):
            leave(node)
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in THROUGH:
                leave(node)
    return [
        f"{node.lineno}: {node.value}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in aside
        and _PROSE.search(node.value)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_prose_goes_through_tr(path):
    assert not untranslated(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "line",
    ['raster("HSI", "Hyperspectral raster")', 'x = {"A": "Width of the PSF"}', 'QLabel(f"{n} is set and wins")'],
)
def test_prose_that_nobody_translates_is_found(line):
    assert untranslated(line)


@pytest.mark.parametrize(
    "line",
    [
        'tr("Hyperspectral raster")',
        '"hsfusion:fuse"',
        'raise ValueError(f"{x} is not a setting")',
        '"""A docstring of it."""',
    ],
)
def test_what_needs_no_translation_is_left_alone(line):
    assert not untranslated(line)


def test_no_text_is_glued_together_before_it_is_translated():
    """tr(f"...") or tr("a" + b) looks for a text that no translation holds."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("tr", "_tr", "mark"):
                assert not isinstance(node.args[0], (ast.JoinedStr, ast.BinOp)), f"{path.name}:{node.lineno}"


def collect(*arguments: str) -> str:
    command = [sys.executable, str(ROOT / "scripts" / "dev" / "translations.py"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_template(tmp_path):
    said = collect("template", "--folder", str(tmp_path))
    document = ElementTree.parse(tmp_path / "hsfusion.ts")
    texts = [message.findtext("source") for message in document.iter("message")]
    assert len(texts) == len(set(texts)) > 150 and f"{len(texts)} texts" in said
    for text in (
        "Fused raster",
        "Width of the PSF (FWHM, HSI pixels)",
        "Test the endpoint",
        "Preview on the map canvas...",
    ):
        assert text in texts, text
    assert document.findtext("context/name") == "HSFusion"


def test_translations_are_kept_when_it_runs_again(tmp_path):
    collect("de", "--folder", str(tmp_path))
    path = tmp_path / "hsfusion_de.ts"
    text = path.read_text(encoding="utf-8")
    open_one = '<source>Fused raster</source>\n      <translation type="unfinished" />'
    assert open_one in text
    done = "<source>Fused raster</source>\n      <translation>Fusioniertes Raster</translation>"
    path.write_text(text.replace(open_one, done), encoding="utf-8")
    collect("de", "--folder", str(tmp_path))
    assert done in path.read_text(encoding="utf-8")
