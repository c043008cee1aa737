"""hsfusion:setupbackend: the backend's virtual environment, made with the standard venv and pip, and made known in the
settings.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....models.errors import HSFusionError, RunCancelled
from ....models.version import VERSION
from ..client.errors import NoBackend
from ..local.interpreter import python_in
from ..local.logs import new_log
from ..settings import overridden, save
from .folder import MARK, alone, check_disk, check_folder, replacing
from .pip import Installer, Sources
from .pythons import Found, base_python, inspect, requirements
from .torch_build import choose_build, needed_gb, torch_index


@dataclass(frozen=True)
class SetupRequest:
    """The parameters of `hsfusion:setupbackend`; None and empty = left out."""

    folder: Path
    interpreter: Path | None = None
    base_python: Path | None = None
    build: str = "auto"
    index_url: str = ""
    wheels: Path | None = None
    repair: bool = False


@dataclass(frozen=True)
class SetupResult:
    """The interpreter, whether an environment was made for it, what it has, and the log (None where nothing
    was made).
    """

    found: Found
    made: bool
    log: Path | None


def run(request: SetupRequest, progress: Any) -> SetupResult:
    """Check or make the backend's interpreter and save it as the one to use. Raises HSFusionError with the remedy, and
    Cancelled.

    An environment that works is kept; one that is unfinished or broken is made anew. The old one comes back if that
    fails.
    """
    if request.interpreter is not None:
        progress.phase("Checking the interpreter")
        return _saved(SetupResult(_named(request.interpreter, progress), False, None), progress)
    folder = request.folder.expanduser().resolve()
    check_folder(folder)
    with alone(folder):
        kept = None if request.repair else _intact(folder, request, progress)
        if kept is not None:
            progress.info(
                f"The environment in {folder} is complete and works; nothing is installed (REPAIR makes it anew)."
            )
            return _saved(SetupResult(kept, False, None), progress)
        build, why = choose_build(request.build, progress.cancelled)
        progress.info(f"Build of torch: {build} ({why}).")
        base = base_python(request.base_python, progress.cancelled)
        progress.info(f"Making the environment in {folder} with {base}.")
        check_disk(folder, needed_gb(build))
        log = new_log("setup")
        progress.info(f"Log: {log}")
        try:
            with replacing(folder):
                found = _make(folder, base, build, Sources(request.index_url, request.wheels), log, progress)
        except RunCancelled:
            raise RunCancelled("The set-up was cancelled: run it again to have it done.") from None
        except HSFusionError:
            progress.info(f"The set-up did not finish; its log is {log}")
            raise
        return _saved(SetupResult(found, True, log), progress)


def _named(python: Path, progress: Any) -> Found:
    try:
        return inspect(python, progress.cancelled)
    except NoBackend as error:
        packages = " ".join(f'"{line}"' for line in requirements())
        raise HSFusionError(
            f"{error.reason}: leave INTERPRETER out to have an environment made, or run '{python} -m pip install "
            f"{packages}'."
        ) from error


def _make(folder: Path, base: Path, build: str, sources: Sources, log: Path, progress: Any) -> Found:
    mark = {"build": build, "requirements": requirements(), "hsfusion": VERSION}
    progress.phase("Making the virtual environment")
    (folder / MARK).write_text(json.dumps({**mark, "state": "unfinished"}), encoding="utf-8")
    python = Installer(folder, log, progress.part(0.0, 0.1)).make(base)
    torch = [line for line in mark["requirements"] if line.startswith("torch")]
    progress.phase(f"Installing torch ({build})")
    progress.step(0.1)
    Installer(folder, log, progress.part(0.1, 0.75)).install(python, torch, sources, torch_index(build))
    progress.phase("Installing what the server needs")
    progress.step(0.75)
    Installer(folder, log, progress.part(0.75, 0.9)).install(python, mark["requirements"], sources)
    progress.phase("Checking the environment")
    progress.step(0.9)
    found = inspect(python, progress.cancelled)
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    (folder / MARK).write_text(json.dumps({**mark, "state": "complete"}), encoding="utf-8")
    progress.step(1.0)
    return found


def _intact(folder: Path, request: SetupRequest, progress: Any) -> Found | None:
    """What the environment in `folder` has, if it is complete, fits the request and works."""
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        complete = mark["state"] == "complete" and mark["requirements"] == requirements()
        kind = "cpu" if mark["build"] == "cpu" else "cuda"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not complete or request.build not in ("auto", kind):
        progress.info(f"The environment in {folder} is not what is wanted; it is made anew.")
        return None
    try:
        progress.phase("Checking the environment that is there")
        return inspect(python_in(folder), progress.cancelled)
    except HSFusionError as error:
        progress.check()
        progress.warn(f"{error.reason if isinstance(error, NoBackend) else error}; the environment is made anew.")
    return None


def _saved(result: SetupResult, progress: Any) -> SetupResult:
    """Make the interpreter the one that Settings.read() finds, and say what came out."""
    found = result.found
    save(python=str(found.python.absolute()))
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    progress.info(f"The backend's interpreter is {found.python} (Python {found.version}; {versions}).")
    progress.info(f"Device: {found.device}.")
    if overridden("python"):
        progress.warn(
            "The environment variable HSFUSION_PYTHON is set and wins over this interpreter: unset it to use this one."
        )
    return result
