"""scripts/serve.py with a runner that does what the request says: waits, fails, dies. For tests of what lies around a
runner.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

SERVE = Path(__file__).resolve().parents[2] / "scripts" / "serve.py"


class FakeRunner:
    """Doubles y, after `steps` steps of `seconds` each."""

    def __init__(self, card, state, device):
        self.card = card

    def __call__(self, tensors, request, cancelled):
        from hsfusion.models.errors import HSFusionError, RunCancelled

        print("this goes to the log, not to the parent")
        for _ in range(request.get("steps", 1)):
            if cancelled():
                if request.get("note"):
                    Path(request["note"]).write_text("cancelled between steps")
                raise RunCancelled("The run was cancelled.")
            time.sleep(request.get("seconds", 0.0))
        deed = request.get("deed")
        if deed == "memory":
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ..."
            )
        if deed == "refuse":
            raise HSFusionError("This tile is not for this model.")
        if deed == "bug":
            raise ZeroDivisionError("division by zero")
        if deed == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if deed == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if deed == "nan":
            return {"x": np.full((1, *tensors["y"].shape), np.nan, np.float32)}
        return {"x": 2 * tensors["y"][None]}


def load_serve():
    spec = importlib.util.spec_from_file_location("serve", SERVE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    load_serve().register_package()
    from hsfusion.models.runners import engine
    from hsfusion.models.server import main

    engine.RUNNERS["fake"] = FakeRunner
    sys.exit(main.main())
