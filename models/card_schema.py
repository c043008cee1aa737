"""What a model card may say: one schema for the plugin, which has no packages for that, and for the backend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable

Check = Callable[[Any], str]
"""What is wrong with a value, as the end of a sentence; empty if nothing is."""

REQUIRED = ("name", "architecture", "spectral_mode")
NEEDED = {
    "subspace": ("components", "settings", "schedule", "default_steps"),
    "full-band": ("bands", "msi_bands", "window", "overlap", "settings", "schedule", "default_steps", "objective"),
}
"""Spectral mode -> what a card of it must say beside REQUIRED."""

MOST_COMPONENTS = 256
MOST_BANDS = 4096
MOST_CHANNELS = 4096  # of any number among the network's settings, but ...
MOST_REPEATS = 64  # ... for those that say how often a part of it is repeated
_REPEATED = ("depth", "layers", "blocks", "heads")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def problem(card: Any) -> str:
    """What is wrong with a card, as the end of a sentence; empty if nothing is."""
    if not isinstance(card, dict):
        return "is no object"
    missing = [key for key in (*REQUIRED, *NEEDED.get(str(card.get("spectral_mode")), ())) if key not in card]
    if missing:
        return f"lacks {', '.join(missing)}"
    for key, check in FIELDS.items():
        if key in card:
            wrong = check(card[key])
            if wrong:
                return f"has a {key} that {wrong}"
    settings = card.get("settings") or {}
    if card["spectral_mode"] == "subspace" and settings.get("components", card["components"]) != card["components"]:
        return "has components that are not those of its settings"
    if card["spectral_mode"] == "full-band":
        if not isinstance(card["msi_bands"], int):
            return "has a msi_bands that must be one number"
        if card["overlap"] >= card["window"]:
            return "has an overlap that is not smaller than its window"
    return ""


def _number(least: float, most: float, kind: tuple[type, ...] = (int, float)) -> Check:
    what = "an integer" if kind == (int,) else "a number"

    def check(value: Any) -> str:
        good = isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most
        return "" if good else f"must be {what} from {least:g} to {most:g}"

    return check


def _integer(least: int, most: int) -> Check:
    return _number(least, most, (int,))


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _name(value: Any) -> str:
    return "" if isinstance(value, str) and _NAME.fullmatch(value) else "must be letters, digits, '.', '_', '+' and '-'"


def _line(value: Any) -> str:
    good = isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()
    return "" if good else "must be a text of one line"


def _text(value: Any) -> str:
    return "" if value is None or (isinstance(value, str) and len(value) <= 2000) else "must be a text"


def _pair(one: Check) -> Check:
    def check(value: Any) -> str:
        if not (isinstance(value, list) and len(value) == 2):
            return "must be two numbers"
        return one(value[0]) or one(value[1]) or ("" if value[0] <= value[1] else "must be two numbers in order")

    return check


def _list(one: Check, most: int) -> Check:
    def check(value: Any) -> str:
        if not (isinstance(value, list) and len(value) <= most):
            return f"must be a list of at most {most}"
        return next((wrong for wrong in map(one, value) if wrong), "")

    return check


def _either(one: Check, other: Check) -> Check:
    return lambda value: one(value) and other(value)


def _object(value: Any) -> str:
    return "" if isinstance(value, dict) else "must be an object"


def _settings(value: Any) -> str:
    """Of a network: numbers that make layers, or lists of them; no size is negative or without a bound."""
    if not isinstance(value, dict):
        return "must be an object"
    for name, setting in value.items():
        parts = setting if isinstance(setting, list) else [setting]
        most = MOST_REPEATS if name in _REPEATED or isinstance(setting, list) else MOST_CHANNELS
        if len(parts) > MOST_REPEATS:
            return f"must have lists of at most {MOST_REPEATS}"
        for part in parts:
            if isinstance(part, (int, float)) and not isinstance(part, bool) and not 0 <= part <= most:
                return f"must be numbers from 0 to {most}, and {name} is {part:g}"
            if not isinstance(part, (int, float, str, bool)) and part is not None:
                return "must be numbers, texts and lists of them"
    return ""


def _schedule(value: Any) -> str:
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return "must be an object with a kind"
    checks: Mapping[str, Check] = {"steps": _integer(1, 100_000), "zero_terminal": _flag}
    for key, setting in value.items():
        wrong = checks.get(key, _number(-1e9, 1e9))(setting) if key != "kind" else ""
        if wrong:
            return f"has a {key} that {wrong}"
    return ""


_POSITIVE = _number(1e-9, 1e9)
FIELDS: Mapping[str, Check] = {
    "name": _line,
    "architecture": _name,
    "spectral_mode": _name,
    "components": _integer(1, MOST_COMPONENTS),
    "bands": _integer(1, MOST_BANDS),
    "msi_bands": _either(_integer(1, MOST_BANDS), _pair(_integer(1, MOST_BANDS))),
    "window": _integer(4, 4096),
    "overlap": _integer(0, 4096),
    "settings": _settings,
    "schedule": _schedule,
    "default_steps": _integer(1, 10_000),
    "objective": _text,
    "halo": _integer(0, 4096),
    "tile_multiple": _integer(1, 1024),
    "tile_invariant": _flag,
    "error_scale": _POSITIVE,
    "ratios": _pair(_number(1.0, 1000.0)),
    "fwhm": _pair(_number(0.0, 100.0)),
    "snr_db": _pair(_number(-100.0, 300.0)),
    "wavelengths": _list(_number(0.0, 1e6), MOST_BANDS),
    "msi_centres": _list(_number(0.0, 1e6), MOST_BANDS),
    "psf": _name,
    "residual": _flag,
    "residual_scale": _POSITIVE,
    "scale_input": _flag,
    "normalisation": _either(_text, _object),
    "licence": _text,
    "note": _text,
    "code_version": _text,
    "training": _object,
    "terms": _object,
    "adaptation": _object,
    "benchmark": _object,
    "scores": _object,
}
"""What these keys hold wherever they occur; other keys are for people, and plain values by the way they are read."""
