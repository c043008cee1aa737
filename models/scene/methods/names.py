"""The names of all methods that need no weights; no numpy, so that the Toolbox can list them when QGIS starts.

A classical method is a module of this folder. One of TILED has fit(blocks, scene, listener), which
gives window(block, core); that may have an attribute `halo`, fine pixels that it needs around a core. One
of GLOBAL has solve(block, sampling, response, offset, listener), which gives a LowRank, and memory(fine_pixels,
coarse_pixels) in bytes.
"""

from __future__ import annotations

CLOSED_FORMS = ("glp-hs", "loc", "map", "average")  # in spectral coefficients
TILED = {"gsa": "gsa", "sfim-hs": "sfim", "sylvester": "sylvester", "cstf": "cstf", "nssr": "nssr"}  # name -> module
GLOBAL = {"cnmf": "cnmf", "hysure": "hysure"}  # need the whole scene at once
FULL_BAND = (*TILED, *GLOBAL)
UNSUPERVISED = ("spectral-mlp",)  # trained on the pair itself, in the backend
CLASSICAL = (*CLOSED_FORMS, *FULL_BAND)

FAMILIES = {  # as compare groups its methods; a model of the backend is of the last one
    "closed form": (*CLOSED_FORMS, "gsa", "sfim-hs", "sylvester"),
    "model-based": ("cstf", "nssr", *GLOBAL),
    "unsupervised": UNSUPERVISED,
    "diffusion": (),
}


def family(name: str) -> str:
    """The family of a method, of FAMILIES; "" for plain interpolation."""
    if name == "interpolation":
        return ""
    return next((kind for kind, members in FAMILIES.items() if name in members), "diffusion")
