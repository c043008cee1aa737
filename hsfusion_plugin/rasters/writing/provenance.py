"""How a result came to be, beside it (`<stem>.json`) and inside it (GDAL metadata items HSFUSION_*)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ....models.errors import HSFusionError
from ..gdal_calls import collected_errors, open_dataset
from .sidecars import mark
from .staging import write_text

_LONGEST_ITEM = 2000  # characters; what is longer (an SRF matrix) stands in the JSON file only


def write_provenance(path: str | Path, record: Mapping[str, object]) -> None:
    """Write a record (nested dicts of numbers, texts, lists, arrays) beside and into a raster that is closed.

    Best called from RasterWriter's `finish`, where everything appears at once. HSFusionError when the raster cannot be
    changed.
    """
    plain = plain_json(record)
    dataset, reason = open_dataset(str(path), update=True)
    failures = [reason] if dataset is None else []
    if dataset is not None:
        with collected_errors() as failures:
            for key, value in metadata_items(record).items():
                dataset.SetMetadataItem(key, value)
            dataset.FlushCache()
            dataset = None
    if failures:
        raise HSFusionError(f"OUTPUT: the provenance cannot be written into '{path}' ({failures[0]}); check the disk.")
    plain = {"about": mark(Path(path)), **plain}
    write_text(Path(path).with_suffix(".json"), json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def metadata_items(record: Mapping[str, object], prefix: str = "HSFUSION") -> dict[str, str]:
    """The record as flat GDAL metadata: {"psf": {"fwhm_y": 1.2}} becomes HSFUSION_PSF_FWHM_Y=1.2; lists as JSON, None
    left out.
    """
    items: dict[str, str] = {}
    for key, value in plain_json(record).items():
        name = f"{prefix}_{key}".upper().replace(" ", "_").replace("-", "_").replace("=", "_")
        if isinstance(value, dict):
            items.update(metadata_items(value, name))
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            if len(text) <= _LONGEST_ITEM:
                items[name] = text
    return items


def plain_json(value: object) -> object:
    """Plain JSON of a value: arrays become lists, paths texts, numbers that are not finite null."""
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain_json(value.tolist())
    if isinstance(value, (list, tuple, range, set, frozenset)):
        return [plain_json(item) for item in value]
    if isinstance(value, np.generic):
        return plain_json(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
