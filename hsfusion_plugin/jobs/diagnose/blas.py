"""Which linear algebra library numpy uses in this process, and how fast it is."""

from __future__ import annotations

import contextlib
import ctypes
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_FAST = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS", "accelerate": "Accelerate", "veclib": "Accelerate"}
_SIZE = 512
_SET = ("openblas_set_num_threads", "openblas_set_num_threads64_", "scipy_openblas_set_num_threads64_")


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


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """OpenBLAS works with one thread inside: its others, waiting for their share of small matrices, take the time of
    the backend's threads.

    As threadpoolctl does it, which QGIS does not have; nothing happens with another library.
    """
    before = [(setter, getter()) for setter, getter in _openblas()]
    try:
        for setter, _ in before:
            setter(1)
        yield
    finally:
        for setter, count in before:
            setter(count)


def _openblas() -> list[tuple[ctypes._CFuncPtr, ctypes._CFuncPtr]]:
    """What sets and tells the number of threads, of each OpenBLAS that is loaded."""
    found = []
    for path in _loaded():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for name in _SET:
            setter, getter = (getattr(library, n, None) for n in (name, name.replace("_set_", "_get_")))
            if setter is not None and getter is not None:
                found.append((setter, getter))
    return found


def _loaded() -> set[str]:
    """Paths of the libraries in memory that may be OpenBLAS; where the system does not tell, those that come with
    numpy.
    """
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
        paths = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if ".so" in line}
    except OSError:
        home = Path(np.__file__).parent
        paths = {str(path) for folder in (home.parent / "numpy.libs", home / ".dylibs") for path in folder.glob("*")}
    return {path for path in paths if re.search(r"openblas|libblas\.so|liblapack\.so", Path(path).name.lower())}


def _notes() -> str:
    config = getattr(np, "__config__", None)
    notes = {name: value for name, value in vars(config).items() if "info" in name.lower()} if config else {}
    notes["CONFIG"] = getattr(config, "CONFIG", "")
    return str({k: v for k, v in notes.items() if v}).lower()
