"""The web application: Open Inference Protocol v2 in front of a service, as a factory so that any ASGI server can run
it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from ..cards import ModelInfo, UnknownModel
from ..errors import HSFusionError, RunCancelled
from ..runners.engine import Engine, ModelChanged, OutOfMemory
from ..version import VERSION
from ..wire import protocol
from ..wire.cost import TooMuch
from ..wire.text import encodable
from .adaptation import EXTENSION, Jobs, UnknownJob, adaptation_routes
from .auth import Unauthorized, allowed
from .desk import Busy, TookTooLong
from .explained import Explained
from .limits import DEFAULT_LIMITS, Limits, TooLarge, TooSlow
from .metrics import CONTENT_TYPE
from .service import Service

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
    service = Service([engine] if isinstance(engine, Engine) else engine, limits)

    def guard(request: Request) -> None:
        if not allowed(request.headers.get("authorization"), token):
            raise Unauthorized("The token is wrong or missing: check HSFUSION_TOKEN.")

    @app.get("/v2/health/live")
    @app.get("/v2/health/ready")
    def health() -> dict[str, bool]:
        return {"live": True, "ready": True}

    @app.get("/metrics", dependencies=[Depends(guard)])
    def counted() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    app.include_router(_routes(service, [Depends(guard)], [EXTENSION] if adaptation else []))
    if adaptation:
        jobs = Jobs(service.engine, service.limits)
        app.include_router(adaptation_routes(jobs, service.desk, service.limits, [Depends(guard)]))

    async def explain(request: Request, error: Exception) -> JSONResponse:
        reply, code = _error_reply(error)
        service.metrics.count("hsfusion_errors_total", code=code)
        if request.url.path.endswith("/infer"):
            model = getattr(request.state, "model", "")
            service.metrics.count("hsfusion_requests_total", model=model, status=str(reply.status_code))
        return reply

    app.add_exception_handler(HSFusionError, explain)
    app.add_middleware(Explained, explain=explain)
    return app


def _routes(service: Service, dependencies: Sequence[Any], extensions: Sequence[str]) -> APIRouter:
    """The protocol's routes."""
    router = APIRouter(prefix="/v2", dependencies=dependencies)

    @router.get("")
    def server() -> dict[str, Any]:
        return service.about(extensions)

    @router.get("/models")
    def models() -> dict[str, Any]:
        found = service.engine.models()
        return {"models": [{"name": model.name, "sha256": model.sha256, "card": model.card} for model in found]}

    @router.get("/models/{name}")
    def model(name: str) -> dict[str, Any]:
        return _metadata(service.model(name))

    @router.get("/models/{name}/ready")
    def model_ready(name: str) -> dict[str, Any]:
        return {"name": service.model(name).name, "ready": True}

    @router.post("/models/{name}/infer")
    async def infer(name: str, request: Request) -> Response:
        return await service.infer(name, request)

    return router


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
