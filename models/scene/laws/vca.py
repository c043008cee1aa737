"""Vertex component analysis: the purest pixels of a scene.

Nascimento and Bioucas-Dias, Vertex component analysis: a fast algorithm to unmix hyperspectral data, IEEE TGRS 43(4),
2005.
"""

from __future__ import annotations

import numpy as np

_ROUNDING = 1e-12  # share of the largest eigenvalue; the square of float32's precision with room to spare


def vertex_pixels(spectra: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Indices (count,) of the pixels of spectra (N, L) that span the largest simplex found; count <= min(N, L).

    Algorithm 1 of the paper: onto a subspace that depends on the SNR, then again and again the pixel that lies farthest
    in a random direction orthogonal to the vertices found so far. So that every linear algebra library finds the same
    ones, directions are drawn among spectra and not in the subspace's own coordinates, whose signs differ, and the
    first is orthogonal to the mean where the paper has the last axis: these are the same at low SNR, but at high SNR
    that axis is what rounding makes it.
    """
    mean = spectra.mean(axis=0)
    # Where the subspace is all there is, nothing lies outside that would tell the noise: the projection that stands it.
    if count in (1, spectra.shape[1]) or signal_to_noise_db(spectra, count) < 15.0 + 10.0 * np.log10(count):
        points, axes = _affine(spectra - mean, count)
    else:
        points, axes = _projective(spectra, count)
    random = np.random.default_rng(seed)
    vertices = np.zeros((count, count))
    vertices[:, 0] = points.mean(axis=0)
    found = np.zeros(count, np.int64)
    for i in range(count):
        direction = axes.T @ random.standard_normal(len(axes))
        direction = direction - vertices @ (np.linalg.pinv(vertices) @ direction)
        reach = np.abs(points @ (direction / max(np.linalg.norm(direction), 1e-30)))
        reach[found[:i]] = -1.0  # never the same pixel twice, even where fewer materials than `count` are in the scene
        found[i] = np.argmax(reach)
        vertices[:, i] = points[found[i]]
    return found


def dimensions(spectra: np.ndarray) -> int:
    """How many directions spectra (N, L) span beyond the rounding of float32: more endmembers than these would be made
    of it.
    """
    values = np.linalg.eigvalsh(spectra.T @ spectra)
    return int((values > _ROUNDING * values[-1]).sum())


def signal_to_noise_db(spectra: np.ndarray, count: int) -> float:
    """The paper's estimate (section III-B): power inside the `count`-dimensional subspace against that outside it."""
    pixels, bands = spectra.shape
    mean = spectra.mean(axis=0)
    power = (spectra**2).sum() / pixels
    inside = (((spectra - mean) @ _axes(spectra - mean, count)) ** 2).sum() / pixels + mean @ mean
    return float(10.0 * np.log10(max(inside - count / bands * power, 1e-30) / max(power - inside, 1e-30)))


def _axes(spectra: np.ndarray, count: int) -> np.ndarray:
    """The `count` principal directions (L, count), not centred."""
    _, vectors = np.linalg.eigh(spectra.T @ spectra / len(spectra))
    return vectors[:, ::-1][:, :count]


def _projective(spectra: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """High SNR: onto the subspace, then every pixel scaled to lie in one hyperplane (paper, steps 5 to 8); points (N,
    count), axes (L, count).
    """
    axes = _axes(spectra, count)
    points = spectra @ axes
    along = points @ points.mean(axis=0)
    return points / np.where(np.abs(along) > 1e-12 * np.abs(along).max(), along, np.inf)[:, None], axes


def _affine(centred: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Low SNR: principal components and one constant coordinate (paper, steps 10 to 14); points (N, count), axes (L +
    1, count).
    """
    components = _axes(centred, count - 1)
    points = centred @ components
    reach = np.sqrt((points**2).sum(axis=1).max())
    axes = np.zeros((centred.shape[1] + 1, count))
    axes[:-1, :-1], axes[-1, -1] = components, 1.0
    return np.column_stack([points, np.full(len(points), max(reach, 1e-30))]), axes
