"""Files that we lay beside a raster (`<stem>.json`, `<stem>.qml`), and how they keep out of the way of other
people's.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

from osgeo import gdal

from ..gdal_calls import collected_errors, item, open_dataset

SUFFIXES = (".json", ".qml")
SOFTWARE = "HSFusion"
_ENDS = 2000  # bytes at the beginning and the end of a sidecar, where its mark stands


def mark(raster: Path) -> str:
    """What stands in a sidecar of ours, which a program that writes the file anew leaves out."""
    return f"written by {SOFTWARE} for {raster.name}"


def sidecar_of(raster: Path, suffix: str) -> Path:
    """Where a sidecar goes: beside the raster under its own name, or, where that file is not ours, under
    another one.
    """
    names = (f"{raster.stem}{middle}{suffix}" for middle in _middles())
    return next(path for path in map(raster.with_name, names) if not path.exists() or is_ours(path, raster))


def written_sidecar(raster: Path, suffix: str) -> Path | None:
    """The sidecar that we wrote for this raster, or None."""
    path = sidecar_of(raster, suffix)
    return path if path.exists() else None


def is_ours(path: Path, raster: Path) -> bool:
    """Whether a file bears our mark for this raster."""
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            head = stream.read(_ENDS)
            stream.seek(max(0, size - _ENDS))
            return mark(raster).encode() in head or mark(raster).encode() in stream.read()
    except OSError:
        return False


def raster_is_ours(path: Path) -> bool:
    """Whether a raster was written by us."""
    with collected_errors():
        dataset, _ = open_dataset(str(path)) if path.is_file() else (None, "")
        return dataset is not None and (item(dataset, "TIFFTAG_SOFTWARE") or "").startswith(SOFTWARE)
    return False


def mark_raster(dataset: gdal.Dataset) -> None:
    """Say in a raster that it is ours."""
    dataset.SetMetadataItem("TIFFTAG_SOFTWARE", SOFTWARE)


def _middles():
    yield ""
    yield ".hsfusion"
    yield from (f".hsfusion-{number}" for number in count(2))
