"""Training of `spectral-mlp` on a scene's HSI pixels: from D Z to Y, L1, Adam, the best weights on pixels held out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...errors import HSFusionError
from ...listener import heed
from ...wire.scene_training import SceneTrainingRequest
from ..adaptation.training import Moment, Outcome, decibel

WIDTH, HIDDEN = 96, 3
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-4
BATCH = 1024
HELD_OUT = 8  # one pixel in so many chooses the weights and is not learnt from
LOOK_STEPS = 50
PATIENCE = 40  # looks without a gain before it ends
MOST_STEPS = 20_000


def network(bands_in: int, bands_out: int) -> nn.Sequential:
    """f: l -> WIDTH x HIDDEN -> L, SiLU between."""
    sizes = [bands_in, *[WIDTH] * HIDDEN, bands_out]
    layers: list[nn.Module] = []
    for size, following in zip(sizes, sizes[1:]):
        layers += [nn.Linear(size, following), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


def train(
    request: SceneTrainingRequest, device: str, report: Callable[[Moment], None], cancelled: Callable[[], bool]
) -> Outcome:
    """The best weights within the request's minutes; the gain is that over a linear law on the pixels held out, in dB.

    The state has the layers' numbers as names: "0.weight", "0.bias", "1.weight" and so on. RunCancelled.
    """
    torch.manual_seed(request.training.seed)
    low, spectra = (torch.as_tensor(a.copy(), device=device) for a in (request.low, request.spectra))
    kept = torch.arange(len(low), device=device) % HELD_OUT == HELD_OUT - 1
    seen, held = (low[~kept], spectra[~kept]), (low[kept], spectra[kept])
    if not len(held[0]):
        raise HSFusionError("The request holds too few pixels to train on.")
    f = network(low.shape[1], spectra.shape[1]).to(device)
    optimiser = torch.optim.AdamW(f.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    linear = _error_of_linear(seen, held)
    best, best_state, since, loss_mean, history = math.inf, _state(f), 0, math.nan, []
    began, whole = time.monotonic(), 60 * request.training.minutes
    step = 0
    while step < MOST_STEPS and time.monotonic() - began < whole and since < PATIENCE:
        heed(cancelled)
        share = max(step / MOST_STEPS, (time.monotonic() - began) / whole)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))
        picks = torch.randint(len(seen[0]), (min(BATCH, len(seen[0])),), device=device)
        loss = (f(seen[0][picks]) - seen[1][picks]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        value = float(loss.detach())
        loss_mean = value if math.isnan(loss_mean) else 0.95 * loss_mean + 0.05 * value
        if step % LOOK_STEPS == 0 or step == 1:
            with torch.no_grad():
                error = float((f(held[0]) - held[1]).square().mean().sqrt())
            since += 1
            if error < best:
                best, best_state, since = error, _state(f), 0
            moment = Moment(step, loss_mean, decibel(linear, best), time.monotonic() - began)
            history.append(moment)
            report(moment)
    gain = decibel(linear, best)
    return Outcome(best_state, gain, gain, step, time.monotonic() - began, history)


def _state(f: nn.Sequential) -> dict[str, Tensor]:
    layers = [layer for layer in f if isinstance(layer, nn.Linear)]
    return {
        f"{number}.{name}": tensor.detach().clone()
        for number, layer in enumerate(layers)
        for name, tensor in (("weight", layer.weight), ("bias", layer.bias))
    }


def _error_of_linear(seen: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor]) -> float:
    """RMSE on the pixels held out of a linear regression: what the network should beat."""
    one = torch.ones(len(seen[0]), 1, device=seen[0].device)
    design = torch.cat([seen[0], one], dim=1).double()
    ridge = 1e-6 * len(design) * torch.eye(design.shape[1], device=design.device, dtype=design.dtype)
    weights = torch.linalg.solve(design.T @ design + ridge, design.T @ seen[1].double())
    found = torch.cat([held[0], torch.ones(len(held[0]), 1, device=held[0].device)], dim=1).double() @ weights
    return float((found - held[1]).square().mean().sqrt())
