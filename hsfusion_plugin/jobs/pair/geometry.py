"""PSF and shift of the pair's HSI: what the user gives is taken, the rest is estimated where the pair can tell, else nominal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ....models.observation import Sampling
from ....models.scene.block import Block, middle
from ....models.scene.sensors.registration import LARGEST_DRIFT, LARGEST_SHIFT, Estimate, Registration, register
from ....models.scene.sensors.response import NOMINAL_FWHM
from ....models.scene.sensors.shift_trend import Trend, find_trend
from ..request import PairRequest

ENOUGH = 72  # coarse pixels per axis of a whole scene that are compared: more take time and tell nothing new
PARTS = 5  # of several blocks every fifth is compared


@dataclass(frozen=True)
class Geometry:
    """sampling: what is used, the phase of the grids included; shift (y, x): MSI pixels, without the phase.

    psf_source: "given", "estimated" or "nominal"; shift_source: a phrase for reports; registration: the estimates with their intervals.
    """

    sampling: Sampling
    shift: tuple[float, float]
    psf_source: str
    shift_source: str
    registration: Registration
    warnings: list[str]


def first_sampling(ratio: float, phase: tuple[float, float], request: PairRequest) -> Sampling:
    """What is known before anything is estimated: given widths or the nominal one, the grids' phase (y, x) and given shifts."""
    return Sampling(
        ratio,
        request.psf_fwhm_y or request.psf_fwhm or NOMINAL_FWHM,
        request.psf_fwhm or NOMINAL_FWHM,
        phase[0] + (request.shift_y or 0.0),
        phase[1] + (request.shift_x or 0.0),
    )


def find_geometry(
    blocks: list[Block], start: Sampling, request: PairRequest, check: Callable[[], None] = lambda: None
) -> Geometry:
    """Estimate what the request leaves open of `first_sampling`; a width given for columns alone holds for rows too."""
    fit_x = request.psf_fwhm is None
    fit_y = fit_x and request.psf_fwhm_y is None
    open_y, open_x = request.shift_y is None, request.shift_x is None
    parts = [middle(block, ENOUGH, start) for block in blocks] if len(blocks) == 1 else blocks[::PARTS]
    found = register(parts, start, (fit_y, fit_x), (open_y, open_x), check)
    told = found.shift_y.determined and found.shift_x.determined
    # One shift for all may not be found just because there is none: then parts of the scene are asked for theirs.
    trend = find_trend(parts, start, check) if open_y and open_x and not told and found.beyond is None else None
    if trend is not None:  # the widths are smeared by it
        found = replace(found, fwhm_y=_nominal(found.fwhm_y, start.fwhm_y), fwhm_x=_nominal(found.fwhm_x, start.fwhm_x))
    sampling, warnings = found.applied(start), []
    shift = (
        sampling.shift_y - start.shift_y + (request.shift_y or 0.0),
        sampling.shift_x - start.shift_x + (request.shift_x or 0.0),
    )
    known = found.fwhm_x.determined and found.fwhm_y.determined
    if not known:
        warnings.append(
            f"The PSF's width cannot be told from this pair; the nominal {NOMINAL_FWHM:g} HSI pixel is used: give PSF_FWHM if you know better."
        )
    if found.beyond is not None:
        warnings.append(beyond_sentence(found.beyond))
    elif trend is not None:
        warnings.append(trend_sentence(trend))
    elif not told:
        warnings.append(
            "A shift between the rasters cannot be told from this pair and is taken as 0: give SHIFT_X and SHIFT_Y if there is one."
        )
    if found.drift > LARGEST_DRIFT:
        warnings.append(
            f"The shift between the rasters changes by {found.drift:.1f} MSI pixels from the middle of the scene to a corner, as rotation or "
            "another scale does, and only its mean is corrected: register the two rasters first."
        )
    source = "estimated" if (fit_y or fit_x) and known else "nominal" if fit_y or fit_x else "given"
    return Geometry(sampling, shift, source, _shift_source(found, shift, open_y, open_x), found, warnings)


def beyond_sentence(shift: tuple[float, float]) -> str:
    """What to do about a shift (y, x) that is not corrected."""
    return (
        f"The HSI's content seems to lie {_way(shift[1], 'east', 'west')} and {_way(shift[0], 'south', 'north')} of where its grid says, "
        f"and no more than {LARGEST_SHIFT:g} MSI pixels are corrected: register the two rasters first, or give SHIFT_X and SHIFT_Y."
    )


def _nominal(found: Estimate, value: float) -> Estimate:
    return replace(found, value=value, determined=False) if found.fitted else found


def trend_sentence(trend: Trend) -> str:
    """What to do about a rotation or another scale between the images."""
    ways = []
    if abs(trend.turn) > 0.05:
        ways.append(f"turned by {abs(trend.turn):.2g} degrees")
    if abs(trend.scale - 1) > 0.002:
        ways.append(f"stretched by a factor of {trend.scale:.3g}")
    how = " and ".join(ways) or "distorted"
    return (
        f"The HSI's content is {how} against where its grid says, up to {trend.drift:.1f} MSI pixels in the corners, which is not corrected and "
        "softens the result: register the two rasters first."
    )


def _way(pixels: float, forward: str, back: str) -> str:
    return f"{abs(pixels):.1f} MSI pixels {forward if pixels >= 0 else back}"


def _shift_source(found: Registration, shift: tuple[float, float], open_y: bool, open_x: bool) -> str:
    if not (open_y or open_x):
        return "given"
    if found.beyond is not None:
        return "too far off to be corrected"
    if not (found.shift_y.determined and found.shift_x.determined):
        return "not determined, taken as 0"
    if shift == (0.0, 0.0):
        error = max(found.shift_y.error, found.shift_x.error)
        return f"estimated as none, to about {max(error, 0.01):.2f}"
    return f"estimated, to about {found.shift_x.error:.2f} and {found.shift_y.error:.2f}"
