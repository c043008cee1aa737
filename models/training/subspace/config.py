"""The training configuration: one YAML file, every key checked by name before anything runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ...errors import HSFusionError
from ..fields import build, nested
from ..full_band.config import FullBandConfig, check_full_band

POSITIVE = (
    "components", "width", "depth", "patch", "batch", "steps", "learning_rate", "gradient_clip", "huber", "diffusion_steps",  # noqa: E501
    "default_steps", "draws_per_chunk", "patches_per_draw", "reuse", "window",
)  # fmt: skip


@nested
@dataclass(frozen=True)
class Sensors:
    """The random sensor pairs that training draws; ranges are [low, high]."""

    ratios: tuple[float, ...] = (2, 2.5, 3, 4, 5, 6, 8)
    fwhm: tuple[float, float] = (0.7, 2.1)
    fwhm_error: tuple[float, float] = (0.02, 0.12)
    fwhm_error_share: float = 0.3
    msi_bands: tuple[int, int] = (1, 10)
    panchromatic_share: float = 0.12
    visible_only_share: float = 0.4
    mismatch_share: float = 0.0
    clean_share: float = 0.25
    snr_db: tuple[float, float] = (21.0, 50.0)
    noisy_reference_share: float = 0.0
    reference_snr_db: tuple[float, float] = (25.0, 45.0)


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides which weights come out; `minutes` and `threads` of the machine are not in it."""

    name: str
    scenes: tuple[str, ...]
    held_out: tuple[str, ...] = ()
    components: int = 8
    width: int = 64
    depth: int = 2
    patch: int = 48
    batch: int = 24
    steps: int = 20000
    learning_rate: float = 1e-3
    warmup: int = 300
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema: float = 0.998
    huber: float = 3.0
    error_head_weight: float = 0.05
    terminal_share: float = 0.7
    synthetic_share: float = 0.0
    gains_share: float = 0.0
    diffusion_steps: int = 1000
    default_steps: int = 1
    draws_per_chunk: int = 48
    patches_per_draw: int = 3
    reuse: float = 2.5
    window: int = 40
    seed: int = 0
    bf16: bool = True
    licence: str = "CC-BY-4.0"
    sensors: Sensors = field(default_factory=Sensors)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the model card repeats them."""
        return asdict(self)


def load_config(path: Path | str) -> TrainingConfig | FullBandConfig:
    """Read and check a YAML file; a key `architecture` makes it one of a full-band model. HSFusionError names the key
    that is wrong.
    """
    try:
        plain = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise HSFusionError(f"The configuration {path} cannot be read: {error}") from error
    if not isinstance(plain, dict):
        raise HSFusionError(f"The configuration {path} must be a YAML mapping of keys to values.")
    if "architecture" in plain:
        return check_full_band(build(FullBandConfig, plain))
    config = build(TrainingConfig, plain)
    for key in POSITIVE:
        if not getattr(config, key) > 0:
            raise HSFusionError(
                f"The configuration's key {key} must be larger than 0, but it is {getattr(config, key)}."
            )
    for key, share in (
        ("terminal_share", config.terminal_share),
        ("synthetic_share", config.synthetic_share),
        ("gains_share", config.gains_share),
        *((k, v) for k, v in vars(config.sensors).items() if k.endswith("_share")),
    ):
        if not 0 <= share <= 1:
            raise HSFusionError(f"The configuration's key {key} must be between 0 and 1, but it is {share}.")
    if config.patch % 8:
        raise HSFusionError(f"The configuration's key patch must be a multiple of 8, but it is {config.patch}.")
    if not config.scenes:
        raise HSFusionError("The configuration's key scenes must name at least one scene.")
    both = set(config.scenes) & set(config.held_out)
    if both:
        raise HSFusionError(
            f"The configuration's key held_out names {sorted(both)[0]}, which is also a training scene."
        )
    return config
