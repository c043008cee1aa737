"""What EnMAP and DESIS products have in common: a METADATA.XML, a spectral image beside it, quality layers of the same
name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .....models.errors import HSFusionError
from ...reading.metadata import BandInfo
from .dlr import SideCar, parse_sidecar
from .product import Grid, same_size
from .source import Source, missing
from .stack import FileBand, Stack, grid_of, opened_file
from .xml import Node, parse

_METADATA = r".*METADATA\.XML"
_ENDING = r"(?:_COG)?\.(?:TIF|TIFF|BIL|BIP|BSQ|JP2)"


@dataclass(frozen=True)
class DlrFiles:
    """The files of one product. prefix: what all their names begin with; xml: the metadata, parsed; text: the same as
    it is.
    """

    source: Source
    metadata: Path
    prefix: str
    text: str
    xml: Node

    def file(self, kind: str) -> Path | None:
        """The file of this kind ("SPECTRAL_IMAGE", "QL_QUALITY_CLOUD"), or None."""
        pattern = rf"{re.escape(self.prefix)}{re.escape(kind)}{_ENDING}"
        return next((file for file in self.source.find(pattern) if file.parent == self.metadata.parent), None)

    @property
    def level(self) -> str:
        """ "L1B", "L1C" or "L2A", by the metadata, else by the file's name; "" = unknown."""
        for text in (self.xml.value("base", "level"), self.xml.value("level"), self.xml.name, self.metadata.name):
            found = re.search(r"L?(1B|1C|2A)\b|_(L1B|L1C|L2A)[-_]", text.upper())
            if found:
                return "L" + (found.group(1) or found.group(2)[1:])
        found = re.search(r"L(1B|1C|2A)", self.metadata.name.upper())
        return found.group() if found else ""


def dlr_files(source: Source, mission: str) -> DlrFiles | None:
    """The product of this mission in the source, or None."""
    metadata = _metadata_of(source, mission)
    if metadata is None:
        return None
    text = source.text(metadata)
    prefix = re.sub(r"METADATA\.XML$", "", metadata.name, flags=re.IGNORECASE)
    return DlrFiles(source, metadata, prefix, text, parse(text, metadata.name))


def band_list(files: DlrFiles, image: Path, part: str = "") -> tuple[list[BandInfo], Stack]:
    """The bands of a spectral image and the image; `part`: "VNIR" or "SWIR" where a file holds one camera's bands."""
    grid = grid_of(image)
    count = opened_file(image).RasterCount
    sidecar = parse_sidecar(files.text, count, f"_{part}" if part else "")
    if sidecar is None:
        raise HSFusionError(
            f"PRODUCT: '{image.name}' has {count} bands, of which '{files.metadata.name}' describes another number: "
            "metadata and image do not belong together, or a file is damaged."
        )
    bands = infos(sidecar, part)
    stack = Stack([FileBand(str(image), i + 1) for i in range(count)], bands, grid, _nodata(files, image))
    return bands, stack


def infos(sidecar: SideCar, part: str = "") -> list[BandInfo]:
    """Descriptions of the bands that the metadata describe."""
    scale = np.where(np.isfinite(sidecar.gain) & (sidecar.gain != 0), sidecar.gain, 1.0)
    offset = np.where(np.isfinite(sidecar.offset), sidecar.offset, 0.0)
    return [
        BandInfo(
            wavelength_nm=float(nm) if nm > 0 else None,
            fwhm_nm=float(width) if width > 0 else None,
            description=f"{part} band {i + 1}".strip(),
            bad=not (nm > 0 and sidecar.delivered[i]),
            scale=float(scale[i]),
            offset=float(offset[i]),
        )
        for i, (nm, width) in enumerate(zip(sidecar.wavelength, sidecar.fwhm))
    ]


def layer_of(files: DlrFiles, kind: str, grid: Grid, band: int = 1) -> Stack | None:
    """A quality layer on the image's grid, or None; HSFusionError where it is of another size."""
    path = files.file(kind)
    if path is None:
        return None
    own = grid_of(path)
    same_size(f"'{path.name}'", (own.rows, own.cols), grid)
    return Stack([FileBand(str(path), band)], [BandInfo()], grid)


def _metadata_of(source: Source, mission: str) -> Path | None:
    candidates = [path for path in source.find(_METADATA) if _is_of(source, path, mission)]
    if source.main is not None:
        if source.main.suffix.lower() == ".xml":
            return source.main if _is_of(source, source.main, mission) else None
        beside = [p for p in candidates if source.main.name.startswith(p.name[: -len("METADATA.XML")])]
        return beside[0] if len(beside) == 1 and beside[0].parent == source.main.parent else None
    if not candidates:
        images = source.find(rf"{mission}.*SPECTRAL_IMAGE.*{_ENDING}")
        if images:
            raise missing(source, "...METADATA.XML", "without which the bands have no wavelengths")
        return None
    return source.one(_METADATA) if len(source.find(_METADATA)) == 1 else _only(source, candidates)


def _only(source: Source, candidates: list[Path]) -> Path:
    if len(candidates) > 1:
        raise HSFusionError(
            f"PRODUCT: '{source.given}' holds {len(candidates)} products ({candidates[0].name}, {candidates[1].name}, "
            "...): "
            "choose one METADATA.XML."
        )
    return candidates[0]


def _is_of(source: Source, path: Path, mission: str) -> bool:
    text = source.text(path)
    return (
        mission.upper() in text.upper()[:200_000]
        and "wavelengthCenterOfBand" in text
        or (path.name.upper().startswith(mission.upper()))
    )


def _nodata(files: DlrFiles, image: Path) -> float | None:
    own = opened_file(image)
    nodata = own.GetRasterBand(1).GetNoDataValue()
    if nodata is not None:
        return nodata
    told = files.xml.number("specific", "backgroundValue")
    if told is not None:
        return told
    return -32768.0 if files.level == "L2A" else 0.0
