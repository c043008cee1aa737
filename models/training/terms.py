"""The terms of the scenes that a model was trained on, for its card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

TABLE = Path(__file__).resolve().parents[2] / "resources" / "terms.yaml"
NOT_TOLD = "not told"


@dataclass(frozen=True)
class Terms:
    """What a scene's makers say of its use; bundled: whether weights that come with the plugin may be trained on it."""

    text: str = NOT_TOLD
    bundled: bool = False


def terms_of(scene: str) -> Terms:
    """Of a scene by its file's name without suffix; a part of it ("samson.tif, rows 0-40") has the terms of the
    whole.
    """
    name = Path(scene.split(",")[0]).stem
    for patterns, terms in _table():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return terms
    return Terms()


def with_terms(card: Mapping[str, Any]) -> dict[str, Any]:
    """A card that lists the terms of its scenes."""
    return {**card, "terms": {scene: terms_of(scene).text for scene in scenes_of(card)}}


def not_to_be_bundled(card: Mapping[str, Any]) -> list[str]:
    """The scenes of a card whose terms do not let its weights come with the plugin."""
    return [scene for scene in scenes_of(card) if not terms_of(scene).bundled]


def scenes_of(card: Mapping[str, Any]) -> list[str]:
    """Every scene that weights were trained on or chosen by, also those of the models that they were started from."""
    training = card.get("training") or {}
    found = [*training.get("scenes", ()), *training.get("held_out", ())]
    if training.get("started_from"):
        found += scenes_of(training["started_from"])
    return list(dict.fromkeys(found))


@lru_cache(maxsize=1)
def _table() -> list[tuple[Iterable[str], Terms]]:
    entries = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return [(entry["scenes"], Terms(entry["terms"], entry["bundled"])) for entry in entries]
