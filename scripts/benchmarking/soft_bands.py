"""What MSI_GSD gains: pairs of real scenes whose MSI has Sentinel-2's 10 m and 20 m bands in one raster, PSNR (dB) of
the fused cubes.

python scripts/benchmarking/soft_bands.py --scenes FOLDER [--names a,b,c] [--ratio 3] [--snr 40] [--output FILE.md]

The 20 m bands are seen with pixels twice as large and resampled by cubic or nearest-neighbour interpolation. "all
sharp" is what a sensor without 20 m bands would give, "untold" takes the soft bands for sharp, "dropped" leaves them
out, "MSI_GSD" sharpens them first. The PSF is known.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Degradation, Sampling, Upsampling, load_sensors
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.sensors.soft_bands import fit_sharpening
from hsfusion.models.trials import Case, Fitted, Scene, scores, simulate
from hsfusion.scripts.data.scenes import hyperspectral_scenes

SENSORS = Path(__file__).resolve().parents[2] / "resources" / "sensors.csv"
SHARP, SOFT = ("2", "3", "4", "8"), ("5", "6", "7", "8A", "11", "12")
METHODS = ("glp-hs", "average")
TREATMENTS = ("all sharp", "untold", "dropped", "MSI_GSD")


def softened(msi: np.ndarray, how: str) -> np.ndarray:
    """Bands (l, H, W) as pixels twice as large see them, resampled back."""
    sampling = Sampling(2.0, 1.0, 1.0)
    low = Degradation.whole(sampling, msi.shape[1:])(msi)
    return low.repeat(2, 1).repeat(2, 2) if how == "nearest" else Upsampling.whole(sampling, msi.shape[1:])(low)


def compared(scene: Scene, case: Case, centres: dict[str, float], how: str) -> dict[tuple[str, str], float]:
    """PSNR by treatment and method."""
    height, width = (n // (2 * case.ratio) * 2 * case.ratio for n in scene.cube.shape[1:])
    pair = simulate(Scene(scene.cube[:, :height, :width], scene.wavelengths), case)
    # `simulate` leaves out the bands that the scene does not cover; they are in order.
    low, high = scene.wavelengths.min(), scene.wavelengths.max()
    covered = [low - w / 2 <= c <= high + w / 2 for c, w in case.bands]
    sizes = np.array([1.0 if name in SHARP else 2.0 for name, seen in zip(centres, covered) if seen])
    mixed, soft = pair.msi.copy(), sizes > 1
    mixed[soft] = softened(pair.msi[soft], how)
    mask = np.ones(mixed.shape[1:], np.float32)
    sharpening = fit_sharpening([(mixed, mask)], sizes)
    images = pair.msi, mixed, mixed[~soft], sharpening(mixed, mask)
    found = {}
    for treatment, msi in zip(TREATMENTS, images):
        fused = Fitted.to(whole_block(pair.hsi, msi), pair.sampling, pair.wavelengths).fuse()
        found.update({(treatment, method): scores(pair.truth, fused[method])["psnr"] for method in METHODS})
    return found


def main() -> int:
    """Print the table, and write it where --output says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, help="folder of reference rasters")
    parser.add_argument("--names", default="", help="default: all with 20 bands or more")
    parser.add_argument("--ratio", type=int, default=3)
    parser.add_argument("--snr", type=float, default=40.0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    sensor = load_sensors(SENSORS)["Sentinel-2A"]
    order = {name: float(sensor.centre_nm[sensor.bands.index(name)]) for name in (*SHARP, *SOFT)}
    bands = tuple((c, float(sensor.fwhm_nm[sensor.bands.index(name)])) for name, c in order.items())
    case = Case("Sentinel-2", ratio=arguments.ratio, bands=bands, snr_db=arguments.snr)
    try:
        scenes = hyperspectral_scenes(arguments.scenes, arguments.names)
    except HSFusionError as error:
        sys.exit(str(error))
    columns = [(t, m) for m in METHODS for t in TREATMENTS]
    lines = [
        "| 20 m bands | scene | " + " | ".join(f"{m}, {t}" for t, m in columns) + " |",
        "|" + "---|" * (2 + len(columns)),
    ]
    for how in ("cubic", "nearest"):
        rows = []
        for name, scene in scenes.items():
            try:
                values = compared(scene, case, order, how)
            except HSFusionError as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            rows.append([values[c] for c in columns])
            lines.append(f"| {how} | {name} | " + " | ".join(f"{v:.2f}" for v in rows[-1]) + " |")
        mean = np.mean(rows, axis=0)
        lines.append(f"| **{how}** | **mean** | " + " | ".join(f"**{v:.2f}**" for v in mean) + " |")
    text = "\n".join([*lines, ""])
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
