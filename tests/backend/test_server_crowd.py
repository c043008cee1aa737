"""Many clients at one server: all are served, none waits for much longer than the others, and afterwards the server is
as before.
"""

from __future__ import annotations

import statistics
import threading
import time

import numpy as np

from hsfusion.hsfusion_plugin.backend.client.client import Client
from hsfusion.tests.backend.test_server_bounds import TOKEN, serving

CLIENTS = 64
TILE = {"y": np.ones((1, 64, 64), np.float32)}


def crowd(base: str, tiles: int) -> list[float]:
    """Seconds that each client took for all of its tiles."""
    seconds: list[float] = []
    start = threading.Barrier(CLIENTS)

    def work() -> None:
        client = Client(base, TOKEN)
        start.wait()
        began = time.monotonic()
        for _ in range(tiles):
            client.infer("fake", TILE, {"seconds": 0.02})
        seconds.append(time.monotonic() - began)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds


def said(seconds: list[float]) -> str:
    median, slowest = statistics.median(seconds), max(seconds)
    return f"{len(seconds)} clients: median {median:.2f} s, slowest {slowest:.2f} s"


def test_clients_take_turns_and_memory_comes_back(tmp_path, model_folder):
    with serving(tmp_path, model_folder) as server:
        crowd(server.base, 1)
        before = server.memory()
        for tiles in (1, 4):
            seconds = crowd(server.base, tiles)
            print(said(seconds))
            assert len(seconds) == CLIENTS and max(seconds) <= 3 * statistics.median(seconds)
        assert server.memory() < 1.05 * before


def test_whoever_is_sent_away_comes_back_in_turn(tmp_path, model_folder):
    """A house of sixteen places for 64 clients: they heed Retry-After, and those who came first are served first."""
    with serving(tmp_path, model_folder, "--tiles", "16") as server:
        seconds = crowd(server.base, 3)
        print(said(seconds))
        assert len(seconds) == CLIENTS and max(seconds) <= 3 * statistics.median(seconds)


def test_a_greedy_client_does_not_push_the_others_out(tmp_path, model_folder):
    with serving(tmp_path, model_folder, "--tiles", "8") as server:
        greedy, modest = Client(server.base, TOKEN), Client(server.base, TOKEN)
        stop, served = threading.Event(), []

        def take() -> None:
            while not stop.is_set():
                greedy.infer("fake", TILE, {"seconds": 0.05})
                served.append(1)

        threads = [threading.Thread(target=take) for _ in range(20)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        began = time.monotonic()
        modest.infer("fake", TILE, {"seconds": 0.05})
        waited = time.monotonic() - began
        stop.set()
        for thread in threads:
            thread.join()
        assert waited < 3.0, f"{waited:.1f} s while another had {len(served)} tiles"
