"""The web application: Open Inference Protocol v2 in front of an engine, as a factory so that any ASGI server can run it."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from .. import protocol
from ..cards import ModelInfo, UnknownModel, find_model
from ..engine import Engine, ModelChanged, OutOfMemory
from ..errors import HSFusionError, RunCancelled
from ..version import VERSION
from .auth import Unauthorized, allowed
from .desk import Busy, Desk
from .limits import DEFAULT_LIMITS, Limits, TooLarge, TooSlow, read_body

log = logging.getLogger("hsfusion.server")

# First match wins: error class -> HTTP status, code.
_ERRORS = (
    (Unauthorized, 401, protocol.UNAUTHORIZED),
    (Busy, 429, protocol.BUSY),
    (TooLarge, 413, protocol.TOO_LARGE),
    (TooSlow, 408, protocol.BAD_REQUEST),
    (UnknownModel, 404, protocol.UNKNOWN_MODEL),
    (ModelChanged, 409, protocol.MODEL_CHANGED),
    (OutOfMemory, 507, protocol.OUT_OF_MEMORY),
    (RunCancelled, 499, protocol.CANCELLED),
    (protocol.ProtocolError, 400, protocol.BAD_REQUEST),
    (HSFusionError, 422, protocol.REFUSED),
)


def create_app(engine: Engine, token: str | None = None, limits: Limits = DEFAULT_LIMITS) -> FastAPI:
    """The application; without a `token` everybody who reaches it may use it."""
    app = FastAPI(title="HSFusion", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None)
    desk = Desk(limits.tiles)

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
            "extensions": ["binary_tensor_data", "hsfusion_models"],
            "hsfusion": {
                "wire": protocol.WIRE_VERSION,
                "device": engine.device,
                "device_reason": engine.device_reason,
                "request_bytes": limits.request_bytes,
                "tiles": limits.tiles,
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
        with desk.place():
            message = protocol.decode_request(await read_body(request, limits), _head_length(request))
            parameters = message.parameters
            details = protocol.details(parameters)
            wanted = str(parameters.get("model_sha256", ""))
            sha256 = find_model(name, engine.places).sha256
            tensors = await desk.run(
                lambda cancelled: engine.infer(name, message.tensors, details, cancelled, wanted or sha256),
                request.is_disconnected,
            )
        body, length = protocol.encode_reply(
            name, tensors, {"model_sha256": sha256}, protocol.wants_binary(message.head)
        )
        shapes = {key: list(value.shape) for key, value in message.tensors.items()}
        log.info(
            json.dumps(
                {"model": name, "tensors": shapes, "bytes": len(body), "seconds": round(time.monotonic() - start, 3)}
            )
        )
        if length is None:
            return Response(body, media_type="application/json")
        return Response(body, media_type="application/octet-stream", headers={protocol.HEAD_LENGTH: str(length)})

    app.include_router(router)

    async def explain(_request: Request, error: Exception) -> JSONResponse:
        return _error_reply(error)

    for kind in (HSFusionError, Exception):
        app.add_exception_handler(kind, explain)
    return app


def _error_reply(error: Exception) -> JSONResponse:
    for kind, status, code in _ERRORS:
        if isinstance(error, kind):
            log.info(json.dumps({"status": status, "code": code, "error": str(error)}))
            headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Busy) else None
            return JSONResponse({"error": str(error), "code": code}, status, headers)
    log.error("request failed", exc_info=error)
    sentence = f"The backend failed on this tile ({type(error).__name__}: {' '.join(str(error).split())[:300]}): its log tells more."
    return JSONResponse({"error": sentence, "code": protocol.INTERNAL}, 500)


def _head_length(request: Request) -> int | None:
    text = request.headers.get(protocol.HEAD_LENGTH)
    if text is not None and not text.isdigit():
        raise protocol.ProtocolError(f"The header {protocol.HEAD_LENGTH} must be a number.")
    return None if text is None else int(text)


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
