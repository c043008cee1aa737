"""Fuse a mosaic beyond one machine's time: windows of both rasters by path or URL, worked on by a Ray cluster, joined
to one tiled GeoTIFF.

pip install '.[serve,cluster]' and GDAL's Python bindings (python3-gdal, or gdal of conda-forge) on every node; then as for qgis_process:
python scripts/mosaic.py HSI=enmap.tif MSI=https://example.org/sentinel2.tif OUTPUT=fused.tif METHOD=average --workers 2
python scripts/mosaic.py HSI=... MSI=... OUTPUT=... MODEL=hsfusion-base --address auto --workers 8

HSI, MSI, MASK, METHOD (glp-hs, loc, map, average, gsa, sfim-hs) or MODEL or MODEL_FILE, SENSOR, SRF_FILE, PSF_FWHM,
PSF_FWHM_Y, SHIFT_X, SHIFT_Y, CONSISTENCY, GUARD, STEPS, SAMPLES, SEED, EXTENT (xmin,xmax,ymin,ymax), TILE_SIZE (512),
OPTIONS, DATA_TYPE and OUTPUT mean what they mean in hsfusion:fuse and hsfusion:fuseclassical, and give the same pixels.
The scene is fitted once, from blocks spread over it. Finished windows are kept in a hidden folder beside OUTPUT, which
all nodes must reach: the same command, started again, goes on from there.
"""  # noqa: E501

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import time
import types
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
URLS = {"http://": "/vsicurl/http://", "https://": "/vsicurl/https://", "s3://": "/vsis3/", "gs://": "/vsigs/"}
NUMBERS = {"psf_fwhm", "psf_fwhm_y", "shift_x", "shift_y"}
# A URL that does not answer at once is asked again; GDAL's listings of the folder around it help nobody.
GDAL_CONFIG = {"GDAL_HTTP_MAX_RETRY": "5", "GDAL_HTTP_RETRY_DELAY": "2", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}


