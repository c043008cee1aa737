"""eps, x0 and v are one thing said in three ways; residual learning and the losses around them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hsfusion.models.diffusion import losses, objectives, schedules
from hsfusion.models.errors import HSFusionError


def triple(level: float, dtype=torch.float64):
    g = torch.Generator().manual_seed(3)
    x0 = torch.randn(4, 3, 5, 6, generator=g, dtype=dtype)
    eps = torch.randn(4, 3, 5, 6, generator=g, dtype=dtype)
    levels = torch.full((4,), level, dtype=torch.float64)
    return x0, eps, levels, objectives.noised(x0, eps, levels)


class Says(nn.Module):
    """A network that says what it is told, and remembers what it saw."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x, level, gain=1.0):
        self.seen, self.level = x, level
        return self.answer * gain


@pytest.mark.parametrize("level", [0.999999, 0.7, 0.0066])
def test_conversions_agree(level):
    x0, eps, levels, x = triple(level)
    v = objectives.velocity(x0, eps, levels)
    for found in (objectives.x0_from_eps(x, eps, levels), objectives.x0_from_v(x, v, levels)):
        torch.testing.assert_close(found, x0, atol=1e-9, rtol=1e-9)
    for found in (objectives.eps_from_x0(x, x0, levels), objectives.eps_from_v(x, v, levels)):
        torch.testing.assert_close(found, eps, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", ["eps", "x0", "v"])
def test_every_objective_is_the_same_denoiser(name):
    """A network that hits its own target gives x0, whatever the target is."""
    x0, eps, levels, x = triple(0.3)
    network = Says(None)
    denoiser = objectives.make_denoiser(name, network, schedules.cosine())
    network.answer = denoiser.target(x0, eps, levels)
    torch.testing.assert_close(denoiser(x, levels), x0, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(denoiser(x, levels[0]), x0, atol=1e-9, rtol=1e-9)  # one level for the batch
    assert network.level.shape == (4,)


def test_errors_of_the_objectives_weigh_as_the_algebra_says():
    """The same x0 error d is s/a d in eps and d/s in v: the losses differ by that weight alone."""
    x0, eps, levels, x = triple(0.6)
    wrong = x0 + 0.1
    eps_error = objectives.eps_from_x0(x, wrong, levels) - eps
    assert eps_error.abs().max() == pytest.approx(0.1 * 0.6 / 0.8)
    v_error = (0.6 * x - wrong) / 0.8 - objectives.velocity(x0, eps, levels)
    assert v_error.abs().max() == pytest.approx(0.1 / 0.8)


def test_one_step_eps_prediction_multiplies_the_networks_error_by_151():
    """Why DDPM-Fus's schedule with eps cannot be sampled in one step from t = T, as its Table V reports."""
    levels = schedules.linear(2000, 0.0, 0.01)
    x0, eps, _, _ = triple(1.0)
    at_t = levels[-1].expand(4)
    x = objectives.noised(x0, eps, at_t)
    error = objectives.x0_from_eps(x, eps + 1e-3, at_t) - x0
    assert float(error.abs().mean()) == pytest.approx(1e-3 * 151, rel=0.005)
    for t, factor in ((1600, 25), (1000, 3.4)):
        assert float(schedules.sigma(levels[t]) / levels[t]) == pytest.approx(factor, rel=0.03)
    v_error = objectives.x0_from_v(x, objectives.velocity(x0, eps, at_t) + 1e-3, at_t) - x0
    assert float(v_error.abs().max()) < 1.001e-3


def test_scaled_input_is_exactly_zero_at_the_level_without_signal():
    x0, eps, levels, x = triple(0.0, torch.float32)
    network = Says(x0)
    assert torch.equal(x, eps)
    objectives.X0Denoiser(network, scale_input=True)(x, levels)
    assert torch.equal(network.seen, torch.zeros_like(x))
    objectives.X0Denoiser(network)(x, levels)
    assert torch.equal(network.seen, x)
    objectives.X0Denoiser(network, scale_input=True)(x, torch.tensor(0.5))
    torch.testing.assert_close(network.seen, 0.5 * x)


def test_conditions_reach_the_network():
    x0, _, levels, x = triple(0.5)
    denoiser = objectives.X0Denoiser(Says(x0))
    torch.testing.assert_close(denoiser(x, levels, gain=2.0), 2 * x0)


def test_objectives_that_cannot_work_are_refused():
    with pytest.raises(HSFusionError, match="keeps some signal"):
        objectives.make_denoiser("eps", Says(0), schedules.zero_terminal_cosine())
    with pytest.raises(HSFusionError, match="score"):
        objectives.make_denoiser("score", Says(0), schedules.cosine())


def test_residual_learning_is_undone_exactly():
    x0, _, levels, _ = triple(0.5)
    base = torch.randn_like(x0)
    residual = objectives.Residual(base, torch.tensor([0.5, 2.0, 4.0], dtype=x0.dtype)[:, None, None])
    torch.testing.assert_close(residual.decode(residual.encode(x0)), x0)
    torch.testing.assert_close(residual.encode(base), torch.zeros_like(base))
    off = objectives.Residual()
    assert torch.equal(off.encode(x0), x0) and torch.equal(off.decode(x0), x0)
    hook = residual.hook(lambda image, level: image + 1)
    torch.testing.assert_close(residual.decode(hook(residual.encode(x0), levels[0])), x0 + 1)


def test_losses():
    a, b = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, -1.0]])
    assert losses.l1(a, b) == 2
    assert losses.l2(a, b) == 5
    assert losses.huber(a, b) == pytest.approx((0.5 + 2.5) / 2)
    mask = torch.tensor([[1.0, 0.0]])
    assert losses.l1(a, b, mask) == 1 and losses.l2(a, b, mask) == 1
    assert losses.l1(a, b, torch.zeros_like(mask)) == 0


