"""Serve HSFusion's models with NVIDIA Triton, through PyTriton: the same Open Inference Protocol v2 as
scripts/serve.py.

pip install '.[serve]' nvidia-pytriton     (carries the tritonserver binary; Linux)
python scripts/serving/serve_triton.py [--models PLACE] [--device auto] [--host 127.0.0.1] [--port 8000]

QGIS then needs HSFUSION_ENDPOINT and, because Triton has no list with model cards, the same model file on its own side.
Triton has neither token nor TLS: put a proxy before it on any network. A tile whose client went away is finished all
the same.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np

from hsfusion.scripts.serve import ROOT


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", action="append", type=Path, default=[], help="a folder of models, or a model file")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    return parser.parse_args()


def infer_function(engine: Any, name: str) -> Callable[[list[Any]], list[dict[str, np.ndarray]]]:
    """What PyTriton calls with a list of requests, for one model."""
    answer = importlib.import_module("hsfusion.models.server.elsewhere").answer

    def infer(requests: list[Any]) -> list[dict[str, np.ndarray]]:
        return [answer(engine, name, request.data, request.parameters or {})[0] for request in requests]

    return infer


def main() -> int:
    options = parse()
    from pytriton.model_config import ModelConfig, Tensor
    from pytriton.triton import Triton, TritonConfig

    from hsfusion.models.runners.engine import Engine
    from hsfusion.models.server.elsewhere import INPUTS, outputs_of

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    engine = Engine([*options.models, ROOT / "resources" / "models"], options.device)
    address = TritonConfig(
        http_address=options.host,
        http_port=options.port,
        allow_grpc=False,
        metrics_address=options.host,
        metrics_port=options.port + 2,
    )
    with Triton(config=address) as triton:
        for model in engine.models():
            triton.bind(
                model_name=model.name,
                infer_func=infer_function(engine, model.name),
                inputs=[
                    Tensor(name=name, dtype=np.float32, shape=(-1,) * axes, optional=name.endswith("mask"))
                    for name, axes in INPUTS.items()
                ],
                outputs=[
                    Tensor(name=name, dtype=np.float32, shape=(-1,) * axes)
                    for name, axes in outputs_of(model.card).items()
                ],
                config=ModelConfig(batching=False),
                strict=False,  # `std` is not always there
            )
        triton.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
