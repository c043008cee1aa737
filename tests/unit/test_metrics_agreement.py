"""Our metrics against independent implementations; where libraries disagree, the disagreement itself is a test."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.metrics import evaluate
from hsfusion.models.metrics.hypercomplex import q2n
from hsfusion.models.metrics.radiometric import band_statistics, ergas
from hsfusion.models.metrics.spectral import sam, sam_map
from hsfusion.models.metrics.structural import GAUSSIAN_11, ssim_bands, uiqi_bands

RATIO = 4.0


def pair(bands: int = 5, rows: int = 64, cols: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth positive cube in reflectance x 10000 and a noisy, slightly biased copy, float64."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols]
    waves = [np.sin(x / (5 + band)) * np.cos(y / (9 - band % 5)) for band in range(bands)]
    reference = 2500 + 900 * np.stack(waves) + random.normal(0, 100, (bands, rows, cols))
    return reference, reference * 1.01 + random.normal(0, 60, reference.shape)


def last(cube: np.ndarray) -> np.ndarray:
    """(L, H, W) -> (H, W, L), the layout of sewar and scikit-image."""
    return np.ascontiguousarray(np.moveaxis(cube, 0, -1))


def as_batch(cube: np.ndarray):
    torch = pytest.importorskip("torch")
    return torch.from_numpy(np.ascontiguousarray(cube))[None]


def test_psnr_agrees_with_scikit_image():
    skimage = pytest.importorskip("skimage.metrics")
    x, y = pair()
    scores = evaluate(x, y, RATIO)
    assert scores.peak == x.max()
    assert pytest.approx(skimage.peak_signal_noise_ratio(x, y, data_range=x.max()), abs=1e-9) == scores.PSNR
    common = [skimage.peak_signal_noise_ratio(a, b, data_range=x.max()) for a, b in zip(x, y)]
    own = [skimage.peak_signal_noise_ratio(a, b, data_range=a.max()) for a, b in zip(x, y)]
    np.testing.assert_allclose(scores.psnr_bands, common, atol=1e-9)
    np.testing.assert_allclose(scores.psnr_own_peak_bands, own, atol=1e-9)
    assert pytest.approx(np.mean(common), abs=1e-9) == scores.PSNR_BAND_MEAN
    assert pytest.approx(np.mean(own), abs=1e-9) == scores.PSNR_BAND_PEAK


def test_psnr_agrees_with_sewar_and_torchmetrics_only_where_they_are_told_the_peak():
    # sewar takes 1 as the peak of floating-point images and the largest number of the type of integers; papers on CAVE
    # round to 8 bits first (DHIF-Net). Reflectance times 10000 comes out 70 dB too low, or as another number.
    sewar = pytest.importorskip("sewar")
    functional = pytest.importorskip("torchmetrics.functional.image")
    x, y = pair()
    ours = evaluate(x, y, RATIO).PSNR
    assert ours == pytest.approx(sewar.psnr(last(x), last(y), MAX=x.max()), abs=1e-9)
    theirs = functional.peak_signal_noise_ratio(as_batch(y), as_batch(x), data_range=float(x.max()))
    assert ours == pytest.approx(float(theirs), abs=1e-6)
    assert sewar.psnr(last(x), last(y)) == pytest.approx(ours - 20 * np.log10(x.max()), abs=1e-9)
    eight = [np.rint(255 * np.clip(cube / x.max(), 0, 1)) for cube in (x, y)]
    assert abs(evaluate(*eight, RATIO, peak=255).PSNR - ours) > 0.01


def test_cc_agrees_with_numpy_and_scipy_band_by_band():
    stats = pytest.importorskip("scipy.stats")
    x, y = pair()
    scores = evaluate(x, y, RATIO)
    np.testing.assert_allclose(scores.cc_bands, [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(x, y)])
    np.testing.assert_allclose(scores.cc_bands, [stats.pearsonr(a.ravel(), b.ravel())[0] for a, b in zip(x, y)])
    assert pytest.approx(scores.cc_bands.mean()) == scores.CC
    # The correlation of the whole cube at once is another number: that bands differ counts as agreement there.
    levels = np.arange(5)[:, None, None] * 5000
    assert np.corrcoef((x + levels).ravel(), (y + levels).ravel())[0, 1] > scores.CC + 0.002


def test_three_psnr_definitions_differ_on_one_image():
    # One identical image, three published definitions: the reason why the convention is printed with every number.
    x, y = pair()
    x[0] *= 0.1
    y[0] = x[0] + 0.1 * (y[0] - 10 * x[0])
    scores = evaluate(x, y, RATIO)
    assert scores.PSNR_BAND_MEAN > scores.PSNR + 0.5
    assert scores.PSNR_BAND_MEAN > scores.PSNR_BAND_PEAK + 0.5


def test_rmse_agrees_with_sewar():
    sewar = pytest.importorskip("sewar")
    x, y = pair()
    assert pytest.approx(sewar.rmse(last(x), last(y)), rel=1e-12) == evaluate(x, y, RATIO).RMSE


def test_sam_is_in_degrees_where_sewar_and_torchmetrics_give_radians():
    sewar = pytest.importorskip("sewar")
    functional = pytest.importorskip("torchmetrics.functional.image")
    x, y = pair()
    ours = evaluate(x, y, RATIO).SAM
    assert ours == pytest.approx(np.degrees(sewar.sam(last(x), last(y))), abs=1e-6)
    radians = float(functional.spectral_angle_mapper(as_batch(y), as_batch(x)))
    assert ours == pytest.approx(np.degrees(radians), abs=1e-6)
    assert ours != pytest.approx(radians, rel=0.5)


def test_zero_spectra_are_counted_where_torchmetrics_gives_nan():
    functional = pytest.importorskip("torchmetrics.functional.image")
    x, y = pair()
    x[:, 3, 4] = 0
    y[:, 5, 6] = 0
    scores = evaluate(x, y, RATIO)
    assert scores.pixels_zero == 2
    assert np.isfinite(scores.SAM)
    assert np.isnan(scores.sam_map[3, 4]) and np.isnan(scores.sam_map[5, 6])
    assert np.isnan(float(functional.spectral_angle_mapper(as_batch(y), as_batch(x))))
    # sewar >= 0.4.10 leaves them out as we do; the count is what it does not tell.
    sewar = pytest.importorskip("sewar")
    assert pytest.approx(np.degrees(sewar.sam(last(x), last(y))), abs=1e-6) == scores.SAM


def test_ergas_agrees_but_sewar_multiplies_by_r_and_torchmetrics_divides_by_ratio():
    sewar = pytest.importorskip("sewar")
    functional = pytest.importorskip("torchmetrics.functional.image")
    x, y = pair()
    ours = evaluate(x, y, RATIO).ERGAS
    assert ours == pytest.approx(sewar.ergas(last(x), last(y), r=1 / RATIO), rel=1e-9)
    theirs = functional.error_relative_global_dimensionless_synthesis
    assert ours == pytest.approx(float(theirs(as_batch(y), as_batch(x), ratio=RATIO)), rel=1e-9)
    # Swapped arguments are a factor ratio^2 = 16 in either library; torchmetrics' docstring invites exactly this.
    assert sewar.ergas(last(x), last(y), r=RATIO) == pytest.approx(16 * ours, rel=1e-9)
    assert float(theirs(as_batch(y), as_batch(x), ratio=1 / RATIO)) == pytest.approx(16 * ours, rel=1e-9)
    with pytest.raises(HSFusionError, match=r"4, not 0\.25"):
        ergas(band_statistics(x, y), 0.25)


def test_ssim_agrees_with_scikit_image_told_to_use_the_gaussian():
    skimage = pytest.importorskip("skimage.metrics")
    x, y = pair()
    peak = x.max()
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": peak}
    theirs = [skimage.structural_similarity(a, b, **settings) for a, b in zip(x, y)]
    np.testing.assert_allclose(ssim_bands(x, y, peak), theirs, atol=1e-9)
    assert pytest.approx(np.mean(theirs), abs=1e-9) == evaluate(x, y, RATIO).SSIM
    # scikit-image's default is another metric: a 7 x 7 uniform window.
    default = [skimage.structural_similarity(a, b, data_range=peak) for a, b in zip(x, y)]
    assert abs(np.mean(default) - np.mean(theirs)) > 1e-3


def test_ssim_agrees_with_torchmetrics_away_from_the_border():
    # torchmetrics >= 1.2 averages the whole map, five reflected pixels at each edge included; scikit-image and the
    # paper count whole windows only, as we do. The maps agree, the means do not.
    functional = pytest.importorskip("torchmetrics.functional.image")
    x, y = pair()
    mean, image = functional.structural_similarity_index_measure(
        as_batch(y), as_batch(x), data_range=float(x.max()), return_full_image=True
    )
    ours = evaluate(x, y, RATIO).SSIM
    assert ours == pytest.approx(float(image[0, :, 5:-5, 5:-5].mean()), abs=1e-9)
    assert abs(ours - float(mean)) > 1e-4


def test_uiqi_agrees_with_torchmetrics_in_its_gaussian_window():
    functional = pytest.importorskip("torchmetrics.functional.image")
    x, y = pair()
    theirs = float(functional.universal_image_quality_index(as_batch(y), as_batch(x)))
    assert uiqi_bands(x, y, kernel=GAUSSIAN_11).mean() == pytest.approx(theirs, abs=1e-6)


def test_uiqi_is_that_of_the_paper_where_sewar_is_not():
    # Wang and Bovik's formula on every 8 x 8 window. sewar puts window means where the formula has window sums, so its
    # value is off by more than rounding; the comparison fails here should sewar ever be mended.
    sewar = pytest.importorskip("sewar")
    x, y = pair(bands=1, rows=20, cols=24)
    values = []
    for row in range(13):
        for col in range(17):
            a, b = x[0, row : row + 8, col : col + 8], y[0, row : row + 8, col : col + 8]
            covariance = np.mean((a - a.mean()) * (b - b.mean()))
            values.append(
                4 * covariance * a.mean() * b.mean() / ((a.var() + b.var()) * (a.mean() ** 2 + b.mean() ** 2))
            )
    assert uiqi_bands(x, y)[0] == pytest.approx(np.mean(values), abs=1e-9)
    assert abs(sewar.uqi(last(x), last(y)) - np.mean(values)) > 1e-3


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 8, 13])
def test_q2n_agrees_with_sewar_with_bands_padded_to_a_power_of_two(bands):
    sewar = pytest.importorskip("sewar")
    x, y = pair(bands=bands)
    assert q2n(x, y) == pytest.approx(sewar.q2n(last(x), last(y)), abs=1e-9)


def test_q2n_agrees_with_sewar_on_edges_that_need_reflection():
    sewar = pytest.importorskip("sewar")
    x, y = pair(bands=3, rows=70, cols=45)
    assert q2n(x, y) == pytest.approx(sewar.q2n(last(x), last(y)), abs=1e-9)


def test_q2n_padding_is_a_convention_that_counts():
    # Padded bands become a constant 1 in both images and pull the mean term up: 5 bands are not the 5 of 8 alone.
    x, y = pair(bands=5)
    y = y * 1.3
    with_padding = q2n(x, y)
    level_only = []
    for row in range(0, 64, 32):
        for col in range(0, 96, 32):
            a, b = x[:, row : row + 32, col : col + 32], y[:, row : row + 32, col : col + 32]
            m = 1 + (b.mean((1, 2)) - a.mean((1, 2))) / a.std((1, 2), ddof=1)
            plain = 2 * np.sqrt(5 * (m @ m)) / (5 + m @ m)
            padded = 2 * np.sqrt(8 * (m @ m + 3)) / (11 + m @ m)
            level_only.append(padded / plain)
    assert min(level_only) > 1.0
    assert 0 < with_padding < 1


def test_metrics_of_float32_are_those_of_float64():
    x, y = pair(bands=12)
    single = evaluate(x.astype(np.float32), y.astype(np.float32), RATIO).numbers()
    double = evaluate(x.astype(np.float32).astype(float), y.astype(np.float32).astype(float), RATIO).numbers()
    for name, value in double.items():
        assert single[name] == pytest.approx(value, rel=1e-12), name


def test_small_angles_keep_their_digits():
    # arccos of a cosine near 1 loses half of the digits: 1e-9 rad would come out as 0 or 2e-8.
    x = np.array([1.0, 0.0]).reshape(2, 1, 1)
    y = np.array([1.0, 1e-9]).reshape(2, 1, 1)
    assert sam_map(x, y)[0, 0] == pytest.approx(np.degrees(1e-9), rel=1e-9)
    assert sam(x, x).mean == 0
