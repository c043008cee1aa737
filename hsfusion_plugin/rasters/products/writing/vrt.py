"""Virtual rasters: a product that is read in place, or a stored one with its mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from osgeo import gdal

from ...reading.metadata import BandInfo, full_description
from ..reading.product import Grid, Product
from ..reading.stack import FileBand, Stack, opened_file

_GEOTIFF = "GTiff"


def readable_in_place(product: Product) -> bool:
    """Whether a virtual raster can point to the product's own files, and reading those in windows is quick."""
    image = product.image
    if (
        not isinstance(image, Stack)
        or product.fill_in_all
        or image.grid.places is not None
        or any(part.zoom < 1 for part in image.parts)
    ):
        return False
    return all(opened_file(path).GetDriver().ShortName in (_GEOTIFF, "ENVI") for path in {p.path for p in image.parts})


def virtual_raster(
    parts: Sequence[FileBand],
    bands: Sequence[BandInfo],
    grid: Grid,
    nodata: float | None,
    items: Mapping[str, str],
    mask: Path | None = None,
    geolocation: Mapping[str, str] | None = None,
    kinds: Sequence[int] | None = None,
) -> str:
    """The text of a VRT: these bands of files, described; `mask`: a raster whose zeros are no data in any band.

    kinds: GDAL's types of the bands, where the files need not exist yet.
    """
    kinds = kinds if kinds is not None else [_kind(part) for part in parts]
    lines = [f'<VRTDataset rasterXSize="{grid.cols}" rasterYSize="{grid.rows}">']
    if grid.crs_wkt and grid.geotransform is not None:
        lines.append(f'  <SRS dataAxisToSRSAxisMapping="1,2">{escape(grid.crs_wkt)}</SRS>')
    if grid.geotransform is not None:
        lines.append(f"  <GeoTransform>{', '.join(repr(float(x)) for x in grid.geotransform)}</GeoTransform>")
    lines += _metadata(items, "  ")
    if geolocation:
        lines += _metadata(geolocation, "  ", "GEOLOCATION")
    for number, (part, info, kind) in enumerate(zip(parts, bands, kinds), 1):
        lines += _band(number, part, info, grid, nodata, gdal.GetDataTypeName(kind))
    if mask is not None:
        lines.append('  <MaskBand>\n    <VRTRasterBand dataType="Byte">')
        lines += _source(FileBand(str(mask)), grid, "      ")
        lines.append("    </VRTRasterBand>\n  </MaskBand>")
    return "\n".join([*lines, "</VRTDataset>", ""])


def _kind(part: FileBand) -> int:
    file = opened_file(part.path)  # which must live as long as its band
    return file.GetRasterBand(part.band).DataType


def _band(number: int, part: FileBand, info: BandInfo, grid: Grid, nodata: float | None, kind: str) -> list[str]:
    lines = [f'  <VRTRasterBand dataType="{kind}" band="{number}">']
    lines += _metadata(_items(info), "    ")
    if info.wavelength_nm is not None:
        imagery = {"CENTRAL_WAVELENGTH_UM": f"{info.wavelength_nm / 1e3:.10g}"}
        if info.fwhm_nm is not None:
            imagery["FWHM_UM"] = f"{info.fwhm_nm / 1e3:.10g}"
        lines += _metadata(imagery, "    ", "IMAGERY")
    lines.append(f"    <Description>{escape(full_description(info))}</Description>")
    if nodata is not None:
        lines.append(f"    <NoDataValue>{nodata!r}</NoDataValue>")
    if info.unit:
        lines.append(f"    <UnitType>{escape(info.unit)}</UnitType>")
    if info.offset:
        lines.append(f"    <Offset>{info.offset!r}</Offset>")
    if info.scale != 1:
        lines.append(f"    <Scale>{info.scale!r}</Scale>")
    return [*lines, *_source(part, grid, "    "), "  </VRTRasterBand>"]


def _items(info: BandInfo) -> dict[str, str]:
    items = {"bbl": "0" if info.bad else "1"}
    if info.wavelength_nm is not None:
        items.update(wavelength=f"{info.wavelength_nm:.10g}", wavelength_units="Nanometers")
    if info.fwhm_nm is not None:
        items["fwhm"] = f"{info.fwhm_nm:.10g}"
    if info.gsd_m is not None:
        items["gsd"] = f"{info.gsd_m:.10g}"
    return items


def _source(part: FileBand, grid: Grid, indent: str) -> list[str]:
    cols, rows = grid.cols / part.zoom, grid.rows / part.zoom
    return [
        f"{indent}<SimpleSource>",
        f'{indent}  <SourceFilename relativeToVRT="0">{escape(str(part.path))}</SourceFilename>',
        f"{indent}  <SourceBand>{part.band}</SourceBand>",
        f'{indent}  <SrcRect xOff="0" yOff="0" xSize="{cols:.10g}" ySize="{rows:.10g}"/>',
        f'{indent}  <DstRect xOff="0" yOff="0" xSize="{grid.cols}" ySize="{grid.rows}"/>',
        f"{indent}</SimpleSource>",
    ]


def _metadata(items: Mapping[str, str], indent: str, domain: str = "") -> list[str]:
    if not items:
        return []
    name = f' domain="{domain}"' if domain else ""
    rows = [f'{indent}  <MDI key="{escape(str(k))}">{escape(str(v))}</MDI>' for k, v in items.items()]
    return [f"{indent}<Metadata{name}>", *rows, f"{indent}</Metadata>"]
