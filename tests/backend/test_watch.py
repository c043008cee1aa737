"""What a watched command held in memory."""

from __future__ import annotations

import sys

import pytest

from hsfusion.scripts.benchmarking.watch import BACKEND, QGIS, Held, watch

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
HOLD = "import sys, time; kept = bytearray(int(sys.argv[1])); time.sleep(0.5)"


def test_peak_exit_code_and_output():
    few, many = (watch([sys.executable, "-c", HOLD, str(size)]) for size in (1, 200_000_000))
    assert few.code == many.code == 0
    assert 180 < many.peak_mb(QGIS) - few.peak_mb(QGIS) < 220
    found = watch([sys.executable, "-c", "print('said'); raise SystemExit(3)"])
    assert found.code == 3 and found.printed.strip() == "said"


def test_a_child_that_serves_is_the_backend(tmp_path):
    (tmp_path / "serve.py").write_text(HOLD, encoding="utf-8")
    start = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]])"
    found = watch([sys.executable, "-c", start, str(tmp_path / "serve.py"), "100000000"])
    assert found.peak_mb(BACKEND) > found.peak_mb(QGIS) + 80


def test_the_parts_of_a_run():
    held = Held(5, [(0.0, 1), (1.0, 4), (2.0, 2), (3.0, 5), (4.0, 3)])
    assert held.peak_between(0.0, 0.5) == 4 and held.peak_between(0.5, 1.0) == 5
    assert Held().peak_between(0.0, 1.0) == 0
