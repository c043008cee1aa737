"""numpy inside QGIS multiplies with the library that it was built for, not with the one that QGIS happens to bring
along.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_GSL = "/usr/lib/x86_64-linux-gnu/libgslcblas.so.0"
_MEASURE = """
import ctypes, sys, types
ctypes.CDLL(sys.argv[2], mode=ctypes.RTLD_GLOBAL)
package = types.ModuleType("hsfusion"); package.__path__ = [sys.argv[1]]; sys.modules["hsfusion"] = package
if sys.argv[3] == "bound":
    from hsfusion.hsfusion_plugin.numpy_binding import bind_numpy, outcome
    assert outcome() == "not needed" and bind_numpy() and outcome() == "bound"
    assert not bind_numpy() and outcome() == "bound"
import numpy as np, time
a = np.full((384, 384), 0.5, np.float32)
best = 1e9
for _ in range(5):
    began = time.process_time(); a @ a; best = min(best, time.process_time() - began)
print(best)
"""


def seconds(how: str) -> float:
    """CPU time of one product in a process that has GSL's functions before all others, as QGIS has."""
    command = [sys.executable, "-c", _MEASURE, str(ROOT), _GSL, how]
    done = subprocess.run(command, capture_output=True, text=True, env={"OMP_NUM_THREADS": "1", "PATH": "/usr/bin"})
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.skipif(not Path(_GSL).exists(), reason="no GSL on this system")
def test_gsl_in_the_process_does_not_slow_numpy_down():
    bound = seconds("bound")
    from hsfusion.hsfusion_plugin.jobs.diagnose.blas import blas_name

    if blas_name() == "OpenBLAS":
        assert bound < 0.5 * seconds("plain")
    assert bound < 0.1


def test_without_gsl_nothing_is_changed(monkeypatch):
    from hsfusion.hsfusion_plugin import numpy_binding

    monkeypatch.setattr(numpy_binding, "gsl_loaded", lambda: False)
    monkeypatch.delitem(sys.modules, "numpy")
    flags = sys.getdlopenflags()
    assert not numpy_binding.bind_numpy() and sys.getdlopenflags() == flags and "numpy" not in sys.modules
