"""Python interpreters: one that can make the backend's environment, and whether an interpreter can run the backend."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from ....models.errors import HSFusionError, RunCancelled
from ..client.errors import NoBackend
from ..local.interpreter import child_environment
from ..settings import PLUGIN_FOLDER
from .commands import run_lines

OLDEST = (3, 9)
_IMPORTED_AS = {"pyyaml": "yaml"}
_START_S = 30.0
_LOOK_S = 300.0  # importing torch from a cold network disk takes minutes

_ABLE = """
import json, sys, struct
missing = []
for name in ("venv", "ensurepip"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
print(json.dumps({"version": list(sys.version_info[:3]), "bits": 8 * struct.calcsize("P"), "missing": missing}))
"""

_LOOK = """
import importlib, json, sys
from importlib import metadata
found = {"python": sys.version.split()[0], "versions": {}, "missing": [], "device": ""}
for distribution, module in json.loads(sys.argv[1]).items():
    try:
        loaded = importlib.import_module(module)
        found["versions"][distribution] = metadata.version(distribution)
        if module == "torch":
            gpu = loaded.cuda.is_available()
            found["device"] = "cuda:0, " + loaded.cuda.get_device_name(0) if gpu else "cpu, no usable CUDA device"
    except Exception as error:
        found["missing"].append(distribution + " (" + type(error).__name__ + ": " + str(error)[:200] + ")")
print("\\n" + json.dumps(found))
"""


@dataclass(frozen=True)
class Found:
    """What an interpreter that can run the backend has: its version, its packages' versions, and the device that torch
    would take.
    """

    python: Path
    version: str
    versions: dict[str, str]
    device: str


def requirements() -> list[str]:
    """What the backend needs, as pip takes it: pyproject.toml's dependencies and those of its extra `serve`."""
    path = PLUGIN_FOLDER / "pyproject.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise HSFusionError(f"The plugin lacks {path}: install HSFusion again.") from error
    return [*_listed(text, "dependencies"), *_listed(text, "serve")]


def _listed(text: str, key: str) -> list[str]:
    """The texts of a list `key = [...]` of pyproject.toml; brackets and quotes within a text are part of it
    (`ray[serve]; extra == "x"`).

    Python 3.9 has no parser of TOML.
    """
    start = next((match.end() for match in re.finditer(rf"^{re.escape(key)}\s*=\s*\[", text, re.MULTILINE)), None)
    found: list[str] = []
    while start is not None and start < len(text) and text[start] != "]":
        sign = text[start]
        if sign == "#":
            start = text.find("\n", start) + 1 or len(text)
        elif sign in "\"'":
            end = text.index(sign, start + 1)
            found.append(text[start + 1 : end])
            start = end + 1
        else:
            start += 1
    return found


def _applies(line: str) -> bool:
    """Whether a requirement is one of the backend's own: what stands behind a marker is for other systems or other
    extras.
    """
    return not line.partition(";")[2].strip()


def inspect(python: Path, cancelled: Callable[[], bool]) -> Found:
    """What `python` has; NoBackend, in one sentence, if it cannot run the backend. Raises RunCancelled."""
    wanted = {re.split(r"[<>=!~\[;@ (]", line, maxsplit=1)[0]: line for line in requirements() if _applies(line)}
    modules = {name: _IMPORTED_AS.get(name, name.replace("-", "_")) for name in wanted}
    code, found = _asked(python, _LOOK, cancelled, json.dumps(modules))
    if not found:
        raise NoBackend(f"The interpreter {python} does not work as Python (exit code {code})")
    if _numbers(found["python"]) < OLDEST:
        raise NoBackend(f"The interpreter {python} is Python {found['python']}, and 3.9 or newer is needed")
    if found["missing"]:
        raise NoBackend(f"The interpreter {python} lacks what the backend needs: {'; '.join(found['missing'])}")
    for name, line in wanted.items():
        least = re.search(r">=\s*([\d.]+)", line.partition(";")[0])
        if least and _numbers(found["versions"][name]) < _numbers(least.group(1)):
            raise NoBackend(f"The interpreter {python} has {name} {found['versions'][name]}, and {line} is needed")
    return Found(python, found["python"], found["versions"], found["device"])


def base_python(named: Path | None, cancelled: Callable[[], bool]) -> Path:
    """An interpreter that can make virtual environments: the one named, else QGIS's own, else one on PATH;
    HSFusionError if there is none.
    """
    problems = []
    for python in [named] if named else _candidates():
        problem = _problem(python, cancelled)
        if problem is None:
            return python
        problems.append(f"{python} {problem}")
    said = "; ".join(problems) or "none was found"
    remedy = "install Python 3.9 or newer from python.org or your system, or name one as BASE_PYTHON"
    if "has no venv module" in said and sys.platform.startswith("linux"):
        remedy = "install it (on Debian and Ubuntu: sudo apt-get install python3-venv), or name another Python as BASE_PYTHON"  # noqa: E501
    raise HSFusionError(f"No Python here can make a virtual environment ({said}): {remedy}.")


def _problem(python: Path, cancelled: Callable[[], bool]) -> str | None:
    try:
        code, found = _asked(python, _ABLE, cancelled, timeout_s=_START_S)
    except RunCancelled:
        raise
    except HSFusionError:
        return "cannot be started, or does not answer"
    if not found:
        return f"does not work as Python (exit code {code})"
    if tuple(found["version"]) < OLDEST:
        return f"is Python {'.'.join(map(str, found['version']))}, older than 3.9"
    if found["bits"] != 64:
        return "is a 32-bit Python, for which there is no torch"
    if found["missing"]:
        return f"has no venv module ({' and '.join(found['missing'])})"
    return None


def _candidates() -> Iterator[Path]:
    """Pythons that may be here, QGIS's own first; sys.executable is QGIS itself on Windows and macOS."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = [Path(path) for path in (getattr(sys, "_base_executable", ""), sys.executable) if path]
    for prefix in dict.fromkeys((sys.base_exec_prefix, sys.exec_prefix)):
        places += (
            [Path(prefix, "python.exe")] if os.name == "nt" else [Path(prefix, "bin", n) for n in (version, "python3")]
        )
    if sys.platform == "darwin" and sys.executable:
        places.append(Path(sys.executable).parent / "bin" / "python3")  # QGIS.app/Contents/MacOS
    for name in (version, "python3", "python"):
        on_path = shutil.which(name)
        if on_path and "WindowsApps" not in on_path:  # Windows' stub, which opens the Store
            places.append(Path(on_path))
    seen = set()
    for place in places:
        if place.name.lower().startswith("python") and place.is_file() and place.resolve() not in seen:
            seen.add(place.resolve())
            yield place


def _asked(
    python: Path, script: str, cancelled: Callable[[], bool], *arguments: str, timeout_s: float = _LOOK_S
) -> tuple[int, dict[str, Any]]:
    """Exit code and the JSON of the last line that `script` prints; {} where it prints none."""
    lines: list[str] = []
    command = [python, "-I", "-X", "utf8", "-c", script, *arguments]
    code = run_lines(command, child_environment(), cancelled, lines.append, timeout_s=timeout_s)
    try:
        found = json.loads(lines[-1])
    except (ValueError, IndexError):
        return code, {}
    return code, found if isinstance(found, dict) else {}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version.split("+")[0])[:3])
