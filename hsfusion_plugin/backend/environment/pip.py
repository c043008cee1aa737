"""pip in a virtual environment: its environment variables, its sources, its output as progress."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....models.errors import HSFusionError
from ..local.interpreter import child_environment, python_in
from ..qgis_network import qgis_proxy
from .commands import run_lines, without_secrets
from .pip_errors import explain

_ELSEWHERE = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV", "PIP_LOG"}
_QUIET_S = 10.0


@dataclass(frozen=True)
class Sources:
    """Where packages come from; both empty = where this computer's pip looks, and PyTorch's index for torch."""

    index_url: str = ""
    wheels: Path | None = None

    def place(self, torch_index: str | None) -> str:
        """In words, for a sentence."""
        return str(self.wheels) if self.wheels else without_secrets(self.index_url or torch_index or "PyPI")


class Installer:
    """Runs venv and pip for the environment in `folder`, writes all they say to `log`, and tells `progress` line by
    line.
    """

    def __init__(self, folder: Path, log: Path, progress: Any) -> None:
        self._folder, self._log, self._progress = folder, log, progress
        self._said = time.monotonic()

    def make(self, base: Path) -> Path:
        """The interpreter of a new virtual environment, made with `base`'s own venv and pip; HSFusionError if it cannot
        be made.
        """
        self._run([base, "-I", "-X", "utf8", "-m", "venv", self._folder], child_environment(), "", "")
        return python_in(self._folder)

    def install(self, python: Path, wanted: Sequence[str], sources: Sources, torch_index: str | None = None) -> None:
        """`pip install` these requirements, from `torch_index` where the sources name nothing; HSFusionError with the
        remedy if it fails.
        """
        bar = "raw" if self._pip_version() >= (24, 1) else "off"
        command = [python, "-I", "-X", "utf8", "-m", "pip", "install", "--progress-bar", bar]
        environment = pip_environment(self._folder / "tmp")
        if sources.wheels:
            command += ["--no-index", "--find-links", sources.wheels]
        elif sources.index_url or torch_index:
            environment["PIP_INDEX_URL"] = (
                sources.index_url or torch_index
            )  # not on the command line, which everybody may read
        version = re.search(
            r"^version\w* = (3\.\d+)", (self._folder / "pyvenv.cfg").read_text(encoding="utf-8"), re.MULTILINE
        )
        self._run([*command, *wanted], environment, version.group(1) if version else "3", sources.place(torch_index))

    def _run(self, command: Sequence[str | Path], environment: dict[str, str], version: str, source: str) -> None:
        lines: list[str] = []
        with self._log.open("a", encoding="utf-8") as log:

            def heard(line: str) -> None:
                self._said = time.monotonic()
                downloaded = re.fullmatch(r"Progress (\d+) of (\d+)", line)
                if downloaded:
                    done, whole = map(int, downloaded.groups())
                    self._progress.step(0.9 * done / whole if whole > 20e6 else 0.0)
                    return
                lines.append(line)
                log.write(line + "\n")
                log.flush()
                self._progress.info(line)

            shown = without_secrets(" ".join(map(str, command)))
            log.write(f"$ {shown}\n")
            self._progress.debug(shown)
            code = run_lines(command, environment, self._progress.cancelled, heard, self._waiting)
        if code != 0:
            proxy = environment.get("HTTPS_PROXY") or environment.get("https_proxy") or ""
            raise HSFusionError(explain(lines, code, version, source, proxy))

    def _waiting(self) -> None:
        if time.monotonic() - self._said > _QUIET_S:
            self._said = time.monotonic()
            self._progress.info(f"... still at work, {_size(self._folder) / 1e6:.0f} MB so far")

    def _pip_version(self) -> tuple[int, ...]:
        found = [*self._folder.glob("lib/python3.*/site-packages/pip-*.dist-info")]
        found += self._folder.glob("Lib/site-packages/pip-*.dist-info")
        return tuple(int(n) for n in re.findall(r"\d+", found[0].name)[:2]) if found else (0,)


def pip_environment(temporary: Path) -> dict[str, str]:
    """The child's environment with what the user tells pip, QGIS's proxy, and a folder for temporary files on the
    environment's own disk.
    """
    environment = child_environment()
    environment.update(
        {n: v for n, v in os.environ.items() if n.upper().startswith("PIP_") and n.upper() not in _ELSEWHERE}
    )
    temporary.mkdir(exist_ok=True)
    environment.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)))
    environment.update(PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1", NO_COLOR="1")
    if environment.get("PIP_RETRIES", "0") == "0":
        environment["PIP_RETRIES"] = (
            "2"  # without a second try pip does not tell a dead network from a package that does not exist
        )
    proxy = qgis_proxy()
    if proxy and not any(name.lower() == "https_proxy" for name in environment):
        environment.update(HTTPS_PROXY=proxy, HTTP_PROXY=proxy)
    return environment


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # gone in the meantime
                continue
    return total
