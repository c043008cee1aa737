"""Images whose numbers are places in a colour table, such as scanned orthophotos."""

from __future__ import annotations

from osgeo import gdal

from ....models.errors import HSFusionError
from ..gdal_calls import collected_errors
from .raster import Raster


def with_colours(raster: Raster) -> tuple[Raster, str]:
    """The raster, or one with the colours that its colour table gives its numbers, and a sentence that says so (""
    otherwise).

    A table of greys becomes one band, any other red, green and blue; what the file masks stays masked. HSFusionError:
    an image of several bands that has a colour table.
    """
    dataset = raster.handle()
    bands = [dataset.GetRasterBand(number + 1) for number in range(raster.count)]
    tables = [band.GetColorTable() for band in bands if band.GetColorInterpretation() == gdal.GCI_PaletteIndex]
    tables = [table for table in tables if table is not None and table.GetCount()]
    if not tables:
        return raster, ""
    if raster.count > 1:
        raise HSFusionError(
            f"{raster.role}: '{raster.path}' has a colour table in one of its bands, so its numbers are no light; "
            "expand it first (gdal_translate -expand rgb)."
        )
    entries = [tables[0].GetColorEntry(number) for number in range(tables[0].GetCount())]
    grey = all(red == green == blue for red, green, blue, *_ in entries)
    masked = not bands[0].GetMaskFlags() & gdal.GMF_ALL_VALID

    def expanded() -> gdal.Dataset | None:
        made = None
        with collected_errors():
            made = gdal.Translate(
                "",
                raster.handle(),
                format="VRT",
                rgbExpand="gray" if grey else "rgb",
                noData="none",
                maskBand="mask" if masked else None,
            )
        return made

    dataset = expanded()
    if dataset is None:
        raise HSFusionError(
            f"{raster.role}: '{raster.path}' has a colour table that GDAL cannot expand; do it first (gdal_translate "
            "-expand rgb)."
        )
    shown = "grey" if grey else "red, green and blue"
    return (
        Raster(raster.path, raster.role, dataset, expanded),
        f"{raster.role}: the numbers of the image are places in a colour table: the colours that it gives ({shown}) "
        "are used.",
    )
