"""Serve HSFusion on a Ray cluster: the very app of scripts/serve.py under Ray Serve, one replica per GPU, as many as
the load asks for.

pip install '.[serve,cluster]'                                     (on every node; models at the same path everywhere)
ray start --head                                                   (and `ray start --address=...` on the others)
HSFUSION_TOKEN=... python scripts/serving/serve_ray.py --address auto --host 0.0.0.0 --tls-cert cert.pem --tls-key
key.pem --max-replicas 8

Without --address a Ray of this machine's own is started. Ctrl-C takes the deployment down. Ray itself trusts its
network: keep its ports (6379, 8265, 10001 and the workers') inside the cluster.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Callable

# A machine whose cores are all busy takes minutes to bring up a proxy, and Ray would end it after 5 seconds; read when
# Ray is imported.
os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "600")
os.environ.setdefault("RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S", "60")

import ray
from ray import serve

ROOT = Path(__file__).resolve().parents[2]
NAME = "hsfusion"
TRIES = 10

log = logging.getLogger("hsfusion.serve_ray")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", action="append", type=Path, default=[], help="a folder of models, or a model file")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N, as a replica sees its GPUs")
    parser.add_argument("--address", help="a running Ray cluster (auto = the one on this machine)")
    parser.add_argument("--host", default="127.0.0.1", help="address of the proxies; only this machine by default")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--tls-cert", help="certificate chain (PEM), at the same path on every node")
    parser.add_argument("--tls-key", help="private key (PEM)")
    parser.add_argument("--min-replicas", type=int, default=1)
    parser.add_argument(
        "--max-replicas", type=int, help="default: as many as the cluster has GPUs (CPUs where it has none)"
    )
    parser.add_argument("--gpus", type=float, help="GPUs of a replica; default: 1 where the cluster has any, else 0")
    parser.add_argument("--cpus", type=float, default=1, help="CPUs of a replica")
    parser.add_argument("--num-cpus", type=int, help="CPUs of the Ray that is started without --address")
    parser.add_argument("--tiles", type=int, default=8, help="tiles in one replica at once, running and waiting")
    parser.add_argument("--request-mib", type=int, default=512, help="largest request in MiB")
    return parser.parse_args()


def app_of_a_replica(options: argparse.Namespace, token: str | None) -> Callable[[], Any]:
    """A function that builds the app in whatever process Ray calls it."""
    root, places = str(ROOT), [str(place.resolve()) for place in options.models]
    device, tiles, request_bytes = options.device, options.tiles, options.request_mib << 20

    def build() -> Any:
        import sys
        import types
        from pathlib import Path

        # The checkout at this path where this node has it, else the package as pip installed it.
        if "hsfusion" not in sys.modules and Path(root, "models").is_dir():
            package = types.ModuleType("hsfusion")
            package.__path__ = [root]
            sys.modules["hsfusion"] = package
        from hsfusion.models.runners.engine import Engine
        from hsfusion.models.server.app import create_app
        from hsfusion.models.server.limits import Limits
        from hsfusion.models.server.main import BUNDLED_MODELS

        engine = Engine([*places, BUNDLED_MODELS], device)
        return create_app(engine, token, Limits(request_bytes=request_bytes, tiles=tiles))

    return build


def deployment(options: argparse.Namespace, token: str | None) -> Any:
    """The application for `serve.run`."""
    resources = ray.cluster_resources()
    gpus = options.gpus if options.gpus is not None else float(resources.get("GPU", 0) > 0)
    room = resources.get("GPU", 0) / gpus if gpus else resources.get("CPU", 1) / max(options.cpus, 0.01)
    most = options.max_replicas or max(options.min_replicas, int(room))
    log.info("replicas: %d to %d, each with %g CPU and %g GPU", options.min_replicas, most, options.cpus, gpus)
    return serve.deployment(
        serve.ingress(app_of_a_replica(options, token))(),
        name=NAME,
        # A replica works on one tile at a time; the second one is on its way meanwhile.
        autoscaling_config={
            "min_replicas": options.min_replicas,
            "max_replicas": most,
            "target_ongoing_requests": 2,
            "upscale_delay_s": 5,
            "downscale_delay_s": 300,
        },
        max_ongoing_requests=options.tiles,
        max_queued_requests=options.tiles * most,  # beyond that 503, and the client comes again
        health_check_period_s=5,
        health_check_timeout_s=30,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": gpus},
    ).bind()


def patiently(call: Callable[[], Any]) -> None:
    """Call again where Ray gave up waiting for its proxies (after 60 s): what it has begun goes on all the same."""
    for patience in range(TRIES):
        try:
            call()
            return
        except TimeoutError:
            if patience == TRIES - 1:
                raise
            log.warning("Ray's proxies take long to start on this machine; waiting on")


def main() -> int:
    options = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    token = os.environ.pop("HSFUSION_TOKEN", "") or None  # popped: Ray hands the environment on to every worker
    if token is None and options.host not in ("127.0.0.1", "::1", "localhost"):
        log.error(
            "Set HSFUSION_TOKEN before serving on %s: without a token everybody could use this server.", options.host
        )
        return 1
    if options.address:
        ray.init(address=options.address)
    else:
        ray.init(num_cpus=options.num_cpus, include_dashboard=False)
    address = {"host": options.host, "port": options.port, "request_timeout_s": None}
    if options.tls_cert:
        address.update(ssl_certfile=options.tls_cert, ssl_keyfile=options.tls_key)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    where = "EveryNode" if options.address else "HeadOnly"
    patiently(lambda: serve.start(proxy_location=where, http_options=address))
    application = deployment(options, token)
    patiently(lambda: serve.run(application, name=NAME, route_prefix="/"))
    log.info("serving on %s:%d", options.host, options.port)
    stop.wait()
    serve.shutdown()
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
