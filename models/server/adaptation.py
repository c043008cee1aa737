"""Scene adaptation on the server, its extension `hsfusion_adapt`: the one job that is not a tile.

POST /v2/hsfusion_adapt starts a job under an id of the client's, GET /v2/hsfusion_adapt/ID says how far it is, GET
.../ID/model gives the adapted model's file, DELETE .../ID ends and forgets it. One job runs at a time, beside the
tiles; a job that nobody asks after ends by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from ..cards import ModelInfo, find_model
from ..errors import HSFusionError, RunCancelled
from ..heap import give_back
from ..runners.engine import Engine, ModelChanged, OutOfMemory, is_out_of_memory
from ..wire import protocol
from ..wire.adaptation import AdaptationRequest, Facts
from ..wire.scene_training import SceneTrainingRequest
from ..wire.text import encodable
from ..wire.values import LONGEST_TEXT
from .cores import usable_cores
from .desk import Busy, Desk
from .limits import Limits, announced_bytes, read_body
from .tile import checked_name

if TYPE_CHECKING:  # training stands on torch, which is imported when the first job comes
    from ..training.adaptation.training import Moment, Outcome

log = logging.getLogger("hsfusion.server")

EXTENSION = "hsfusion_adapt"
UNATTENDED_S = 60.0  # without a question from the client, after which a job ends


class UnknownJob(HSFusionError):
    """No such adaptation, or no longer."""


class Job:
    """One adaptation on a thread of its own; `state` is running, done, failed or cancelled."""

    def __init__(
        self, number: str, request: AdaptationRequest | SceneTrainingRequest, engine: Engine, wanted_sha256: str
    ) -> None:
        self.number, self.request = number, request
        self.name, self.parent = _subject(request, engine, wanted_sha256)
        self._device = engine.device
        self.state, self.error, self.file = "running", "", b""
        self._moment: Moment | None = None
        self._result: dict[str, Any] = {}
        self._stop = threading.Event()
        self._asked = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="adaptation", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it still works."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it at the next step."""
        self._stop.set()

    def facts(self) -> dict[str, Any]:
        """How far it is, as JSON (`wire.adaptation.Facts`)."""
        self._asked = time.monotonic()
        moment = self._moment
        whole = 60 * self.request.training.minutes
        facts = Facts(
            job=self.number,
            state=self.state,
            error=encodable(" ".join(self.error.split()))[:LONGEST_TEXT],
            step=moment.step if moment else 0,
            loss=moment.loss if moment and math.isfinite(moment.loss) else None,
            gain=moment.gain if moment else 0.0,
            seconds=moment.seconds if moment else 0.0,
            seconds_left=max(0.0, whole - (moment.seconds if moment else 0.0)) if self.state == "running" else 0.0,
        )
        return replace(facts, **self._result).to_message()

    def _trained(self) -> tuple[Outcome, bytes | None]:
        """The outcome, and the file of what was trained; None where it is not better than what it started from."""
        if isinstance(self.request, SceneTrainingRequest):
            from ..runners.weights import model_bytes
            from ..training.per_scene.spectral_mlp import train

            outcome = train(self.request, self._device, self._report, self._cancelled)
            return outcome, model_bytes(outcome.state, {"name": self.name})
        from ..training.adaptation.request import adapt

        return adapt(self.request, self.parent, self._device, self._report, self._cancelled)

    def _cancelled(self) -> bool:
        return self._stop.is_set() or time.monotonic() - self._asked > UNATTENDED_S

    def _report(self, moment: Moment) -> None:
        self._moment = moment

    def _work(self) -> None:
        log.info("adaptation of %s on %s, %.1f minutes", self.name, self._device, self.request.training.minutes)
        try:
            import torch

            if self._device == "cpu":
                torch.set_num_threads(usable_cores())  # in this thread: no tile works beside it
            outcome, file = self._trained()
            self._result = {
                "better": file is not None,
                "validation_gain": outcome.gain,
                "choosing_gain": outcome.choosing,
                "history": tuple(
                    (m.step, m.loss if math.isfinite(m.loss) else 0.0, m.gain, m.seconds) for m in outcome.history
                ),
            }
            self.file, self.state = file or b"", "done"
        except RunCancelled as error:
            self.error, self.state = str(error), "cancelled"
        except HSFusionError as error:
            self.error, self.state = str(error), "failed"
        except Exception as error:  # whatever it is, whoever asks must hear of it
            log.error("adaptation failed", exc_info=error)
            memory = is_out_of_memory(error)
            self.error = (
                str(
                    OutOfMemory(
                        f"The backend ran out of memory on {self._device}: close other programs, or give a smaller "
                        "overlap."
                    )
                )
                if memory
                else f"The backend failed at the adaptation ({type(error).__name__}: {' '.join(str(error).split())[:200]}): its log tells more."  # noqa: E501
            )
            self.state = "failed"
        log.info(json.dumps({"adaptation": self.name, "state": self.state}))


