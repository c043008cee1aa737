"""The configuration of a full-band model, the papers' own form: which network, which scenes and sensors, how it is
trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...diffusion.losses import LOSSES
from ...diffusion.objectives import DENOISERS
from ...diffusion.schedules import from_card
from ...errors import HSFusionError
from ...observation import Sampling
from ...observation.response import Sensor, load_sensors
from ...scene.pixels.scaling import NORMALISATIONS, PER_BAND
from ...wire.full_band import SAMPLERS
from ..fields import nested, require

SENSORS = Path(__file__).resolve().parents[3] / "resources" / "sensors.csv"
ARCHITECTURES = ("ddpm-fus", "hsr-diff", "ddrf")
THREE_TERMS = "three-term"
PANCOLLECTION = "pancollection"
LAYOUTS = ("", PANCOLLECTION)
ONE_SHOT = {"kind": "zero-terminal-cosine", "steps": 1}


@nested
@dataclass(frozen=True)
class Source:
    """A reference image: a file in the data folder (its suffix may be left out), or a folder of single-band images.

    variable: the array of a .mat or HDF5 file; rows, cols: the part to use, in pixels. msi: a real image of the same
    place, on the reference's grid or finer by the ratio; without one the MSI is simulated. full_resolution: no
    reference; the pair is fused as it is. layout: `pancollection` for an HDF5 file of many pairs in that collection's
    arrays.
    """

    shorthand: ClassVar[str] = "file"
    file: str
    variable: str = ""
    rows: tuple[int, int] = ()  # type: ignore[assignment]
    cols: tuple[int, int] = ()  # type: ignore[assignment]
    msi: str = ""
    msi_variable: str = ""
    full_resolution: bool = False
    layout: str = ""

    @property
    def real_msi(self) -> bool:
        """Whether the finer image is a real one."""
        return bool(self.msi or self.layout)


@nested
@dataclass(frozen=True)
class Bands:
    """Band centres and widths in nm: `count` of them evenly from `first` to `last`, the listed ones, or those of a
    sensor of sensors.csv.

    resample: scenes with other bands are brought onto these by Gaussian responses; otherwise a scene must have
    exactly `count` bands.
    """

    count: int = 0
    first: float = 0.0
    last: float = 0.0
    centres: tuple[float, ...] = ()
    widths: tuple[float, ...] = ()
    sensor: str = ""
    names: tuple[str, ...] = ()
    resample: bool = False

    def nanometres(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Centres and widths; HSFusionError naming `key` where they are not given."""
        if self.sensor:
            sensor = _sensors().get(self.sensor)
            require(sensor is not None, f"{key}.sensor", "be a sensor of resources/sensors.csv", self.sensor)
            return _of_sensor(sensor, self.names, key)  # type: ignore[arg-type]
        if self.centres:
            centres = np.array(self.centres, float)
            widths = np.array(self.widths, float) if self.widths else np.full(len(centres), _spacing(centres))
            require(len(widths) == len(centres), f"{key}.widths", f"hold {len(centres)} values", len(widths))
            return centres, widths
        require(self.count > 0, f"{key}.count", "be larger than 0", self.count)
        require(self.last > self.first > 0, f"{key}.last", "be larger than first", self.last)
        centres = np.linspace(self.first, self.last, self.count)
        return centres, np.full(self.count, _spacing(centres))


@nested
@dataclass(frozen=True)
class Observation:
    """How HSI and MSI come from a reference: ratio, PSF, shift (MSI pixels, of the HSI to the south and east), SNR in
    dB (0: no noise).

    noisy_share: that share of the training patches gets noise instead, both images of an SNR drawn between the two
    values of noisy_snr.
    """

    ratio: float = 4.0
    psf: str = "gaussian"
    fwhm: float = 1.0
    shift: float = 0.0
    snr_hsi: float = 0.0
    snr_msi: float = 0.0
    noisy_share: float = 0.0
    noisy_snr: tuple[float, float] = (25.0, 45.0)

    def sampling(self) -> Sampling:
        """The same as the operators want it."""
        return Sampling(self.ratio, self.fwhm, self.fwhm, self.shift, self.shift, self.psf)


