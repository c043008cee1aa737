"""How long each part of a fusion takes on this machine, each beside the network alone: what `benchmark.py --speed`
prints.

Every figure is given in CPU seconds too: on a machine that does other work they are the ones to compare.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.windows
import torch
from torch.nn.functional import conv2d

from hsfusion.models.networks.subspace_unet import MULTIPLE
from hsfusion.models.observation import Sampling
from hsfusion.models.runners.precision import BFLOAT16, FLOAT32, has_amx
from hsfusion.models.runners.subspace import SubspaceRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.scene.block import Block, whole_block
from hsfusion.models.scene.methods.subspace import ClosedForms
from hsfusion.models.scene.model import SceneModel, fit_scene
from hsfusion.models.scene.tiles.plan import Tile, plan_tiles
from hsfusion.models.scene.tiles.spectra import fused_spectra
from hsfusion.models.scene.window import Window
from hsfusion.models.wire.tile import TileRequest
from hsfusion.scripts.benchmarking.speed.calls import calls_alone, run_lines, some_of
from hsfusion.scripts.benchmarking.speed.pair import RATIO, write_pair
from hsfusion.scripts.benchmarking.speed.runs import UNGUARDED, transport, whole_run

TILE, REPEATS = 384, 3
FITTED = 96  # HSI pixels per axis from which the scene model is fitted


@dataclass(frozen=True)
class Time:
    """Wall and CPU seconds, children included."""

    wall: float
    cpu: float

    def __add__(self, other: Time) -> Time:
        return Time(self.wall + other.wall, self.cpu + other.cpu)


def timed(work: Callable[[], Any], repeats: int = 1) -> Time:
    """The fastest of several times, each of wall and CPU."""
    found = []
    for _ in range(repeats):
        before, began = _cpu(), time.monotonic()
        work()
        found.append((time.monotonic() - began, _cpu() - before))
    return Time(*(min(values) for values in zip(*found)))


def _cpu() -> float:
    return sum(
        u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


@dataclass(frozen=True)
class Ground:
    """A pair on disk, its scene model, and one tile of it in memory."""

    folder: Path
    hsi: Path
    msi: Path
    size: int
    scene: SceneModel
    tiles: list[Tile]
    tile: Tile
    block: Block

    @property
    def megapixels(self) -> float:
        return self.tile.core.pixels / 1e6

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        return self.scene.standardised(self.block).images

    @property
    def request(self) -> TileRequest:
        return TileRequest.of(self.scene.coefficients, self.tile)

    def call(self, tile: Tile) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Tensors and request of any tile."""
        block = _read(self.hsi, self.msi, self.size, tile)
        return self.scene.standardised(block).images, TileRequest.of(self.scene.coefficients, tile)


def _read(hsi: Path, msi: Path, size: int, tile: Tile) -> Block:
    place = tile.place
    with rasterio.open(hsi) as low, rasterio.open(msi) as high:
        y = low.read(window=_window(place.coarse)).astype(np.float32)
        z = high.read(window=_window(place.fine)).astype(np.float32)
    return replace(whole_block(y, z), scene_shape=(size, size), place=place)


def _window(window: Window) -> rasterio.windows.Window:
    return rasterio.windows.Window.from_slices(*window.inside(Window.whole((0, 0))))


