"""Does harm of every kind with real processes, and prints a table of what came of it: scripts/dev/test-faults.

Each group is a list of tests in one of the two environments. A row is a test, whose name says what was done and what
came of it.
"""

from __future__ import annotations

import argparse
import os
import subprocess  # nosec B404
import sys
import tempfile
import xml.etree.ElementTree as ElementTree  # nosec B405: pytest's own report
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Group:
    """Tests that belong together: the environment that runs them, and options of theirs."""

    title: str
    environment: str
    tests: tuple[str, ...]
    options: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


QGIS, BACKEND = ".venv-qgis", ".venv"
GROUPS = {
    "runs": Group(
        "Runs that are disturbed in their middle",
        QGIS,
        ("tests/qgis/test_faults.py", "tests/qgis/test_backend_faults.py"),
        ("-m", "slow"),
    ),
    "inputs": Group(
        "Bad inputs",
        QGIS,
        ("tests/qgis/test_bad_input.py", "tests/qgis/test_hostile_metadata.py"),
        ("-m", "slow or not slow"),
    ),
    "files": Group(
        "Files and messages of strangers",
        BACKEND,
        ("tests/unit/test_cards.py", "tests/unit/test_files.py", "tests/unit/test_wire_messages.py"),
    ),
    "requests": Group("Requests and connections", BACKEND, ("tests/backend/test_server_bounds.py",)),
    "fuzz": Group(
        "10,000 malformed requests", BACKEND, ("tests/backend/test_server_fuzz.py",), (), {"HSFUSION_FUZZ": "10000"}
    ),
    "crowd": Group("64 clients at once", BACKEND, ("tests/backend/test_server_crowd.py",)),
    "servers": Group("Servers that lie", BACKEND, ("tests/backend/test_client_bounds.py",)),
    "tls": Group("Certificates", BACKEND, ("tests/backend/test_server_tls.py",)),
    "kept": Group("Kept tiles and downloads", QGIS, ("tests/qgis/test_tile_store.py", "tests/qgis/test_getmodel.py")),
}


@dataclass(frozen=True)
class Row:
    """One test: what its name says, how many cases it has, how many of them went wrong, and how many were left out."""

    name: str
    cases: int
    wrong: int
    left_out: int

    def __str__(self) -> str:
        lost = (
            f"**{self.wrong} went wrong**"
            if self.wrong
            else "left out here"
            if self.left_out == self.cases
            else "nothing"
        )
        return f"| {self.name} | {self.cases} | {lost} |"


def rows(report: Path) -> Iterator[Row]:
    """The rows of a report of pytest's."""
    cases: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for case in ElementTree.parse(report).getroot().iter("testcase"):  # nosec B314
        name = case.get("name", "").partition("[")[0].removeprefix("test_").replace("_", " ")
        kinds = {part.tag for part in case}
        cases[name] += 1
        wrong[name] += bool(kinds & {"failure", "error"})
        left_out[name] += "skipped" in kinds
    for name, count in cases.items():
        yield Row(name, count, wrong[name], left_out[name])


def tried(group: Group, more: list[str]) -> list[Row]:
    """Run a group; what pytest says goes to stderr."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        python = ROOT / group.environment / "bin" / "python"
        command = [str(python), "-m", "pytest", "-q", f"--junitxml={report}", *group.options, *group.tests, *more]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "QT_QPA_PLATFORM": "offscreen", **group.variables}
        subprocess.run(command, cwd=ROOT, env=environment, stdout=sys.stderr, check=False)  # nosec B603
        return list(rows(report)) if report.is_file() else [Row("pytest did not finish", 1, 1, 0)]


def main() -> int:
    """The table on stdout; exit code 1 where something went wrong."""
    parser = argparse.ArgumentParser(prog="test-faults", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(GROUPS), help=f"groups, with commas, of {', '.join(GROUPS)}")
    options, more = parser.parse_known_args()
    found = {name: tried(GROUPS[name], more) for name in options.only.split(",")}
    for name, made in found.items():
        print(f"\n### {GROUPS[name].title}\n\n| what was done, and what came of it | cases | lost |\n|---|---|---|")
        print(*made, sep="\n")
    every = [row for made in found.values() for row in made]
    wrong = sum(row.wrong for row in every)
    print(f"\nTried {sum(row.cases for row in every)} cases, " + (f"{wrong} went wrong." if wrong else "lost nothing."))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
