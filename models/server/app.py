"""The web application: Open Inference Protocol v2 in front of an engine, as a factory so that any ASGI server can run
it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ..cards import ModelInfo, UnknownModel, find_model
from ..errors import HSFusionError, RunCancelled
from ..runners.engine import Engine, ModelChanged, OutOfMemory, TileJob
from ..version import VERSION
from ..wire import half, protocol
from ..wire.cost import TooMuch
from ..wire.text import encodable
from .adaptation import EXTENSION, Jobs, UnknownJob, adaptation_routes
from .auth import Unauthorized, allowed
from .desk import Busy, Desk, Job, TookTooLong
from .explained import Explained
from .limits import DEFAULT_BATCH, DEFAULT_LIMITS, Limits, TooLarge, TooSlow, announced_bytes, read_body
from .memory import memory_of_a_tile
from .metrics import CONTENT_TYPE, SECONDS, TILES, Metrics
from .tile import TileToDo, client_of, read_tile, refuse_early

log = logging.getLogger("hsfusion.server")

# First match wins: error class -> HTTP status, code.
_ERRORS = (
    (Unauthorized, 401, protocol.UNAUTHORIZED),
    (Busy, 429, protocol.BUSY),
    (TooLarge, 413, protocol.TOO_LARGE),
    (TooMuch, 413, protocol.TOO_LARGE),
    (TookTooLong, 413, protocol.TOO_LARGE),
    (TooSlow, 408, protocol.BAD_REQUEST),
    (UnknownModel, 404, protocol.UNKNOWN_MODEL),
    (UnknownJob, 404, protocol.REFUSED),
    (ModelChanged, 409, protocol.MODEL_CHANGED),
    (OutOfMemory, 507, protocol.OUT_OF_MEMORY),
    (MemoryError, 507, protocol.OUT_OF_MEMORY),
    (RunCancelled, 499, protocol.CANCELLED),
    (ClientDisconnect, 499, protocol.CANCELLED),
    (protocol.ProtocolError, 400, protocol.BAD_REQUEST),
    (HSFusionError, 422, protocol.REFUSED),
)


def create_app(
    engine: Engine | Sequence[Engine],
    token: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    adaptation: bool = False,
) -> FastAPI:
    """The application; without a `token` everybody who reaches it may use it. Several engines (one per GPU) share the
    line of tiles; one that is named twice works on two at a time.

    adaptation: it offers scene adaptation, on the first engine's device, and keeps its jobs.
    """
    app = FastAPI(title="HSFusion", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None)
    engines = [engine] if isinstance(engine, Engine) else list(engine)
    engine = engines[0]
    most = limits.batch or (DEFAULT_BATCH if engine.device.startswith("cuda") else 1)
    metrics = Metrics(version=VERSION, device=",".join(e.device for e in dict.fromkeys(engines)))
    limits = limits if limits.memory else replace(limits, memory=memory_of_a_tile(engines))
    workers = [partial(_work, worker, metrics) for worker in engines]
    desk = Desk(limits.tiles, workers, most, max(limits.house_bytes, limits.request_bytes), limits.job_s)
    metrics.gauges = {
        "hsfusion_waiting_tiles": lambda: desk.waiting,
        "hsfusion_running_tiles": lambda: desk.running,
        "hsfusion_workers": lambda: len(engines),
    }
    for worker in engines:
        worker.told = partial(_hear, metrics)

    def guard(request: Request) -> None:
        if not allowed(request.headers.get("authorization"), token):
            raise Unauthorized("The token is wrong or missing: check HSFUSION_TOKEN.")

    router = APIRouter(prefix="/v2", dependencies=[Depends(guard)])

    @app.get("/v2/health/live")
    @app.get("/v2/health/ready")
    def health() -> dict[str, bool]:
        return {"live": True, "ready": True}

    @router.get("")
    def server() -> dict[str, Any]:
        return {
            "name": "hsfusion",
            "version": VERSION,
            "extensions": [
                "binary_tensor_data",
                "hsfusion_models",
                half.EXTENSION,
                *([EXTENSION] if adaptation else []),
            ],
            "hsfusion": {
                "wire": protocol.WIRE_VERSION,
                "device": ", ".join(e.device for e in dict.fromkeys(engines)),
                "device_reason": "; ".join(dict.fromkeys(e.device_reason for e in engines)),
                "precision": ", ".join(dict.fromkeys(e.precision for e in engines)),
                "precision_reason": "; ".join(dict.fromkeys(e.precision_reason for e in engines)),
                "workers": len(engines),
                "batch": most,
                "request_bytes": limits.request_bytes,
                "tiles": limits.tiles,
                "limits": {**limits.of_a_tile(), "seconds": limits.job_s, "minutes": limits.minutes},
            },
        }

    @router.get("/models")
    def models() -> dict[str, Any]:
        return {
            "models": [{"name": model.name, "sha256": model.sha256, "card": model.card} for model in engine.models()]
        }

    @router.get("/models/{name}")
    def model(name: str) -> dict[str, Any]:
        return _metadata(find_model(name, engine.places))

    @router.get("/models/{name}/ready")
    def model_ready(name: str) -> dict[str, Any]:
        return {"name": find_model(name, engine.places).name, "ready": True}

    @router.post("/models/{name}/infer")
    async def infer(name: str, request: Request) -> Response:
        start = time.monotonic()
        client = client_of(request)
        with desk.body(announced_bytes(request)) as more:
            await refuse_early(request, desk, client)
            body = await read_body(request, limits, more)
            with desk.place(client):
                reading = partial(read_tile, engine, name, body, request.headers.get(protocol.HEAD_LENGTH), limits)
                tile = await run_in_threadpool(reading)
                request.state.model = name
                job = Job(None, _kind(engine, tile) if most > 1 else None, client)
                job.work = (name, tile.sha256, TileJob(tile.tensors, tile.request, job.stop.is_set))
                tensors = await desk.run(job, request.is_disconnected)
            content, length = await run_in_threadpool(tile.reply, tensors)
        metrics.count("hsfusion_requests_total", model=name, status="200")
        metrics.count("hsfusion_bytes_total", len(body), direction="in")
        metrics.count("hsfusion_bytes_total", len(content), direction="out")
        metrics.observe("hsfusion_tile_seconds", time.monotonic() - start, SECONDS, model=name)
        shapes = {key: list(value.shape) for key, value in tile.tensors.items()}
        seconds = round(time.monotonic() - start, 3)
        log.info(json.dumps({"model": name, "tensors": shapes, "bytes": len(content), "seconds": seconds}))
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={protocol.HEAD_LENGTH: str(length)})

    app.include_router(router)
    if adaptation:
        app.include_router(adaptation_routes(Jobs(engine, limits), desk, limits, [Depends(guard)]))

    @app.get("/metrics", dependencies=[Depends(guard)])
    def counted() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    async def explain(request: Request, error: Exception) -> JSONResponse:
        reply, code = _error_reply(error)
        metrics.count("hsfusion_errors_total", code=code)
        if request.url.path.endswith("/infer"):
            model = getattr(request.state, "model", "")
            metrics.count("hsfusion_requests_total", model=model, status=str(reply.status_code))
        return reply

    app.add_exception_handler(HSFusionError, explain)
    app.add_middleware(Explained, explain=explain)
    return app


def _work(engine: Engine, metrics: Metrics, jobs: list[Job]) -> list[Any]:
    """What a worker of the desk does: the tiles of one batch, all for the same model."""
    name, sha256, _ = jobs[0].work
    metrics.observe("hsfusion_batch_tiles", len(jobs), TILES)
    return engine.infer_many(name, [job.work[2] for job in jobs], sha256)


def _hear(metrics: Metrics, event: str, model: str) -> None:
    if event == "load":
        metrics.count("hsfusion_model_loads_total", model=model)
    elif event == "halved":
        metrics.count("hsfusion_batch_halvings_total")


def _kind(engine: Engine, tile: TileToDo) -> Hashable | None:
    """Tiles with the same kind go through the network together; None where this model's do not."""
    if not engine.batches(tile.model):
        return None
    shapes = tuple((name, array.shape) for name, array in sorted(tile.tensors.items()))
    options = (repr(getattr(tile.request, name, None)) for name in ("steps", "samples", "consistency"))
    return tile.model.name, tile.model.sha256, shapes, *options