def ground(folder: Path, size: int, bands: int, halo: int, components: int) -> Ground:
    """Write the pair, fit its scene model, and read the tile in its middle (where the halo is whole)."""
    hsi, msi = write_pair(folder, size, size, bands)
    with rasterio.open(hsi) as low, rasterio.open(msi) as high:
        some = min(FITTED, size // RATIO)
        y = low.read(window=_window(Window.whole((some, some)))).astype(np.float32)
        z = high.read(window=_window(Window.whole((some * RATIO, some * RATIO)))).astype(np.float32)
        scene = fit_scene([whole_block(y, z)], Sampling(float(RATIO), 1.1, 1.1), components)
        scene = replace(scene, coefficients=replace(scene.coefficients, scene_shape=(size, size)))
        tiles = plan_tiles(Window.whole((size, size)), scene.coefficients, TILE, halo, MULTIPLE)
    tile = tiles[len(tiles) // 2]
    return Ground(folder, hsi, msi, size, scene, tiles, tile, _read(hsi, msi, size, tile))


def peaks() -> dict[str, float]:
    """Measured speed of large products, 10^9 operations a second: the faster one of a matrix product and a convolution,
    whose libraries differ.
    """
    found = {}
    for name, kind in ((FLOAT32, torch.float32), (BFLOAT16, torch.bfloat16)):
        a = torch.randn(2048, 2048).to(kind)
        x = torch.randn(1, 256, 64, 64).to(kind).to(memory_format=torch.channels_last)
        kernel = torch.randn(256, 256, 3, 3).to(kind).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            product = 2 * 2048**3 / timed(lambda a=a: a @ a, 5).wall
            convolution = 2 * kernel.numel() * 64**2 / timed(lambda x=x, k=kernel: conv2d(x, k, padding=1), 5).wall
        found[name] = max(product, convolution) / 1e9
    return found


def network_alone(runner: SubspaceRunner, given: Ground) -> tuple[Time, float, float]:
    """One pass of the whole network over its part of the tile's window, its 10^9 operations, and the megapixels of that
    part.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.inference_mode():
        without = [runner._prepared(given.tensors, replace(given.request, consistency=False))]
        runner.mean(without)
        with FlopCounterMode(display=False) as counter:
            runner.mean(without)
        height, width = without[0].given.shape[-2:]
        found = timed(lambda: runner.mean(without), REPEATS)
        return found, counter.get_total_flops() / 1e9, height * width / 1e6


def closed_form(given: Ground, name: str) -> None:
    """One tile by a closed form, to spectra."""
    forms = ClosedForms.of(given.scene.standardised(given.block), given.scene.coefficients)
    spectra(given, getattr(forms, name)[(slice(None), *given.tile.inner)])


def spectra(given: Ground, x: np.ndarray) -> None:
    """Coefficients of the tile's core to spectra, as a job makes them."""
    fused_spectra(given.scene, x, given.block, given.tile.core)


def interpolation(given: Ground) -> None:
    """All bands by cubic interpolation."""
    given.block.interpolated(given.scene.coefficients.sampling, given.tile.core)


def raster_io(given: Ground) -> None:
    """Read the tile from both rasters and write its core, tiled and compressed as outputs are."""
    place, (rows, cols) = given.tile.place, given.tile.core.shape
    with rasterio.open(given.hsi) as low, rasterio.open(given.msi) as high:
        low.read(window=_window(place.coarse))
        high.read(window=_window(place.fine))
    core = np.repeat(np.repeat(given.block.y, RATIO, 1), RATIO, 2)[:, :rows, :cols]
    core = core + np.random.default_rng(0).standard_normal(core.shape, dtype=np.float32)
    profile = {"driver": "GTiff", "height": rows, "width": cols, "count": len(core), "dtype": "float32", "tiled": True}
    profile["transform"] = rasterio.Affine(10, 0, 5e5, 0, -10, 5.6e6)
    profile |= {"blockxsize": 128, "blockysize": 128, "compress": "zstd", "zstd_level": 1, "predictor": 2}
    with rasterio.open(given.folder / "written.tif", "w", **profile) as target:
        target.write(core)


def pansharpening(given: Ground) -> Time | None:
    """GDAL's weighted Brovey over the whole raster, the MSI's first band as the panchromatic one; None without
    gdal_pansharpen.
    """
    program = shutil.which("gdal_pansharpen.py") or shutil.which("gdal_pansharpen")
    if program is None:
        return None
    with rasterio.open(given.msi) as source:
        profile = {**source.profile, "count": 1}
        with rasterio.open(given.folder / "pan.tif", "w", **profile) as target:
            target.write(source.read(1), 1)
    options = ["-q", "-r", "cubic", "-co", "TILED=YES", "-co", "COMPRESS=ZSTD", "-co", "ZSTD_LEVEL=1"]
    command = [program, *options, str(given.folder / "pan.tif"), str(given.hsi), str(given.folder / "pansharpened.tif")]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"PATH": "/usr/bin:/bin"}
    try:
        return timed(lambda: subprocess.run(command, check=True, capture_output=True, env=clean))
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"gdal_pansharpen fails: {error}", file=sys.stderr)
        return None


