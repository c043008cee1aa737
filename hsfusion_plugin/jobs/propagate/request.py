"""What `hsfusion:propagate` is asked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..request import ModelRequest

KINDS = ("index", "angle", "target", "class", "area", "zonal", "algorithm")


@dataclass(frozen=True)
class Polygons:
    """Polygons of a vector layer: WKB and a name of each, and their CRS as WKT; `source` for provenance."""

    shapes: tuple[tuple[str, bytes], ...]
    crs_wkt: str
    source: str


@dataclass(frozen=True)
class PropagateRequest(ModelRequest):
    """The parameters of `hsfusion:propagate`; hsi and msi are empty where `ensemble` names a folder of members.

    spectra: path of a table or library; quantiles: shares between 0 and 1; threshold: None where left out.
    """

    ensemble: str | None = None
    what: str = "index"
    formula: str = "NDVI"
    spectra: str | None = None
    training: Polygons | None = field(default=None, repr=False)
    polygons: Polygons | None = field(default=None, repr=False)
    threshold: float | None = None
    class_name: str = ""
    algorithm_id: str = ""
    algorithm_parameters: str = ""
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    output_mean: str | None = None
    output_std: str | None = None
    output_quantiles: str | None = None
    table: str | None = None
    report: str | None = None

    def parameters(self) -> dict[str, Any]:
        """The parameters under their public names, for provenance; vector layers by their source."""
        light = replace(self, training=None, polygons=None)
        plain = super(PropagateRequest, light).parameters()
        for name, layer in (("TRAINING", self.training), ("POLYGONS", self.polygons)):
            plain[name] = None if layer is None else layer.source
        for inner, public in (("CLASS_NAME", "CLASS"), ("ALGORITHM_ID", "ALGORITHM")):
            plain[public] = plain.pop(inner)
        plain["QUANTILES"] = ",".join(f"{share:g}" for share in self.quantiles)
        return plain

    def left_out(self) -> tuple[str, ...]:
        return ("extent", "consistency", "steps", "uncertainty", "interpolate_bands")