def register_package(root: str) -> None:
    """Make `import hsfusion` work in this process: from the checkout at `root` where this node has it, else as pip
    installed it.
    """
    if "hsfusion" not in sys.modules and Path(root, "models").is_dir():
        package = types.ModuleType("hsfusion")
        package.__path__ = [root]
        sys.modules["hsfusion"] = package


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parameters", nargs="+", metavar="NAME=VALUE", help="as for qgis_process")
    parser.add_argument("--workers", type=int, default=2, help="windows at a time")
    parser.add_argument(
        "--address", help="a running Ray cluster (auto = the one on this machine); default: one of its own"
    )
    parser.add_argument(
        "--gpus", type=float, help="GPUs of a worker; default: 1 for a MODEL where the cluster has any, else 0"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N, as a worker sees its GPUs")
    parser.add_argument("--precision", default="auto", help="of the network's convolutions: auto, float32 or bfloat16")
    parser.add_argument("--models", action="append", type=Path, default=[], help="a folder of models, or a model file")
    return parser.parse_args()


def request_of(parameters: list[str]) -> Any:
    """NAME=VALUE as the plugin's request; HSFusionError for what it does not know."""
    from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
    from hsfusion.models.errors import HSFusionError

    kinds = {field.name: field.type for field in fields(FusionRequest)}
    values: dict[str, Any] = {}
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        name = name.lower()
        if not equals or name not in kinds or name == "backend":
            raise HSFusionError(f"'{parameter}' is no parameter of a mosaic: give NAME=VALUE, see --help.")
        try:
            if name == "extent":
                xmin, xmax, ymin, ymax = map(float, value.split(" ")[0].split(","))
                values[name] = (xmin, ymin, xmax, ymax)
            elif name in NUMBERS:
                values[name] = float(value)
            elif kinds[name] == "int":
                values[name] = int(value)
            elif kinds[name] == "bool":
                values[name] = {"true": True, "1": True, "false": False, "0": False}[value.lower()]
            else:
                values[name] = value
        except (ValueError, KeyError) as error:
            raise HSFusionError(f"'{parameter}' cannot be read: see --help.") from error
    missing = [name.upper() for name in ("hsi", "msi", "output") if not values.get(name)]
    if missing:
        raise HSFusionError(f"{' and '.join(missing)} must be given.")
    for name in ("hsi", "msi", "mask", "srf_file", "model_file"):
        if values.get(name):
            values[name] = located(values[name])
    values["output"] = str(Path(values["output"]).absolute())
    return FusionRequest(**values)


def located(name: str) -> str:
    """A path or URL as GDAL takes it on every node."""
    for start, replacement in URLS.items():
        if name.startswith(start):
            return replacement + name[len(start) :]
    return name if name.startswith("/vsi") or not Path(name).exists() else str(Path(name).absolute())


class InProcess:
    """The engine of this very process, in the place of a client."""

    def __init__(self, places: list[str], device: str, precision: str) -> None:
        from hsfusion.hsfusion_plugin.backend.settings import BUNDLED_MODELS
        from hsfusion.models.runners.engine import Engine

        self.engine = Engine([*map(Path, places), BUNDLED_MODELS], device, precision=precision)

    def infer(self, model: str, tensors: Any, request: Any, cancelled: Any = None, expect: Any = None) -> Any:
        from hsfusion.hsfusion_plugin.backend.client.errors import BackendOutOfMemory
        from hsfusion.models.runners.engine import OutOfMemory

        try:
            return self.engine.infer(model, tensors, request)
        except OutOfMemory as error:
            raise BackendOutOfMemory(str(error)) from error


def model_method(request: Any, places: list[str], device: str, precision: str) -> Any:
    """The subspace model that a request names, run by this process."""
    from hsfusion.hsfusion_plugin.jobs.methods.subspace_model import Diffusion
    from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
    from hsfusion.models.cards import find_model
    from hsfusion.models.errors import HSFusionError

    client = InProcess(places, device, precision)
    card = find_model(request.model, client.engine.places).card
    if card["spectral_mode"] != "subspace":
        raise HSFusionError(
            f"The model {request.model} works on full spectra, which a mosaic does not offer: choose another."
        )
    return Diffusion.of_card(card, request.model, client, request, Progress())


class WindowWorker:
    """What Ray runs in a process of its own; `job` is (mosaic, (places, device, precision)) as bytes, since the package
    must be known first.
    """

    def __init__(self, root: str, job: bytes) -> None:
        os.environ.update(GDAL_CONFIG)
        register_package(root)
        import ray.cloudpickle

        from hsfusion.hsfusion_plugin.jobs.fuse.mosaic import Worker

        mosaic, where = ray.cloudpickle.loads(job)
        self.worker = Worker(mosaic, lambda found: model_method(found.request, *where))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        self.worker.fuse(int(row["id"]))
        return {"id": row["id"], "seconds": time.monotonic() - began, "pid": os.getpid()}


def fused(numbers: list[int], job: bytes, options: argparse.Namespace, gpus: float) -> Iterator[dict[str, Any]]:
    """Have the windows made by the cluster; yields each as it is finished."""
    import ray

    data = ray.data.from_items([{"id": number} for number in numbers], override_num_blocks=len(numbers))
    pool = ray.data.ActorPoolStrategy(size=max(1, min(options.workers, len(numbers))))
    made = data.map(WindowWorker, fn_constructor_args=(str(ROOT), job), compute=pool, num_cpus=1, num_gpus=gpus)
    yield from made.iter_rows()


def main() -> int:
    options = parse()
    os.environ.update(GDAL_CONFIG)
    register_package(str(ROOT))
    from hsfusion.models.errors import HSFusionError

    try:
        return run(options)
    except HSFusionError as error:
        sys.exit(str(error))


def run(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from hsfusion.hsfusion_plugin.jobs.fuse.mosaic import Windows, join, prepare, record_of
    from hsfusion.hsfusion_plugin.jobs.pair.pair import Pair
    from hsfusion.models.cards import find_model

    began = time.monotonic()
    request, progress = request_of(options.parameters), printing()
    places = [str(place.resolve()) for place in options.models]
    model = file = None
    if request.method is None:
        if request.model_file:
            places.insert(0, request.model_file)
        name = Path(request.model_file).stem if request.model_file else request.model
        request = replace(request, model="hsfusion-base" if name == "auto" else name)
        model = model_method(request, places, options.device, options.precision)
        file = find_model(request.model, model.client.engine.places)
    pair = Pair.open(request, progress)
    mosaic = prepare(request, pair, progress, model, file)
    tiles = mosaic.tiles(pair, mosaic.method or model)
    fitted = time.monotonic()
    windows = Windows(request, mosaic.sha256)
    windows.open(progress)
    there = windows.finished(len(tiles))
    missing = sorted(set(range(len(tiles))) - set(there))
    print(
        f"{mosaic.name}: {len(tiles)} windows, {len(there)} of them finished before; scene fitted in "
        f"{fitted - began:.1f} s"
    )
    with contextlib.closing(finished(there, missing, mosaic, places, options)) as numbers:
        join(mosaic, pair, tiles, numbers, record_of(mosaic, pair))
    windows.remove()
    pixels, seconds = len(pair.alignment.output_rows) * len(pair.alignment.output_cols), time.monotonic() - fitted
    print(f"{request.output}: {pixels / 1e6:.1f} Mpx, windows and writing {seconds:.1f} s")
    return 0


def finished(
    there: list[int], missing: list[int], mosaic: Any, places: list[str], options: argparse.Namespace
) -> Iterator[int]:
    """Numbers of windows whose files are there: first those of an earlier run, then each as the cluster finishes it."""
    yield from there
    if not missing:
        return
    import ray
    import ray.cloudpickle

    local = {} if options.address else {"num_cpus": options.workers, "include_dashboard": False}
    ray.init(address=options.address, log_to_driver=False, **local)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    gpus = options.gpus
    if gpus is None:
        gpus = float(mosaic.method is None and ray.cluster_resources().get("GPU", 0) > 0)
    job = ray.cloudpickle.dumps((mosaic, (places, options.device, options.precision)))
    began = time.monotonic()
    try:
        for count, row in enumerate(fused(missing, job, options, gpus), 1):
            left = (time.monotonic() - began) / count * (len(missing) - count)
            said = f"window {row['id']} in {row['seconds']:.1f} s by process {row['pid']}"
            print(f"{said} ({count} of {len(missing)}, about {left:.0f} s left)", flush=True)
            yield int(row["id"])
    finally:
        ray.shutdown()


def printing() -> Any:
    """A listener that prints what the algorithms would tell."""
    from hsfusion.hsfusion_plugin.jobs.run.progress import Progress

    class Printing(Progress):
        def info(self, text: str) -> None:
            print(text)

        def warn(self, text: str) -> None:
            print(f"Warning: {text}", file=sys.stderr)

    return Printing()


if __name__ == "__main__":
    sys.exit(main())
