"""Malformed requests in numbers against a real server: each gets a sentence, none a fault of its own, and the server is
as before.

HSFUSION_FUZZ says how many (300); scripts/dev/test-faults sends 10,000.
"""

from __future__ import annotations

import http.client
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hsfusion.models.observation import Sampling
from hsfusion.models.runners.precision import made_up_tile
from hsfusion.models.scene.window import Place, Window
from hsfusion.models.wire.full_band import FullBandRequest
from hsfusion.tests.backend.fuzzed_requests import fuzzed
from hsfusion.tests.backend.test_server_bounds import MIB, MODEL, TOKEN, serving

MODELS = Path(__file__).resolve().parents[2] / "resources" / "models"
COUNT = int(os.environ.get("HSFUSION_FUZZ", "300"))


@pytest.fixture(scope="module")
def honest():
    """A small tile for either kind of model."""
    tensors, request, _, _ = made_up_tile(12, 32)
    fine, coarse = Window.whole((32, 32)), Window.whole((8, 8))
    ones = {"y_mask": np.ones((8, 8), np.float32), "z_mask": np.ones((32, 32), np.float32)}
    full = FullBandRequest(
        Sampling(4.0), (32, 32), Place(fine, coarse), fine, hsi_scale=1.0, msi_scale=np.ones(4), msi_offset=np.zeros(4)
    )
    spectra = {"y": np.ones((31, 8, 8), np.float32), "z": np.ones((4, 32, 32), np.float32), **ones}
    return {
        MODEL: (tensors, json.loads(json.dumps(replace(request, samples=1).to_message()))),
        "ddpm-fus": (spectra, json.loads(json.dumps(full.to_message()))),
    }


def test_no_malformed_request_is_a_fault_of_the_servers(tmp_path, honest):
    arguments = ["--samples", "4", "--tile-seconds", "300", "--body-seconds", "2", "--load", MODEL]
    with serving(tmp_path, MODELS, *arguments) as server:
        for model, (tensors, details) in honest.items():
            reply = server.infer(model, tensors, details)
            assert reply.status_code == 200, reply.text[:300]
        before, answers = server.memory(), Counter()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        for number in range(COUNT):
            request = fuzzed(number, honest)
            try:
                connection.putrequest(request.method, request.path, skip_accept_encoding=True)
            except http.client.InvalidURL:  # not even this client sends it
                connection.close()
                answers["unsendable"] += 1
                continue
            connection.putheader("Authorization", f"Bearer {TOKEN}")
            connection.putheader("Content-Length", str(len(request.body)))
            for name, value in request.headers.items():
                connection.putheader(name, value.encode("utf-8"))
            connection.endheaders()
            try:
                connection.send(request.body)
                reply = connection.getresponse()
                text = reply.read()
            except (ConnectionError, http.client.HTTPException):  # cut off while sending, which a refusal may be
                connection.close()
                answers["closed"] += 1
                continue
            answers[reply.status] += 1
            assert reply.status < 500 or reply.status in (503, 507), (number, request.path, reply.status, text[:300])
            if (
                reply.status >= 400
                and request.method != "HEAD"
                and b"json" in reply.headers.get("Content-Type", "").encode()
            ):
                told = json.loads(text)
                sentence = told.get("error") or told.get("detail")
                assert isinstance(sentence, str) and 0 < len(sentence) < 1200 and "\n" not in sentence, (number, told)
            if reply.will_close:
                connection.close()
        print(f"{COUNT} malformed requests: {dict(sorted(answers.items(), key=str))}")
        assert sum(count for status, count in answers.items() if str(status).startswith("4")) > 0.6 * COUNT
        assert "Traceback" not in server.log.read_text()
        assert server.log.stat().st_size < 400 * COUNT + MIB
        for model, (tensors, details) in honest.items():
            assert server.infer(model, tensors, details).status_code == 200
        assert server.memory() < 1.05 * before + 8 * MIB
