"""`scripts/serve.py` and `hsfusion-serve`: run the server, as a local child of QGIS (`--child`) or on its own."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib.util
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import HSFusionError
from ..version import VERSION
from .files import files_for_connections
from .parent import Parent
from .sparing import Sparing

PRECISIONS = ("auto", "float32", "bfloat16")  # of models.precision, which an interpreter without numpy could not import
NEEDED = ("numpy", "yaml", "torch", "safetensors", "fastapi", "uvicorn")
BUNDLED_MODELS = Path(__file__).resolve().parents[2] / "resources" / "models"

log = logging.getLogger("hsfusion.server")


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and serve until told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="hsfusion-serve", description="HSFusion's inference server (Open Inference Protocol v2)."
    )
    parser.add_argument(
        "--models",
        action="append",
        type=Path,
        default=[],
        metavar="PLACE",
        help="a folder of models, or a model file; may be repeated",
    )
    parser.add_argument(
        "--load",
        action="append",
        default=[],
        metavar="NAME",
        help="a model to load at once, not with its first tile; may be repeated",
    )
    parser.add_argument(
        "--device",
        default=os.environ.get("HSFUSION_DEVICE") or "auto",
        help="auto (all GPUs, else the CPU), cpu, cuda:N, or several with commas: one worker each",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; only this machine by default")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--tiles", type=int, default=128, help="tiles in the house at once, running and waiting")
    parser.add_argument(
        "--batch", type=int, default=0, help="waiting tiles worked on together (0 = 8 on a GPU, 1 on a CPU)"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="tiles worked on at a time on a CPU (0 = 1, on all cores)"
    )
    parser.add_argument("--request-mib", type=int, default=512, help="largest request in MiB")
    parser.add_argument("--house-mib", type=int, default=2048, help="all requests in the house together, in MiB")
    parser.add_argument("--tile-mib", type=int, default=0, help="memory of a tile in MiB (0 = half of the machine's)")
    parser.add_argument("--samples", type=int, default=256, help="most samples of a tile")
    parser.add_argument("--tile-seconds", type=float, default=3600.0, help="longest work on a tile")
    parser.add_argument("--head-seconds", type=float, default=10.0, help="longest wait for a request's header lines")
    parser.add_argument("--body-seconds", type=float, default=60.0, help="longest wait for a small request's body")
    parser.add_argument("--connections", type=int, default=1024, help="connections open at once")
    parser.add_argument("--no-adaptation", action="store_true", help="offer no scene adaptation")
    parser.add_argument("--tls-cert", type=Path, help="certificate chain (PEM)")
    parser.add_argument("--tls-key", type=Path, help="private key (PEM)")
    parser.add_argument(
        "--child",
        action="store_true",
        help="be the local child of the process that holds the other end of stdin and stdout",
    )
    parser.add_argument("--precision", default="auto", choices=PRECISIONS, help="of the network's convolutions")
    parser.add_argument("--version", action="version", version=VERSION)
    options = parser.parse_args(arguments)
    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # numpy's matrices are small here, and its threads would only wait
    options.models = [*options.models, BUNDLED_MODELS]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.addFilter(Sparing())
    faulthandler.enable()
    return serve_child(options) if options.child else serve(options)


def serve(options: argparse.Namespace) -> int:
    """Serve on a fixed address; the token comes from HSFUSION_TOKEN."""
    token = os.environ.get("HSFUSION_TOKEN") or None
    if token is None and options.host not in ("127.0.0.1", "::1", "localhost"):
        log.error(
            "Set HSFUSION_TOKEN before serving on %s: without a token everybody on the network could use this server.",
            options.host,
        )
        return 1
    missing = missing_packages()
    if missing:
        log.error("%s", missing)
        return 1
    try:
        server = _server(
            options,
            token,
            host=options.host,
            port=options.port,
            ssl_certfile=options.tls_cert,
            ssl_keyfile=options.tls_key,
        )
    except HSFusionError as error:
        log.error("%s", error)
        return 1
    server.run()
    return 0 if server.started else 1


def serve_child(options: argparse.Namespace) -> int:
    """Serve the parent alone, on a random loopback port that the greeting names."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C goes to the whole process group; the parent decides when we end
    parent = Parent()
    token = parent.secret()
    parent.watch()
    if not token:
        parent.fail("no-token", "The backend was started without a token.")
        return 1
    missing = missing_packages()
    if missing:
        parent.fail("missing-package", missing)
        return 1
    try:
        server = _server(options, token)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
    except HSFusionError as error:
        parent.fail("refused", str(error))
        return 1
    except Exception as error:  # an import that fails, a broken CUDA, no loopback: the parent puts it into its sentence
        log.exception("start failed")
        parent.fail("start-failed", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return 1
    parent.greet(version=VERSION, port=listener.getsockname()[1], python=sys.version.split()[0])
    server.capture_signals = contextlib.nullcontext  # SIGTERM shall end the child at once: it has nothing to finish
    server.run(sockets=[listener])
    return 0


def missing_packages() -> str:
    """A sentence about the packages that this interpreter lacks; empty if it has all of them."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    return f"The interpreter {sys.executable} has no {' and no '.join(missing)}" if missing else ""


def _load(engines: Iterable[Any], names: Sequence[str]) -> None:
    """Models that are going to be asked for; what is wrong with one is said to who asks."""
    for engine in engines:
        for name in names:
            try:
                engine.load(name)
            except HSFusionError as error:
                log.warning("%s", error)


def limits_of(options: argparse.Namespace) -> Any:
    """The bounds that the command line sets; HSFusionError where one is none."""
    from .limits import Limits

    try:
        return Limits(
            request_bytes=options.request_mib << 20,
            house_bytes=options.house_mib << 20,
            memory=options.tile_mib << 20,
            samples=options.samples,
            tiles=options.tiles,
            batch=options.batch,
            job_s=options.tile_seconds,
            head_s=options.head_seconds,
            body_s=options.body_seconds,
            connections=min(options.connections, files_for_connections()),
        )
    except ValueError as error:
        names = ", ".join(str(one["loc"][0]) for one in error.errors())  # type: ignore[attr-defined]
        raise HSFusionError(f"The server's limits must be positive numbers: look at {names}.") from error


def _server(options: argparse.Namespace, token: str | None, **address: Any) -> Any:
    import uvicorn

    from ..runners.engine import Engine, choose_devices
    from .app import create_app
    from .connections import protocol_class
    from .cores import share_out, usable_cores

    engines = []
    for device, reason in choose_devices(options.device):
        engines.append(Engine(options.models, device, reason, options.precision))
        log.info("HSFusion %s on %s (%s)", VERSION, device, reason)
    if [engine.device for engine in engines] == ["cpu"]:
        import torch

        workers, threads = share_out(usable_cores(), options.workers)
        torch.set_num_threads(threads)
        engines *= workers  # a model is loaded once
        log.info("%d tile(s) at a time, %d thread(s) each", workers, threads)
    if options.load:
        threading.Thread(target=_load, args=(dict.fromkeys(engines), options.load), daemon=True).start()
    limits = limits_of(options)
    app = create_app(engines, token, limits, adaptation=not options.no_adaptation)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol_class(limits),
            ws="none",
            log_config=None,
            access_log=False,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=5,
            backlog=256,
            **address,
        )
    )
