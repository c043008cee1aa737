"""The tile runner: the same pixels however the scene is cut, and one sentence for whatever does not fit.

The network is small and random, with heads that are not zero and errors far from small: what a trained network does is
gentler.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hsfusion.models.cards import OBJECTIVE
from hsfusion.models.errors import HSFusionError, RunCancelled
from hsfusion.models.networks.inputs import TARGET_LIMIT
from hsfusion.models.networks.subspace_unet import MULTIPLE
from hsfusion.models.observation import Degradation, Sampling, coarse_shape, noise_std
from hsfusion.models.runners import subspace as fusion
from hsfusion.models.runners.subspace import SubspaceRunner, build_network
from hsfusion.models.runners.tile import network_window
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.methods.subspace import ClosedForms
from hsfusion.models.scene.model import SceneModel, fit_scene
from hsfusion.models.scene.tiles.plan import Tile, plan_tiles
from hsfusion.models.scene.window import Place, Window
from hsfusion.models.training.subspace.card import HALO
from hsfusion.models.wire.tile import TileRequest
from hsfusion.models.wire.values import plain

SETTINGS = {"components": 5, "width": 16, "depth": 1}
CARD = {
    "name": "small",
    "objective": OBJECTIVE,
    "components": 5,
    "settings": SETTINGS,
    "schedule": {"kind": "zero-terminal-cosine", "steps": 100},
    "default_steps": 1,
    "halo": HALO,
}
TOLERANCE = (
    1e-5  # of the data range; 1e-4 is promised, but a random network is mild: with half the halo this test would fail
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small tiles on a busy machine: threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def random_state(settings: dict[str, int], seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights whose residual blocks and head are alive (they start at zero)."""
    torch.manual_seed(seed)
    state = build_network(settings).state_dict()
    return {
        n: 2.0 * torch.randn_like(v) / v[0].numel() ** 0.5 if "last" in n or "film" in n or ".head." in n else v
        for n, v in state.items()
    }


@pytest.fixture(scope="module")
def runner() -> SubspaceRunner:
    """The runner of a random network."""
    return SubspaceRunner(CARD, random_state(SETTINGS))


class Scene:
    """A simulated pair, its scene model, and tiles of it sent to a runner."""

    def __init__(
        self, truth: np.ndarray, sampling: Sampling, msi_bands: list[int], snr_db: float = 35.0, components: int = 5
    ) -> None:
        shape = truth.shape[1:]
        rng = np.random.default_rng(0)
        hsi, msi = (
            (a + noise_std((a**2).mean(axis=(1, 2)), snr_db)[:, None, None] * rng.standard_normal(a.shape)).astype(
                np.float32
            )
            for a in (Degradation.whole(sampling, shape)(truth), truth[msi_bands])
        )
        self.shape, self.truth = shape, truth
        self.model: SceneModel = fit_scene([whole_block(hsi, msi)], sampling, components)
        self.y = self.model.subspace.project(hsi).astype(np.float32)
        self.z = self.model.standardise(msi)
        self.y_mask, self.z_mask = np.ones(hsi.shape[1:], np.float32), np.ones(shape, np.float32)

    def whole(self) -> Tile:
        """The scene as one tile."""
        h, w = coarse_shape(self.shape, self.model.coefficients.sampling.ratio)
        fine = Window.whole(self.shape)
        return Tile(fine, Place(fine, Window.whole((h, w))))

    def tensors(self, tile: Tile) -> dict[str, np.ndarray]:
        """What a tile's request carries."""
        p = tile.place
        coarse = np.s_[p.coarse_rows.start : p.coarse_rows.stop, p.coarse_cols.start : p.coarse_cols.stop]
        fine = np.s_[p.fine_rows.start : p.fine_rows.stop, p.fine_cols.start : p.fine_cols.stop]
        return {
            "y": self.y[(slice(None), *coarse)],
            "z": self.z[(slice(None), *fine)],
            "y_mask": self.y_mask[coarse],
            "z_mask": self.z_mask[fine],
        }

    def request(self, tile: Tile, **options) -> dict:
        """The JSON part of a tile's request."""
        where = {"place": plain(tile.place), "core": plain(tile.core)}
        return {"model": plain(self.model.coefficients), **where, "seed": 7, **options}

    def run(self, runner: SubspaceRunner, tile: Tile, **options) -> dict[str, np.ndarray]:
        """One tile."""
        return runner(self.tensors(tile), self.request(tile, **options))

    def mosaic(self, runner: SubspaceRunner, tiles: list[Tile], **options) -> dict[str, np.ndarray]:
        """Tiles put together; NaN where there is none."""
        whole: dict[str, np.ndarray] = {}
        for tile in tiles:
            for name, part in self.run(runner, tile, **options).items():
                image = whole.setdefault(name, np.full((*part.shape[:-2], *self.shape), np.nan, np.float32))
                image[..., tile.core.rows.start : tile.core.rows.stop, tile.core.cols.start : tile.core.cols.stop] = (
                    part
                )
        return whole

    def difference(self, a: np.ndarray, b: np.ndarray) -> float:
        """Largest difference of two sets of coefficients (S, K, H, W), in the HSI's units, as a share of the data
        range.
        """
        spectra = np.tensordot(self.model.subspace.basis, np.moveaxis(a - b, -3, 0), axes=1)
        return float(np.nanmax(np.abs(spectra)) / np.ptp(self.truth))


