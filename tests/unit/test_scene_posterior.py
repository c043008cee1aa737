"""Members around a fused scene: what they have in common with both images, with one another, and from tile to tile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, gaussian_field
from hsfusion.models.scene.block import Block
from hsfusion.models.scene.model import SceneModel, fit_scene
from hsfusion.models.scene.posterior.error_law import ErrorLaw
from hsfusion.models.scene.posterior.members import Members
from hsfusion.models.scene.posterior.told import Activity, unexplained_bands
from hsfusion.models.scene.tiles.plan import coarse_halo, place_of
from hsfusion.models.scene.window import Window
from hsfusion.tests.unit.mixtures import SAMPLING, SHAPE, mixture, with_holes

SEED = 4


def noisy(block: Block, share: float = 0.01) -> Block:
    """With noise of a share of the spread on both images."""

    def add(image: np.ndarray, stream: int) -> np.ndarray:
        field = gaussian_field(9, range(image.shape[1]), range(image.shape[2]), len(image), stream)
        return image + share * image.std() * field

    return replace(block, y=add(block.y, 0), z=add(block.z, 1))


@pytest.fixture(scope="module")
def scene_and_block() -> tuple[SceneModel, Block]:
    """A scene model and its block."""
    block = noisy(mixture().block)
    scene = fit_scene([block], SAMPLING)
    return scene, block


@pytest.fixture(scope="module")
def members(scene_and_block) -> Members:
    scene, _ = scene_and_block
    return Members(scene, ErrorLaw.of(scene, 1.0), SEED)


@pytest.fixture(scope="module")
def whole(members, scene_and_block):
    """The members on the whole scene."""
    _, block = scene_and_block
    return members.around(block, block.place.fine)


def test_pairs_are_mirror_images_and_others_differ(whole):
    first, second, third = (whole.deviation(number) for number in range(3))
    np.testing.assert_allclose(second, -first, rtol=1e-6)
    assert abs(np.corrcoef(first.ravel(), third.ravel())[0, 1]) < 0.2


def test_a_seed_is_one_ensemble(whole, members, scene_and_block):
    scene, block = scene_and_block
    again = Members(scene, members.law, SEED).around(block, block.place.fine)
    other = Members(scene, members.law, SEED + 1).around(block, block.place.fine)
    np.testing.assert_array_equal(again.deviation(0), whole.deviation(0))
    assert abs(np.corrcoef(other.deviation(0).ravel(), whole.deviation(0).ravel())[0, 1]) < 0.2


def test_a_part_is_the_whole_cut(whole, members, scene_and_block):
    scene, block = scene_and_block
    rows, cols = range(0, 16), range(64, 80)
    place = place_of(Window(rows, cols), SHAPE, SAMPLING, int(coarse_halo(scene.coefficients) * SAMPLING.ratio))
    seen = block.cut(place)
    assert len(place.fine_rows) < SHAPE[0]
    found = members.around(seen, Window(rows, cols)).deviation(2)
    expected = whole.deviation(2)[:, :16, 64:]
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std())


def test_what_the_hsi_sees_of_a_member_is_within_its_noise(whole, members, scene_and_block):
    scene, _ = scene_and_block
    drawn = whole.deviation(0)
    seen = Degradation.whole(SAMPLING, SHAPE)(drawn)
    noise = scene.subspace.band_noise
    assert (seen**2).mean() < 0.1 * (drawn**2).mean() + 1.5 * (noise**2).mean()


def test_what_the_msi_sees_of_a_member_is_small(whole, scene_and_block):
    scene, _ = scene_and_block
    drawn = whole.deviation(0)
    seen = np.tensordot(scene.spectral_response, drawn, axes=1) / scene.z_scale[:, None, None]
    expected = scene.coefficients.z_std
    assert (np.sqrt((seen**2).mean(axis=(1, 2))) < 3 * expected).all()


def test_the_spread_is_the_expected_error(members, scene_and_block):
    scene, block = scene_and_block
    std = np.broadcast_to(scene.coefficients.target_std[:, None, None], (scene.subspace.components, *SHAPE))
    here = members.around(block, block.place.fine, std)
    drawn = np.stack([here.deviation(2 * pair) for pair in range(6)]) / members.law.band_factor[:, None, None]
    sized = scene.subspace.basis * members.law.size
    wanted = ((sized @ members.law.covariance) * sized).sum(axis=1)
    wanted = wanted + members.law.outside_std**2 + members.law.outside_noise**2
    found = (drawn**2).mean(axis=(0, 2, 3))
    assert np.sqrt(found / wanted).mean() == pytest.approx(1.0, abs=0.2)


def test_errors_of_neighbours_hang_together_and_blocks_know_it(members):
    shares = members.law.block_shares((2, 8))
    assert 0.5 < shares[2] < 1.0  # of independent errors one half
    assert shares[8] < 0.7 * shares[2]  # the HSI knows the mean of an HSI pixel but for its noise


def test_masked_pixels_do_no_harm():
    block = with_holes(noisy(mixture().block), 0.0)
    scene = fit_scene([block], SAMPLING)
    here = Members(scene, ErrorLaw.of(scene), 0).around(block, block.place.fine)
    assert np.isfinite(here.deviation(0)).all()


def test_activity_is_one_on_average_and_larger_where_detail_is():
    random = np.random.default_rng(0)
    detail = random.normal(size=(3, 40, 40)).astype(np.float32)
    detail[:, :, 20:] *= 4.0
    activity = Activity.of([(detail, np.ones((40, 40)))])
    relative = activity.relative_std(detail, (range(40), range(40)), (40, 40))
    assert (relative**2).mean() == pytest.approx(1.0, abs=0.02)
    assert relative[:, 25:].mean() > 1.3 * relative[:, :15].mean()


def test_bands_that_are_the_msi_are_explained():
    random = np.random.default_rng(1)
    low = random.normal(size=(300, 2))
    spectra = np.column_stack([low @ [1.0, 2.0], random.normal(size=300)])
    share = unexplained_bands(spectra, low)
    assert share[0] < 0.01 and share[1] > 0.95
