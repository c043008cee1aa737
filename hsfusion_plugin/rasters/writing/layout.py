"""How an output lies on disk: GeoTIFF creation options, overviews, and the cloud optimised form (COG)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from osgeo import gdal

from ....models.errors import HSFusionError
from ....models.listener import SILENT, Listener
from ..gdal_calls import collected_errors, open_dataset

BLOCK = 128  # pixels; tiles of a job are multiples of it, so that no block is compressed twice
SMALLEST_OVERVIEW = 256
_WITH_PREDICTOR = ("DEFLATE", "LZW", "ZSTD")
_NO = ("NO", "FALSE", "OFF")
_YES = ("YES", "TRUE", "ON")
_OWN = ("OVERVIEWS", "COG")  # options of ours, beside those of GDAL's driver


@dataclass(frozen=True)
class Layout:
    """options: creation options of GDAL's GTiff driver; overviews: averaged copies at lower resolution; cog: cloud
    optimised.
    """

    options: dict[str, str]
    overviews: bool = False
    cog: bool = False

    @classmethod
    def parse(cls, text: str, rows: int, cols: int, block: tuple[int, int] = (BLOCK, BLOCK)) -> Layout:
        """Of OPTIONS as QGIS writes them ("COMPRESS=LZW|TILED=NO|OVERVIEWS=YES"); HSFusionError where that is not
        NAME=VALUE.
        """
        given = {}
        for part in filter(None, (p.strip() for p in (text or "").split("|"))):
            key, equals, value = part.partition("=")
            if not equals:
                raise HSFusionError(
                    f"OPTIONS: '{part}' is not of the form NAME=VALUE; for example COMPRESS=LZW|TILED=YES."
                )
            given[key.strip().upper()] = value.strip()
        own = {name: _switch(name, given.pop(name, "NO")) for name in _OWN}
        return cls({**_defaults(rows, cols, block, given), **given}, own["OVERVIEWS"] or own["COG"], own["COG"])

    def as_list(self) -> list[str]:
        """NAME=VALUE, as GDAL takes them."""
        return [f"{key}={value}" for key, value in self.options.items()]

    def finish(self, path: Path, role: str, listener: Listener = SILENT) -> None:
        """Give the closed raster its overviews and its form. `listener` may end it."""
        if not self.overviews:
            return
        with collected_errors() as failures:
            dataset, _ = open_dataset(str(path), update=True)
            raised: list[BaseException] = []
            for key in ("COMPRESS", "PREDICTOR", "ZSTD_LEVEL"):
                gdal.SetConfigOption(f"{key}_OVERVIEW", self.options.get(key))
            try:
                dataset.BuildOverviews("AVERAGE", _levels(dataset), callback=_callback(listener, raised))
            finally:
                for key in ("COMPRESS", "PREDICTOR", "ZSTD_LEVEL"):
                    gdal.SetConfigOption(f"{key}_OVERVIEW", None)
                dataset = None
            if self.cog and not raised:
                _make_cog(path, self.options, _callback(listener, raised))
        if raised:
            raise raised[0]
        if failures:
            raise HSFusionError(
                f"{role}: '{path.name}' could not be given its overviews ({failures[0].rstrip('.')}): leave OVERVIEWS "
                "and COG out of OPTIONS."
            )


def has_zstd() -> bool:
    """Whether this GDAL writes ZSTD."""
    return "ZSTD" in (gdal.GetDriverByName("GTiff").GetMetadataItem("DMD_CREATIONOPTIONLIST") or "")


def _defaults(rows: int, cols: int, block: tuple[int, int], given: Mapping[str, str]) -> dict[str, str]:
    """Tiled, and compressed without loss: ZSTD on differences of neighbours, for floats too; the predictor for floats
    makes files a tenth smaller in three times the time, and what is written would keep a processor from the network
    as long as a tile's closed forms do.
    """
    compress = given.get("COMPRESS", "ZSTD" if has_zstd() else "DEFLATE").upper()
    options = {
        "TILED": "YES",
        "COMPRESS": compress,
        "INTERLEAVE": "BAND",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
    }
    if compress in _WITH_PREDICTOR:
        options["PREDICTOR"] = "2"
    if compress == "ZSTD":
        options["ZSTD_LEVEL"] = "1"
    if given.get("TILED", "YES").upper() not in _NO:
        longest = max(16, -(-max(rows, cols) // 16) * 16)
        options.update(BLOCKXSIZE=str(min(block[1], longest)), BLOCKYSIZE=str(min(block[0], longest)))
    return options


def _switch(name: str, value: str) -> bool:
    if value.upper() not in (*_YES, *_NO):
        raise HSFusionError(f"OPTIONS: {name} is '{value}'; it must be YES or NO.")
    return value.upper() in _YES


def _levels(dataset: gdal.Dataset) -> list[int]:
    size, levels = max(dataset.RasterXSize, dataset.RasterYSize), [2]
    while size / levels[-1] > SMALLEST_OVERVIEW:
        levels.append(levels[-1] * 2)
    return levels


def _make_cog(path: Path, options: Mapping[str, str], callback: Callable[[float, str, object], int]) -> None:
    """Copy the raster, overviews included, into the order that a COG has, and put the copy in its place."""
    other = path.with_name(f"cog-{path.name}")
    kept = {key: options[key] for key in ("COMPRESS", "BIGTIFF", "NUM_THREADS") if key in options}
    if "PREDICTOR" in options:
        kept["PREDICTOR"] = "YES"
    if "ZSTD_LEVEL" in options:
        kept["LEVEL"] = options["ZSTD_LEVEL"]
    settings = [
        f"{key}={value}" for key, value in {**kept, "BLOCKSIZE": "512", "OVERVIEWS": "FORCE_USE_EXISTING"}.items()
    ]
    source = gdal.Open(str(path))
    copy = gdal.GetDriverByName("COG").CreateCopy(str(other), source, options=settings, callback=callback)
    done, source = copy is not None, None
    copy = None
    if done:
        other.replace(path)
    else:
        other.unlink(missing_ok=True)


def _callback(listener: Listener, raised: list[BaseException]) -> Callable[[float, str, object], int]:
    """For GDAL: 0 ends its work; what the listener raised is kept for the caller."""

    def tick(_share: float, _text: str, _data: object) -> int:
        try:
            listener.check()
        except BaseException as error:
            raised.append(error)
            return 0
        return 1

    return tick
