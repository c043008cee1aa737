"""GeoTIFFs described by a STAC item beside them: Wyvern, Pixxel and others; docs/formats/stac.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ....models.errors import HSFusionError
from ..reading.metadata import BandInfo, describe_bands
from .reading.product import Product, QualityClass, Wanted, utc
from .reading.source import Source, missing
from .reading.stack import opened_file, single
from .reading.tiff_product import TIFF, tiff_image

FAMILY = "STAC item"
_ROLES = {
    "cloud": "cloud",
    "cloud-shadow": "shadow",
    "cirrus": "cirrus",
    "saturation": "saturated",
    "snow-ice": "snow",
    "haze": "haze",
}
_FEWEST_BANDS = 3


def recognise(source: Source) -> bool:
    """Whether the source is a GeoTIFF with a STAC item that describes its bands."""
    return _found(source) is not None


def open_product(source: Source, wanted: Wanted) -> Product:
    """The asset with most bands, as the item describes it."""
    path, item, asset = _found(source)
    if wanted.pan:
        raise HSFusionError(
            "PAN: the STAC item is opened by its asset with most bands; choose the panchromatic file itself."
        )
    if not path.is_file():
        raise missing(source, path.name, "which the STAC item names")
    properties = item.get("properties", {})
    dataset = opened_file(path)
    bands, nodata = _bands(describe_bands(dataset).bands, asset, properties)
    image = tiff_image(path, bands, nodata)
    return Product(
        family=FAMILY,
        level=str(properties.get("processing:level", "")),
        identifier=str(item.get("id", path.stem)),
        sensor=str(properties.get("platform") or properties.get("constellation") or ""),
        time=utc(str(properties.get("datetime") or properties.get("start_datetime") or "")),
        quantity=_quantity(asset, properties),
        image=image,
        classes=_classes(path, item, image),
    )


def _found(source: Source) -> tuple[Path, dict[str, Any], dict[str, Any]] | None:
    """The image, the item and the asset."""
    items = (
        [source.main]
        if source.main is not None and source.main.suffix.lower() in (".json", ".geojson")
        else source.find(r".*\.(?:json|geojson)")
    )
    for file in items:
        item = _item(source, file)
        if item is None:
            continue
        assets = [
            a for a in item.get("assets", {}).values() if re.search(rf"{TIFF}$", str(a.get("href", "")), re.IGNORECASE)
        ]
        described = [a for a in assets if len(_listed(a)) >= _FEWEST_BANDS]
        if source.main is not None and source.main != file:
            described = [a for a in described if Path(str(a["href"])).name == source.main.name]
        if described:
            best = max(described, key=lambda a: len(_listed(a)))
            return file.parent / Path(str(best["href"])).name, item, best
    return None


def _item(source: Source, file: Path) -> dict[str, Any] | None:
    if file.stat().st_size > 5_000_000:
        return None
    try:
        item = json.loads(source.text(file))
    except ValueError:
        return None
    return item if isinstance(item, dict) and "stac_version" in item and "assets" in item else None


def _listed(asset: dict[str, Any]) -> list[dict[str, Any]]:
    return asset.get("eo:bands") or asset.get("bands") or []


def _bands(
    own: list[BandInfo], asset: dict[str, Any], properties: dict[str, Any]
) -> tuple[list[BandInfo], float | None]:
    """STAC gives wavelengths in micrometres, scale and offset in raster:bands, or in bands since version 1.1."""
    listed, raster = _listed(asset), asset.get("raster:bands") or _listed(asset)
    if len(listed) != len(own):
        raise HSFusionError(
            f"PRODUCT: the STAC item describes {len(listed)} bands and the image has {len(own)}: they do not belong "
            "together."
        )
    bands = []
    for info, told, more in zip(own, listed, raster if len(raster) == len(own) else [{}] * len(own)):
        centre = told.get("center_wavelength") or told.get("eo:center_wavelength")
        width = told.get("full_width_half_max") or told.get("eo:full_width_half_max")
        scale, offset = (more.get(k, more.get(f"raster:{k}")) for k in ("scale", "offset"))
        bands.append(
            BandInfo(
                wavelength_nm=float(centre) * 1e3 if centre else info.wavelength_nm,
                fwhm_nm=float(width) * 1e3 if width else info.fwhm_nm,
                description=str(told.get("name") or info.description),
                bad=info.bad,
                scale=float(scale) if scale else info.scale,
                offset=float(offset) if offset else info.offset,
                unit=info.unit,
                gsd_m=asset.get("gsd") or properties.get("gsd"),
            )
        )
    nodata = next((m.get("nodata") for m in raster if isinstance(m.get("nodata"), (int, float))), None)
    return bands, nodata


def _quantity(asset: dict[str, Any], properties: dict[str, Any]) -> str:
    text = " ".join(
        str(v).lower() for v in (asset.get("title", ""), asset.get("roles", ""), properties.get("processing:level", ""))
    )
    if "reflectance" in text:
        return "surface reflectance" if "surface" in text or "l2" in text else "top of atmosphere reflectance"
    return "radiance" if "radiance" in text else ""


def _classes(path: Path, item: dict[str, Any], image: Any) -> dict[str, QualityClass]:
    found = {}
    for asset in item.get("assets", {}).values():
        file = path.parent / Path(str(asset.get("href", ""))).name
        for role in asset.get("roles") or []:
            if role in _ROLES and file.is_file() and re.search(rf"{TIFF}$", file.name, re.IGNORECASE):
                found[_ROLES[role]] = QualityClass(single(file, image.grid), above=0)
    return found
