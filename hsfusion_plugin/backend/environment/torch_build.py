"""Which build of torch suits this machine, and where pip finds it (https://pytorch.org/get-started/locally)."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Callable

from ....models.errors import HSFusionError, RunCancelled
from ..local.interpreter import child_environment
from .commands import run_lines

BUILDS = ("auto", "cpu", "cuda")
INDEX = "https://download.pytorch.org/whl/"
# A driver runs the builds of its own CUDA version and of older ones.
_CUDA = (((13, 0), "cu130"), ((12, 8), "cu128"), ((12, 0), "cu126"), ((11, 8), "cu118"))
_NEEDED_GB = {"cpu": 2.0, "cuda": 10.0}  # environment and download together; the CUDA libraries are large


def choose_build(wanted: str, cancelled: Callable[[], bool]) -> tuple[str, str]:
    """The build (`cpu`, `cu128`, ...) and, in words, why. HSFusionError where `cuda` is asked for and no driver can run
    it.
    """
    if wanted == "cpu":
        return "cpu", "asked for"
    if sys.platform == "darwin":
        version, why = None, "torch has no CUDA on macOS"
    else:
        version, why = driver_cuda(cancelled)
    if version is not None:
        for least, build in _CUDA:
            if version >= least:
                return build, why
        why = f"{why}, which is too old for torch: update the driver"
    if wanted == "cuda":
        raise HSFusionError(f"BUILD is cuda, but {why}: install NVIDIA's driver, or set BUILD to cpu.")
    return "cpu", why


def driver_cuda(cancelled: Callable[[], bool]) -> tuple[tuple[int, int] | None, str]:
    """The CUDA version that NVIDIA's driver offers, or None, and a few words on it."""
    program = shutil.which("nvidia-smi")
    if program is None and os.name == "nt":
        place = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvidia-smi.exe"
        program = str(place) if place.is_file() else None
    if program is None:
        return None, "no NVIDIA driver was found"
    lines: list[str] = []
    try:
        code = run_lines([program], child_environment(), cancelled, lines.append, timeout_s=30)
    except RunCancelled:
        raise
    except HSFusionError:
        code = -1
    found = re.search(r"CUDA[\w ]*? Version\s*:\s*(\d+)\.(\d+)", "\n".join(lines))
    if code != 0 or found is None:
        return None, "NVIDIA's driver does not answer"
    version = int(found.group(1)), int(found.group(2))
    return version, f"NVIDIA's driver offers CUDA {version[0]}.{version[1]}"


def torch_index(build: str) -> str | None:
    """The index to take torch from; None = the usual one, whose builds are for the CPU outside Linux."""
    if build == "cpu" and not sys.platform.startswith("linux"):
        return None
    return INDEX + build


def needed_gb(build: str) -> float:
    """Free disk that a set-up needs, in GB."""
    return _NEEDED_GB["cpu" if build == "cpu" else "cuda"]
