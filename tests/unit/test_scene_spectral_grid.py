"""Interpolation between two sensors' bands."""

from __future__ import annotations

import numpy as np

from hsfusion.models.scene.sensors.spectral_grid import beyond, interpolation


def test_a_line_over_wavelength_stays_one_and_the_ends_are_held():
    here, there = np.array([400.0, 450, 520, 600]), np.array([380.0, 400, 425, 560, 700])
    matrix = interpolation(here, there)
    np.testing.assert_allclose(matrix @ (3 * here + 1), 3 * np.clip(there, 400, 600) + 1)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    np.testing.assert_array_equal(beyond(there, here), [True, False, False, False, True])


def test_bands_out_of_order_and_two_of_one_wavelength():
    here, there = np.array([600.0, 400, 500, 500]), np.array([450.0, 500])
    np.testing.assert_allclose(interpolation(here, there), [[0, 0.5, 0.25, 0.25], [0, 0, 0.5, 0.5]])
    np.testing.assert_allclose(interpolation(here[:3], here[:3]), np.eye(3))
