"""GDAL calls whose failures come back as text, whether or not somebody in this process switched GDAL's
exceptions on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from osgeo import gdal

DOMAINS = ("", "ENVI", "FORCE")  # EnMAP-Box and FORCE keep wavelengths in domains of their own
_SCRATCH = "CPL_TMPDIR"


@contextmanager
def collected_errors(least: int = gdal.CE_Failure) -> Iterator[list[str]]:
    """Keep GDAL's messages off stderr within the block; yields the list in which those of `least` severity gather."""
    failures: list[str] = []

    def handler(severity: int, _number: int, message: str) -> None:
        if severity >= least:
            failures.append(first_line(message))

    gdal.PushErrorHandler(handler)
    try:
        yield failures
    except RuntimeError as error:  # what GDAL raises after gdal.UseExceptions()
        failures.append(first_line(str(error)))
    finally:
        gdal.PopErrorHandler()


@contextmanager
def scratch_files() -> Iterator[None]:
    """Within the block GDAL puts scratch files of this thread where temporary files go; else into the current folder,
    where it may not write.
    """
    told = gdal.GetConfigOption(_SCRATCH) is not None
    if not told:
        gdal.SetThreadLocalConfigOption(_SCRATCH, tempfile.gettempdir())
    try:
        yield
    finally:
        if not told:
            gdal.SetThreadLocalConfigOption(_SCRATCH, None)


def decoded(text: str | bytes | None) -> str:
    """Text that GDAL hands over, "" for none. What is not in UTF-8, as in an ENVI header in Latin-1, comes as bytes or
    with surrogates.
    """
    raw = (text or "").encode("utf-8", "surrogateescape") if not isinstance(text, bytes) else text
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def item(thing: gdal.Dataset | gdal.Band, *keys: str, domains: tuple[str, ...] = DOMAINS) -> str | None:
    """The first of these metadata items in any of the domains, of a data set or a band."""
    found = (thing.GetMetadataItem(key, domain) for domain in domains for key in keys)
    return next((decoded(text) for text in found if text is not None), None)


def described(thing: gdal.Dataset | gdal.Band) -> str:
    """A band's name, or the name by which a data set was opened."""
    return decoded(thing.GetDescription())


def first_line(message: str) -> str:
    """What GDAL says first; some drivers add the place in their source on a second line."""
    return (message.strip().splitlines() or [""])[0].rstrip(" .")


def open_dataset(path: str, update: bool = False) -> tuple[gdal.Dataset | None, str]:
    """Open a raster; returns (dataset, "") or (None, GDAL's reason)."""
    dataset = None
    with collected_errors() as failures:
        flags = gdal.OF_RASTER | (gdal.OF_UPDATE if update else gdal.OF_READONLY) | gdal.OF_VERBOSE_ERROR
        dataset = gdal.OpenEx(path, flags)
    return dataset, failures[0] if failures and dataset is None else ""