def _subject(
    request: AdaptationRequest | SceneTrainingRequest, engine: Engine, wanted_sha256: str
) -> tuple[str, ModelInfo | None]:
    """What a job trains, and the model that it starts from, None where it starts from nothing."""
    if isinstance(request, SceneTrainingRequest):
        return request.training.method, None
    parent = find_model(request.training.model, engine.places)
    if wanted_sha256 and wanted_sha256 != parent.sha256:
        raise ModelChanged(
            f"The model '{request.training.model}' has been replaced since the run began: start the run again."
        )
    return parent.name, parent


def _request(tensors: Any, details: dict[str, Any]) -> AdaptationRequest | SceneTrainingRequest:
    """Of either kind: one that trains on a scene alone names its method."""
    kind = SceneTrainingRequest if "method" in details else AdaptationRequest
    return kind.from_message(tensors, details)


class Jobs:
    """The server's adaptations: one that runs, and the last one until it is fetched or replaced."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine, self._limits = engine, limits
        self._job: Job | None = None
        self._lock = threading.Lock()

    def asked(self, body: bytearray, head: str | None) -> Job:
        """Begin the job of a request, or find the one that began under the same number; HSFusionError where another is
        at work.
        """
        message = protocol.decode_request(body, protocol.head_length(head), self._limits.head_bytes)
        details = protocol.details(message.parameters)
        number = checked_name(details.pop("job", None))
        with self._lock:
            if self._job is not None and self._job.number == number:
                return self._job
            if self._job is not None and self._job.running:
                raise HSFusionError("The server is adapting a model for somebody else: try again later.")
        request = _request(message.tensors, details)
        if request.training.minutes > self._limits.minutes:
            raise HSFusionError(f"The server adapts for at most {self._limits.minutes:.0f} minutes: set MINUTES lower.")
        sha256 = str(message.parameters.get("model_sha256") or "")
        with self._lock:
            if self._job is not None and self._job.running:
                raise HSFusionError("The server is adapting a model for somebody else: try again later.")
            self._job = Job(number, request, self._engine, sha256)
            return self._job

    def find(self, number: str) -> Job:
        """UnknownJob where there is none of this number."""
        with self._lock:
            if self._job is None or self._job.number != number:
                raise UnknownJob("The server knows no such adaptation, or no longer: start it again.")
            return self._job

    def forget(self, number: str) -> None:
        """End a job and drop what it made."""
        job = self.find(number)
        job.stop()
        with self._lock:
            if not job.running:
                self._job = None


def adaptation_routes(jobs: Jobs, desk: Desk, limits: Limits, dependencies: list[Any]) -> APIRouter:
    """The extension's routes. One request's body is taken at a time, and counts among those in the house."""
    router = APIRouter(prefix=f"/v2/{EXTENSION}", dependencies=dependencies)
    receiving = asyncio.Lock()

    @router.post("")
    async def start(request: Request) -> dict[str, Any]:
        if receiving.locked():
            raise Busy(retry_after=5)
        async with receiving:
            with desk.body(announced_bytes(request)) as more:
                body = await read_body(request, limits, more)
                head = request.headers.get(protocol.HEAD_LENGTH)
                job = await run_in_threadpool(jobs.asked, body, head)
                del body
        give_back()
        return job.facts()

    @router.get("/{number}")
    def progress(number: str) -> dict[str, Any]:
        return jobs.find(number).facts()

    @router.get("/{number}/model")
    def model(number: str) -> Response:
        job = jobs.find(number)
        if not job.file:
            raise UnknownJob("The adaptation has no model to give: it runs, was ended, or did not become better.")
        return Response(job.file, media_type="application/octet-stream")

    @router.delete("/{number}")
    def forget(number: str) -> dict[str, Any]:
        jobs.forget(number)
        return {"job": number}

    return router