@pytest.fixture(scope="module")
def scene(make_scene) -> Scene:
    """A scene whose sizes are no multiples of 8."""
    return Scene(make_scene(20, 172, 204, materials=6, seed=2), Sampling(2, 1.0, 1.0), [2, 8, 14])


OPTIONS = [
    {"samples": 0, "consistency": True},
    {"samples": 0, "consistency": False},
    {"samples": 2, "steps": 1, "consistency": True},
    {"samples": 2, "steps": 3, "consistency": True},
    {"samples": 2, "steps": 3, "consistency": False},
]


@pytest.fixture(scope="module")
def wholes(scene, runner):
    """The scene as one tile, under each of the options."""
    return [scene.run(runner, scene.whole(), **options) for options in OPTIONS]


@pytest.mark.parametrize("number", range(len(OPTIONS)), ids=str)
def test_a_tile_of_any_size_gives_the_whole_scenes_pixels(scene, runner, wholes, number):
    """One tile of each size, at the far border and inside."""
    for size, pick in ((64, 0), (96, -1), (160, 0)):
        tile = plan_tiles(Window.whole((172, 204)), scene.model.coefficients, size, HALO, 8)[pick]
        found = scene.mosaic(runner, [tile], **OPTIONS[number])
        assert scene.difference(found["x"], wholes[number]["x"]) < TOLERANCE
        np.testing.assert_allclose(
            np.nan_to_num(found["std"], nan=0.0),
            np.where(np.isnan(found["std"]), 0.0, wholes[number]["std"]),
            rtol=1e-3,
        )


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 96, 160])
def test_a_mosaic_in_any_order_is_the_whole_scene(scene, runner, wholes, size):
    tiles = plan_tiles(Window.whole((172, 204)), scene.model.coefficients, size, HALO, 8)
    assert len(tiles) > 3
    forwards = scene.mosaic(runner, tiles, **OPTIONS[3])
    backwards = scene.mosaic(runner, tiles[::-1], **OPTIONS[3])
    assert not np.isnan(forwards["x"]).any()
    np.testing.assert_array_equal(forwards["x"], backwards["x"])
    assert scene.difference(forwards["x"], wholes[3]["x"]) < TOLERANCE


@pytest.mark.parametrize("number", [0, 3, 4], ids=str)
def test_tiles_together_are_what_each_is_alone(scene, runner, number):
    """A batch of tiles of equal shapes, each with a seed of its own."""
    tiles = plan_tiles(Window.whole((172, 204)), scene.model.coefficients, 32, 16, 8)
    shapes = [(len(t.place.fine_rows), len(t.place.fine_cols), len(t.place.coarse_rows)) for t in tiles]
    common = max(set(shapes), key=shapes.count)
    batch = [t for t, shape in zip(tiles, shapes) if shape == common][:3]
    assert len(batch) == 3
    asked = [(scene.tensors(t), {**scene.request(t, **OPTIONS[number]), "seed": seed}) for seed, t in enumerate(batch)]
    for (tensors, request), together in zip(asked, runner.many(asked)):
        alone = runner(tensors, request)
        for name, value in alone.items():
            assert np.abs(value - together[name]).max() < 1e-5 * np.ptp(alone["x"])


@pytest.mark.parametrize(
    ("ratio", "fwhm", "snr_db"), [(3, 2.1, 70), (2.5, 2.0, 70), (6, 1.5, 50)], ids=["reaching far", "no integer", "6"]
)
def test_where_consistency_reaches_far_tiles_still_agree(make_scene, runner, ratio, fwhm, snr_db):
    """A wide PSF inverted on almost clean data: what the network does not see at its border stays there."""
    scene = Scene(make_scene(20, 240, 240, materials=6, seed=2), Sampling(ratio, fwhm, fwhm), [2, 8, 14], snr_db)
    whole = scene.run(runner, scene.whole())
    tiles = plan_tiles(Window(range(96, 128), range(96, 128)), scene.model.coefficients, 32, HALO, 8)
    assert len(tiles) == 1 and len(tiles[0].place.fine_rows) < 240
    assert scene.difference(scene.mosaic(runner, tiles)["x"], whole["x"]) < 1e-4


