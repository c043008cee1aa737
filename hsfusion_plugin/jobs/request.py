"""What a user asks for, as plain values: no QGIS object leaves the algorithms."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

Extent = tuple[float, float, float, float]
MINUTES = 5.0  # for the training of a method on its scene
CLASSICAL_ONLY = ("method", "denoise")
DIFFUSION_ONLY = (
    "model",
    "model_file",
    "consistency",
    "guard",
    "steps",
    "samples",
    "seed",
    "sampler",
    "backend",
    "tile_size",
    "uncertainty",
    "ensemble",
    "interpolate_bands",
    "minutes",
)


@dataclass(frozen=True)
class PairRequest:
    """Two rasters of one place, and what the user knows of their sensors: all that opening and estimating a pair reads.

    Rasters and files are paths or GDAL strings; None = left out. `extent` is (xmin, ymin, xmax, ymax) in the MSI's CRS.
    PSF widths in HSI pixels and shifts in MSI pixels; None = estimate from the pair. msi_gsd: one pixel size per MSI
    band, separated by commas. registration: "auto" (shift, rotation, scale and local field), "shift" (one shift for
    all) or "none" (what SHIFT_X and SHIFT_Y say, else no shift). light, defects: "auto" or "none". A job's own request
    adds its fields; they are the parameters of its algorithm.
    """

    hsi: str
    msi: str
    mask: str | None = None
    extent: Extent | None = None
    sensor: str = "estimate"
    srf_file: str | None = None
    msi_gsd: str | None = None
    psf_fwhm: float | None = None
    psf_fwhm_y: float | None = None
    shift_x: float | None = None
    shift_y: float | None = None
    registration: str = "auto"
    light: str = "auto"
    defects: str = "auto"

    def left_out(self) -> tuple[str, ...]:
        """Fields that the algorithm has no parameter for."""
        return ()

    def parameters(self) -> dict[str, Any]:
        """The algorithm's parameters under their public names, for provenance."""
        plain = {name.upper(): value for name, value in asdict(self).items() if name not in self.left_out()}
        if self.extent is not None:
            xmin, ymin, xmax, ymax = self.extent
            plain["EXTENT"] = f"{xmin:.12g},{xmax:.12g},{ymin:.12g},{ymax:.12g}"  # QGIS's order
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


@dataclass(frozen=True)
class ModelRequest(PairRequest):
    """A pair, and how a model of the backend is to work on it; steps and samples: 0 = as the model's card says."""

    model: str = "auto"
    model_file: str | None = None
    consistency: bool = True
    steps: int = 0
    samples: int = 0
    seed: int = 0
    sampler: str = "auto"
    backend: str = "auto"
    interpolate_bands: bool = False
    uncertainty: str | None = None

    @property
    def drawn_by(self) -> str:
        """The sampler of a subspace model or closed form: `auto` is the Gaussian law of the errors, or diffusion where
        its STEPS are given.
        """
        if self.sampler != "auto":
            return self.sampler
        return "diffusion" if self.steps else "gaussian"


@dataclass(frozen=True)
class FusionRequest(ModelRequest):
    """One fusion by `hsfusion:fuse` or, where `method` is given, by `hsfusion:fuseclassical`."""

    output: str = ""
    method: str | None = None
    denoise: bool = False
    guard: bool = True
    minutes: float = MINUTES
    tile_size: int = 0
    options: str = ""
    data_type: str = "Float32"
    quality: str | None = None
    ensemble: str | None = None
    report: str | None = None

    @property
    def algorithm(self) -> str:
        """The algorithm that takes these parameters."""
        return "fuse" if self.method is None else "fuseclassical"

    def left_out(self) -> tuple[str, ...]:
        return CLASSICAL_ONLY if self.method is None else DIFFUSION_ONLY


@dataclass(frozen=True)
class SimulationRequest:
    """One simulated pair; the fields are the parameters of `hsfusion:simulate`.

    `psf_fwhm` in HSI pixels, shifts in MSI pixels, SNR in dB per band (0 = no noise).
    """

    reference: str
    output_hsi: str
    output_msi: str
    ratio: float = 4.0
    psf: str = "gaussian"
    psf_fwhm: float = 1.0
    sensor: str = "Sentinel-2A"
    srf_file: str | None = None
    snr_hsi: float = 35.0
    snr_msi: float = 40.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    seed: int = 0

    def parameters(self) -> dict[str, Any]:
        """The parameters under their public names, for provenance."""
        return {name.upper(): value for name, value in asdict(self).items()}
