"""Messages of tiles: both ways without loss, and nothing gets in that has no type, shape or finite range."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Sampling
from hsfusion.models.observation.displacement import Displacement
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.model import CoefficientModel, fit_scene
from hsfusion.models.scene.window import Place, Window
from hsfusion.models.wire import text
from hsfusion.models.wire.full_band import FullBandRequest
from hsfusion.models.wire.scene import MODEL
from hsfusion.models.wire.tile import TileRequest
from hsfusion.models.wire.values import Malformed, kinds


@pytest.fixture(scope="module")
def request_of_tile() -> TileRequest:
    """A real scene's request."""
    random = np.random.default_rng(3)
    truth = 100 + random.random((8, 64, 64)).cumsum(axis=0)
    sampling = Sampling(4.0)
    y = truth.reshape(8, 16, 4, 16, 4).mean(axis=(2, 4)) + random.normal(0, 0.01, (8, 16, 16))
    scene = fit_scene([whole_block(y.astype(np.float32), truth[[1, 4, 6]].astype(np.float32))], sampling, 4)
    fine, coarse = range(64), range(16)
    return TileRequest(
        scene.coefficients,
        Place(Window(fine, fine), Window(coarse, coarse)),
        Window(range(8, 40), range(0, 64)),
        seed=5,
    )


def message(request) -> dict:
    return json.loads(json.dumps(request.to_message()))


def same(one, other) -> bool:
    if is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def test_a_tiles_request_comes_back_as_it_was(request_of_tile):
    moved = Displacement((64, 64), 0.5, 1.01, ((0.0, 0.1), (0.2, 0.0)), ((0.0, 0.0), (0.0, 0.3)))
    model = request_of_tile.model
    displaced = replace(model, sampling=replace(model.sampling, displacement=moved))
    for request in (
        request_of_tile,
        replace(request_of_tile, steps=0, samples=32, consistency=False),
        replace(request_of_tile, model=displaced),
    ):
        assert same(request, TileRequest.from_message(message(request)))


def test_a_full_band_request_comes_back_as_it_was():
    fine, coarse = range(32, 96), range(8, 24)
    place = Place(Window(fine, fine), Window(coarse, coarse))
    request = FullBandRequest(
        Sampling(4.0, psf="block-mean"), (128, 96), place, Window(range(40, 80), range(40, 48)), 9e3, np.array([1.0, 2.5]),  # noqa: E501
        np.array([0.1, -0.2]), sampler="ancestral",
    )  # fmt: skip
    assert same(request, FullBandRequest.from_message(message(request)))


def test_every_array_of_a_scene_has_a_shape():
    """Whoever adds an array to the model also says its axes."""

    def arrays(kind, place=""):
        for name, wanted in kinds(kind).items():
            if is_dataclass(wanted):
                yield from arrays(wanted, f"{place}{name}.")
            elif wanted is np.ndarray:
                yield f"{place}{name}"

    assert set(arrays(CoefficientModel)) == set(MODEL.shapes)


WRONG = {
    "place": ["x", None, {"fine": {"rows": [0, 64], "cols": [0, 64]}}],
    "core.rows": [5, [0], [0, 400], [8, 8], [40, 8], ["0", "8"], [0.5, 3.5]],
    "seed": ["1", 1.5, True, None, 2**80, float("nan")],
    "samples": [-1, 10**9, "many"],
    "steps": [-1, 10**12, [1]],
    "consistency": [1, "yes", None],
    "new": [1],
    "model.sampling.ratio": [1e6, 0.5, float("inf"), "4"],
    "model.sampling.fwhm_y": [1e6, 0, -1],
    "model.sampling.displacement": [
        {},
        {"scene_shape": [64, 64], "field_y": [[0.0, 1.0]]},
        {"scene_shape": [64, 64], "field_y": [[[0.0]]]},
        {"scene_shape": [64, 64], "field_y": []},
        {"scene_shape": [64, 64], "turn": 1e9},
    ],
    "model.sampling.psf": ["airy", 3, "\ud800"],
    "model.scene_shape": [[64], [64, 64, 64], [64, -1], [64, 2**60]],
    "model.y_std": [[1.0], [[1.0] * 4], [float("nan")] * 4, ["1"] * 4, [-1.0] * 4, [10**400] * 4, 1.0, [[1], [2, 3]]],
    "model.kernel.weights": [[], [[1.0] * 4], [[1.0] * 5]],
    "model.slopes.least": [[0.0] * 9],
    "model.unmixing.hsi.gram": [[[1.0]], "x"],
    "model.denoising.removed": [[1e6] * 3],
    "model.agreement": [1.5, -0.1],
}


@pytest.mark.parametrize("where", sorted(WRONG))
def test_what_is_no_request_is_refused_by_name(request_of_tile, where):
    for value in WRONG[where]:
        plain = message(request_of_tile)
        *path, last = where.split(".")
        inner = plain
        for name in path:
            inner = inner[name]
        inner[last] = value
        with pytest.raises(HSFusionError) as caught:
            TileRequest.from_message(plain)
        sentence = str(caught.value)
        assert len(sentence) < 400 and "\n" not in sentence
        sentence.encode("utf-8")


def places(plain, path=()):
    """Every place in a message."""
    yield path
    parts = plain.items() if isinstance(plain, dict) else enumerate(plain[:2]) if isinstance(plain, list) else ()
    for name, value in parts:
        yield from places(value, (*path, name))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_junk_anywhere_is_refused_or_harmless(request_of_tile, data):
    plain = message(request_of_tile)
    path = data.draw(st.sampled_from(sorted(places(plain), key=str)))
    junk = data.draw(JUNK)
    if path:
        inner = plain
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = junk
    else:
        plain = junk
    try:
        found = TileRequest.from_message(plain)
    except HSFusionError:
        return
    cost = found.cost({"components": 4})
    assert np.isfinite(cost.memory) and np.isfinite(cost.work)


def test_a_cost_is_known_before_anything_is_computed(request_of_tile):
    request, card = request_of_tile, {"components": 12, "settings": {"width": 64}}
    cost = request.cost(card)
    assert 64 * 64 * 1000 < cost.memory < 64 * 64 * 6000
    cost.check({"memory": 2 * cost.memory, "samples": 0})
    for changed, word in (
        (replace(request, samples=100), "SAMPLES"),
        (replace(request, samples=2, steps=1000), "STEPS"),
    ):
        with pytest.raises(HSFusionError, match=word):
            changed.cost(card).check({"samples": 50, "passes": 500, "memory": 1e12, "work": 1e15})
    sampling = replace(request.model.sampling, ratio=1000.0, fwhm_y=100.0)
    wide = replace(request, model=replace(request.model, sampling=sampling))
    assert wide.cost(card).memory > cost.memory + 1e8, "a wide kernel takes memory of its own"


def test_deep_long_and_strange_texts():
    for bad in ("[" * 100_000, '{"a":' * 5000, "[" * 70 + "]" * 70, "nonsense", b"\xff", "1" * 5000):
        with pytest.raises(ValueError, match="."):
            text.parsed(bad)
    with pytest.raises(ValueError, match="are the most"):
        text.parsed("[1, 2, 3]", most=4)
    assert text.parsed("[[1], [2]]") == [[1], [2]]
    assert len(text.quoted("\n" * 500)) < 70 and text.quoted("\ud800") == "\\ud800"
    text.encodable("a\ud800b").encode("utf-8")


def test_malformed_is_an_error_of_ours():
    assert issubclass(Malformed, HSFusionError)