def speed_tables(model: Path, size: int, bands: int, with_qgis: bool = True) -> list[str]:
    """Markdown: the machine, the network against the machine, and every part of a run against the network."""
    torch.manual_seed(0)
    card = read_card(model)
    slow = SubspaceRunner(card, load_state(model))
    peak = peaks()
    precisions = {FLOAT32: slow, **({BFLOAT16: slow.with_precision(BFLOAT16)} if has_amx() else {})}
    best = precisions[BFLOAT16 if has_amx() else FLOAT32]
    with tempfile.TemporaryDirectory(prefix="hsfusion-speed-") as name:
        given = ground(Path(name), size, bands, int(card.get("halo", 48)), slow.components)
        everything = size * size / 1e6
        sent = given.tile.place.fine.pixels / 1e6
        share = 100 * (1 - given.megapixels / sent)
        machine = f"{platform.machine()}, {os.cpu_count()} CPUs, {torch.get_num_threads()} thread(s) of torch {torch.__version__}"  # noqa: E501
        raster = f"{size} x {size} pixels, {bands} HSI bands, 4 MSI bands, ratio {RATIO}"
        lines = [
            *("# Speed", "", f"Model {card['name']}, code {card.get('code_version', '')}. Machine: {machine};"),
            *(f"load when measured: {os.getloadavg()[0]:.1f}. Raster: {raster};", ""),
            *(f"tiles of {TILE} pixels, {share:.0f} % of what is sent inside the raster is halo.", ""),
            *("## The network against the machine", ""),
            "| precision | measured peak, Gflop/s | network, ms per MP and pass | CPU ms | Gflop/s | share of peak "
            "| whole tile, ms per MP of core | CPU ms |",
            "|---|---|---|---|---|---|---|---|",
        ]
        whole = {}
        for how, runner in precisions.items():
            alone, gigaflops, seen = network_alone(runner, given)
            runner(given.tensors, given.request)
            whole[how] = timed(lambda r=runner: r(given.tensors, given.request), REPEATS)
            rate = gigaflops / alone.wall
            lines.append(
                f"| {how} | {peak[how]:.0f} | {1000 * alone.wall / seen:.0f} | {1000 * alone.cpu / seen:.0f} | "
                f"{rate:.0f} | "
                f"{100 * rate / peak[how]:.0f} % | {1000 * whole[how].wall / given.megapixels:.0f} | "
                f"{1000 * whole[how].cpu / given.megapixels:.0f} |"
            )
        some = some_of(given.tiles)
        cores = sum(t.core.pixels for t in some) / 1e6
        calls = calls_alone(best, [given.call(tile) for tile in some], cores, timed, REPEATS)
        base = Time(*calls.calls)
        rows: dict[str, Time] = {
            f"network calls, {calls.together} tile(s) at a time, nothing beside them": base,
            "of these the network's forward passes": Time(*calls.forward),
        }
        per_tile = {
            "transport (request and reply over loopback)": lambda: transport(
                model, given.tensors, given.request, best.precision
            ),
            "raster input and output": lambda: raster_io(given),
            "spectra from coefficients": lambda: spectra(
                given, np.zeros((slow.components, *given.tile.core.shape), np.float32)
            ),
            "interpolation (cubic, all bands)": lambda: interpolation(given),
            **{f"{n}, to spectra": lambda n=a: closed_form(given, n) for n, a in FORMS.items()},
        }
        for label, work in per_tile.items():
            if label.startswith("transport"):
                found = work()
                if found is None:
                    continue
                seconds = Time(*found)
            else:
                work()
                seconds = timed(work, REPEATS)
            rows[label] = Time(seconds.wall / given.megapixels, seconds.cpu / given.megapixels)
        found = {"gdal_pansharpen, whole command": pansharpening(given)}
        records = {}
        for label, (seconds, record) in whole_run(given.folder, given.hsi, given.msi, timed, with_qgis).items():
            found[label], records[label] = seconds, record
        rows |= {n: Time(t.wall / everything, t.cpu / everything) for n, t in found.items() if t is not None}
    if UNGUARDED in records:
        record = records[UNGUARDED]
        lines += run_lines(record["seconds"], record["network_calls"], found[UNGUARDED].wall, calls, everything)
    lines += [
        "",
        "## Parts of a run against the network calls",
        "",
        "| part | s per MP | CPU s per MP | wall, times the calls | CPU, times the calls |",
    ]
    lines.append("|---|---|---|---|---|")
    for label, value in rows.items():
        lines.append(
            f"| {label} | {value.wall:.2f} | {value.cpu:.2f} | {value.wall / base.wall:.2f} | "
            f"{value.cpu / base.cpu:.2f} |"
        )
    return [*lines, "", f"Command: `python scripts/benchmark.py --speed --size {size} --bands {bands}`", ""]


FORMS = {"glp-hs": "glp", "loc": "loc", "map": "map", "average": "average"}
