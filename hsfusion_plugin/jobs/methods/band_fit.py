"""Whether a full-band model's card fits a pair, and how the pair's bands become the model's and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....models.scene.sensors.spectral_grid import beyond, interpolation
from ...errors import HSFusionError
from ..pair.pair import Pair

RATIO_TOLERANCE = 1e-3
HSI_TOLERANCE_NM = 10.0  # or half the spacing of the model's bands, where that is more
MSI_TOLERANCE_NM = 40.0


@dataclass(frozen=True)
class BandFit:
    """msi_order (l,): the pair's MSI bands in the model's order. msi_to_model (model's l, l): from them, normalised,
    to the model's, None where they are its bands.

    to_model (model's L, L), back (L, model's L): from the pair's HSI bands to the model's and back, None where they
    are the same.
    """

    msi_order: np.ndarray
    to_model: np.ndarray | None = None
    back: np.ndarray | None = None
    interpolated: bool = False
    msi_to_model: np.ndarray | None = None


def fit_bands(name: str, card: Mapping[str, Any], pair: Pair, interpolate: bool) -> tuple[BandFit, list[str]]:
    """How the pair fits a full-band card, and warnings; HSFusionError, in one sentence that says what the model
    wants, where it does not."""
    ratio, msi_count, bands = pair.alignment.ratio, len(pair.msi_bands), len(pair.hsi_bands)
    low, high = card.get("ratios", [1.0, 1e9])
    known = _known(pair.wavelengths)
    trained = _known(card.get("wavelengths"))
    fits = low * (1 - RATIO_TOLERANCE) <= ratio <= high * (1 + RATIO_TOLERANCE)
    msi_to_model = None
    if fits and msi_count == int(card["msi_bands"]):
        msi_order, warnings = _msi_order(name, card, pair)
    else:
        msi_to_model = _msi_interpolation(name, card, pair, interpolate)
        msi_order, warnings = np.arange(msi_count), [_stretched(name, card, pair)]
    orders = _same_bands(bands, known, int(card["bands"]), trained)
    if orders is not None:
        if known is None or trained is None:
            warnings.append(
                f"The HSI has no wavelengths, so its {bands} bands are taken to be those that {name} was trained on."
            )
        if np.array_equal(*orders):
            return BandFit(msi_order, msi_to_model=msi_to_model), warnings
        here, there = orders
        swap = np.zeros((bands, bands))
        swap[there, here] = 1.0
        return BandFit(msi_order, swap, swap.T, msi_to_model=msi_to_model), warnings
    if not interpolate or known is None or trained is None:
        raise HSFusionError(_refusal(name, card, pair, helped=known is not None and trained is not None))
    outside = int(beyond(known, trained).sum())
    held = f"; {outside} bands beyond these take over the detail of the outermost one" if outside else ""
    warnings.append(
        f"INTERPOLATE_BANDS: the pair's {bands} bands were interpolated to the {len(trained)} of {name} "
        f"({trained.min():.0f} to "
        f"{trained.max():.0f} nm) and its detail back to the pair's{held}. The model was not made for this sensor: "
        "compare with hsfusion-base."
    )
    into, back = interpolation(known, trained), interpolation(trained, known)
    return BandFit(msi_order, into, back, True, msi_to_model), warnings


def _msi_interpolation(name: str, card: Mapping[str, Any], pair: Pair, asked: bool) -> np.ndarray:
    """(model's l, l): the model's MSI bands out of the pair's, along wavelength; HSFusionError where that is not
    asked for or cannot be."""
    found = None if pair.msi.wavelengths is None else _known(pair.msi.wavelengths[pair.msi_bands])
    centres = _known(card.get("msi_centres"))
    if not asked or found is None or centres is None or len(centres) != int(card["msi_bands"]):
        raise HSFusionError(_refusal(name, card, pair, helped=found is not None and centres is not None))
    return interpolation(found, centres)


def _stretched(name: str, card: Mapping[str, Any], pair: Pair) -> str:
    low, high = card.get("ratios", [1.0, 1e9])
    ratio = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return (
        f"INTERPOLATE_BANDS: {name} was trained with {_count(int(card['msi_bands']))} and a ratio of {ratio}; this "
        "pair has "
        f"{_count(len(pair.msi_bands))}, interpolated to these along wavelength, and a ratio of "
        f"{pair.alignment.ratio:g}."
    )


def _known(wavelengths: Any) -> np.ndarray | None:
    if wavelengths is None or not len(wavelengths):
        return None
    values = np.asarray(wavelengths, float)
    return values if np.isfinite(values).all() else None


def _same_bands(
    bands: int, known: np.ndarray | None, wanted: int, trained: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Both sensors' bands in order of wavelength if they are the same bands (by number alone where wavelengths are
    unknown), else None."""
    if bands != wanted:
        return None
    if known is None or trained is None or len(trained) != bands:
        return np.arange(bands), np.arange(bands)
    here, there = np.argsort(known, kind="stable"), np.argsort(trained, kind="stable")
    tolerance = max(HSI_TOLERANCE_NM, float(np.median(np.diff(trained[there]))) / 2 if bands > 1 else 0.0)
    return (here, there) if np.abs(known[here] - trained[there]).max() <= tolerance else None


def _msi_order(name: str, card: Mapping[str, Any], pair: Pair) -> tuple[np.ndarray, list[str]]:
    """The MSI's bands in the model's order by wavelength, as they are where that is unknown."""
    count = len(pair.msi_bands)
    found = None if pair.msi.wavelengths is None else _known(pair.msi.wavelengths[pair.msi_bands])
    centres = _known(card.get("msi_centres"))
    if found is None or centres is None or len(centres) != count:
        return np.arange(count), []
    order = np.empty(count, int)
    order[np.argsort(centres, kind="stable")] = np.argsort(found, kind="stable")
    if np.abs(found[order] - centres).max() <= MSI_TOLERANCE_NM:
        return order, []
    return order, [
        f"The model {name} was trained with MSI bands at {_listed(centres)} nm, and this pair's lie at "
        f"{_listed(found)} nm."
    ]


def _refusal(name: str, card: Mapping[str, Any], pair: Pair, helped: bool) -> str:
    low, high = card.get("ratios", [1.0, 1e9])
    ratio = f"a ratio of {low:g}" if low == high else f"a ratio of {low:g} to {high:g}"
    trained, centres = _known(card.get("wavelengths")), _known(card.get("msi_centres"))
    wanted = f"{card['bands']} HSI bands{_range(trained)}, {_count(int(card['msi_bands']))}"
    wanted += f" at {_listed(centres)} nm" if centres is not None else ""
    advice = "choose hsfusion-base, which takes any bands"
    advice += ", or set INTERPOLATE_BANDS to true" if helped else ""
    return (
        f"The model {name} works on the full spectra of one sensor and wants {wanted} and {ratio}, but this pair has "
        f"{len(pair.hsi_bands)} "
        f"HSI bands{_range(_known(pair.wavelengths))}, {_count(len(pair.msi_bands))} and a ratio of "
        f"{pair.alignment.ratio:g}: {advice}."
    )


def _count(bands: int) -> str:
    return f"{bands} MSI band{'s' if bands > 1 else ''}"


def _range(nm: np.ndarray | None) -> str:
    return "" if nm is None else f" from {nm.min():.0f} to {nm.max():.0f} nm"


def _listed(nm: Sequence[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in nm)
