"""Which linear algebra library numpy uses in this process, and how fast it is."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np

_FAST = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS", "accelerate": "Accelerate", "veclib": "Accelerate"}
_SIZE = 512


def blas_name() -> str:
    """`OpenBLAS`, `MKL`, ..., `reference BLAS` or `unknown`.

    Debian chooses the library behind libblas.so.3 when a program is loaded, so only what lies in memory tells;
    elsewhere numpy's own notes do.
    """
    try:
        loaded = set(re.findall(r"/\S+", Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")))
    except OSError:
        loaded = set()
    names = " ".join(Path(path).name.lower() for path in loaded)
    folders = " ".join(path.lower() for path in loaded if re.search(r"lib(blas|lapack)\.so", path))
    for text in (f"{names} {folders}", _notes()):
        for key, name in _FAST.items():
            if key in text:
                return name
    return "reference BLAS" if "libblas.so" in names else "unknown"


def gigaflops() -> float:
    """Speed of one matrix product in 10^9 operations a second; a reference BLAS reaches a few."""
    a = np.full((_SIZE, _SIZE), 0.5, np.float64)
    best = 1e9
    for _ in range(3):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return 2 * _SIZE**3 / best / 1e9


def _notes() -> str:
    config = getattr(np, "__config__", None)
    notes = {name: value for name, value in vars(config).items() if "info" in name.lower()} if config else {}
    notes["CONFIG"] = getattr(config, "CONFIG", "")
    return str({k: v for k, v in notes.items() if v}).lower()
