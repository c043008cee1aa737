"""The parts of a fusion that need a process of their own: the server behind its protocol, and a whole run in QGIS."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import requests

from hsfusion.models.wire import protocol
from hsfusion.models.wire.tile import TileRequest

ROOT = Path(__file__).resolve().parents[3]
REPEATS = 3
UNGUARDED = "hsfusion:fuse without guard, whole command"  # the model works on it whatever the guard would ship


def transport(
    model: Path, tensors: Mapping[str, np.ndarray], request: TileRequest, precision: str
) -> tuple[float, float] | None:
    """Wall and CPU seconds of a tile's way to the server and back: its request, coded and decoded on both sides,
    against the same tile again.

    Measured as the difference between the whole call and the seconds that the server says it worked; CPU is that of
    this process alone.
    """
    port = _free_port()
    command = [sys.executable, "-I", str(ROOT / "scripts" / "serve.py"), "--port", str(port), "--device", "cpu"]
    command += ["--models", str(model), "--precision", precision]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HSFUSION"))}
    server = subprocess.Popen(command, env=clean, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        if not _ready(port, server):
            print("The server does not start, so transport was not measured.", file=sys.stderr)
            return None
        name = model.stem
        url = f"http://127.0.0.1:{port}/v2/models/{name}/infer"
        found = []
        plain = {"hsfusion": json.dumps(request.to_message())}
        for number in range(REPEATS + 1):
            began, cpu = time.monotonic(), time.process_time()
            body, length = protocol.encode_request(tensors, plain)
            headers = {protocol.HEAD_LENGTH: str(length), "Content-Type": "application/octet-stream"}
            reply = requests.post(url, data=body, headers={**headers, "Accept-Encoding": "identity"}, timeout=600)
            reply.raise_for_status()
            protocol.decode_reply(reply.content, int(reply.headers[protocol.HEAD_LENGTH]))
            whole, mine = time.monotonic() - began, time.process_time() - cpu
            if number:  # the first call loads the model
                found.append((whole, mine))
        return _without_work(server, found)
    finally:
        if server.poll() is None:
            server.kill()
            server.communicate()


def _without_work(server: subprocess.Popen[bytes], found: list[tuple[float, float]]) -> tuple[float, float]:
    """The calls' times less what the server's log says it took for each."""
    server.kill()
    _, log = server.communicate()
    worked = []
    for line in log.decode("utf-8", "replace").splitlines():
        start = line.find('{"model"')
        if start >= 0:
            worked.append(float(json.loads(line[start:])["seconds"]))
    pairs = list(zip(found, worked[-len(found) :]))
    # The log's seconds hold the server's own reading of the request; what is left is coding here and the wire.
    return min(max(0.0, whole - there) for (whole, _), there in pairs), min(mine for (_, mine), _ in pairs)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(port: int, server: subprocess.Popen[bytes], patience_s: float = 120.0) -> bool:
    end = time.monotonic() + patience_s
    while time.monotonic() < end and server.poll() is None:
        try:
            if requests.get(f"http://127.0.0.1:{port}/v2/health/ready", timeout=2).ok:
                return True
        except requests.RequestException:
            time.sleep(0.2)
    return False


def qgis_in(folder: Path, plugin: Path = ROOT) -> tuple[str, dict[str, str]] | None:
    """qgis_process and the environment for it: a profile of its own in `folder` with the plugin of that checkout; None
    where there is no QGIS.
    """
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if program is None:
        return None
    plugins = folder / "profile" / "profiles" / "default" / "python" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "hsfusion").symlink_to(plugin, target_is_directory=True)
    ini = folder / "profile" / "profiles" / "default" / "QGIS" / "QGIS3.ini"
    ini.parent.mkdir(parents=True)
    ini.write_text("[PythonPlugins]\nhsfusion=true\n", encoding="utf-8")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL", "HSFUSION"))}
    return program, {
        **clean,
        "QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile"),
        "QT_QPA_PLATFORM": "offscreen",
        "PATH": "/usr/bin:/bin",
        "HSFUSION_PYTHON": sys.executable,
        "LC_ALL": "C.UTF-8",
    }


def whole_run(
    folder: Path, hsi: Path, msi: Path, timed: Callable[..., Any], wanted: bool
) -> dict[str, tuple[Any, dict[str, Any]]]:
    """hsfusion:fuse and hsfusion:fuseclassical through qgis_process, from start to end, the fastest of several runs
    each: its time and its provenance; empty where there is no QGIS.
    """
    found_qgis = qgis_in(folder) if wanted else None
    if found_qgis is None:
        return {}
    program, clean = found_qgis
    results: dict[str, tuple[Any, dict[str, Any]]] = {}
    for label, algorithm, extra in (
        ("hsfusion:fuse, whole command", "fuse", []),
        (UNGUARDED, "fuse", ["GUARD=false"]),
        ("hsfusion:fuseclassical METHOD=glp-hs, whole command", "fuseclassical", ["METHOD=glp-hs"]),
    ):
        out = folder / "fused.tif"
        command = [program, "run", f"hsfusion:{algorithm}", "--", f"HSI={hsi}", f"MSI={msi}", f"OUTPUT={out}", *extra]
        for _ in range(REPEATS):
            try:
                found = timed(
                    lambda command=command: subprocess.run(command, check=True, capture_output=True, env=clean)
                )
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"{label} fails: {error}", file=sys.stderr)
                break
            record = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
            seconds = {name: round(value, 2) for name, value in record["seconds"].items()}
            print(f"{label}, {found.wall:.2f} s: {json.dumps(seconds)}", file=sys.stderr)
            if label not in results or found.wall < results[label][0].wall:
                results[label] = found, record
    return results
