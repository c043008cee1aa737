"""What the two rasters of a pair say of where they come from: product, date, level; and what does not go together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from ...rasters.reading.raster import Raster

MOST_DAYS = 30


@dataclass(frozen=True)
class Origin:
    """family, level, time (ISO 8601) and quantity of the product that a raster was made of; "" = not told."""

    family: str = ""
    level: str = ""
    time: str = ""
    quantity: str = ""
    identifier: str = ""

    @classmethod
    def of(cls, raster: Raster) -> Origin:
        """By the items that `hsfusion:openproduct` writes."""
        items = raster.handle().GetMetadata()
        keys = ("PRODUCT_FAMILY", "PRODUCT_LEVEL", "ACQUISITION_TIME", "PRODUCT_QUANTITY", "PRODUCT_ID")
        return cls(*(items.get(key, "") for key in keys))

    @property
    def day(self) -> date | None:
        """Of acquisition."""
        try:
            return date.fromisoformat(self.time[:10])
        except ValueError:
            return None

    @property
    def title(self) -> str:
        """For the report; "" where nothing is told."""
        return " ".join(filter(None, (self.family, self.level, self.time[:10])))


def disagreements(hsi: Origin, msi: Origin) -> tuple[str, ...]:
    """Sentences on dates and quantities that do not go together."""
    found = []
    if hsi.day and msi.day and abs((hsi.day - msi.day).days) > MOST_DAYS:
        days = abs((hsi.day - msi.day).days)
        found.append(
            f"HSI and MSI were taken {days} days apart ({hsi.time[:10]} and {msi.time[:10]}): what changed between "
            "them, such as crops, "
            "will be fused from two states; a closer date would be better."
        )
    kinds = [_kind(origin.quantity) for origin in (hsi, msi)]
    if all(kinds) and kinds[0] != kinds[1]:
        found.append(
            f"The HSI holds {hsi.quantity} and the MSI {msi.quantity}: gain and offset are fitted, but haze and "
            "adjacency stay in one of them; "
            "two products of one kind would be better."
        )
    return tuple(found)


def _kind(quantity: str) -> str:
    if "surface reflectance" in quantity:
        return "surface"
    return "sensor" if "radiance" in quantity or "top of atmosphere" in quantity else ""
