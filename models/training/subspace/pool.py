"""The pool of patches: chunks are drawn ahead by other processes and leave in order, so that a resumed run sees the
same patches.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import torch

from .config import TrainingConfig
from .simulation import Patch, draw_chunk

_scenes: list[np.ndarray] = []


def _initialise(scenes: list[np.ndarray]) -> None:
    _scenes[:] = scenes
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed training run leaves no process behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _draw(config: TrainingConfig, chunk: int) -> list[Patch]:
    return draw_chunk(_scenes, config, chunk)


class PatchPool:
    """The patches of the newest `window` chunks; `advance` to a training step before sampling it.

    Which chunks are present is a function of the step alone, so training is a function of the seed. `workers` processes
    draw them, or a thread of this one where it is 0.
    """

    def __init__(self, scenes: list[np.ndarray], config: TrainingConfig, workers: int) -> None:
        self.config = config
        self.steps_per_chunk = max(
            1, round(config.draws_per_chunk * config.patches_per_draw * config.reuse / config.batch)
        )
        self.first_chunks = max(2, config.window // 4)
        self._executor: Executor
        if workers:
            for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
                os.environ.setdefault(
                    variable, "1"
                )  # inherited by the drawing processes: small matrices, one core each
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(
                workers, mp_context=context, initializer=_initialise, initargs=(scenes,)
            )
            self._draw = partial(_draw, config)
        else:
            self._executor = ThreadPoolExecutor(1)
            self._draw = partial(draw_chunk, scenes, config)
        self._pending: deque[tuple[int, Future[list[Patch]]]] = deque()
        self._chunks: deque[tuple[int, list[Patch]]] = deque()
        self._ahead = 2 * workers + 1  # chunks beyond the wanted ones, so that no step waits

    def chunk_range(self, step: int) -> range:
        """Numbers of the chunks that step `step` draws from."""
        newest = self.first_chunks + step // self.steps_per_chunk
        return range(max(0, newest - self.config.window), newest)

    def advance(self, step: int) -> None:
        """Make the chunks of `step` present, waiting for those that are still being drawn."""
        wanted = self.chunk_range(step)
        while self._chunks and self._chunks[0][0] < wanted.start:
            self._chunks.popleft()
        next_chunk = self._chunks[-1][0] + 1 if self._chunks else wanted.start
        queued = self._pending[-1][0] + 1 if self._pending else next_chunk
        for chunk in range(queued, wanted.stop + self._ahead):
            self._pending.append((chunk, self._executor.submit(self._draw, chunk)))
        while not self._chunks or self._chunks[-1][0] < wanted.stop - 1:
            chunk, future = self._pending.popleft()
            self._chunks.append((chunk, future.result()))

    def sample(self, rng: np.random.Generator, count: int) -> list[Patch]:
        """`count` patches of the present chunks, with replacement."""
        per_chunk = len(self._chunks[0][1])
        picks = rng.integers(0, len(self._chunks) * per_chunk, count)
        return [self._chunks[int(p) // per_chunk][1][int(p) % per_chunk] for p in picks]

    def close(self) -> None:
        """End the drawing, and the processes that did it."""
        self._executor.shutdown(wait=True, cancel_futures=True)
