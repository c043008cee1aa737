"""Vertex component analysis and CNMF on mixtures whose parts are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.listener import Listener
from hsfusion.models.scene.laws.vca import dimensions, signal_to_noise_db, vertex_pixels
from hsfusion.models.scene.methods import cnmf
from hsfusion.models.scene.methods.classical import fit_full_band
from hsfusion.models.scene.methods.cnmf import abundances, unmix
from hsfusion.models.scene.window import Window
from hsfusion.tests.unit.mixtures import SAMPLING, mixture, with_holes


def mixed(noise: float, pure: list[int], bands: int = 30, pixels: int = 600) -> np.ndarray:
    """Pixels (N, L) of random shares below 0.8, and one pure pixel per spectrum at `pure`."""
    random = np.random.default_rng(4)
    spectra = random.uniform(0.2, 1.0, (len(pure), bands))
    shares = random.dirichlet(np.ones(len(pure)), 20 * pixels)
    shares = shares[shares.max(axis=1) < 0.8][:pixels]
    shares[pure] = np.eye(len(pure))
    return shares @ spectra + noise * random.normal(size=(pixels, bands))


@pytest.mark.parametrize(("noise", "projective"), [(0.0, True), (0.001, True), (0.06, False)])
def test_vca_finds_the_pure_pixels(noise, projective):
    pure = [17, 101, 333, 580]
    pixels = mixed(noise, pure)
    assert (signal_to_noise_db(pixels, 4) > 15 + 10 * np.log10(4)) == projective, "both of the paper's projections"
    assert sorted(vertex_pixels(pixels, 4)) == pure


def test_vca_finds_no_pixel_twice_and_always_the_same():
    pixels = mixed(0.0, [3, 50])
    found = vertex_pixels(pixels, 6)
    assert len(set(found)) == 6 and {3, 50} <= set(found)
    np.testing.assert_array_equal(found, vertex_pixels(pixels, 6))
    assert len(vertex_pixels(pixels, 1)) == 1


@pytest.mark.parametrize("noise", [0.001, 0.06])
def test_vca_does_not_depend_on_the_signs_of_eigenvectors(noise, monkeypatch):
    """They are each linear algebra library's own."""
    pixels, eigh = mixed(noise, [3, 50, 200]), np.linalg.eigh
    found = vertex_pixels(pixels, 8)

    def other_signs(matrix):
        values, vectors = eigh(matrix)
        return values, vectors * np.where(np.arange(len(values)) % 3, 1.0, -1.0)

    monkeypatch.setattr(np.linalg, "eigh", other_signs)
    np.testing.assert_array_equal(found, vertex_pixels(pixels, 8))


def test_vca_does_not_depend_on_the_order_of_the_pixels():
    """Nor where as many endmembers are asked for as there are bands, so that nothing outside tells the noise."""
    pixels = mixed(0.01, [3, 50, 200], bands=12)
    for count in (5, 12):
        found = vertex_pixels(pixels, count)
        np.testing.assert_array_equal(len(pixels) - 1 - vertex_pixels(pixels[::-1], count), found)


def test_dimensions_are_those_of_the_spectra_and_not_of_their_rounding():
    pixels = mixed(0.0, [3, 50, 200])
    assert dimensions(pixels) == dimensions(pixels.astype(np.float32).astype(float)) == 3
    assert dimensions(mixed(0.001, [3, 50, 200])) == pixels.shape[1]


def test_snr_estimate():
    pixels = mixed(0.0, [1, 2, 3], pixels=5000)
    noise = 0.05 * np.random.default_rng(0).normal(size=pixels.shape)
    truth = 10 * np.log10((pixels**2).sum() / (noise**2).sum())
    assert signal_to_noise_db(pixels + noise, 3) == pytest.approx(truth, abs=0.5)


def test_known_endmembers_give_the_known_shares(monkeypatch):
    monkeypatch.setattr(cnmf, "INNER", 5000)
    random = np.random.default_rng(2)
    spectra, shares = random.uniform(0.1, 1, (20, 3)), random.dirichlet(np.ones(3), 50).T
    np.testing.assert_allclose(abundances(spectra @ shares, spectra, np.full((3, 50), 1 / 3)), shares, atol=2e-3)


def test_the_cost_of_an_unmixing_falls(monkeypatch):
    """Lee and Seung's updates never let it rise; the row that asks for a sum of one is left out here."""
    monkeypatch.setattr(cnmf, "SUM_TO_ONE", 0.0)
    monkeypatch.setattr(cnmf, "INNER", 1)
    random = np.random.default_rng(3)
    v, w, h = random.uniform(size=(12, 80)), random.uniform(size=(12, 4)), random.uniform(size=(4, 80))
    costs = []
    for _ in range(40):
        costs.append(np.sum((v - w @ h) ** 2))
        w, h = unmix(v, w, h)
    assert np.all(np.diff(costs) <= 0) and costs[-1] < 0.5 * costs[0] and w.min() >= 0 and h.min() >= 0


@pytest.mark.parametrize("changes", [{}, {"gain": 2.0, "offset": 400.0}])
def test_an_exact_mixture_comes_out_far_above_interpolation(changes):
    scene = mixture(materials=4, msi_bands=4, **changes)
    found = cnmf.solve(scene.block, SAMPLING, scene.response, scene.offset)
    assert scene.psnr(found.expand()) > scene.psnr(scene.interpolated()) + 12
    assert found.spectra.min() >= 0 and found.maps.min() >= 0
    assert np.abs(found.maps.sum(axis=0) - 1).mean() < 0.05


def test_with_the_response_estimated_from_the_pair():
    scene = mixture(gain=2.0, offset=400.0)
    method = fit_full_band("cnmf", [scene.block], scene.scene, lambda: scene.block)
    fused = method.window(scene.block, Window.whole(scene.truth.shape[1:]))
    assert scene.psnr(fused) > scene.psnr(scene.interpolated()) + 12
    np.testing.assert_allclose(
        method.window(scene.block, Window(range(8, 20), range(3, 9))), fused[:, 8:20, 3:9], rtol=1e-5
    )


def test_panchromatic():
    scene = mixture(materials=3, msi_bands=1)
    found = cnmf.solve(scene.block, SAMPLING, scene.response, scene.offset)
    assert scene.psnr(found.expand()) > scene.psnr(scene.interpolated()) + 1


def test_what_lies_under_a_mask_is_never_seen():
    scene = mixture()
    found = [cnmf.solve(with_holes(scene.block, fill), SAMPLING, scene.response, scene.offset) for fill in (0.0, 1e4)]
    np.testing.assert_array_equal(found[0].expand(), found[1].expand())
    holes = with_holes(scene.block, 0.0)
    known = holes.z_mask > 0
    error = np.mean((found[0].expand() - scene.truth)[:, known] ** 2)
    assert error < 0.1 * np.mean((scene.interpolated() - scene.truth) ** 2)


def test_values_below_zero_are_refused():
    scene = mixture()
    negative = replace(scene.block, y=scene.block.y - scene.block.y.mean())
    with pytest.raises(HSFusionError, match="needs radiance or reflectance"):
        cnmf.solve(negative, SAMPLING, scene.response, scene.offset)


def test_it_can_be_ended():
    class Ended(Exception):
        pass

    class Impatient(Listener):
        def check(self):
            raise Ended

    scene = mixture()
    with pytest.raises(Ended):
        cnmf.solve(scene.block, SAMPLING, scene.response, scene.offset, listener=Impatient())
