"""Which family knows a product: all modules of the folder above are asked."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from .....models.errors import HSFusionError
from ....rasters import products
from .product import Product, Wanted
from .source import Source


@cache
def families() -> tuple[ModuleType, ...]:
    """All families, those that take anything last."""
    names = sorted(info.name for info in pkgutil.iter_modules(products.__path__) if not info.ispkg)
    modules = [importlib.import_module(f"{products.__name__}.{name}") for name in names]
    return tuple(sorted(modules, key=lambda module: getattr(module, "LAST", False)))


def family_of(source: Source, last: bool = True) -> ModuleType | None:
    """The family that knows the source, or None; `last`: also those that take anything."""
    known = (module for module in families() if last or not getattr(module, "LAST", False))
    return next((module for module in known if module.recognise(source)), None)


def open_product(source: Source, wanted: Wanted | None = None) -> Product:
    """HSFusionError where no family knows the source, or the product is damaged."""
    family = family_of(source)
    if family is None:
        names = sorted(module.FAMILY for module in families() if not getattr(module, "LAST", False))
        raise HSFusionError(f"PRODUCT: '{source.given}' is none of the products that are known: {', '.join(names)}.")
    return family.open_product(source, wanted or Wanted())
