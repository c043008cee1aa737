"""Collects what a person reads in QGIS for translation.

    .venv/bin/python scripts/dev/translations.py LANGUAGE [--folder FOLDER] [--compile]

Writes resources/i18n/hsfusion_LANGUAGE.ts (LANGUAGE: de, pt_BR, ...), keeping the translations that it holds already;
open it in Qt Linguist. With --compile, `lrelease` makes the .qm file that the plugin loads. `template` as LANGUAGE
gives hsfusion.ts without translations. The help files can be translated too: resources/help/LANGUAGE/NAME.md is shown
instead of resources/help/NAME.md.
"""

from __future__ import annotations

import argparse
import ast
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("processing", "hsfusion_plugin/gui")
CONTEXT = "HSFusion"
FUNCTIONS = {"tr", "_tr", "mark"}


def sources(root: Path = ROOT) -> dict[str, list[str]]:
    """Text to the files that show it, in the order of files and lines."""
    found: dict[str, list[str]] = {}
    for room in ROOMS:
        for path in sorted((root / room).glob("*.py")):
            for text in texts(path.read_text(encoding="utf-8")):
                places = found.setdefault(text, [])
                name = path.relative_to(root).as_posix()
                if name not in places:
                    places.append(name)
    return found


def texts(source: str) -> Iterator[str]:
    """The literal texts that a file hands to tr, _tr, mark or QCoreApplication.translate("HSFusion", ...)."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        given = node.args[0] if name in FUNCTIONS else node.args[-1] if name == "translate" else None
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            yield given.value


def merged(wanted: dict[str, list[str]], path: Path, language: str) -> ElementTree.Element:
    """A .ts document of these texts, with what `path` has of translations; texts that are gone go."""
    known: dict[str, ElementTree.Element] = {}
    if path.is_file():
        for message in ElementTree.parse(path).iter("message"):
            translation = message.find("translation")
            if translation is not None:
                known[message.findtext("source", "")] = translation
    root = ElementTree.Element("TS", {"version": "2.1", **({"language": language} if language else {})})
    context = ElementTree.SubElement(root, "context")
    ElementTree.SubElement(context, "name").text = CONTEXT
    for text, places in wanted.items():
        message = ElementTree.SubElement(context, "message")
        for place in places:
            ElementTree.SubElement(message, "location", {"filename": f"../../{place}"})
        ElementTree.SubElement(message, "source").text = text
        old = known.get(text)
        if old is not None:
            message.append(old)
        else:
            ElementTree.SubElement(message, "translation", {"type": "unfinished"})
    return root


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("language", help="de, pt_BR, ..., or `template`")
    parser.add_argument("--folder", type=Path, default=ROOT / "resources" / "i18n")
    parser.add_argument("--compile", action="store_true", help="make the .qm file too (needs Qt's lrelease)")
    options = parser.parse_args()
    language = "" if options.language == "template" else options.language
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / (f"hsfusion_{language}.ts" if language else "hsfusion.ts")
    document = merged(sources(), path, language)
    ElementTree.indent(document)
    body = ElementTree.tostring(document, encoding="unicode")
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n{body}\n', encoding="utf-8")
    messages = list(document.iter("message"))
    open_ones = sum(message.find("translation").get("type") == "unfinished" for message in messages)
    print(f"{path}: {len(messages)} texts, {open_ones} of them not translated yet")
    if options.compile:
        program = shutil.which("lrelease") or shutil.which("lrelease-qt5") or shutil.which("lrelease6")
        if program is None:
            print("lrelease is missing (Debian: qttools5-dev-tools)", file=sys.stderr)
            return 1
        return subprocess.run([program, "-silent", str(path)], check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
