"""The main job on real data, through `qgis_process` as any user's script would run it. Called by scripts/demo."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from .quicklook import quicklook

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "resources" / "sample" / "indian_pines.tif"
RATIO = 4
SENSOR = "Sentinel-2A"
SNR_DB = 35
METRICS = {"PSNR": "PSNR dB", "SAM": "SAM deg", "ERGAS": "ERGAS", "SSIM": "SSIM"}
CONSISTENCY = {"HSI_CONSISTENCY": "with HSI dB", "MSI_CONSISTENCY": "with MSI dB"}
QT_CHATTER = ("QStandardPaths", "<string>", "Qt: ", "qt.")


@dataclass
class Fused:
    """One fusion: what it is called, where it lies, how long it took, QGIS's results (and figures) for it."""

    name: str
    raster: Path
    seconds: float
    results: dict = field(default_factory=dict)


class Failed(Exception):
    """A step went wrong; the message says which and why."""


def environment() -> dict[str, str]:
    """A QGIS of its own: the profile under the checkout, no window, nothing of a virtual environment."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "QGIS_PLUGINPATH")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {
        **kept,
        "QGIS_CUSTOM_CONFIG_PATH": str(ROOT / "build" / "qgis"),
        "QT_QPA_PLATFORM": "offscreen",
        "LC_ALL": "C.UTF-8",
    }


def qgis(algorithm: str, **parameters: object) -> tuple[dict, float]:
    """Run one algorithm; (its results, seconds). Debian's wrapper `qgis_process` is broken, its program is not."""
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if program is None:
        raise Failed("qgis_process is not on PATH; run scripts/setup.")
    pairs = [f"{name}={value}" for name, value in parameters.items() if value is not None]
    return run(algorithm, [program, "--json", "run", algorithm, "--", *pairs])


