"""Texts: translation, and the help files, from which the help panel and the tooltips both come."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QTextDocument

RESOURCES = Path(__file__).resolve().parent.parent / "resources"
ICONS = RESOURCES / "icons"
_INCLUDE = re.compile(r"^<!-- include ([\w-]+) -->$", re.MULTILINE)
_ENTRY = re.compile(r"^- ((?:\*\*\w+\*\*(?:, )?)+): (.+?)(?=\n- |\n\n|\Z)", re.MULTILINE | re.DOTALL)


def tr(text: str) -> str:
    """`text` in the user's language."""
    return QCoreApplication.translate("HSFusion", text)


@cache
def help_text(name: str) -> str:
    """The Markdown of resources/help/NAME.md with its includes; empty if the installation lacks it."""
    path = RESOURCES / "help" / f"{name}.md"
    text = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    return _INCLUDE.sub(lambda found: help_text(found.group(1)), text)


def parameter_help(name: str) -> dict[str, str]:
    """Parameter and output names to their entry in the help of algorithm `name`, as plain text."""
    entries = {}
    for keys, text in _ENTRY.findall(help_text(name)):
        for key in re.findall(r"\w+", keys):
            entries[key] = _plain(" ".join(text.split()))
    return entries


def shown_help(name: str) -> str:
    """The help as QGIS shows it: rich text on the desktop, plain text in a terminal."""
    text = help_text(name)
    if QgsApplication.platform() != "desktop" or not hasattr(QTextDocument, "setMarkdown"):
        return _plain(text)
    document = QTextDocument()
    document.setMarkdown(text)
    return document.toHtml()


def _plain(text: str) -> str:
    text = re.sub(r"\*\*|`", "", text)
    return re.sub(r"^#+ ", "", text, flags=re.MULTILINE)