@given(st.integers(0, 400), st.integers(1, 200), st.integers(0, 100), st.integers(0, 100), st.sampled_from([8, 40, 64]))
def test_the_network_works_on_the_core_and_its_halo(start, length, before, after, halo):
    core = range(start, start + length)
    window = range(max(0, start - before) // MULTIPLE * MULTIPLE, start + length + after)
    found = network_window(Window(core, core), Window(window, window), halo).rows
    assert window.start <= found.start <= core.start and core.stop <= found.stop <= window.stop
    assert found.start % MULTIPLE == 0 and (found.stop % MULTIPLE == 0 or found.stop == window.stop)
    assert found.start <= max(window.start, core.start - halo) and found.stop >= min(window.stop, core.stop + halo)
    assert len(found) < len(core) + 2 * (halo + MULTIPLE)


def test_windows_alike_whose_cores_are_not_go_together(scene, runner):
    """A batch is made by the windows' shapes; the network's parts of them may differ."""
    tile = plan_tiles(Window(range(64, 96), range(64, 96)), scene.model.coefficients, 32, 64, 8)[0]
    smaller = replace(tile, core=Window(range(64, 72), range(80, 96)))
    asked = [(scene.tensors(t), scene.request(t)) for t in (tile, smaller, tile)]
    runner_of_8 = SubspaceRunner({**CARD, "halo": 8}, random_state(SETTINGS))
    for (tensors, request), together in zip(asked, runner_of_8.many(asked)):
        alone = runner_of_8(tensors, request)
        for name, value in alone.items():
            assert value.shape == together[name].shape
            assert np.abs(value - together[name]).max() < 1e-5 * np.ptp(alone["x"])


def test_an_extent_is_a_crop_of_the_full_run(scene, runner, wholes):
    tiles = plan_tiles(Window(range(50, 100), range(131, 190)), scene.model.coefficients, 64, HALO, 8)
    found = scene.mosaic(runner, tiles, **OPTIONS[1])["x"]
    assert scene.difference(found, wholes[1]["x"]) < TOLERANCE


def test_twice_is_the_same_and_another_seed_is_not(scene, runner):
    tile = plan_tiles(Window.whole((64, 64)), scene.model.coefficients, 64, HALO, 8)[0]
    once, again = (scene.run(runner, tile, samples=2, steps=2)["x"] for _ in range(2))
    other = scene.run(runner, tile, samples=2, steps=2, seed=8)["x"]
    np.testing.assert_array_equal(once, again)
    assert once.shape == (2, 5, 64, 64)
    assert not np.allclose(once[0], once[1], atol=1e-4) and not np.allclose(once, other, atol=1e-4)


def test_one_step_is_the_mean_estimate(scene, runner):
    """From the level without signal, noise cannot be seen: every sample of one step is the mean."""
    tile = plan_tiles(Window.whole((64, 64)), scene.model.coefficients, 64, HALO, 8)[0]
    mean, sample = (scene.run(runner, tile, samples=n, steps=1)["x"][0] for n in (0, 1))
    np.testing.assert_allclose(sample, mean, atol=1e-4)


def test_a_pair_of_samples_is_moved_towards_the_mean_estimate(scene, runner, monkeypatch):
    """Its middle lies between its own and the mean estimate; how far its two samples lie apart does not change."""
    tile = plan_tiles(Window.whole((64, 64)), scene.model.coefficients, 64, HALO, 8)[0]
    found = {}
    for share in (0.0, fusion.TOWARDS_MEAN, 1.0):
        monkeypatch.setattr(fusion, "TOWARDS_MEAN", share)
        found[share] = scene.run(runner, tile, samples=2, steps=3)["x"]
    monkeypatch.undo()
    mean, moved = scene.run(runner, tile)["x"][0], found[fusion.TOWARDS_MEAN]
    assert np.abs(found[0.0].mean(axis=0) - mean).max() > 1e-3
    np.testing.assert_allclose(found[1.0].mean(axis=0), mean, atol=1e-4)
    share = fusion.TOWARDS_MEAN
    np.testing.assert_allclose(moved.mean(axis=0), share * mean + (1 - share) * found[0.0].mean(axis=0), atol=1e-4)
    for other in (found[0.0], found[1.0]):
        np.testing.assert_allclose(moved[0] - moved[1], other[0] - other[1], atol=1e-4)
    one = scene.run(runner, tile, samples=1, steps=3)["x"]
    np.testing.assert_allclose(one[0], moved[0], atol=1e-4)


def test_samples_differ_with_every_default(scene, runner):
    tile = plan_tiles(Window.whole((64, 64)), scene.model.coefficients, 64, HALO, 8)[0]
    first, second = scene.run(runner, tile, samples=2, steps=0)["x"]
    other = scene.run(runner, tile, samples=2, steps=0, seed=8)["x"]
    assert np.abs(first - second).max() > 1e-3 and np.abs(first - other[0]).max() > 1e-3


def test_a_network_that_says_nothing_leaves_the_average(scene):
    """Zero heads: x is LOC and MAP's average of the filtered MSI, consistency moves it by no more than the expected
    spread.
    """
    torch.manual_seed(0)
    silent = SubspaceRunner(CARD, build_network(SETTINGS).state_dict())
    from hsfusion.models.scene.methods.subspace import denoised

    tile = scene.whole()
    t = scene.tensors(tile)
    z, model = denoised(t["z"], t["z_mask"], scene.model.coefficients, tile.place)
    expected = ClosedForms(t["y"], z, t["y_mask"], t["z_mask"], model, tile.place).average
    plain, soft = (scene.run(silent, tile, consistency=c) for c in (False, True))
    np.testing.assert_allclose(plain["x"][0], expected, atol=1e-4)
    moved = np.abs(soft["x"][0] - expected).mean(axis=(1, 2))
    assert (moved < model.target_std).all() and (soft["std"] > 0).all()


def test_where_the_images_disagree_less_detail_is_kept_in_every_tile_alike(scene, runner):
    from hsfusion.models.scene.laws.closed_forms import detail_image

    def run(tile: Tile, agreement: float) -> np.ndarray:
        request = scene.request(tile)
        request["model"]["agreement"] = agreement
        return runner(scene.tensors(tile), request)["x"][0]

    whole = scene.whole()
    full, kept = (run(whole, agreement) for agreement in (1.0, 0.8))
    operators = whole.place.operators(scene.model.coefficients)
    np.testing.assert_allclose(kept, full - 0.2 * detail_image(full, scene.z_mask, *operators)[2], atol=1e-4)
    for tile in plan_tiles(Window(range(64, 160), range(64, 160)), scene.model.coefficients, 64, HALO, 8):
        core = np.s_[:, tile.core.rows.start : tile.core.rows.stop, tile.core.cols.start : tile.core.cols.stop]
        assert np.abs(run(tile, 0.8) - kept[core]).max() < 1e-4 * np.ptp(kept)


@pytest.mark.parametrize("objective", [None, "x0 of the residual to interpolation"])
def test_weights_of_other_closed_forms_are_refused(objective):
    with pytest.raises(
        HSFusionError, match="model small was trained beside the closed forms of another version.*choose hsfusion-base"
    ):
        SubspaceRunner({**CARD, "objective": objective}, random_state(SETTINGS))


def test_consistency_brings_the_result_closer_to_both_images(scene, runner):
    model, down = scene.model.coefficients, Degradation.whole(scene.model.coefficients.sampling, scene.shape)
    rest = []
    for consistency in (False, True):
        x = scene.run(runner, scene.whole(), consistency=consistency)["x"][0]
        on_z = scene.z - np.einsum("lk,khw->lhw", model.response, x) - model.offset[:, None, None]
        rest.append(
            (
                np.mean(((scene.y - down(x)) / model.y_std[:, None, None]) ** 2),
                np.mean((on_z / model.z_std[:, None, None]) ** 2),
            )
        )
    assert rest[1][0] < rest[0][0] and rest[1][1] < rest[0][1]


def test_a_cancel_is_seen_between_two_steps(scene, runner):
    tile = plan_tiles(Window.whole((64, 64)), scene.model.coefficients, 64, HALO, 8)[0]
    calls = []

    def cancelled() -> bool:
        calls.append(None)
        return len(calls) > 3

    with pytest.raises(RunCancelled):
        runner(scene.tensors(tile), scene.request(tile, samples=1, steps=50), cancelled)
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("bands", "sampling", "size", "msi_bands"),
    [
        (3, Sampling(4), (80, 88), [0, 2]),  # fewer bands than the network has components
        (12, Sampling(4), (80, 88), [5]),  # panchromatic
        (12, Sampling(2.5), (90, 75), [2, 6, 9]),  # no integer ratio
        (12, Sampling(3, 1.2, 0.9, 0.4, -0.7), (63, 66), [2, 9]),  # shifted, another width per axis, no multiples of 8
        (12, Sampling(4, psf="block-mean"), (64, 72), [2, 6, 9]),
    ],
    ids=["few bands", "panchromatic", "ratio 2.5", "shifted", "block-mean"],
)
def test_any_pair(make_scene, runner, bands, sampling, size, msi_bands):
    scene = Scene(make_scene(bands, *size), sampling, msi_bands)
    reply = scene.run(runner, scene.whole(), samples=1, steps=2)
    components = min(bands, 5)
    assert reply["x"].shape == (1, components, *size) and reply["std"].shape == (components, *size)
    assert np.isfinite(reply["x"]).all() and (reply["std"] > 0).all()
    part = scene.mosaic(
        runner,
        plan_tiles(Window(range(size[0]), range(size[1])), scene.model.coefficients, 32, HALO, 8)[-1:],
        samples=1,
        steps=2,
    )
    assert scene.difference(part["x"], reply["x"]) < TOLERANCE


