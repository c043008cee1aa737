"""Which quantity a request asks for, with everything it needs of the scene."""

from __future__ import annotations

import numpy as np

from ...errors import HSFusionError
from .formula import INDICES, Formula
from .polygons import areas_of
from .quantities import Above, Angle, AsItIs, Classes, Index, OneOf, Quantity, Target
from .request import Polygons, PropagateRequest
from .source import Members
from .spectra import Spectra, check_units, read_spectra

LEAST_TRAINED = 2  # classes


def check_request(request: PropagateRequest) -> None:
    """HSFusionError where WHAT lacks what it needs; asked before any work."""
    needs = {
        "index": (("FORMULA", request.formula),),
        "angle": (("SPECTRA", request.spectra),),
        "target": (("SPECTRA", request.spectra),),
        "class": (("SPECTRA or TRAINING", request.spectra or request.training),),
        "area": (
            ("POLYGONS", request.polygons),
            ("THRESHOLD or CLASS", request.threshold is not None or request.class_name),
        ),
        "zonal": (("POLYGONS", request.polygons), ("FORMULA", request.formula)),
        "algorithm": (("ALGORITHM", request.algorithm_id),),
    }
    for name, value in needs[request.what]:
        if not value:
            raise HSFusionError(f"WHAT is {request.what}, which needs {name}: give it, or choose another WHAT.")
    if request.what == "area" and request.class_name and not (request.spectra or request.training):
        raise HSFusionError("CLASS needs SPECTRA or TRAINING, which say what the classes are: give one of them.")
    if not any((request.output_mean, request.output_std, request.output_quantiles, request.table, request.report)):
        raise HSFusionError(
            "Nothing is to be written: give OUTPUT_MEAN, OUTPUT_STD, OUTPUT_QUANTILES, TABLE or REPORT."
        )
    if request.table and request.polygons is None:
        raise HSFusionError("TABLE has a row per polygon: give POLYGONS, or leave TABLE out.")


def check_quantiles(quantiles: tuple[float, ...], members: int) -> None:
    """HSFusionError where a quantile lies beyond the lowest or highest member."""
    for share in quantiles:
        if not 0 < share < 1:
            raise HSFusionError(f"QUANTILES holds {share:g}: give shares between 0 and 1, such as 0.05,0.5,0.95.")
        if not 1 / (members + 1) <= share <= members / (members + 1):
            needed = int(np.ceil(1 / min(share, 1 - share) - 1 - 1e-9))
            raise HSFusionError(
                f"{members} members are too few for the quantile {share:g}: set SAMPLES to {needed} or more, or leave "
                "it out."
            )


def quantity_of(request: PropagateRequest, members: Members) -> Quantity:
    """Of the request, on the bands of the members."""
    if request.what == "algorithm":
        names = [name or f"band {number + 1}" for name, number in zip(members.names, members.used)]
        return AsItIs(names, f"result of {request.algorithm_id}")
    if request.what in ("index", "zonal") or (request.what == "area" and not request.class_name):
        index = _index(request, members)
        return index if request.what != "area" else Above(index, float(request.threshold or 0.0))
    if request.what in ("angle", "target"):
        spectra = _spectra(request, members)
        if request.what == "angle":
            return Angle(spectra.names, spectra.values)
        return Target.against(spectra.names, spectra.values, members.background())
    classes = Classes(_class_spectra(request, members))
    if request.what == "class":
        return classes
    if request.class_name not in classes.names:
        raise HSFusionError(f"CLASS {request.class_name} is none of {', '.join(classes.names)}: name one of these.")
    return OneOf(classes, classes.names.index(request.class_name))


def _index(request: PropagateRequest, members: Members) -> Index:
    formula = Formula.parse(request.formula, members.wavelengths, members.names, members.used)
    known = request.formula.strip().upper()
    return Index(formula, known if known in INDICES else request.formula.strip(), "nm" if known == "REIP" else "")


def _spectra(request: PropagateRequest, members: Members) -> Spectra:
    spectra = read_spectra(str(request.spectra), members.wavelengths)
    check_units(spectra, members.background().mean(axis=0))
    return spectra


def _class_spectra(request: PropagateRequest, members: Members) -> Angle:
    if request.training is None:
        spectra = _spectra(request, members)
        return Angle(spectra.names, spectra.values)
    return trained(request.training, members)


def trained(training: Polygons, members: Members) -> Angle:
    """The mean spectrum of each class over its polygons, of the estimate (two members that lie on opposite sides of
    it).
    """
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}
    areas = areas_of(training, members.grid, "TRAINING")
    from ..run.progress import Progress

    for part in members.parts(Progress()):
        met = [(area, area.within(part.row, part.col, *part.shape)) for area in areas]
        if not any(found for _, found in met):
            continue
        estimate = 0.5 * (part.member(0) + part.member(1))
        for area, found in met:
            if found is None:
                continue
            where, mask = found
            pixels = estimate[(slice(None), *where)][:, mask]
            pixels = pixels[:, np.isfinite(pixels).all(axis=0)]
            sums[area.name] = sums.get(area.name, 0.0) + pixels.sum(axis=1, dtype=np.float64)
            counts[area.name] = counts.get(area.name, 0) + pixels.shape[1]
    names = [name for name, count in counts.items() if count]
    if len(names) < LEAST_TRAINED:
        raise HSFusionError(
            f"TRAINING has {len(names)} class(es) with pixels and {LEAST_TRAINED} are needed: give polygons of more "
            "classes."
        )
    return Angle(names, np.stack([sums[name] / counts[name] for name in names]))
