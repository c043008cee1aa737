"""The operators of a displaced HSI: known answers, the exact adjoint, and the same pixels however a scene is cut."""

from dataclasses import replace

import numpy as np
import pytest

from hsfusion.models.observation import Degradation, Displacement, Sampling, Upsampling
from hsfusion.models.wire.scene import sampling_from
from hsfusion.models.wire.values import plain

SHAPE = (96, 112)
WAVES = ((0.0, 0.6, 0.0), (-0.8, 0.3, 0.0), (0.4, 0.0, 0.0))
FIELD = Displacement(SHAPE, 1.3, 1.01, WAVES, tuple(row[::-1] for row in WAVES[::-1]))
SAMPLING = Sampling(4.0, 1.1, 1.2, 0.3, -0.4)


def smooth(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A picture that is known between its pixels."""
    return np.sin(0.11 * y + 0.3) * np.cos(0.09 * x) + 0.5 * np.sin(0.05 * (x - y))


def picture(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return smooth(y, x)[None]


def test_an_hsi_pixel_sees_the_ground_at_its_displaced_centre() -> None:
    narrow = replace(SAMPLING, fwhm_y=0.3, fwhm_x=0.3, displacement=FIELD)
    down = Degradation.whole(narrow, SHAPE)
    y, x = down.centres
    rows = (np.arange(-down.sampling.margin, 24 + down.sampling.margin) + 0.5) * 4 - 0.5
    cols = (np.arange(-down.sampling.margin, 28 + down.sampling.margin) + 0.5) * 4 - 0.5
    d = FIELD.at(rows, cols)
    assert np.allclose(y, rows[:, None] + 0.3 + d[0]) and np.allclose(x, cols[None] - 0.4 + d[1])
    clear = down.within(np.ones(y.shape)).astype(bool) & (y > 6) & (x > 6) & (y < SHAPE[0] - 7) & (x < SHAPE[1] - 7)
    assert np.abs(down(picture())[0] - smooth(y, x))[clear].max() < 0.01


def test_interpolation_brings_the_hsi_back_to_where_it_was_seen() -> None:
    sampling = replace(SAMPLING, displacement=FIELD)
    up = Upsampling.whole(sampling, SHAPE)
    down = Degradation.whole(sampling, SHAPE)
    seen = smooth(*down.centres)[None]
    inner = (0, slice(8, -8), slice(8, -8))
    assert np.abs(up(seen) - picture())[inner].max() < 0.01


@pytest.mark.parametrize("kind", [Degradation, Upsampling])
def test_a_displacement_of_zero_changes_nothing_inside(kind: type) -> None:
    still = replace(SAMPLING, displacement=Displacement(SHAPE))
    ranges = (range(0, 96), range(0, 112), range(0, 24), range(0, 28))
    x = np.random.default_rng(0).normal(size=(2, *(SHAPE if kind is Degradation else (24, 28))))
    found, wanted = kind(still, SHAPE, *ranges)(x), kind(SAMPLING, SHAPE, *ranges)(x)
    edge = slice(None) if kind is Degradation else slice(8, -8)
    assert np.allclose(found[:, edge, edge], wanted[:, edge, edge], atol=1e-5)


@pytest.mark.parametrize("kind", [Degradation, Upsampling])
@pytest.mark.parametrize("psf", ["gaussian", "block-mean"])
def test_the_adjoint_is_exact(kind: type, psf: str) -> None:
    operator = kind.whole(replace(SAMPLING, displacement=FIELD, psf=psf), SHAPE)
    rng = np.random.default_rng(1)
    fine, coarse = (
        rng.normal(size=(2, *SHAPE)),
        rng.normal(size=(2, 24 + 2 * operator.sampling.margin, 28 + 2 * operator.sampling.margin)),
    )
    x, y = (fine, coarse) if kind is Degradation else (coarse, fine)
    assert np.isclose(np.vdot(operator(x), y), np.vdot(x, operator.adjoint(y)))


def test_torch_and_numpy_agree() -> None:
    torch = pytest.importorskip("torch")
    sampling = replace(SAMPLING, displacement=FIELD)
    for kind in (Degradation, Upsampling):
        operator = kind.whole(sampling, SHAPE)
        shape = SHAPE if kind is Degradation else (24 + 2 * sampling.margin, 28 + 2 * sampling.margin)
        x = np.random.default_rng(2).normal(size=(2, 3, *shape)).astype(np.float32)
        y = operator(x)
        assert np.allclose(operator(torch.from_numpy(x)).numpy(), y, atol=1e-5)
        assert np.allclose(operator.adjoint(torch.from_numpy(y)).numpy(), operator.adjoint(y), atol=1e-4)


def test_a_window_gives_what_the_whole_scene_gives_there() -> None:
    sampling = replace(SAMPLING, displacement=FIELD)
    m = sampling.margin
    z = picture()
    whole = Degradation.whole(sampling, SHAPE)
    part = Degradation(sampling, SHAPE, range(16, 90), range(20, 96), range(9, 15), range(9, 17))
    assert part.whole_psf is not None and part.whole_psf.all()
    assert np.allclose(part(z[:, 16:90, 20:96]), whole(z)[:, 9 + m : 15 + m, 9 + m : 17 + m], atol=1e-6)
    y = np.random.default_rng(3).normal(size=(1, 24 + 2 * m, 28 + 2 * m))
    up = Upsampling(sampling, SHAPE, range(40, 60), range(44, 70), range(4, 20), range(5, 24))
    there = Upsampling.whole(sampling, SHAPE)(y)[:, 40:60, 44:70]
    assert np.allclose(up(y[:, 4 + m : 20 + m, 5 + m : 24 + m]), there, atol=1e-6)


def test_pixels_that_a_displacement_takes_out_of_the_scene_say_nothing() -> None:
    sampling = replace(SAMPLING, shift_y=0.0, shift_x=0.0, displacement=Displacement(SHAPE, turn=3.0))
    down = Degradation.whole(sampling, SHAPE)
    ones = np.ones((1, *SHAPE))
    _, support = down.masked(ones, ones[0])
    m = sampling.margin
    outside = ~down.within(np.ones(support.shape)).astype(bool)
    assert (support[outside] == 0).all() and (down(ones)[0][outside] == 0).all()
    assert outside[:m].all() and not outside[m + 2 : -m - 2, m + 2 : -m - 2].any()


def test_an_inverse_undoes_its_field() -> None:
    strong = Displacement(SHAPE, 2.0, 0.99, ((0.0, 4.0), (-4.0, 0.0)), ((0.0, -3.0), (5.0, 0.0)))
    assert 0.2 < strong.strain < 0.7
    sampling = Sampling(4.0, displacement=strong)
    up = Upsampling.whole(sampling, SHAPE)
    m = sampling.margin
    y, x = np.mgrid[-m : 24 + m, -m : 28 + m].astype(float)
    place = np.stack([y, x]) * 4 + 1.5
    place = place + strong.of(*place)  # what every HSI pixel sees, brought back, is where the MSI's pixels are
    found = up(place)[:, 6:-6, 6:-6]
    fine = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)[:, 6:-6, 6:-6]
    assert np.abs(found - fine).max() < 0.1


def test_a_field_survives_json() -> None:
    import json

    sampling = replace(SAMPLING, displacement=FIELD)
    assert sampling_from(json.loads(json.dumps(plain(sampling)))) == sampling
