"""Noise that is left in an estimate is averaged among pixels that look alike; texture and tiles stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hsfusion.models.nonlocal_means import MARGIN, PATCH, REACH, STRENGTH, nonlocal_means, worth_it
from hsfusion.models.observation import Degradation, Sampling
from hsfusion.models.scene.blocks import whole_block
from hsfusion.models.scene.model import CoefficientModel, fit_scene

COMPONENTS, SIZE = 4, 48


@pytest.fixture(scope="module")
def model(make_scene) -> CoefficientModel:
    """Of a made-up scene; the tests set its noise."""
    truth = make_scene(16, 96, 96, materials=5, seed=3)
    sampling = Sampling(4, 1.0, 1.0)
    scene = fit_scene([whole_block(Degradation.whole(sampling, truth.shape[1:])(truth), truth[:3])], sampling, 4)
    return replace(scene.coefficients, weight=np.array([1.0, 0.5, 0.2, 0.1]), target_std=np.ones(COMPONENTS))


def noisy(model: CoefficientModel, std: float) -> CoefficientModel:
    return replace(model, passed_std=np.full(COMPONENTS, std))


def two_fields() -> torch.Tensor:
    """Two flat fields side by side."""
    x = torch.zeros(COMPONENTS, SIZE, SIZE)
    x[:, :, SIZE // 2 :] = 3.0
    return x


def test_noise_goes_and_the_border_between_two_fields_stays(model):
    clean, noise = two_fields(), 0.1 * torch.randn(COMPONENTS, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    found = nonlocal_means(clean + noise, noisy(model, 0.4))
    assert (found - clean).square().mean() < 0.1 * noise.square().mean()
    step = found[:, :, SIZE // 2] - found[:, :, SIZE // 2 - 1]
    assert (step - 3.0).abs().max() < 0.2


def test_what_is_larger_than_the_noise_is_no_noise(model):
    x = torch.randn(COMPONENTS, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(nonlocal_means(x, noisy(model, 0.02)), x, atol=1e-3, rtol=0)


def test_as_the_definition_says(model):
    """Every pixel by itself, written out, far from the border."""
    model = replace(
        noisy(model, 0.5), target_std=np.array([1.0, 1.0, 1.0, 1e-3])
    )  # the last is too small to be compared
    x = torch.randn(COMPONENTS, 21, 23, generator=torch.Generator().manual_seed(2))
    found, image = nonlocal_means(x, model).numpy(), x.numpy().astype(np.float64)
    noise = STRENGTH**2 * np.sum((model.weight * model.passed_std) ** 2) * (2 * PATCH + 1) ** 2
    leading = image[:3] * model.weight[:3, None, None]

    def around(row: int, col: int) -> np.ndarray:
        return leading[:, row - PATCH : row + PATCH + 1, col - PATCH : col + PATCH + 1]

    for row, col in ((10, 11), (8, 9), (13, 16)):
        total, weights = 0.0, 0.0
        for south in range(-REACH, REACH + 1):
            for east in range(-REACH, REACH + 1):
                apart = np.sum((around(row, col) - around(row + south, col + east)) ** 2)
                weight = np.exp(-apart / noise)
                total, weights = total + weight * image[:, row + south, col + east], weights + weight
        np.testing.assert_allclose(found[:, row, col], total / weights, atol=1e-5)


def test_a_pixel_depends_on_its_margin_alone(model):
    x = two_fields() + torch.randn(COMPONENTS, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    model = noisy(model, 2.0)
    whole, part = nonlocal_means(x, model), nonlocal_means(x[:, 5:40, 3:44].contiguous(), model)
    inner = (slice(None), slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    torch.testing.assert_close(part[inner], whole[:, 5:40, 3:44][inner], atol=1e-5, rtol=0)


def test_it_is_left_out_where_there_is_no_noise(model):
    assert not worth_it(noisy(model, 0.1)) and worth_it(noisy(model, 0.5))


def test_which_pixels_are_alike_is_asked_of_another_estimate_where_one_is_given(model):
    """Then the averages of two images are the average of the image between them: noise of a sample hides no pixel like it."""
    generator, clean = torch.Generator().manual_seed(4), two_fields()
    noise = 0.3 * torch.randn(2, COMPONENTS, SIZE, SIZE, generator=generator)
    model = noisy(model, 0.4)
    first, second = (nonlocal_means(clean + one, model, clean) for one in noise)
    torch.testing.assert_close((first + second) / 2, nonlocal_means(clean + noise.mean(dim=0), model, clean))
    alone = nonlocal_means(clean + noise[0], model)
    assert (first - clean).square().mean() < 0.5 * (alone - clean).square().mean()
    torch.testing.assert_close(nonlocal_means(clean, model, clean), nonlocal_means(clean, model))
