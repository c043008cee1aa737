"""Weights that knew fewer closed forms: in the larger network they say what they said, whatever the new inputs hold."""

from __future__ import annotations

import torch

from hsfusion.models.networks.grown import grown
from hsfusion.models.networks.inputs import COMMON_SCALARS, CONDITION_NAMES, SCALARS_PER_COMPONENT
from hsfusion.models.networks.unfolded import GATES, build_network

K = 3


def shrunk(
    state: dict[str, torch.Tensor], lost_conditions: int, lost_scalars: int, lost_gates: int
) -> dict[str, torch.Tensor]:
    """As an older network had it: the last conditions, scalars per component and gates cut out."""
    small, kept = dict(state), 4 * K * (1 + len(CONDITION_NAMES) - lost_conditions)
    for part in ("first", "second"):
        stem, embed = state[f"{part}.stem.weight"], state[f"{part}.embed.0.weight"]
        small[f"{part}.stem.weight"] = torch.cat([stem[:, :kept], stem[:, kept + 4 * K * lost_conditions :]], dim=1)
        cut = embed.shape[1] - COMMON_SCALARS
        small[f"{part}.embed.0.weight"] = torch.cat([embed[:, : cut - K * lost_scalars], embed[:, cut:]], dim=1)
        for name in ("head.weight", "head.bias"):
            small[f"{part}.{name}"] = state[f"{part}.{name}"][: 4 * K * (2 + len(GATES) - lost_gates)]
    return small


def randomised() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    network = build_network({"components": K, "width": 8, "depth": 1})
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval(), {k: v.clone() for k, v in network.state_dict().items()}


def test_grown_weights_ignore_what_is_new() -> None:
    network, state = randomised()
    network.load_state_dict(grown(shrunk(state, 2, 1, 1), network))
    given, numbers = (
        torch.randn(2, len(CONDITION_NAMES) * K, 16, 16),
        torch.randn(2, SCALARS_PER_COMPONENT * K + COMMON_SCALARS),
    )
    changed, other_numbers = given.clone(), numbers.clone()
    changed[:, -2 * K :] += 5.0
    other_numbers[:, -COMMON_SCALARS - K : -COMMON_SCALARS] += 1.0
    with torch.inference_mode():
        before, after = network.mean(given, numbers), network.mean(changed, other_numbers)
        first = torch.randn_like(before)
        estimates = [
            network(None, torch.zeros(2), g, n, first, first).mean
            for g, n in ((given, numbers), (changed, other_numbers))
        ]
    torch.testing.assert_close(before, after)
    torch.testing.assert_close(*estimates)
    assert before.abs().max() > 0


def test_what_was_known_keeps_its_place() -> None:
    network, state = randomised()
    again = grown(shrunk(state, 2, 1, 1), network)
    for name, value in again.items():
        kept = value != 0
        torch.testing.assert_close(value[kept], state[name][kept])


def test_weights_that_lack_nothing_stay_as_they_are() -> None:
    network, state = randomised()
    same = grown(state, network)
    assert all(torch.equal(same[name], value) for name, value in state.items())


def test_weights_of_another_kind_are_left_to_the_loader() -> None:
    network, _ = randomised()
    other = {"conv.weight": torch.zeros(2, 2)}
    assert grown(other, network) == other
