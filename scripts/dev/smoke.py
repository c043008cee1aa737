"""Tries an installed plugin in this system's QGIS: imports it, lists its algorithms, then simulates, fuses and
evaluates.

/usr/bin/python3 -I scripts/dev/smoke.py PLUGIN_FOLDER WORK_FOLDER [ENDPOINT TOKEN]

With a server's endpoint it also fuses with the bundled model. Exit code 0 when everything worked.
`scripts/dev/test-versions` runs it on other releases of QGIS.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

IMPORTS = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import numpy, qgis.core, qgis.PyQt.QtCore
from osgeo import gdal
import hsfusion
names = [m.name for room in ("processing", "hsfusion_plugin")
         for m in pkgutil.walk_packages([hsfusion.__path__[0] + "/" + room], "hsfusion." + room + ".")]
names += ["hsfusion.models." + room for room in ("observation", "scene", "metrics", "cards", "protocol")]
for name in names:
    importlib.import_module(name)
print("QGIS", qgis.core.Qgis.QGIS_VERSION.split("-")[0], "| Qt", qgis.PyQt.QtCore.QT_VERSION_STR, "| GDAL", gdal.__version__,
      "| numpy", numpy.__version__, "| Python", sys.version.split()[0], "|", len(names), "modules imported")
"""  # noqa: E501


class Trouble(Exception):
    """What went wrong, for the reader of the log."""


def environment(plugin: Path, work: Path) -> tuple[dict[str, str], Path]:
    """A fresh profile with the plugin linked and enabled: (environment, its plugins folder)."""
    profile = work / "qgis" / "profiles" / "default"
    plugins = profile / "python" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "hsfusion").symlink_to(plugin, target_is_directory=True)
    (profile / "QGIS").mkdir()
    (profile / "QGIS" / "QGIS3.ini").write_text("[PythonPlugins]\nhsfusion=true\n", encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HSFUSION_", "QGIS_"))}
    kept.update(QGIS_CUSTOM_CONFIG_PATH=str(work / "qgis"), QT_QPA_PLATFORM="offscreen", LC_ALL="C.UTF-8")
    kept.update(PYTHONDONTWRITEBYTECODE="1")
    return kept, plugins


def wait_for(endpoint: str, seconds: float = 120) -> None:
    """Until something listens there."""
    address = urlsplit(endpoint)
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((address.hostname, address.port), timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise Trouble(f"nothing listens at {endpoint}") from None
            time.sleep(0.5)


def main() -> int:
    plugin, work = (Path(argument).resolve() for argument in sys.argv[1:3])
    shutil.rmtree(work, ignore_errors=True)
    env, plugins = environment(plugin, work)
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if program is None:
        raise Trouble("there is no qgis_process")

    def call(name: str, command: list[str]) -> str:
        done = subprocess.run(command, env=env, capture_output=True, text=True, errors="replace", check=False)
        said = done.stderr + done.stdout
        if done.returncode or "Traceback" in said:
            raise Trouble(f"{name}: exit code {done.returncode}\n{said[-4000:]}")
        return done.stdout

    def run(algorithm: str, **parameters: Any) -> dict[str, Any]:
        pairs = [f"{name}={value}" for name, value in parameters.items()]
        out = call(algorithm, [program, "--json", "run", f"hsfusion:{algorithm}", "--", *pairs])
        results = json.loads(out[out.index("{") :])["results"]
        print(f"{algorithm}: ok", flush=True)
        return results

    print(call("import", [sys.executable, "-c", IMPORTS, str(plugins)]).strip(), flush=True)
    listed = json.loads(call("list", [program, "--json", "list"]))["providers"].get("hsfusion")
    if not listed:
        raise Trouble("qgis_process list shows no provider hsfusion")
    print("list:", " ".join(sorted(listed["algorithms"])), flush=True)

    scene, hsi, msi, fused = (
        plugin / "resources/sample/indian_pines.tif",
        *(work / f"{n}.tif" for n in ("hsi", "msi", "fused")),
    )
    run(
        "simulate",
        REFERENCE=scene,
        RATIO=4,
        SENSOR="Sentinel-2A",
        SNR_HSI=35,
        SNR_MSI=35,
        OUTPUT_HSI=hsi,
        OUTPUT_MSI=msi,
    )
    run(
        "fuseclassical",
        HSI=hsi,
        MSI=msi,
        METHOD="glp-hs",
        SENSOR="Sentinel-2A",
        OUTPUT=fused,
        REPORT=work / "report.html",
    )
    scores = run("evaluate", REFERENCE=scene, FUSED=fused, RATIO=4, REPORT=work / "evaluation.html")
    print(f"PSNR {scores['PSNR']:.2f} dB, SAM {scores['SAM']:.2f} degrees", flush=True)
    if scores["PSNR"] < 30:
        raise Trouble("the fused raster is far from the reference")

    inputs = {"HSI": str(hsi), "MSI": str(msi), "MODEL": "average"}
    described = call("help", [program, "--json", "help", "hsfusion:fuseandassess"])
    parameters = json.loads(described[described.index("{") :])["parameters"]
    inputs.update(
        {name: str(fused) for name, about in parameters.items() if about["type"]["id"] == "rasterDestination"}
    )
    listed = subprocess.run(
        [program, "run", "hsfusion:fuseandassess", "-"], input=json.dumps({"inputs": inputs}), env=env,
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if '"results"' in listed.stdout:
        print("fuseandassess, from JSON: ok", flush=True)
    elif 'after "--"' in listed.stderr + listed.stdout:  # before QGIS 3.24
        print("JSON on standard input: not in this release", flush=True)
    else:
        raise Trouble(f"fuseandassess: exit code {listed.returncode}\n{(listed.stderr + listed.stdout)[-4000:]}")

    endpoint, token = [*sys.argv[3:5], "", ""][:2]
    if endpoint:
        env.update(HSFUSION_ENDPOINT=endpoint, HSFUSION_TOKEN=token)
        wait_for(endpoint)
        used = run("fuse", HSI=hsi, MSI=msi, SENSOR="Sentinel-2A", BACKEND="remote", OUTPUT=fused)["USED_METHOD"]
        scores = run("evaluate", REFERENCE=scene, FUSED=fused, RATIO=4)
        print(f"{used}: PSNR {scores['PSNR']:.2f} dB, SAM {scores['SAM']:.2f} degrees", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"_smoke.py: {trouble}")
