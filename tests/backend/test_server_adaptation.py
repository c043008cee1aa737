"""The server's extension `hsfusion_adapt`: start, ask, fetch, end; through the plugin's own client and with plain
requests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from hsfusion.hsfusion_plugin.backend.client.adaptation import EXTENSION, AdaptationJob
from hsfusion.hsfusion_plugin.backend.client.client import Client
from hsfusion.hsfusion_plugin.backend.client.errors import BackendError, BackendRefused
from hsfusion.models.cards import check_weights
from hsfusion.models.runners.weights import save_model
from hsfusion.tests.backend.test_server import free_port
from hsfusion.tests.backend.test_training_adaptation import CARD, asked, problem, state  # noqa: F401

SERVE = Path(__file__).resolve().parents[2] / "scripts" / "serve.py"
TOKEN = "token-of-this-test"


@pytest.fixture(scope="module")
def serve(tmp_path_factory, state):  # noqa: F811
    """Start a server with the small model and more arguments; its address."""
    folder, processes = tmp_path_factory.mktemp("models"), []
    save_model(folder / "small.safetensors", state, CARD)

    def start(*arguments):
        port = free_port()
        command = [sys.executable, "-I", str(SERVE), "--device", "cpu", "--models", str(folder), "--port", str(port)]
        environment = {**os.environ, "HSFUSION_TOKEN": TOKEN}
        processes.append(subprocess.Popen([*command, *arguments], env=environment, stderr=subprocess.DEVNULL))
        base, end = f"http://127.0.0.1:{port}", time.monotonic() + 90
        while not Client(base).ready():
            assert processes[-1].poll() is None and time.monotonic() < end
            time.sleep(0.1)
        return base

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def base(serve):
    return serve()


def test_start_ask_fetch_and_end(base, problem, tmp_path):  # noqa: F811
    request = asked(problem, minutes=0.05)
    client = Client(base, TOKEN)
    client.models()
    with AdaptationJob(client, "small") as job:
        first = job.start(request)
        assert first.state == "running" and first.seconds_left <= 3
        with AdaptationJob(client, "small") as second, pytest.raises(BackendRefused, match="for somebody else"):
            second.start(request)
        end = time.monotonic() + 400
        while (facts := job.facts()).state == "running":
            assert time.monotonic() < end
            time.sleep(0.1)
        assert facts.step > 0 and facts.history[-1][0] == facts.step, str(facts)
        assert facts.better == (facts.validation_gain > 0 and facts.choosing_gain > 0)
        if facts.better:
            (tmp_path / "mine.safetensors").write_bytes(job.model())
            assert check_weights(tmp_path / "mine.safetensors")
        else:
            with pytest.raises(BackendRefused, match="did not become better"):
                job.model()
    with pytest.raises(BackendRefused, match="knows no such adaptation"):
        job.facts()


def test_a_job_is_ended_on_demand_and_a_bad_one_says_why(base, problem):  # noqa: F811
    request = asked(problem, minutes=10)
    client = Client(base, TOKEN)
    with AdaptationJob(client, "small") as job:
        job.start(request)
        requests.delete(
            f"{base}/v2/{EXTENSION}/{job._number}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10
        )
        begun = time.monotonic()
        with pytest.raises(BackendError, match="was cancelled"):
            while time.monotonic() < begun + 200:
                job.facts()
    other = replace(request.training, model="none")
    for bad, words in (
        (asked(problem, minutes=300), "at most 240 minutes"),
        (replace(request, blocks=[]), "malformed"),
        (replace(request, training=other), "no model called 'none'"),
    ):
        with AdaptationJob(client, "small") as job, pytest.raises(BackendRefused, match=words):
            job.start(bad)


def test_it_needs_the_token_and_can_be_switched_off(base, serve, problem):  # noqa: F811
    assert requests.post(f"{base}/v2/{EXTENSION}", data=b"", timeout=10).status_code == 401
    assert requests.get(f"{base}/v2/{EXTENSION}/1", timeout=10).status_code == 401
    client = Client(serve("--no-adaptation"), TOKEN)
    assert EXTENSION not in client.server()["extensions"]
    with AdaptationJob(client, "small") as job, pytest.raises(BackendRefused, match="does not offer scene adaptation"):
        job.start(asked(problem, minutes=1))
