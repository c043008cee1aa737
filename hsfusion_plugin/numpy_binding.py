"""See to it that numpy multiplies matrices with the library that it was built for.

QGIS is linked with the GNU Scientific Library, whose libgslcblas has functions of the same names as OpenBLAS, a hundred
times slower; what is loaded first wins, also for numpy. Where numpy is loaded after us, the dynamic linker can be told
to look at numpy's own libraries first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_seen = {"bound": False, "too late": False}


def bind_numpy() -> bool:
    """Load numpy bound to its own libraries, if a wrong one would come first and numpy is not loaded yet; whether that
    was done.

    For glibc; elsewhere nothing is to be done. Call it before anything imports numpy.
    """
    deep = getattr(os, "RTLD_DEEPBIND", 0)
    if not deep or not gsl_loaded():
        return False
    if "numpy" in sys.modules:
        _seen["too late"] = not _seen["bound"]
        return False
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | deep)
    try:
        import numpy  # noqa: F401
    except ImportError:  # said where numpy is needed
        return False
    finally:
        sys.setdlopenflags(flags)
    _seen["bound"] = True
    return True


def outcome() -> str:
    """What bind_numpy found in this process: "bound" to its own libraries, "too late" (numpy was loaded before), or
    "not needed".
    """
    return next((state for state, true in _seen.items() if true), "not needed")


def gsl_loaded() -> bool:
    """Whether the process holds the GNU Scientific Library's slow linear algebra."""
    try:
        return "libgslcblas" in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
