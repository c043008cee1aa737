"""Levels of each schedule against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from hsfusion.models.diffusion import schedules
from hsfusion.models.diffusion.schedules import sigma
from hsfusion.models.errors import HSFusionError

ALL = [
    schedules.linear(),
    schedules.linear(1000, 1e-4, 0.02),
    schedules.cosine(),
    schedules.zero_terminal_cosine(),
    schedules.zero_terminal(schedules.linear()),
    schedules.zero_terminal(schedules.cosine(2000)),
]


@pytest.mark.parametrize("levels", ALL)
def test_levels_start_clean_and_fall_strictly(levels):
    assert levels.dtype == torch.float64
    assert levels[0] == 1
    assert (levels.diff() < 0).all()
    assert (levels >= 0).all()
    torch.testing.assert_close(levels**2 + sigma(levels) ** 2, torch.ones_like(levels), atol=1e-15, rtol=0)


def test_ddpm_fus_schedule_ends_where_the_paper_says():
    levels = schedules.linear(2000, 0.0, 0.01)
    assert float(levels[-1] ** 2) == pytest.approx(4.4e-5, rel=0.02)
    assert 1 - float(levels[1] ** 2) == pytest.approx(1e-6, rel=1e-6)  # beta_1 = 0 is guarded


def test_hundred_steps_of_hsr_diff_match_the_long_schedule():
    short = schedules.linear(100, 1e-4, 0.19)
    assert float(short[-1] ** 2) == pytest.approx(float(schedules.linear()[-1] ** 2), rel=0.15)


def test_cosine_follows_its_equation():
    levels, steps, offset = schedules.cosine(1000), 1000, 0.008
    for t in (1, 300, 900):
        expected = math.cos((t / steps + offset) / (1 + offset) * math.pi / 2) / math.cos(
            offset / (1 + offset) * math.pi / 2
        )
        assert float(levels[t]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("levels", [schedules.linear(), schedules.cosine()])
def test_zero_terminal_keeps_the_first_level_and_ends_at_exactly_zero(levels):
    rescaled = schedules.zero_terminal(levels)
    assert rescaled[-1] == 0
    assert float(rescaled[1]) == pytest.approx(float(levels[1]), rel=1e-12)
    # affine in the amplitude: differences keep their proportions
    ratio = rescaled[1:].diff() / levels[1:].diff()
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-9, atol=0)


def test_zero_terminal_cosine_is_a_quarter_turn():
    levels = schedules.zero_terminal_cosine(1000)
    assert levels[-1] == 0
    t = torch.arange(1001, dtype=torch.float64) / 1000 * math.pi / 2
    torch.testing.assert_close(sigma(levels), t.sin(), atol=1e-12, rtol=0)


def test_continuous_levels_lie_between_their_neighbours_uniformly_in_abar():
    levels = schedules.linear()
    t = torch.randint(1, 2001, (5000,), generator=torch.Generator().manual_seed(0))
    u = torch.rand(5000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = schedules.continuous(levels, t, u)
    assert (drawn <= levels[t - 1]).all() and (drawn >= levels[t]).all()
    back = (drawn**2 - levels[t - 1] ** 2) / (levels[t] ** 2 - levels[t - 1] ** 2)
    torch.testing.assert_close(back, u, atol=1e-6, rtol=0)


@pytest.mark.parametrize("pick", [schedules.subsequence, schedules.quadratic_subsequence])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 50, 99, 100])
def test_every_subsequence_holds_the_highest_level_and_zero(pick, count):
    t = pick(100, count)
    assert t.shape == (count + 1,)
    assert t[0] == 100 and t[-1] == 0
    assert (t.diff() < 0).all()


def test_subsequence_refuses_impossible_counts():
    for count in (0, 101):
        with pytest.raises(HSFusionError, match="between 1 and 100"):
            schedules.subsequence(100, count)


def test_drawn_timesteps_cover_all_and_favour_the_last():
    t = schedules.draw_timesteps(10, 20000, 0.4, torch.Generator().manual_seed(0))
    assert t.min() == 1 and t.max() == 10
    assert float((t == 10).double().mean()) == pytest.approx(0.4 + 0.6 / 10, abs=0.02)
    assert float((t == 3).double().mean()) == pytest.approx(0.6 / 10, abs=0.01)


def test_schedule_from_a_card():
    torch.testing.assert_close(
        schedules.from_card({"kind": "linear", "steps": 50, "zero_terminal": True}),
        schedules.zero_terminal(schedules.linear(50)),
    )
    assert schedules.from_card({"kind": "zero-terminal-cosine", "steps": 7}).shape == (8,)
    with pytest.raises(HSFusionError, match="cubic"):
        schedules.from_card({"kind": "cubic"})
    with pytest.raises(HSFusionError, match="offst"):
        schedules.from_card({"kind": "cosine", "offst": 1})
