"""Scores of ensembles: agreement with independent packages, known answers, and what a perfect ensemble gets."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.metrics import ensemble

CLOSE = {"rtol": 1e-6, "atol": 1e-9}


@pytest.fixture(scope="module")
def cases():
    """Members (7, 200), truth (200,)."""
    rng = np.random.default_rng(3)
    return rng.normal(size=(7, 200)), rng.normal(size=200)


@pytest.fixture(scope="module")
def vectors():
    """Members (6, 5, 40), truth (5, 40)."""
    rng = np.random.default_rng(4)
    return rng.normal(size=(6, 5, 40)), rng.normal(size=(5, 40))


def test_fair_crps_is_the_double_sum(cases):
    members, truth = cases
    apart = np.abs(members[:, None] - members[None, :]).sum(axis=(0, 1)) / (2 * 7 * 6)
    np.testing.assert_allclose(
        ensemble.fair_crps(members, truth), np.abs(members - truth).mean(axis=0) - apart, **CLOSE
    )


def test_fair_crps_of_few_members_is_that_of_many():
    rng = np.random.default_rng(5)
    truth = rng.normal(size=20_000)
    few = ensemble.fair_crps(rng.normal(size=(4, 20_000)), truth).mean()
    assert few == pytest.approx(ensemble.gaussian_crps(truth, 0.0, 1.0).mean(), rel=0.02)


def test_gaussian_crps_of_a_known_case():
    # At the mean: std (2 phi(0) - 1 / sqrt(pi)).
    expected = 2.0 * (2 / np.sqrt(2 * np.pi) - 1 / np.sqrt(np.pi))
    assert float(ensemble.gaussian_crps(np.array(1.0), 1.0, 2.0)) == pytest.approx(expected)


def test_energy_score_of_one_dimension_is_the_crps(cases):
    members, truth = cases
    found = ensemble.energy_score(members[:, None], truth[None])
    np.testing.assert_allclose(found, ensemble.fair_crps(members, truth), **CLOSE)


def test_crps_agrees_with_properscoring(cases):
    properscoring = pytest.importorskip("properscoring")
    members, truth = cases
    count = len(members)
    apart = np.abs(members[:, None] - members[None, :]).mean(axis=(0, 1)) / 2
    biased = ensemble.fair_crps(members, truth) + apart / (count - 1)
    np.testing.assert_allclose(biased, properscoring.crps_ensemble(truth, members.T), **CLOSE)
    np.testing.assert_allclose(
        ensemble.gaussian_crps(truth, members[0], 0.7), properscoring.crps_gaussian(truth, members[0], 0.7), **CLOSE
    )


def test_all_agree_with_scoringrules(cases, vectors):
    rules = pytest.importorskip("scoringrules")
    members, truth = cases
    np.testing.assert_allclose(
        ensemble.fair_crps(members, truth), rules.crps_ensemble(truth, members.T, estimator="fair"), **CLOSE
    )
    members, truth = vectors
    places = np.moveaxis(truth, 0, -1), np.moveaxis(members, (0, 1), (-2, -1))
    np.testing.assert_allclose(
        ensemble.energy_score(members, truth), rules.es_ensemble(*places, estimator="fair"), **CLOSE
    )
    np.testing.assert_allclose(ensemble.variogram_score(members, truth), rules.vs_ensemble(*places, p=0.5), **CLOSE)


def test_variogram_score_by_hand():
    members = np.array([[0.0, 1.0], [0.0, 4.0]])  # two members of two values: roots of the differences 1 and 2
    assert float(ensemble.variogram_score(members, np.array([0.0, 9.0]))) == pytest.approx(2 * (3 - 1.5) ** 2)


def test_a_perfect_ensemble_has_flat_ranks_and_the_right_spread():
    rng = np.random.default_rng(6)
    members, truth = rng.normal(size=(8, 30_000)), rng.normal(size=30_000)
    counts = ensemble.rank_histogram(members, truth)
    assert counts.sum() == 30_000
    assert counts.max() < 1.1 * counts.mean()
    assert ensemble.coverage(members, truth) == pytest.approx(7 / 9, abs=0.01)
    assert ensemble.spread_error(members, truth).ratio == pytest.approx(1.0, abs=0.02)


def test_half_the_spread_is_seen():
    rng = np.random.default_rng(7)
    members, truth = 0.5 * rng.normal(size=(8, 30_000)), rng.normal(size=30_000)
    counts = ensemble.rank_histogram(members, truth)
    assert counts[0] > 1.6 * counts.mean() and counts[-1] > 1.6 * counts.mean()
    assert ensemble.spread_error(members, truth).ratio == pytest.approx(0.5 * np.sqrt(1.125 / 1.03125), abs=0.02)


def test_ties_are_shared():
    np.testing.assert_allclose(ensemble.rank_histogram(np.zeros((3, 2)), np.zeros(2)), [0.5] * 4)
