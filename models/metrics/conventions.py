"""What each number means: name -> (title, unit, better direction, convention in one sentence)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Convention:
    """title and unit for a table, better: "high" or "low", text: the definition in one sentence."""

    title: str
    unit: str
    better: str
    text: str


CONVENTIONS = {
    "PSNR": Convention(
        "PSNR, global", "dB", "high", "10 log10(P² / MSE over all bands and pixels), P = the common peak."
    ),
    "PSNR_BAND_MEAN": Convention(
        "PSNR, band mean, common peak",
        "dB",
        "high",
        "Mean over bands of 10 log10(P² / MSE of the band), P = the common peak.",
    ),
    "PSNR_BAND_PEAK": Convention(
        "PSNR, band mean, own peaks",
        "dB",
        "high",
        "Mean over bands of 10 log10(P² / MSE of the band), P = the band's own reference maximum.",
    ),
    "RMSE": Convention(
        "RMSE", "native", "low", "Root of the mean squared error over all bands and pixels, in the raster's units."
    ),
    "SAM": Convention(
        "SAM",
        "°",
        "low",
        "Mean over pixels of the angle between the two spectra, in degrees; zero spectra excluded and counted.",
    ),
    "ERGAS": Convention(
        "ERGAS",
        "",
        "low",
        "100 / ratio × root of the band mean of (RMSE / reference mean)², ratio = HSI pixel / MSI pixel (> 1), Wald "
        "2000.",
    ),
    "SSIM": Convention(
        "SSIM",
        "",
        "high",
        "Band mean; 11 × 11 Gaussian window of σ 1.5, data range = the common peak, whole windows only, Wang et al. "
        "2004.",
    ),
    "Q2N": Convention(
        "Q2n",
        "",
        "high",
        "Mean over disjoint 32 × 32 blocks, edges reflected, bands padded to a power of two, Garzelli and Nencini "
        "2009.",
    ),
    "CC": Convention("CC", "", "high", "Mean over bands of the Pearson correlation; constant bands left out."),
    "UIQI": Convention("UIQI", "", "high", "Band mean; sliding 8 × 8 uniform window, Wang and Bovik 2002."),
    "SAM_BRIGHT": Convention(
        "SAM, brighter pixels",
        "°",
        "low",
        "SAM over the 90 % of pixels with the largest reference norm: water and shadow left out.",
    ),
}
