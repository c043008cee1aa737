"""How many threads numpy's linear algebra has in this process."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

_SET = ("openblas_set_num_threads", "openblas_set_num_threads64_", "scipy_openblas_set_num_threads64_")


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenBLAS works with one thread inside: tiles overlap in threads of our own, the backend has the other cores, and
    threads that wait for their share of small matrices cost more than they give.

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