def test_a_masked_pixels_value_never_leaks(scene, runner):
    tile = plan_tiles(Window.whole((64, 64)), scene.model.coefficients, 64, HALO, 8)[0]
    tensors = scene.tensors(tile)
    y_mask, z_mask = tensors["y_mask"].copy(), tensors["z_mask"].copy()
    y_mask[4:6, 3:9], z_mask[20:40, 10:18] = 0.0, 0.0
    replies = []
    for value in (0.0, 1e6):
        y, z = (
            np.where(y_mask > 0, tensors["y"], np.float32(value)),
            np.where(z_mask > 0, tensors["z"], np.float32(-value)),
        )
        replies.append(
            runner({"y": y, "z": z, "y_mask": y_mask, "z_mask": z_mask}, scene.request(tile, samples=1, steps=2))
        )
    for name in ("x", "std"):
        assert np.isfinite(replies[0][name]).all()
        np.testing.assert_array_equal(replies[0][name], replies[1][name])


def test_no_error_is_expected_beyond_what_training_ever_showed(scene):
    state = random_state(SETTINGS)
    components = SETTINGS["components"]
    state["second.head.bias"][4 * components : 8 * components] += 200.0  # the errors' part of the head
    found = scene.run(SubspaceRunner(CARD, state), scene.whole())["std"]
    largest = TARGET_LIMIT * np.sqrt(np.pi / 2) * scene.model.coefficients.denoised().target_std
    np.testing.assert_allclose(found, np.broadcast_to(largest[:, None, None], found.shape), rtol=1e-5)


