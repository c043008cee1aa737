"""What both images of a tile say of its coefficients, and the estimate that fits both best (MAP). Numpy or torch.

Shapes: y (..., K, h, w) coefficients of the HSI, z (..., l, H, W) standardised MSI, x (..., K, H, W) the fused
coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ...observation import Degradation, Sampling
from ...observation.axis import like
from ...observation.degradation import free_degradation
from .closed_forms import column, mix

CHEBYSHEV_STEPS = 12


class Sensors(Protocol):
    """How both sensors see coefficients: y = D x within y_std (K,), z = A x + o within z_std (l,), model error
    included; A = response (l, K), o = offset (l,).
    """

    response: np.ndarray
    offset: np.ndarray
    y_std: np.ndarray
    z_std: np.ndarray


@dataclass(frozen=True)
class Observation:
    """Both images of a tile, their masks (h, w) and (H, W), 1 where they are known, and the sensors that took them."""

    y: Any
    z: Any
    y_mask: Any
    z_mask: Any
    down: Degradation
    sensors: Sensors

    def predicted(self, x: Any) -> tuple[Any, Any]:
        """D x and A x + o: the images that the sensors would take of x."""
        return self.down(x), mix(self.sensors.response, x) + column(self.sensors.offset, x)

    def residuals(self, x: Any) -> tuple[Any, Any]:
        """y - D x and z - A x - o, 0 where an image is unknown."""
        y, z = self.predicted(x)
        return (self.y - y) * self.down.within(self.y_mask), (self.z - z) * self.z_mask

    def map(self, prior: Any, prior_std: np.ndarray) -> Any:
        """The maximum a posteriori estimate around `prior` x0 (..., K, H, W), noise-weighted:

            min |y - D x|^2 / y_std^2 + |z - A x - o|^2 / z_std^2 + |x - x0|^2 / prior_std^2

        prior_std (K,). The MSI's part is solved per pixel; the HSI's part in its dual, on the coarse grid, by a fixed
        number of Chebyshev steps, so the result is a function of a neighbourhood, whatever the tile. Masked coarse
        pixels carry no evidence (their dual is held at zero); a masked MSI pixel neither, though the HSI's part moves
        it no further than if it were known.
        """
        s = self.sensors
        weights, covariance = given_msi(s.response, s.z_std, prior_std)
        unseen = (self.z - mix(s.response, prior) - column(s.offset, self.z)) * self.z_mask
        by_msi = prior + mix(covariance @ weights, unseen)
        return given_hsi(by_msi, self.y, self.y_mask, self.down, covariance, s.y_std)


def given_hsi(x: Any, y: Any, y_mask: Any, down: Degradation, covariance: np.ndarray, y_std: np.ndarray) -> Any:
    """The HSI's part of the MAP estimate: x (..., K, H, W), whose pixels have the `covariance` (K, K), moved towards D
    x = y within y_std.
    """
    # Covariance of D delta, relative to the noise of y, rotated to independent components: (I + mu_k D D^T) u =
    # residual.
    relative = covariance / np.outer(y_std, y_std)
    mu, axes = np.linalg.eigh(relative)
    y_mask = down.within(y_mask)
    residual = (y - down(x)) * y_mask
    rotated = mix(axes.T / y_std, residual)
    dual = chebyshev(rotated, column(np.maximum(mu, 0.0), rotated), y_mask, *grams(down, rotated))
    return x + mix(covariance @ (axes / y_std[:, None]), down.adjoint(dual))


def given_msi(response: np.ndarray, z_std: np.ndarray, prior_std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A' / z_std^2 (K, l) and the covariance (K, K) of a pixel of x given its MSI pixel."""
    weights = response.T / z_std**2
    precision = weights @ response + np.diag(prior_std**-2.0)
    return weights, np.linalg.inv(precision)


def map_kernel(
    sampling: Sampling, response: np.ndarray, y_std: np.ndarray, z_std: np.ndarray, prior_std: np.ndarray, reach: int
) -> np.ndarray:
    """How one residual of the HSI enters the dual of MAP around it, for the component that reaches farthest.

    Absolute values (2 reach + 1, 2 reach + 1) on the coarse grid, the largest one 1. It is long where a wide PSF is
    inverted with little noise.
    """
    _, covariance = given_msi(response, z_std, prior_std)
    mu = np.linalg.eigvalsh(covariance / np.outer(y_std, y_std))[-1:]
    count = 2 * reach + 1
    size = int(np.ceil(count * sampling.ratio))
    centred = replace(sampling, shift_y=0.0, shift_x=0.0, displacement=None)
    down = Degradation(centred, (size, size), range(size), range(size), range(count), range(count))
    impulse = np.zeros((1, count, count))
    impulse[0, reach, reach] = 1.0
    kernel = np.abs(chebyshev(impulse, column(mu, impulse), np.ones((count, count)), *grams(down, impulse))[0])
    return kernel / kernel.max()


def chebyshev(rhs: Any, mu: Any, mask: Any, gram_rows: Any, gram_cols: Any, bounds: tuple[Any, Any]) -> Any:
    """Solve (I + mu_k D D^T) u = rhs by Chebyshev iteration (Saad 2003, algorithm 12.1) with bounds that depend on the
    PSF and the ratio alone.

    rhs (..., K, h, w); mu and both bounds broadcast over it; D D^T is `gram_rows` (..., h, h) along the rows,
    `gram_cols` along the columns.
    """
    low, high = bounds
    center, radius = 1.0 + mu * (high + low) / 2, mu * (high - low) / 2 + 1e-6
    sigma = center / radius
    rho = 1.0 / sigma
    residual = rhs * mask
    step = residual / center
    u = step
    for _ in range(CHEBYSHEV_STEPS - 1):
        residual = residual - (step + mu * (gram_rows @ step @ gram_cols)) * mask
        rho_next = 1.0 / (2.0 * sigma - rho)
        step = rho_next * rho * step + 2.0 * rho_next / radius * residual
        rho = rho_next
        u = u + step
    return u


def grams(down: Degradation, like_this: Any) -> tuple[Any, Any, tuple[float, float]]:
    """D D^T along rows and columns in the kind of array that `like_this` is, and bounds on its eigenvalues.

    A displaced D D^T is no product of two matrices; that of pixels at even distances stands for it, from which a field
    differs by its slope.
    """
    matrices = (down.rows, down.cols)
    if down.sampling.displacement is not None:
        matrices = [
            free_degradation(down.sampling, len(c))[n] for n, c in enumerate((down.coarse_rows, down.coarse_cols))
        ]
    rows, cols = (like(m @ m.T, like_this) for m in matrices)
    return rows, cols, gram_bounds(down.sampling.undisplaced)


def gram_bounds(sampling: Sampling) -> tuple[float, float]:
    """Bounds on the eigenvalues of D D^T, from those of a probe of 24 x 24 coarse pixels; the same for every tile of a
    scene.
    """
    count = 24
    size = int(np.ceil(count * sampling.ratio))
    probe = Degradation(sampling, (size, size), range(size), range(size), range(count), range(count))
    rows, cols = (np.linalg.eigvalsh(m @ m.T) for m in (probe.rows, probe.cols))
    return 0.95 * max(float(rows[0] * cols[0]), 0.0), 1.05 * float(rows[-1] * cols[-1])
