"""Serve HSFusion's models with KServe's Python model server: the predictor container of an InferenceService.

pip install '.[serve]' kserve
python scripts/serving/serve_kserve.py [--models PLACE] [--device auto] [--http_port 8080]     (KServe's own options too, see --help)

It listens on all interfaces, as KServe does: run it in a container or a network namespace, with the mesh's
authentication before it. QGIS needs HSFUSION_ENDPOINT and, because KServe's list of models holds names alone, the same
model file on its own side. A tile whose client went away is finished all the same.
"""  # noqa: E501

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import HTTPException
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.errors import InvalidInput

from hsfusion.models.cards import ModelInfo
from hsfusion.models.errors import HSFusionError
from hsfusion.models.runners.engine import Engine, OutOfMemory
from hsfusion.models.server.elsewhere import INPUTS, answer, outputs_of
from hsfusion.scripts.serve import ROOT


class FusionModel(Model):
    """One model of an engine; tiles of all models take turns on the engine's device."""

    def __init__(self, model: ModelInfo, engine: Engine, turn: asyncio.Lock) -> None:
        super().__init__(model.name)
        self._card, self._engine, self._turn = model.card, engine, turn
        self.load()

    async def predict(self, payload: InferRequest, headers: dict[str, str] | None = None) -> InferResponse:
        tensors = {tensor.name: tensor.as_numpy() for tensor in payload.inputs}
        parameters = dict(payload.parameters or {})
        async with self._turn:
            try:
                found, sha256 = await asyncio.to_thread(answer, self._engine, self.name, tensors, parameters)
            except OutOfMemory as error:
                raise HTTPException(507, str(error)) from error
            except HSFusionError as error:
                raise InvalidInput(str(error)) from error
        outputs = [InferOutput(name, list(array.shape), "FP32") for name, array in found.items()]
        for output, array in zip(outputs, found.values()):
            output.set_data_from_numpy(np.ascontiguousarray(array, np.float32), binary_data=True)
        return InferResponse(
            payload.id,
            self.name,
            outputs,
            parameters={"model_sha256": sha256},
            # Without these two KServe answers in JSON, a hundred times slower.
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )

    def get_input_types(self) -> list[dict[str, Any]]:
        return _types(INPUTS)

    def get_output_types(self) -> list[dict[str, Any]]:
        return _types(outputs_of(self._card))


def _types(tensors: dict[str, int]) -> list[dict[str, Any]]:
    return [{"name": name, "datatype": "FP32", "shape": [-1] * axes} for name, axes in tensors.items()]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        parents=[model_server.parser],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        conflict_handler="resolve",
    )
    parser.add_argument("--models", action="append", type=Path, default=[], help="a folder of models, or a model file")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N")
    options = parser.parse_args()
    engine = Engine([*options.models, ROOT / "resources" / "models"], options.device)
    turn = asyncio.Lock()
    ModelServer(http_port=options.http_port, enable_grpc=False).start(
        [FusionModel(model, engine, turn) for model in engine.models()]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
