"""The app under Ray Serve with two replicas: the single server's results, and a replica that is killed costs
no tile.
"""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests

from hsfusion.hsfusion_plugin.backend.client.client import Client
from hsfusion.hsfusion_plugin.backend.client.errors import BackendRefused

MODEL = "hsfusion-base"
TOKEN = "token-of-this-test"
TILES = 24


@pytest.fixture(scope="module")
def cluster(serve):
    """Ray Serve with two replicas of one CPU each."""
    options = ("--num-cpus", "2", "--min-replicas", "2", "--max-replicas", "2", "--tiles", "4")
    with serve("ray", "serving/serve_ray.py", *options, token=TOKEN) as served:
        yield served


def replicas() -> list[int]:
    """Process numbers of the replicas; Ray gives their processes this title. Seen are those of this network namespace's
    Ray only.
    """
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    own = os.readlink("/proc/self/ns/net")
    found = []
    for line in listed.splitlines():
        pid, _, title = line.strip().partition(" ")
        if "ServeReplica:hsfusion:hsfusion" in title:
            try:
                mine = os.readlink(f"/proc/{pid}/ns/net") == own
            except OSError:
                continue
            found += [int(pid)] if mine else []
    return found


def test_it_is_our_own_app(cluster):
    client = cluster.client
    assert client.server()["name"] == "hsfusion"
    assert MODEL in [model["name"] for model in client.models()]
    assert len(replicas()) == 2
    with pytest.raises(BackendRefused, match="refused the token"):
        Client(client.endpoint, "wrong").server()
    assert requests.get(client.endpoint + "/v2/models", timeout=10).status_code == 401
    # Ray hands environments on: the token must not be among what a replica's process shows.
    for pid in replicas():
        with open(f"/proc/{pid}/environ", "rb") as stream:
            assert TOKEN.encode() not in stream.read()


def test_a_tile_comes_back_as_from_the_single_server(cluster, compare):
    compare(cluster.client, "ray serve, two replicas")


def test_the_whole_way_through_qgis(cluster, through_qgis):
    record = through_qgis(cluster.client.endpoint, TOKEN)
    assert record["backend"]["kind"] == "remote"


def test_a_killed_replica_costs_no_tile(cluster, tile, monkeypatch):
    client, done, answers = cluster.client, [], []
    before, call = set(replicas()), client._transport.call

    def counted(*arguments):
        try:
            response = call(*arguments)
        except requests.RequestException as error:
            answers.append(type(error).__name__)
            raise
        answers.append(response.status_code)
        return response

    monkeypatch.setattr(client._transport, "call", counted)

    def one(seed: int) -> np.ndarray:
        reply = client.infer(MODEL, tile.tensors, {**tile.request, "seed": seed}, expect=tile.expect)
        done.append(seed)
        return reply["x"]

    def kill() -> None:
        while len(done) < 3:
            time.sleep(0.02)
        os.kill(min(before), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, [7] * TILES))
    killer.join()
    print(f"\n{TILES} tiles, one of two replicas killed; answers: {dict(collections.Counter(answers))}")
    assert len(done) == TILES
    for x in found:
        np.testing.assert_array_equal(x, found[0])
    np.testing.assert_allclose(found[0], tile.answer["x"], atol=1e-5 * np.abs(tile.answer["x"]).max())
    end = time.monotonic() + 60
    while len(set(replicas()) - before) < 1 and time.monotonic() < end:
        time.sleep(0.5)
    assert min(before) not in replicas() and len(replicas()) == 2, "Ray starts another one"
