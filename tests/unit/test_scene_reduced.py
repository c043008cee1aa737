"""A scene one scale down as examples with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.block import whole_block
from hsfusion.models.scene.model import fit_scene
from hsfusion.models.scene.reduced.examples import coefficient_metric, reduced_examples
from hsfusion.models.scene.reduced.held_out import CHOOSE, GAP, TEST, TRAIN

SAMPLING = Sampling(4, 1.1, 1.1)


def pair_of(make_scene, size):
    truth = make_scene(12, size, size)
    rng = np.random.default_rng(0)
    y = Degradation.whole(SAMPLING, (size, size))(truth) + rng.normal(0, 3, (12, size // 4, size // 4))
    return y.astype(np.float32), truth[[2, 6, 9]]


def test_the_truth_is_the_hsi_and_the_inputs_are_it_reduced(make_scene):
    y, z = pair_of(make_scene, 192)
    y_mask = np.ones(y.shape[1:], np.float32)
    y_mask[20:24, 30:40] = 0
    block = whole_block(y, z, y_mask)
    scene = fit_scene([block], SAMPLING, 5)
    examples, judged = reduced_examples([block], scene, SAMPLING)
    assert judged == 1 and len(examples) == 4
    first, second = examples[:2]
    np.testing.assert_allclose(first.truth, scene.subspace.project(y), atol=1e-3)
    np.testing.assert_allclose(second.truth, scene.subspace.project(y[:, 2:46, 2:46]), atol=1e-3)
    for example in examples:
        assert example.y.shape == (5, *(n // 4 for n in example.truth.shape[1:]))
        assert set(np.unique(example.roles)) == {TRAIN, CHOOSE, TEST, GAP}
        down = Degradation.whole(example.model.sampling, example.truth.shape[1:])
        apart = (down(example.truth) - example.y)[:, example.y_mask > 0]
        assert np.sqrt((apart**2).mean()) < 2, "whitened noise that was brought back, no more"
    assert (first.roles[20:24, 30:40] == GAP).all(), "no truth where the HSI has none"


def test_the_metric_turns_coefficients_into_spectra(make_scene):
    y, z = pair_of(make_scene, 192)
    scene = fit_scene([whole_block(y, z)], SAMPLING, 5)
    gram, noise = coefficient_metric(scene)
    apart = np.random.default_rng(1).normal(size=5)
    assert apart @ gram @ apart == pytest.approx(np.sum((scene.subspace.basis @ apart) ** 2))
    assert 0.2 * 5 * 9 < noise < 5 * 5 * 9, "five components of the noise of 3 per band"


def test_a_small_scene_is_refused_in_a_sentence(make_scene):
    y, z = pair_of(make_scene, 96)
    block = whole_block(y, z)
    with pytest.raises(HSFusionError, match="24 x 24 HSI pixels, and adaptation needs 40 x 40"):
        reduced_examples([block], fit_scene([block], SAMPLING, 5), SAMPLING)
