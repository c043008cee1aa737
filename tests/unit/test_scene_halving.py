"""Means of 2 x 2 pixels and what they hide, odd sizes and gaps included."""

from __future__ import annotations

import numpy as np

from hsfusion.models.scene.pixels.halving import doubled, even, halved, without_mean


def test_means_and_what_they_hide_make_the_image() -> None:
    image = np.random.default_rng(0).standard_normal((2, 7, 5))
    assert halved(image).shape == (2, 3, 2)
    np.testing.assert_allclose(halved(image)[:, 1, 0], image[:, 2:4, 0:2].mean(axis=(1, 2)))
    np.testing.assert_allclose(doubled(halved(image)) + without_mean(image), even(image))
    np.testing.assert_allclose(halved(without_mean(image)), 0.0, atol=1e-15)


def test_one_gap_makes_a_gap_of_its_four_pixels_and_no_more() -> None:
    image = np.ones((1, 4, 6))
    image[0, 1, 2] = np.nan
    assert np.isnan(halved(image)).sum() == 1 and np.isnan(halved(image)[0, 0, 1])
    assert np.isnan(without_mean(image)).sum() == 4
