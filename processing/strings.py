"""Texts: translation, and the help files, from which the help panel and the tooltips both come."""

from __future__ import annotations

import html
import re
from functools import cache
from pathlib import Path

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication

from ..hsfusion_plugin.translation import language

RESOURCES = Path(__file__).resolve().parent.parent / "resources"
ICONS = RESOURCES / "icons"
_INCLUDE = re.compile(r"^<!-- include ([\w-]+) -->$", re.MULTILINE)
_ENTRY = re.compile(r"^- ((?:\*\*\w+\*\*(?:, )?)+): (.+?)(?=\n- |\n\n|\Z)", re.MULTILINE | re.DOTALL)


def tr(text: str) -> str:
    """`text` in the user's language."""
    return QCoreApplication.translate("HSFusion", text)


def mark(text: str) -> str:
    """The text as it is: marked for translation, in tables that are filled before the language is known."""
    return text


@cache
def help_text(name: str) -> str:
    """The Markdown of resources/help/NAME.md with its includes, translated where there is a translation; empty if the
    installation lacks it.
    """
    named = language()
    places = [RESOURCES / "help" / part / f"{name}.md" for part in (named, named.split("_")[0], "")]
    path = next((place for place in places if place.is_file()), places[-1])
    text = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    return _INCLUDE.sub(lambda found: help_text(found.group(1)), text)


def parameter_help(name: str) -> dict[str, str]:
    """Parameter and output names to their entry in the help of algorithm `name`, as plain text."""
    entries = {}
    for keys, text in _ENTRY.findall(help_text(name)):
        for key in re.findall(r"\w+", keys):
            entries[key] = _plain(" ".join(text.split()))
    return entries


def shown_help(name: str, labels: dict[str, str]) -> str:
    """The help as QGIS shows it: plain text in a terminal, rich text on the desktop, where `labels` stand beside the
    names.
    """
    text = help_text(name).split("\n", 1)[-1].strip()  # QGIS shows the title itself
    if QgsApplication.platform() != "desktop":
        return _plain(text)
    return rich_text(text, labels)


def rich_text(text: str, labels: dict[str, str]) -> str:
    """HTML of the Markdown that the help files use: headings, paragraphs, entries, bold, emphasis, code."""
    parts = []
    for block in re.split(r"\n\n|\n(?=- )", html.escape(text, quote=False)):
        block = " ".join(block.split())
        if block.startswith("# "):
            continue
        if block.startswith("## "):
            parts.append(f"<h4>{block[3:]}</h4>")
            continue
        found = _ENTRY.match(block)
        if found:
            names = re.findall(r"\w+", found.group(1))
            heads = [
                f"<b>{labels[key]}</b> <small>({key})</small>" if key in labels else f"<b>{key}</b>" for key in names
            ]
            block = f"{', '.join(heads)}<br/>{found.group(2)}"
        block = re.sub(r"`([^`]+)`", r"<code>\1</code>", block)
        block = re.sub(r"(?<![\w*])\*([^*]+)\*(?![\w*])", r"<i>\1</i>", block)
        parts.append(f"<p>{block}</p>")
    return "\n".join(parts)


def _plain(text: str) -> str:
    text = re.sub(r"\*\*|`", "", text)
    return re.sub(r"^#+ ", "", text, flags=re.MULTILINE)