def _error_reply(error: Exception) -> tuple[JSONResponse, str]:
    for kind, status, code in _ERRORS:
        if isinstance(error, kind):
            sentence = encodable(str(error)) or "The request cannot be served."
            said = json.dumps({"status": status, "code": code, "error": sentence})
            log.info(said, extra={"kind": (status, code)})
            headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Busy) else None
            return JSONResponse({"error": sentence, "code": code}, status, headers), code
    log.error("request failed", exc_info=error, extra={"kind": type(error).__name__})
    sentence = f"The backend failed on this tile ({type(error).__name__}: {' '.join(str(error).split())[:300]}): its log tells more."  # noqa: E501
    return JSONResponse({"error": encodable(sentence), "code": protocol.INTERNAL}, 500), protocol.INTERNAL


def _metadata(model: ModelInfo) -> dict[str, Any]:
    inputs = [("y", [-1, -1, -1]), ("z", [-1, -1, -1]), ("y_mask", [-1, -1]), ("z_mask", [-1, -1])]
    return {
        "name": model.name,
        "versions": ["1"],
        "platform": "hsfusion",
        "inputs": [{"name": name, "datatype": "FP32", "shape": shape} for name, shape in inputs],
        "outputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1, -1, -1]}],
        "parameters": {"model_sha256": model.sha256, "card": json.dumps(model.card, default=str)},
    }