def test_three_terms_vanish_at_the_truth_and_are_sums_as_printed():
    """Norms of whole images: with means the MSI's term would weigh L / l and the HSI's ratio^2 times more."""
    g = torch.Generator().manual_seed(0)
    x0 = torch.rand(2, 6, 8, 8, generator=g)
    response, spatial = torch.rand(3, 6, generator=g), nn.AvgPool2d(4)

    def spectral(x):
        return torch.einsum("lL,bLhw->blhw", response, x)

    hsi, msi = spatial(x0), spectral(x0)
    assert losses.three_terms(x0, x0, hsi, msi, spatial, spectral) == 0
    off = x0 + 0.5
    expected = 0.5 + 0.5 / 16 + 0.5 * float(response.sum()) / 6
    assert float(losses.three_terms(off, x0, hsi, msi, spatial, spectral)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["eps", "x0", "v"])
def test_a_small_network_learns_every_objective(name):
    """x0 is one known image: a single learnable answer must find it, through the loss of each objective."""
    g = torch.Generator().manual_seed(1)
    truth = torch.randn(1, 2, 4, 4, generator=g)

    class Learns(nn.Module):
        def __init__(self):
            super().__init__()
            self.image = nn.Parameter(torch.zeros_like(truth))

        def forward(self, x, level):
            x0 = self.image.expand_as(x)
            return {"x0": x0, "eps": objectives.eps_from_x0(x, x0, level), "v": _v(x, x0, level)}[name]

    def _v(x, x0, level):
        a, s = objectives.amplitudes(level, x)
        return (a * x - x0) / s

    levels = schedules.cosine(100)
    denoiser = objectives.make_denoiser(name, Learns(), levels)
    optimizer = torch.optim.Adam(denoiser.parameters(), 0.05)
    for _ in range(200):
        t = torch.randint(20, 90, (8,), generator=g)
        eps = torch.randn(8, 2, 4, 4, generator=g)
        loss = losses.denoising_loss(denoiser, truth.expand(8, -1, -1, -1), eps, levels[t], losses.l2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (denoiser.network.image - truth).abs().max() < 0.02
