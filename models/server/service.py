"""What a server does, whatever web framework asks: says what it is, and runs tiles through its engines."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from ..cards import ModelInfo, find_model
from ..runners.engine import Engine, TileJob
from ..version import VERSION
from ..wire import half, protocol
from .desk import Desk, Job
from .limits import DEFAULT_BATCH, Limits, announced_bytes, read_body
from .memory import memory_of_a_tile
from .metrics import SECONDS, TILES, Metrics
from .tile import TileToDo, client_of, read_tile, refuse_early

log = logging.getLogger("hsfusion.server")


class Service:
    """Engines (one per GPU) that share one line of tiles; one that is named twice works on two at a time. The first of
    them knows the models.
    """

    def __init__(self, engines: Sequence[Engine], limits: Limits) -> None:
        self.engines = list(engines)
        self.engine = self.engines[0]
        self.limits = limits if limits.memory else replace(limits, memory=memory_of_a_tile(self.engines))
        self.batch = limits.batch or (DEFAULT_BATCH if self.engine.device.startswith("cuda") else 1)
        self.metrics = Metrics(version=VERSION, device=",".join(e.device for e in dict.fromkeys(self.engines)))
        workers = [partial(self._work, engine) for engine in self.engines]
        house = max(limits.house_bytes, limits.request_bytes)
        self.desk = Desk(limits.tiles, workers, self.batch, house, limits.job_s)
        self.metrics.gauges = {
            "hsfusion_waiting_tiles": lambda: self.desk.waiting,
            "hsfusion_running_tiles": lambda: self.desk.running,
            "hsfusion_workers": lambda: len(self.engines),
        }
        for engine in self.engines:
            engine.told = self._hear

    def about(self, extensions: Sequence[str] = ()) -> dict[str, Any]:
        """The server's metadata: what it offers, where it computes, and what a request may cost."""
        engines, limits = self.engines, self.limits
        return {
            "name": "hsfusion",
            "version": VERSION,
            "extensions": ["binary_tensor_data", "hsfusion_models", half.EXTENSION, *extensions],
            "hsfusion": {
                "wire": protocol.WIRE_VERSION,
                "device": ", ".join(e.device for e in dict.fromkeys(engines)),
                "device_reason": "; ".join(dict.fromkeys(e.device_reason for e in engines)),
                "precision": ", ".join(dict.fromkeys(e.precision for e in engines)),
                "precision_reason": "; ".join(dict.fromkeys(e.precision_reason for e in engines)),
                "workers": len(engines),
                "batch": self.batch,
                "request_bytes": limits.request_bytes,
                "tiles": limits.tiles,
                "limits": {**limits.of_a_tile(), "seconds": limits.job_s, "minutes": limits.minutes},
            },
        }

    def model(self, name: str) -> ModelInfo:
        """UnknownModel where there is none of that name."""
        return find_model(name, self.engine.places)

    async def infer(self, name: str, request: Request) -> Response:
        """The answer to a tile: its body counted as it comes, its place in the line taken, its client watched."""
        start, client = time.monotonic(), client_of(request)
        with self.desk.body(announced_bytes(request)) as more:
            await refuse_early(request, self.desk, client)
            body = await read_body(request, self.limits, more)
            with self.desk.place(client):
                head = request.headers.get(protocol.HEAD_LENGTH)
                tile = await run_in_threadpool(partial(read_tile, self.engine, name, body, head, self.limits))
                request.state.model = name
                job = Job(None, self._kind(tile), client)
                job.work = (name, tile.sha256, TileJob(tile.tensors, tile.request, job.stop.is_set))
                tensors = await self.desk.run(job, request.is_disconnected)
            content, length = await run_in_threadpool(tile.reply, tensors)
        self._count(name, tile, len(body), len(content), time.monotonic() - start)
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={protocol.HEAD_LENGTH: str(length)})

    def _work(self, engine: Engine, jobs: list[Job]) -> list[Any]:
        """What a worker of the desk does: the tiles of one batch, all for the same model."""
        name, sha256, _ = jobs[0].work
        self.metrics.observe("hsfusion_batch_tiles", len(jobs), TILES)
        return engine.infer_many(name, [job.work[2] for job in jobs], sha256)

    def _kind(self, tile: TileToDo) -> Hashable | None:
        """Tiles with the same kind go through the network together; None where this one goes alone."""
        if self.batch == 1 or not self.engine.batches(tile.model):
            return None
        shapes = tuple((name, array.shape) for name, array in sorted(tile.tensors.items()))
        options = (repr(getattr(tile.request, name, None)) for name in ("steps", "samples", "consistency"))
        return tile.model.name, tile.model.sha256, shapes, *options

    def _hear(self, event: str, model: str) -> None:
        if event == "load":
            self.metrics.count("hsfusion_model_loads_total", model=model)
        elif event == "halved":
            self.metrics.count("hsfusion_batch_halvings_total")

    def _count(self, name: str, tile: TileToDo, taken: int, given: int, seconds: float) -> None:
        self.metrics.count("hsfusion_requests_total", model=name, status="200")
        self.metrics.count("hsfusion_bytes_total", taken, direction="in")
        self.metrics.count("hsfusion_bytes_total", given, direction="out")
        self.metrics.observe("hsfusion_tile_seconds", seconds, SECONDS, model=name)
        shapes = {key: list(value.shape) for key, value in tile.tensors.items()}
        log.info(json.dumps({"model": name, "tensors": shapes, "bytes": given, "seconds": round(seconds, 3)}))
