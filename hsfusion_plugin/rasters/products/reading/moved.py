"""Swaths that were moved together with the raster of their places, whose old path they still name."""

from __future__ import annotations

from pathlib import Path

from osgeo import gdal

_KEYS = ("X_DATASET", "Y_DATASET")


def with_places_beside(dataset: gdal.Dataset) -> tuple[gdal.Dataset, bool]:
    """The dataset with places that exist, those of the same name in its own folder where the named ones are gone;
    whether there are any.
    """
    places = dataset.GetMetadata("GEOLOCATION")
    if not all(key in places for key in _KEYS):
        return dataset, False
    if all(_exists(places[key]) for key in _KEYS):
        return dataset, True
    folder = Path(dataset.GetDescription()).parent
    beside = {key: str(folder / Path(places[key]).name) for key in _KEYS}
    if not all(_exists(path) for path in beside.values()):
        return dataset, False
    other = gdal.GetDriverByName("VRT").CreateCopy("", dataset)
    other.SetMetadata({**places, **beside}, "GEOLOCATION")
    return other, True


def _exists(name: str) -> bool:
    return gdal.VSIStatL(name) is not None or ":" in name[2:]
