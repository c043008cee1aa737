"""The plugin's own client, and hsfusion:fuse, against NVIDIA Triton and KServe; NVIDIA's tritonclient against our
server.
"""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.backend.client.errors import BackendRefused

MODEL = "hsfusion-base"
TOKEN = "token-of-this-test"
SCRIPTS = {"triton": "serving/serve_triton.py", "kserve": "serving/serve_kserve.py"}


@pytest.fixture(scope="module", params=SCRIPTS)
def foreign(request, serve):
    """A server that is not ours, and its name."""
    with serve(request.param, SCRIPTS[request.param]) as served:
        yield request.param, served.client


@pytest.fixture(scope="module")
def ours(serve):
    with serve("", "serve.py", token=TOKEN, ready="/v2/health/ready") as served:
        yield served.client


def test_what_it_says_of_itself(foreign):
    name, client = foreign
    assert client.server()["name"] == name
    listed = [model["name"] for model in client.models()]
    assert MODEL in listed if name == "kserve" else listed == []


def test_a_tile_comes_back_as_from_our_own_server(foreign, compare):
    name, client = foreign
    compare(client, name)


def test_a_tile_of_a_full_band_model(foreign, engine):
    """The same call with other tensors: one sample, and so no `std`."""
    _, client = foreign
    name = "hsr-diff"
    card = next(model.card for model in engine.models() if model.name == name)
    random, size = np.random.default_rng(0), int(card["window"])
    fine, coarse = ({"rows": [0, n], "cols": [0, n]} for n in (size, size // 4))
    request = {
        "sampling": {"ratio": 4.0, "fwhm_y": 1.0, "fwhm_x": 1.0},
        "scene_shape": [size, size],
        "place": {"fine": fine, "coarse": coarse},
        "core": fine,
        "hsi_scale": 1.0,
        "msi_scale": [1.0] * int(card["msi_bands"]),
        "msi_offset": [0.0] * int(card["msi_bands"]),
        "seed": 1,
        "steps": 1,
        "samples": 1,
    }
    tensors = {
        "y": random.random((int(card["bands"]), size // 4, size // 4), np.float32),
        "z": random.random((int(card["msi_bands"]), size, size), np.float32),
        "y_mask": np.ones((size // 4, size // 4), np.float32),
        "z_mask": np.ones((size, size), np.float32),
    }
    expected = engine.infer(name, tensors, request)
    found = client.infer(name, tensors, request)
    assert list(found) == ["x"] and found["x"].shape == (int(card["bands"]), size, size)
    np.testing.assert_allclose(found["x"], expected["x"], atol=1e-5)


def test_refusals_are_told_and_not_tried_again(foreign, tile):
    _, client = foreign
    with pytest.raises(BackendRefused):
        client.infer("no-such-model", tile.tensors, tile.request)
    with pytest.raises(BackendRefused, match="The tile request is malformed"):
        client.infer(MODEL, tile.tensors, {"seed": 1})


def test_another_model_of_the_same_name_is_refused(foreign, tile):
    """Triton echoes no hash, so the one that the plugin knows travels with each tile."""
    _, client = foreign
    client = type(client)(client.endpoint)
    client.pin(MODEL, "0" * 64)
    with pytest.raises(BackendRefused, match="has been replaced"):
        client.infer(MODEL, tile.tensors, tile.request)


def test_the_whole_way_through_qgis(foreign, through_qgis, tile):
    _, client = foreign
    record = through_qgis(client.endpoint)
    assert (record["backend"]["kind"], record["model"]["sha256"]) == ("remote", tile.sha256)


_TRITONCLIENT = """
import json, sys
import numpy as np
import tritonclient.http as http

address, token, given, found = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}"}
client = http.InferenceServerClient(address)
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("hsfusion-base", headers=headers)
assert client.get_server_metadata(headers=headers)["name"] == "hsfusion"
metadata = client.get_model_metadata("hsfusion-base", headers=headers)
with np.load(given) as file:
    arrays = {name: file[name] for name in file.files}
parameters = {"hsfusion": str(arrays.pop("request"))}
inputs = []
for name, array in arrays.items():
    assert name in [entry["name"] for entry in metadata["inputs"]]
    inputs.append(http.InferInput(name, array.shape, "FP32"))
    inputs[-1].set_data_from_numpy(array, binary_data=True)
for binary in (True, False):
    wanted = [http.InferRequestedOutput(name, binary_data=binary) for name in ("x", "std")]
    reply = client.infer("hsfusion-base", inputs, outputs=wanted, headers=headers, parameters=parameters)
    entries = {entry["name"]: entry for entry in reply.get_response()["outputs"]}
    assert all(("data" in entry) != binary for entry in entries.values()), entries.keys()
    np.savez(found.replace("*", str(binary)), x=reply.as_numpy("x"), std=reply.as_numpy("std"))
try:
    client.get_server_metadata()
except Exception as error:
    assert "401" in str(error), error
else:
    raise SystemExit("no token and yet an answer")
"""


def test_tritonclient_speaks_with_our_server(ours, tile, python_of, tmp_path):
    given, found = tmp_path / "given.npz", str(tmp_path / "found-*.npz")
    np.savez(given, request=np.array(json.dumps(tile.request)), **tile.tensors)
    address = ours.endpoint.removeprefix("http://")
    done = subprocess.run(
        [python_of("triton"), "-c", _TRITONCLIENT, address, TOKEN, str(given), found],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for binary in (True, False):
        with np.load(found.replace("*", str(binary))) as file:
            for name, array in tile.answer.items():
                np.testing.assert_allclose(file[name], array, rtol=1e-5, atol=1e-6 * np.abs(array).max())


def test_our_own_server_for_comparison(ours, compare, through_qgis):
    compare(ours, "ours")
    through_qgis(ours.endpoint, TOKEN)
