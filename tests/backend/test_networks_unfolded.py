"""The network of hsfusion-base: every input reaches the output, and what is said of its sight holds."""

from __future__ import annotations

import pytest
import torch

from hsfusion.models.networks.inputs import condition_channels, scalar_count
from hsfusion.models.networks.unfolded import Unfolded, build_network

K = 3


@pytest.fixture(scope="module")
def network() -> Unfolded:
    """A network whose zero-initialised layers are alive."""
    torch.manual_seed(0)
    made = build_network({"components": K, "width": 8, "depth": 1})
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():
                parameter.normal_(0.0, 0.05)
    return made.eval()


def inputs(seed: int = 0, size: int = 32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "noisy": normal(2, K, size, size),
        "signal": torch.tensor([0.3, 0.9]),
        "conditions": normal(2, condition_channels(K), size, size),
        "scalars": normal(2, scalar_count(K)),
        "mean": normal(2, K, size, size),
        "consistent": normal(2, K, size, size),
    }


@pytest.mark.parametrize("name", ["noisy", "signal", "conditions", "scalars", "mean", "consistent"])
def test_every_input_reaches_the_output(network: Unfolded, name: str) -> None:
    given = inputs()
    changed = {**given, name: inputs(seed=1)[name] if name != "signal" else torch.tensor([0.5, 0.2])}
    with torch.inference_mode():
        before, after = network(**given), network(**changed)
    assert not torch.allclose(before.mean, after.mean, atol=1e-4)
    assert not torch.allclose(before.log_error, after.log_error, atol=1e-5)


def test_without_signal_the_noise_is_not_seen(network: Unfolded) -> None:
    given = {**inputs(), "signal": torch.zeros(2)}
    with torch.inference_mode():
        one, other = network(**given).mean, network(**{**given, "noisy": given["noisy"] + 1.0}).mean
    assert torch.equal(one, other)


def test_a_fresh_network_says_what_it_is_given() -> None:
    torch.manual_seed(0)
    fresh, given = build_network({"components": K, "width": 8, "depth": 1}), inputs()
    assert torch.equal(fresh(**given).mean, given["consistent"])
    assert not fresh.mean(given["conditions"], given["scalars"]).any()


def test_every_weight_learns(network: Unfolded) -> None:
    given = inputs()
    raw = network.mean(given["conditions"], given["scalars"])
    found = network(**{**given, "mean": raw, "consistent": raw + 0.1})
    (found.mean.pow(2).sum() + found.log_error.pow(2).sum()).backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
    network.zero_grad(set_to_none=True)


def test_far_pixels_are_not_seen(network: Unfolded) -> None:
    """The first network sees 28 pixels to each side, the second 52: beyond, nothing may change."""
    given = inputs(size=160)
    far = {n: v.clone() if v.dim() == 4 else v for n, v in given.items()}
    for name in ("noisy", "conditions", "mean", "consistent"):
        far[name][..., 120:] += 1.0
    with torch.inference_mode():
        raw, raw_far = (network.mean(g["conditions"], g["scalars"]) for g in (given, far))
        found, found_far = network(**given).mean, network(**far).mean
    assert torch.equal(raw[..., : 120 - 28], raw_far[..., : 120 - 28])
    assert torch.equal(found[..., : 120 - 52], found_far[..., : 120 - 52])
    assert not torch.allclose(raw[..., 110:120], raw_far[..., 110:120])
