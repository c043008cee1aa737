"""Samplers against distributions that are known in closed form."""

from __future__ import annotations

import functools

import pytest
import torch

from hsfusion.models.diffusion import objectives, samplers, schedules
from hsfusion.models.diffusion.schedules import sigma

COUNT = 40000
SCHEDULES = {
    "linear": schedules.linear(),
    "zero-terminal linear": schedules.zero_terminal(schedules.linear()),
    "cosine": schedules.cosine(1000),
    "zero-terminal cosine": schedules.zero_terminal_cosine(1000),
}


class Posterior:
    """x0 ~ N(0.3, 0.8^2) seen as y = x0 + N(0, 0.5^2): the posterior of each y is Gaussian, and so is the best denoiser
    given y.
    """

    def __init__(self, y: torch.Tensor) -> None:
        precision = 1 / 0.8**2 + 1 / 0.5**2
        self.variance = 1 / precision
        self.mean = (0.3 / 0.8**2 + y / 0.5**2) / precision

    def __call__(self, x, level):
        a, s = objectives.amplitudes(level, x)
        gain = a * self.variance / (a**2 * self.variance + s**2)
        return self.mean + gain * (x - a * self.mean)


def seeded(shape, seed):
    def noise(step):
        return torch.randn(shape, generator=torch.Generator().manual_seed(1000 * seed + step), dtype=torch.float64)

    return noise


def start_from(levels, shape=(COUNT, 1, 1, 2), seed=7):
    return seeded(shape, seed)(999)


Y = torch.tensor([-1.0, 2.0], dtype=torch.float64)  # one observation per column
EVERY = {
    "ddim": samplers.ddim,
    "ddim eta 0.5": functools.partial(samplers.ddim, eta=0.5),
    "ddim eta 1": functools.partial(samplers.ddim, eta=1.0),
    "ancestral": samplers.ancestral,
    "ancestral upper": functools.partial(samplers.ancestral, upper=True),
    "dpm-solver-2m": samplers.dpm_solver_2m,
}


def moments(sampler, denoiser, walk):
    """Exact mean and standard deviation of what a sampler draws: with a linear denoiser its result is affine in the
    start and in the noise of every step, so one run over a batch of unit responses gives both without a single
    random number.
    """
    steps = len(walk) - 1
    shape = (steps + 2, 1, 1, 2)

    def response(row):
        x = torch.zeros(shape, dtype=torch.float64)
        x[row] = 1
        return x

    settings = {} if sampler is samplers.dpm_solver_2m else {"noise": lambda step: response(step + 2)}
    out = sampler(denoiser, response(1), walk, **settings)
    return out[0].flatten(), (out[1:] - out[0]).square().sum(0).sqrt().flatten()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", EVERY)
def test_every_sampler_draws_from_a_known_posterior(name, schedule):
    levels, posterior = SCHEDULES[schedule], Posterior(Y)
    errors = []
    for count in (100, 1000):
        mean, std = moments(EVERY[name], posterior, levels[schedules.subsequence(len(levels) - 1, count)])
        exact = torch.full((2,), posterior.variance**0.5, dtype=std.dtype)
        errors.append(float((std - exact).abs().max()))
    torch.testing.assert_close(mean, posterior.mean, atol=0.01, rtol=0)
    torch.testing.assert_close(std, exact, atol=0.005, rtol=0)
    assert errors[1] < max(0.3 * errors[0], 1e-3)  # and it comes from the size of the steps alone


def test_samples_scatter_as_the_posterior_does():
    """The same with random numbers: a position-keyed noise callable, forty thousand samples."""
    levels, posterior = SCHEDULES["zero-terminal cosine"], Posterior(Y)
    walk = levels[schedules.subsequence(1000, 100)]
    x = samplers.ddim(posterior, start_from(levels), walk, noise=seeded((COUNT, 1, 1, 2), 3), eta=0.5)
    std = posterior.variance**0.5
    torch.testing.assert_close(x.mean(0).flatten(), posterior.mean, atol=0.02 * std, rtol=0)
    torch.testing.assert_close(x.std(0).flatten(), torch.full((2,), std, dtype=x.dtype), atol=0.03 * std, rtol=0)


@pytest.mark.parametrize(("schedule", "t"), [("linear", 1200), ("cosine", 500), ("zero-terminal cosine", 1000)])
def test_marginals_in_closed_form(schedule, t):
    """x_t given x0 is N(a x0, s^2): the Markov chain of the betas agrees with one jump, and the jump with its own
    numbers.
    """
    levels = SCHEDULES[schedule]
    mean, variance = 1.7, 0.0
    for a, a_next in zip(levels[:t].tolist(), levels[1 : t + 1].tolist()):
        alpha = a_next / a
        mean, variance = alpha * mean, alpha**2 * variance + 1 - alpha**2
    assert mean == pytest.approx(1.7 * float(levels[t]), abs=1e-12)
    assert variance == pytest.approx(float(sigma(levels[t])) ** 2, abs=1e-12)
    x0 = torch.full((COUNT, 1, 1, 1), 1.7, dtype=torch.float64)
    x = objectives.noised(x0, seeded(x0.shape, 0)(0), levels[t])
    assert float(x.mean()) == pytest.approx(mean, abs=0.02)
    assert float(x.std()) == pytest.approx(variance**0.5, abs=0.015)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("count", [1, 2, 5, 20])
@pytest.mark.parametrize("name", EVERY)
def test_the_true_denoiser_gives_back_x0(name, count, schedule):
    levels = SCHEDULES[schedule]
    truth = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    walk = levels[schedules.subsequence(len(levels) - 1, count)]
    x = EVERY[name](lambda x, level: truth, torch.randn_like(truth), walk)
    torch.testing.assert_close(x, truth, atol=1e-12, rtol=0)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", EVERY)