def test_a_request_that_does_not_fit_is_refused_in_one_sentence(scene, runner):
    tile = plan_tiles(Window.whole((64, 64)), scene.model.coefficients, 64, HALO, 8)[0]
    tensors, request = scene.tensors(tile), scene.request(tile)
    without = {k: v for k, v in request.items() if k != "place"}
    for wrong in (
        without,
        {**request, "model": "hsfusion-base"},
        {**request, "core": {**request["core"], "rows": 5}},
        {**request, "model": {"sampling": {"ratio": 4}}},
    ):
        with pytest.raises(HSFusionError, match="malformed"):
            runner(tensors, wrong)
    with pytest.raises(HSFusionError, match="tensor z_mask .* missing"):
        runner({k: v for k, v in tensors.items() if k != "z_mask"}, request)
    with pytest.raises(HSFusionError, match="tensor y must have the shape"):
        runner({**tensors, "y": tensors["y"][:, 1:]}, request)
    with pytest.raises(HSFusionError, match="core .* does not lie"):
        runner(tensors, {**request, "core": {**request["core"], "rows": [0, 400]}})
    with pytest.raises(HSFusionError, match="steps must be 0 to"):
        runner(tensors, {**request, "samples": 1, "steps": -1})


def test_more_components_than_the_network_has_are_refused(make_scene, runner):
    scene = Scene(make_scene(12, 64, 64), Sampling(4), [2, 9], components=7)
    with pytest.raises(HSFusionError, match="7 components and the model 5"):
        scene.run(runner, scene.whole())


def test_the_request_survives_json(scene):
    import json

    tile = scene.whole()
    request = scene.request(tile, samples=3, steps=2, consistency=False)
    job = TileRequest.from_message(json.loads(json.dumps(request)))
    assert job.place == tile.place and (job.samples, job.steps, job.seed, job.consistency) == (3, 2, 7, False)
    np.testing.assert_array_equal(job.model.response, scene.model.coefficients.response)