@nested
@dataclass(frozen=True)
class Stage:
    """`steps` steps on patches of `size` fine pixels; second_half_only: the first half of the network learns no more
    (HSR-Diff)."""

    size: int
    batch: int
    steps: int
    second_half_only: bool = False


@dataclass(frozen=True)
class FullBandConfig:
    """Everything that decides which weights come out."""

    name: str
    architecture: str
    train: tuple[Source, ...]
    bands: Bands
    msi: Bands
    stages: tuple[Stage, ...]
    test: tuple[Source, ...] = ()
    watch: tuple[Source, ...] = ()  # scored during the run; without them `test` is
    test_snr: tuple[float, ...] = (0.0,)  # dB of both images of the test pairs, 0: no noise
    settings: dict[str, Any] = field(default_factory=dict)
    observation: Observation = field(default_factory=Observation)
    window: int = 0  # 0: the largest patch
    overlap: int = 8
    objective: str = "x0"
    regression: bool = False
    scale_input: bool = False  # the network sees a x_t: nothing at a level without signal (always so for a regression)
    normalisation: str = PER_BAND
    loss: str = "l1"
    residual: bool = False
    residual_scale: float = 1.0
    schedule: dict[str, Any] = field(default_factory=lambda: {"kind": "cosine", "steps": 1000})
    continuous_levels: bool = False
    terminal_share: float = 0.0
    self_condition: float = 0.5
    default_steps: int = 1
    sampler: str = "ddim"
    upper_variance: bool = False  # fresh noise of variance beta_t (HSR-Diff, eq. 6), for the sampler ancestral
    inference_schedule: dict[str, Any] = field(default_factory=dict)  # another one than the training's
    clamp: tuple[float, float] = ()  # type: ignore[assignment]  # of the normalised image, at every sampling step
    optimizer: str = "adamw"
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    warmup: int = 0
    cycle: int = 0  # steps between warm restarts; 0: one cosine over the whole run
    least_rate: float = 0.0
    cooldown: float = (
        0.0  # share of the run at whose end the rate falls in a straight line, and is constant before; 0: cosine
    )
    milestones: tuple[int, ...] = ()
    decay: float = 0.2
    gradient_clip: float = 0.0
    ema: float = 0.999
    flips: bool = True
    jitter: float = 0.0
    validations: int = 10
    seed: int = 0
    bf16: bool = True
    quantile: float = 0.999
    obtain: str = ""
    licence: str = "CC-BY-4.0"
    note: str = ""

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def window_size(self) -> int:
        """Fine pixels of the windows that the trained network is run on."""
        return self.window or max(stage.size for stage in self.stages)

    @property
    def sees_scaled_input(self) -> bool:
        """Whether the network is given a x_t instead of x_t."""
        return self.scale_input or self.regression

    @property
    def level_schedule(self) -> dict[str, Any]:
        """As the card has it; a one-shot regression knows the level without signal only."""
        return ONE_SHOT if self.regression else self.schedule

    def stage(self, step: int) -> Stage:
        """The stage that step number `step` belongs to; the last one beyond the end."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the model card repeats them."""
        return asdict(self)


