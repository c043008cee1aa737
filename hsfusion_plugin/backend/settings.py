"""The backend's settings: environment variables over QGIS's settings over defaults. Usable outside QGIS, where there
are only the former.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...models.errors import HSFusionError
from .models_store.places import fetched_models

PLUGIN_FOLDER = Path(__file__).resolve().parents[2]  # the real folder, also when a profile only links to it
BUNDLED_MODELS = PLUGIN_FOLDER / "resources" / "models"
GROUP = "hsfusion"
KINDS = ("auto", "local", "remote")
REPLIES = ("full", "half")
SAVED = ("backend", "python", "endpoint", "authcfg", "device", "models", "memory", "work", "replies")


@dataclass(frozen=True)
class Settings:
    """Where and how tiles are worked on. Empty text means: not set.

    memory: bytes that a job may plan with, 0 = what is free; work: folder for finished tiles of runs under way, "" =
    the user's cache, "off" = none; replies: "half" lets a server send FP16.
    """

    backend: str = "auto"
    python: str = ""
    endpoint: str = ""
    token: str = field(default="", repr=False)
    device: str = "auto"
    models: tuple[Path, ...] = ()
    memory: int = 0
    work: str = ""
    replies: str = "full"

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """The settings now in force; HSFusionError if one of them has a value that it cannot have."""
        environment = os.environ if environment is None else environment
        saved = _qgis_values()

        def value(name: str) -> str:
            return (environment.get(f"HSFUSION_{name.upper()}") or saved.get(name, "")).strip()

        backend = value("backend") or "auto"
        if backend not in KINDS:
            raise HSFusionError(f"HSFUSION_BACKEND is '{backend}': it must be one of {', '.join(KINDS)}.")
        replies = value("replies") or "full"
        if replies not in REPLIES:
            raise HSFusionError(f"HSFUSION_REPLIES is '{replies}': it must be one of {', '.join(REPLIES)}.")
        return cls(
            backend=backend,
            python=value("python"),
            endpoint=value("endpoint"),
            token=token_of(saved.get("authcfg", ""), environment),
            device=value("device") or "auto",
            models=model_folders(environment),
            memory=memory_budget(environment),
            work=value("work"),
            replies=replies,
        )

    @property
    def model_places(self) -> list[Path]:
        """All folders (or files) of models on this machine, the user's before the bundled ones."""
        return [*self.own_places, BUNDLED_MODELS]

    @property
    def own_places(self) -> list[Path]:
        """The user's folders (or files) of models, those that were fetched last."""
        return [*self.models, *(place for place in [fetched_models()] if place.is_dir())]


def model_folders(environment: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The user's own model folders (or files); touches no secret, so it may be asked at any time."""
    environment = os.environ if environment is None else environment
    text = environment.get("HSFUSION_MODELS") or _qgis_values().get("models", "")
    return tuple(_at_home(part) for part in text.split(os.pathsep) if part.strip())


def _at_home(part: str) -> Path:
    """A path with `~` as the home folder; as it is where that is nobody's, so that it will simply not be found."""
    try:
        return Path(part).expanduser()
    except RuntimeError:
        return Path(part)


def memory_budget(environment: Mapping[str, str] | None = None) -> int:
    """The bytes that a job may plan with, 0 = no limit of the user's; HSFusionError where HSFUSION_MEMORY is no number
    of GB.
    """
    environment = os.environ if environment is None else environment
    text = (environment.get("HSFUSION_MEMORY") or _qgis_values().get("memory", "")).strip()
    try:
        gigabytes = float(text or 0)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < 1e6:
        raise HSFusionError(f"HSFUSION_MEMORY is '{text}': give a number of GB, such as 8, or leave it out.")
    return int(gigabytes * 1e9)


def saved_values() -> Mapping[str, str]:
    """What the options page keeps, by name, without the environment's variables; empty outside QGIS."""
    return _qgis_values()


def save(**values: str) -> None:
    """Keep values for the options page and later runs; empty text forgets one. Only inside QGIS."""
    from qgis.core import QgsSettings

    settings = QgsSettings()
    for name, value in values.items():
        if name not in SAVED:
            raise ValueError(f"{name} is not a setting of HSFusion")
        if value:
            settings.setValue(f"{GROUP}/{name}", value)
        else:
            settings.remove(f"{GROUP}/{name}")
    settings.sync()


def overridden(name: str, environment: Mapping[str, str] | None = None) -> str | None:
    """The environment variable that wins over the saved value of this name; None if there is none."""
    environment = os.environ if environment is None else environment
    variable = "HSFUSION_TOKEN" if name == "authcfg" else f"HSFUSION_{name.upper()}"
    return variable if environment.get(variable) else None


def _qgis_values() -> Mapping[str, str]:
    """What the options page keeps; the token is not among it, secrets are kept by QGIS's authentication manager."""
    try:
        from qgis.core import QgsSettings
    except ImportError:
        return {}
    settings = QgsSettings()
    return {name: str(settings.value(f"{GROUP}/{name}", "") or "") for name in SAVED}


def token_of(authcfg: str, environment: Mapping[str, str] | None = None) -> str:
    """The token that would be sent with this authentication configuration: HSFUSION_TOKEN wins; empty text if there is
    none.
    """
    environment = os.environ if environment is None else environment
    return environment.get("HSFUSION_TOKEN", "").strip() or _qgis_token(authcfg)


def _qgis_token(authcfg: str) -> str:
    """The secret of an authentication configuration: the password of a Basic one, the Authorization header of an
    API-header one.
    """
    if not authcfg:
        return ""
    from qgis.core import QgsApplication, QgsAuthMethodConfig

    config = QgsAuthMethodConfig()
    loaded = QgsApplication.authManager().loadAuthenticationConfig(authcfg, config, True)
    done, config = loaded if isinstance(loaded, tuple) else (loaded, config)
    if not done:
        raise HSFusionError(
            f"The authentication configuration '{authcfg}' of the HSFusion options cannot be opened: enter QGIS's "
            "master password or set HSFUSION_TOKEN."
        )
    secret = config.config("password") or config.config("Authorization") or config.config("token")
    return secret[7:] if secret.lower().startswith("bearer ") else secret