def test_one_step_is_the_denoiser_at_the_highest_level(name, schedule):
    levels, posterior = SCHEDULES[schedule], Posterior(Y)
    x = start_from(levels, (3, 1, 1, 2))
    walk = levels[schedules.subsequence(len(levels) - 1, 1)]
    found = EVERY[name](posterior, x, walk)
    torch.testing.assert_close(found, posterior(x, levels[-1]), atol=1e-12, rtol=0)
    if levels[-1] == 0:  # nothing of the noise is left: the mean estimate, the same for every start
        torch.testing.assert_close(found, posterior.mean.expand_as(found), atol=1e-12, rtol=0)


def _gain_error(sampler, count):
    """How far the sampler is from the exact flow of a Gaussian, which keeps (x - a m) / sqrt(a^2 v + s^2); steps even
    in log-SNR.
    """
    posterior = Posterior(Y)
    half_log_snr = torch.linspace(-3, 3, count + 1, dtype=torch.float64)
    walk = torch.sigmoid(2 * half_log_snr).sqrt()
    width = (walk**2 * posterior.variance + sigma(walk) ** 2).sqrt()
    ends = [sampler(posterior, torch.full((1, 1, 1, 2), v, dtype=torch.float64), walk) for v in (-1.0, 1.0)]
    return abs(float((ends[1] - ends[0]).flatten()[0]) / 2 - float(width[-1] / width[0]))


def test_the_ode_solver_is_of_second_order_and_ddim_of_first():
    assert _gain_error(samplers.ddim, 100) / _gain_error(samplers.ddim, 200) == pytest.approx(2, rel=0.1)
    assert _gain_error(samplers.dpm_solver_2m, 100) / _gain_error(samplers.dpm_solver_2m, 200) == pytest.approx(
        4, rel=0.1
    )
    assert _gain_error(samplers.dpm_solver_2m, 20) < _gain_error(samplers.ddim, 20) / 3


def test_ddim_with_eta_one_is_ancestral_sampling():
    posterior, levels = Posterior(Y), SCHEDULES["linear"]
    walk, noise = levels[schedules.subsequence(2000, 9)], seeded((5, 1, 1, 2), 1)
    x = start_from(levels, (5, 1, 1, 2))
    torch.testing.assert_close(
        samplers.ddim(posterior, x, walk, noise=noise, eta=1.0), samplers.ancestral(posterior, x, walk, noise=noise)
    )


@pytest.mark.parametrize("name", EVERY)
def test_callback_sees_every_step_and_may_stop(name):
    levels = schedules.zero_terminal_cosine(100)
    walk, truth, seen = levels[schedules.subsequence(100, 4)], torch.ones(1, 1, 2, 2), []
    EVERY[name](lambda x, level: truth, truth, walk, callback=lambda step, x0: seen.append((step, float(x0.mean()))))
    assert seen == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0)]

    class Stopped(Exception):
        pass

    def stop(step, x0):
        raise Stopped

    with pytest.raises(Stopped):
        EVERY[name](lambda x, level: truth, truth, walk, callback=stop)


@pytest.mark.parametrize("name", EVERY)
def test_correction_is_used_in_every_step(name):
    """With x0 held at a known image by the hook, the result is that image, and the walk before it is consistent with
    it.
    """
    levels = schedules.zero_terminal_cosine(100)
    walk, known, visited = levels[schedules.subsequence(100, 5)], torch.full((1, 1, 4, 4), 3.0), []

    def denoiser(x, level):
        visited.append((float(level), x))
        return torch.zeros_like(x)

    x = EVERY[name](denoiser, torch.zeros_like(known), walk, correct=lambda x0, level: known)
    torch.testing.assert_close(x, known)
    if name == "ddim":  # start eps is 0, so x_t must be a_t times the corrected image
        for level, state in visited[1:]:
            torch.testing.assert_close(state, level * known)


def test_noise_is_asked_per_step_and_only_where_it_is_needed():
    levels, asked = schedules.cosine(100), []
    walk, truth = levels[schedules.subsequence(100, 4)], torch.ones(1, 1, 2, 2)

    def noise(step):
        asked.append(step)
        return torch.zeros_like(truth)

    samplers.ancestral(lambda x, level: truth, truth, walk, noise=noise)
    assert asked == [0, 1, 2]
    asked.clear()
    samplers.ddim(lambda x, level: truth, truth, walk, noise=noise, eta=0.5)
    assert asked == [0, 1, 2]
    asked.clear()
    samplers.ddim(lambda x, level: truth, truth, walk, noise=noise)
    assert asked == []


def test_a_tile_is_the_crop_of_the_whole_where_the_noise_is_a_field():
    """Pixelwise denoiser and position-keyed noise: sampling a crop equals cropping the sample."""
    field = torch.randn(7, 1, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    levels = schedules.cosine(100)
    walk, cut = levels[schedules.subsequence(100, 6)], (..., slice(3, 9), slice(5, 15))

    def denoiser(x, level):
        return torch.tanh(x) * level

    whole = samplers.ancestral(denoiser, field[6], walk, noise=lambda step: field[step])
    tile = samplers.ancestral(denoiser, field[6][cut], walk, noise=lambda step: field[step][cut])
    assert torch.equal(whole[cut], tile)


def test_levels_must_rise():
    x = torch.zeros(1, 1, 2, 2)
    for bad in ([1.0, 0.5], [0.5], [0.5, 0.5, 1.0]):
        with pytest.raises(ValueError, match="rising"):
            samplers.ddim(lambda x, level: x, x, torch.tensor(bad))