def run(what: str, command: list) -> tuple[dict, float]:
    """Run a command to its end, tell what runs and how long it took; (results of its JSON, seconds)."""
    print(f"  {what:<24}", end="", flush=True)
    started = time.monotonic()
    done = subprocess.run(
        [str(c) for c in command], env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    seconds = time.monotonic() - started
    print(f"{seconds:7.1f} s", flush=True)
    if done.returncode != 0:
        lines = dict.fromkeys((done.stderr.strip() or done.stdout.strip()).splitlines())  # QGIS says some things twice
        said = "\n    ".join([line for line in lines if not line.startswith(QT_CHATTER)][-8:])
        raise Failed(f"{what} failed with exit code {done.returncode}:\n    {said}")
    answer = done.stdout[done.stdout.find("{") :]
    return (json.loads(answer).get("results", {}) if answer.startswith("{") else {}), seconds


def interpolate(hsi: Path, msi: Path, output: Path) -> Fused:
    """The baseline: the HSI's bands interpolated to the MSI's grid (cubic, by georeference, so phase-exact)."""
    info = json.loads(subprocess.run(["gdalinfo", "-json", msi], check=True, capture_output=True, text=True).stdout)
    (west, north), (east, south) = info["cornerCoordinates"]["upperLeft"], info["cornerCoordinates"]["lowerRight"]
    extent = ["-te", west, south, east, north, "-ts", *info["size"]]
    _, seconds = run(
        "interpolation", ["gdalwarp", "-q", "-overwrite", "-r", "cubic", "-ot", "Float32", *extent, hsi, output]
    )
    return Fused("interpolation", output, seconds)


def classical(hsi: Path, msi: Path, folder: Path, **parameters: object) -> Fused:
    """GLP-HS, the closed form to compare with."""
    raster = folder / "fused_glp_hs.tif"
    results, seconds = qgis("hsfusion:fuseclassical", HSI=hsi, MSI=msi, METHOD="glp-hs", OUTPUT=raster, **parameters)
    return Fused("GLP-HS", raster, seconds, results)


def fuse(name: str, hsi: Path, msi: Path, raster: Path, **parameters: object) -> Fused:
    """hsfusion:fuse; its name tells what the guard chose."""
    backend = os.environ.get("HSFUSION_BACKEND", "local")
    results, seconds = qgis("hsfusion:fuse", HSI=hsi, MSI=msi, BACKEND=backend, OUTPUT=raster, **parameters)
    return Fused(name.format(results.get("USED_METHOD")), raster, seconds, results)


def table(rows: list[Fused], columns: dict[str, str]) -> str:
    """Methods down, figures across."""
    lines = [f"{'':<24}" + "".join(f"{title:>13}" for title in columns.values()) + f"{'seconds':>10}"]
    for row in rows:
        cells = (row.results.get(key) for key in columns)
        figures = "".join(f"{cell:13.4f}" if isinstance(cell, (int, float)) else f"{'-':>13}" for cell in cells)
        lines.append(f"{row.name:<24}{figures}{row.seconds:10.1f}")
    return "\n".join(lines)


def products(folder: Path) -> dict[str, Path]:
    """What a fusion leaves for the user, by name."""
    return {
        "Fused raster": folder / "fused.tif",
        "Report": folder / "fusion.html",
        "Quick look": folder / "quicklook.png",
    }


def demo(folder: Path, reference: Path, snr: float, model: str) -> tuple[str, dict[str, Path]]:
    """Simulate a pair from a real scene, fuse it, compare with the truth."""
    noise = f"SNR {snr:g} dB" if snr else "no noise"
    print(f"Scene: {reference.name} -> HSI at 1:{RATIO}, MSI as {SENSOR}, {noise}")
    hsi, msi = folder / "hsi.tif", folder / "msi.tif"
    noise_parameters = {"SNR_HSI": snr, "SNR_MSI": snr, "SEED": 1}
    pair = {"OUTPUT_HSI": hsi, "OUTPUT_MSI": msi}
    qgis("hsfusion:simulate", REFERENCE=reference, RATIO=RATIO, PSF_FWHM=1, SENSOR=SENSOR, **noise_parameters, **pair)
    rows = [
        interpolate(hsi, msi, folder / "interpolated.tif"),
        classical(hsi, msi, folder),
        fuse("diffusion", hsi, msi, folder / "fused_unguarded.tif", MODEL=model, GUARD=False),
        fuse("guarded: {}", hsi, msi, folder / "fused.tif", MODEL=model, REPORT=folder / "fusion.html"),
    ]
    for row in rows:
        report = row.raster.with_name(f"evaluation_{row.raster.stem}.html")
        row.results, _ = qgis("hsfusion:evaluate", REFERENCE=reference, FUSED=row.raster, RATIO=RATIO, REPORT=report)
    quicklook([hsi, *(row.raster for row in rows), reference], folder / "quicklook.png")
    evaluation = {"Evaluation": folder / "evaluation_fused.html"}
    return table(rows, METRICS), {**products(folder), **evaluation}


def own_pair(folder: Path, hsi: Path, msi: Path, model: str, sensor: str | None) -> tuple[str, dict[str, Path]]:
    """Fuse the user's own pair; without a truth, the figures tell how well the result explains both inputs."""
    print(f"Pair: {hsi.name} + {msi.name}")
    report = folder / "fusion.html"
    rows = [
        classical(hsi, msi, folder, SENSOR=sensor),
        fuse("guarded: {}", hsi, msi, folder / "fused.tif", MODEL=model, SENSOR=sensor, REPORT=report),
    ]
    quicklook([hsi, *(row.raster for row in rows)], folder / "quicklook.png")
    return table(rows, CONSISTENCY), products(folder)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="Hyperspectral-multispectral fusion in QGIS, end to end."
    )
    parser.add_argument(
        "pair", nargs="*", type=Path, metavar="HSI.tif MSI.tif", help="your own pair instead of the bundled scene"
    )
    parser.add_argument("--clean", action="store_true", help="simulate the bundled scene's pair without noise")
    parser.add_argument("--model", default="auto", help="an installed model (default: the one that fits)")
    parser.add_argument("--sensor", help="your MSI's sensor, a name of resources/sensors.csv (default: estimate)")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "build" / "demo", help="folder for the results (default: build/demo)"
    )
    arguments = parser.parse_args()
    if len(arguments.pair) not in (0, 2):
        parser.error("give two rasters, the hyperspectral one first, or none")
    for raster in arguments.pair:
        if not raster.is_file():
            parser.error(f"{raster} does not exist")

    folder = arguments.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        if arguments.pair:
            hsi, msi = (raster.resolve() for raster in arguments.pair)
            figures, paths = own_pair(folder, hsi, msi, arguments.model, arguments.sensor)
        else:
            figures, paths = demo(folder, SAMPLE, 0 if arguments.clean else SNR_DB, arguments.model)
    except Failed as error:
        print(f"\nscripts/demo: {error}", file=sys.stderr)
        return 1
    print(f"\n{figures}\n")
    for what, path in paths.items():
        print(f"{what + ':':<15}{path}")
    print(f"Total: {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
