"""MkDocs hook: the reference pages are the help files of the algorithms, so that site and Toolbox say the same.

`mkdocs build --strict` calls it (see mkdocs.yml). Each file of resources/help that describes an algorithm becomes
reference/NAME.md; its includes are filled in as the plugin fills them in.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
HELP = ROOT / "resources" / "help"
ALGORITHMS = ROOT / "processing"
_INCLUDE = re.compile(r"^<!-- include ([\w-]+) -->$", re.MULTILINE)


def help_text(name: str) -> str:
    """The Markdown of resources/help/NAME.md with its includes."""
    text = (HELP / f"{name}.md").read_text(encoding="utf-8").strip()
    return _INCLUDE.sub(lambda found: help_text(found.group(1)), text)


def algorithms() -> list[str]:
    """Names of the algorithms that have a help file, in alphabetical order; parts that are only included have
    no title.
    """
    return sorted(p.stem for p in HELP.glob("*.md") if p.read_text(encoding="utf-8").startswith("# "))


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each algorithm, and the list of them."""
    rows = []
    for name in algorithms():
        title, _, rest = help_text(name).partition("\n")
        files.append(File.generated(config, f"reference/{name}.md", content=f"{title}\n\n`hsfusion:{name}`\n{rest}\n"))
        summary = rest.strip().split("\n\n")[0].split(". ")[0].rstrip(".")
        rows.append(f"| [`hsfusion:{name}`]({name}.md) | {summary}. |")
    index = "\n".join(
        [
            "# Algorithms",
            "",
            "The help of each algorithm, as the Toolbox shows it.",
            "",
            "| id | what it does |",
            "|---|---|",
        ]
        + rows
    )
    files.append(File.generated(config, "reference/index.md", content=index + "\n"))
    return files


def on_config(config: Any) -> Any:
    """List the generated pages in the side bar, below the page of all algorithms."""
    for section in config.nav:
        if "Reference" in section:
            section["Reference"] = [
                "reference/index.md",
                *({f"hsfusion:{n}": f"reference/{n}.md"} for n in algorithms()),
            ]
    return config
