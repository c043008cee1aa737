"""BANDS and MASK_CLASSES as users write them."""

from __future__ import annotations

import re

from .....models.errors import HSFusionError
from ..reading.product import DEFAULT_CLASSES, Layer, Product

_RANGE = re.compile(r"(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)(?:\s*nm)?")


def selected_bands(image: Layer, text: str) -> list[int]:
    """Band numbers from 0, in the image's order: `all`, `good`, ranges in nm ("450-900, 1500-1700"), names ("B02,
    B03"), or several of these.

    HSFusionError for a word that fits no band.
    """
    words = [word.strip() for word in re.split(r"[,;]", text or "all") if word.strip()] or ["all"]
    chosen: set[int] = set()
    for word in words:
        found = _of_word(image, word)
        if not found:
            names = [band.description for band in image.bands]
            known = ", ".join(names if len(names) <= 16 else [*names[:8], "...", names[-1]])
            raise HSFusionError(
                f"BANDS: '{word}' fits no band; give all, good, a range in nanometres such as 450-900, or names of: "
                f"{known}."
            )
        chosen.update(found)
    return sorted(chosen)


def masked_classes(product: Product, text: str) -> list[str]:
    """Names of the quality classes to mask: `default`, `none`, or names; HSFusionError for a name that is no class.

    `fill` is known of every product. A class of the default that the product does not tell of is left out.
    """
    words = [word.strip().lower() for word in re.split(r"[,;]", text or "default") if word.strip()] or ["default"]
    known = {"fill", *product.classes}
    chosen: list[str] = []
    for word in words:
        if word == "none":
            continue
        names = [name for name in DEFAULT_CLASSES if name in known] if word == "default" else [word]
        if word != "default" and word not in known:
            if word in DEFAULT_CLASSES:
                continue
            raise HSFusionError(
                f"MASK_CLASSES: '{word}' is no quality class of {product.family}; choose of: default, none, "
                f"{', '.join(sorted(known))}."
            )
        chosen += [name for name in names if name not in chosen]
    return chosen


def _of_word(image: Layer, word: str) -> list[int]:
    if word.lower() == "all":
        return list(range(len(image.bands)))
    if word.lower() == "good":
        return [i for i, band in enumerate(image.bands) if not band.bad]
    named = [i for i, band in enumerate(image.bands) if band.description.lower() == word.lower()]
    span = _RANGE.fullmatch(word)
    if named or not span:
        return named
    low, high = sorted(float(number) for number in span.groups())
    return [i for i, band in enumerate(image.bands) if band.wavelength_nm and low <= band.wavelength_nm <= high]