def check_full_band(config: FullBandConfig) -> FullBandConfig:
    """The configuration itself, if its values go together; HSFusionError names the key that does not."""
    require(
        config.architecture in ARCHITECTURES,
        "architecture",
        f"be one of {', '.join(ARCHITECTURES)}",
        config.architecture,
    )
    require(config.objective in DENOISERS, "objective", f"be one of {', '.join(DENOISERS)}", config.objective)
    require(not config.regression or config.objective == "x0", "objective", "be x0 for a regression", config.objective)
    kinds = ", ".join(NORMALISATIONS)
    require(config.normalisation in NORMALISATIONS, "normalisation", f"be one of {kinds}", config.normalisation)
    losses = (*LOSSES, THREE_TERMS)
    require(config.loss in losses, "loss", f"be one of {', '.join(losses)}", config.loss)
    real = any(source.real_msi for source in config.train)
    require(not (real and config.loss == THREE_TERMS), "loss", "be another one where the MSI is real", config.loss)
    require(config.optimizer in ("adam", "adamw"), "optimizer", "be adam or adamw", config.optimizer)
    require(bool(config.train), "train", "name at least one scene", "empty")
    require(
        not any(s.full_resolution for s in config.train),
        "train",
        "have references: full_resolution is for test",
        "without",
    )
    for key in ("train", "test", "watch"):
        for source in getattr(config, key):
            require(source.layout in LAYOUTS, f"{key}.layout", "be pancollection or be left out", source.layout)
    require(bool(config.stages), "stages", "hold at least one stage", "empty")
    share = config.observation.noisy_share
    require(0 <= share <= 1, "observation.noisy_share", "be between 0 and 1", share)
    require(bool(config.test_snr), "test_snr", "hold at least one value", "empty")
    sampling, ratio = config.observation.sampling(), config.observation.ratio
    for number, stage in enumerate(config.stages):
        key = f"stages[{number}]"
        for name in ("size", "batch", "steps"):
            require(getattr(stage, name) > 0, f"{key}.{name}", "be larger than 0", getattr(stage, name))
        require(
            abs(stage.size / ratio - round(stage.size / ratio)) < 1e-6,
            f"{key}.size",
            f"be a multiple of the ratio {ratio:g}",
            stage.size,
        )
    require(2 * config.overlap <= config.window_size, "overlap", "be at most half of the window", config.overlap)
    for name in ("residual_scale", "learning_rate", "validations", "default_steps"):
        require(getattr(config, name) > 0, name, "be larger than 0", getattr(config, name))
    for name in ("terminal_share", "self_condition", "ema", "quantile", "cooldown", "least_rate"):
        require(0 <= getattr(config, name) <= 1, name, "be between 0 and 1", getattr(config, name))
    if sampling.psf == "block-mean":
        require(
            config.observation.fwhm == 1.0, "observation.fwhm", "be left out for block-mean", config.observation.fwhm
        )
    centres, _ = config.bands.nanometres("bands")
    msi_centres, _ = config.msi.nanometres("msi")
    require(len(msi_centres) < len(centres), "msi", "have fewer bands than the HSI", len(msi_centres))
    require(config.sampler in SAMPLERS, "sampler", f"be one of {', '.join(SAMPLERS)}", config.sampler)
    levels = from_card(config.level_schedule)
    if config.objective == "eps" and float(levels.min()) == 0:
        raise HSFusionError(
            "The configuration's key schedule must keep some signal at its last level for the objective eps."
        )
    most = len(from_card(config.inference_schedule) if config.inference_schedule else levels) - 1
    fits = config.regression or config.default_steps <= most
    require(fits, "default_steps", f"be at most {most}, the steps of the schedule", config.default_steps)
    return config


@lru_cache(maxsize=1)
def _sensors() -> dict[str, Sensor]:
    return load_sensors(SENSORS)


def _of_sensor(sensor: Sensor, names: tuple[str, ...], key: str) -> tuple[np.ndarray, np.ndarray]:
    picks = []
    for name in names or sensor.bands:
        require(name in sensor.bands, f"{key}.names", f"be bands of {sensor.name} ({', '.join(sensor.bands)})", name)
        picks.append(sensor.bands.index(name))
    return sensor.centre_nm[picks], sensor.fwhm_nm[picks]


def _spacing(centres: np.ndarray) -> float:
    return float(np.abs(np.diff(centres)).mean()) if len(centres) > 1 else 100.0
