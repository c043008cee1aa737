"""PSF and displacement of the pair's HSI: what the user gives is taken, the rest is estimated where the pair can tell,
else nominal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ....models.errors import HSFusionError
from ....models.listener import SILENT, Listener
from ....models.observation import Sampling
from ....models.scene.block import Block
from ....models.scene.sensors.displacement import Found
from ....models.scene.sensors.displacement.search import ACCEPTED, LARGEST_TURN
from ....models.scene.sensors.placing import Placement, Wanted, place, roomy
from ....models.scene.sensors.registration import LARGEST_DRIFT, LARGEST_SHIFT, Registration
from ....models.scene.sensors.response import NOMINAL_FWHM
from ....models.scene.sensors.shift_trend import Trend
from ..request import PairRequest

SIGNIFICANT = 0.5  # of the held-out misfit, to which a turn or stretch must bring it to be told from anything else
LARGEST_STRETCH = 0.02  # of the HSI's content against its grid, that is corrected


@dataclass(frozen=True)
class Geometry:
    """sampling: what is used, the phase of the grids included; shift (y, x): MSI pixels, without the phase.

    psf_source: "given", "estimated" or "nominal"; shift_source: a phrase for reports; registration: the estimates with
    their intervals; displacement: rotation, scale and local field with what is known of them, None where one shift does
    for all.
    """

    sampling: Sampling
    shift: tuple[float, float]
    psf_source: str
    shift_source: str
    registration: Registration
    warnings: list[str]
    displacement: Found | None = None


def first_sampling(
    ratio: float, phase: tuple[float, float], request: PairRequest, scene_shape: tuple[int, int] = (1, 1)
) -> Sampling:
    """What is known before anything is estimated: given widths or the nominal one, the grids' phase (y, x) and given
    shifts.
    """
    for name, shift in (("SHIFT_X", request.shift_x), ("SHIFT_Y", request.shift_y)):
        if shift is not None and abs(shift) > ACCEPTED * ratio:
            raise HSFusionError(
                f"{name} is {shift:g} MSI pixels, and no more than {ACCEPTED} HSI pixels ({ACCEPTED * ratio:g} MSI "
                "pixels) are corrected: "
                "put the HSI into its place first."
            )
    sampling = Sampling(
        ratio,
        request.psf_fwhm_y or request.psf_fwhm or NOMINAL_FWHM,
        request.psf_fwhm or NOMINAL_FWHM,
        phase[0] + (request.shift_y or 0.0),
        phase[1] + (request.shift_x or 0.0),
    )
    return roomy(sampling, scene_shape)


def find_geometry(
    blocks: list[Block],
    start: Sampling,
    request: PairRequest,
    listener: Listener = SILENT,
    field_blocks: Callable[[Sampling], list[Block]] | None = None,
) -> Geometry:
    """Estimate what the request leaves open of `first_sampling`; a width given for columns alone holds for rows too.

    field_blocks as `models.scene.sensors.placing.place` takes it. HSFusionError names an optimum beyond what is
    corrected.
    """
    fit_x = request.psf_fwhm is None
    fit_y = fit_x and request.psf_fwhm_y is None
    open_y, open_x = request.shift_y is None, request.shift_x is None
    wanted = Wanted((fit_y, fit_x), (open_y, open_x), request.registration)
    placed = place(blocks, start, wanted, field_blocks, listener)
    sampling, found = placed.sampling, placed.registration
    shift = (
        sampling.shift_y - start.shift_y + (request.shift_y or 0.0),
        sampling.shift_x - start.shift_x + (request.shift_x or 0.0),
    )
    _check_limits(placed, shift, start.ratio)
    known = found.fwhm_x.determined and found.fwhm_y.determined
    source = "estimated" if (fit_y or fit_x) and known else "nominal" if fit_y or fit_x else "given"
    sought = (open_y or open_x) and request.registration != "none"
    how = _shift_source(found, shift, sought, request.registration)
    return Geometry(sampling, shift, source, how, found, _warnings(placed, sought), placed.found)


def _warnings(placed: Placement, sought: bool) -> list[str]:
    """What a user should know, and can do something about."""
    found, warnings = placed.registration, []
    if not (found.fwhm_x.determined and found.fwhm_y.determined):
        warnings.append(
            f"The PSF's width cannot be told from this pair; the nominal {NOMINAL_FWHM:g} HSI pixel is used: give "
            "PSF_FWHM if you know better."
        )
    if found.beyond is not None:
        warnings.append(beyond_sentence(found.beyond))
    elif placed.trend is not None:
        warnings.append(trend_sentence(placed.trend))
    elif sought and not (found.shift_y.determined and found.shift_x.determined):
        warnings.append(
            "A shift between the rasters cannot be told from this pair and is taken as 0: give SHIFT_X and SHIFT_Y if "
            "there is one."
        )
    if placed.found is None and found.drift > LARGEST_DRIFT:
        warnings.append(
            f"The shift between the rasters changes by {found.drift:.1f} MSI pixels from the middle of the scene to a "
            "corner, as rotation or "
            "another scale does, and only its mean is corrected: leave REGISTRATION at auto, or register the two "
            "rasters first."
        )
    return warnings


def _check_limits(placed: Placement, shift: tuple[float, float], ratio: float) -> None:
    """HSFusionError where the best place lies at the end of what is searched: what is beyond cannot be known."""
    if max(map(abs, shift)) > ACCEPTED * ratio:
        raise HSFusionError(
            f"The HSI's content lies {_way(shift[1], 'east', 'west')} and {_way(shift[0], 'south', 'north')} of where "
            "its grid says, at the "
            f"limit of the search, and no more than {ACCEPTED} HSI pixels are corrected: put the HSI into its place "
            "first, or set "
            "REGISTRATION to none."
        )
    found = placed.found
    if found is None or not found.free.similarity or placed.sampling.displacement is None:
        return
    if found.held_out[1] > SIGNIFICANT * found.held_out[0]:  # a local field may look like a turn
        return
    turn, scale = placed.sampling.displacement.similarity
    if abs(turn) > LARGEST_TURN:
        raise HSFusionError(
            f"The HSI's content is turned by {turn:.1f} degrees against where its grid says, at the limit of the "
            "search, and no more than "
            f"{LARGEST_TURN:g} degrees are corrected: register the two rasters first, or set REGISTRATION to none."
        )
    if abs(scale - 1.0) > LARGEST_STRETCH:
        raise HSFusionError(
            f"The HSI's content is {scale:.3f} times the size that its grid says, at the limit of the search, and no "
            "more than "
            f"{100 * LARGEST_STRETCH:g} % are corrected: register the two rasters first, or set REGISTRATION to none."
        )


def beyond_sentence(shift: tuple[float, float]) -> str:
    """What to do about a shift (y, x) that is not corrected."""
    return (
        f"The HSI's content seems to lie {_way(shift[1], 'east', 'west')} and {_way(shift[0], 'south', 'north')} of "
        "where its grid says, "
        f"and no more than {LARGEST_SHIFT:g} MSI pixels are corrected: register the two rasters first, or give SHIFT_X "
        "and SHIFT_Y."
    )


def trend_sentence(trend: Trend) -> str:
    """What to do about a rotation or another scale between the images."""
    ways = []
    if abs(trend.turn) > 0.05:
        ways.append(f"turned by {abs(trend.turn):.2g} degrees")
    if abs(trend.scale - 1) > 0.002:
        ways.append(f"stretched by a factor of {trend.scale:.3g}")
    how = " and ".join(ways) or "distorted"
    return (
        f"The HSI's content is {how} against where its grid says, up to {trend.drift:.1f} MSI pixels in the corners, "
        "which is not corrected and "
        "softens the result: register the two rasters first."
    )


def _way(pixels: float, forward: str, back: str) -> str:
    return f"{abs(pixels):.1f} MSI pixels {forward if pixels >= 0 else back}"


def _shift_source(found: Registration, shift: tuple[float, float], sought: bool, how: str) -> str:
    if not sought:
        return "none, as REGISTRATION says" if how == "none" and shift == (0.0, 0.0) else "given"
    if found.beyond is not None:
        return "too far off to be corrected"
    if not (found.shift_y.determined and found.shift_x.determined):
        return "not determined, taken as 0"
    if shift == (0.0, 0.0):
        error = max(found.shift_y.error, found.shift_x.error)
        return f"estimated as none, to about {max(error, 0.01):.2f}"
    return f"estimated, to about {found.shift_x.error:.2f} and {found.shift_y.error:.2f}"
