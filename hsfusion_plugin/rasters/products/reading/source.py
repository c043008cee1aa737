"""What the user gave as a product: a file, a folder or an archive, seen as a set of files."""

from __future__ import annotations

import re
import shutil
import tempfile
from functools import cached_property
from pathlib import Path

from .....models.errors import HSFusionError
from .....models.listener import SILENT, Listener
from .archive import is_archive, unpack
from .hdf import Hdf

_DEEPEST, _MOST_FILES = 8, 50_000
_LARGEST_TEXT = 100_000_000  # bytes
_HDF5, _HDF5_AT = b"\x89HDF\r\n\x1a\n", (0, 512, 1024, 2048)


class Source:
    """The files of a product. A context manager: what an archive was unpacked to goes away at its end.

    given: what the user named; folder: where the files lie; main: the file that was named, or the only one of the
    folder, else None.
    """

    def __init__(self, given: str | Path, folder: Path, main: Path | None, unpacked: Path | None = None) -> None:
        self.given, self.folder, self.main, self._unpacked = str(given), folder, main, unpacked
        self._texts: dict[Path, str] = {}

    @classmethod
    def open(cls, path: str | Path, work: Path, role: str = "PRODUCT", listener: Listener = SILENT) -> Source:
        """HSFusionError where there is nothing, or an archive that cannot be unpacked into a new folder below
        `work`.
        """
        given = Path(path).expanduser().absolute()
        if given.is_dir():
            return cls(path, given, None)
        if not given.is_file():
            raise HSFusionError(f"{role}: '{path}' does not exist; choose the file, folder or archive of a product.")
        if given.stat().st_size == 0:
            raise HSFusionError(f"{role}: '{path}' is empty: its download is incomplete, so get it again.")
        if not is_archive(given):
            return cls(path, given.parent, given)
        work.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="unpacked-", dir=work))
        try:
            unpack(given, folder, role, listener)
            inner = [file for file in folder.rglob("*") if file.is_file()]
            if len(inner) == 1 and is_archive(inner[0]):  # DLR sends zips inside a tar
                unpack(inner[0], folder, role, listener)
                inner[0].unlink()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(path, folder, None, folder)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was unpacked."""
        if self._unpacked is not None:
            shutil.rmtree(self._unpacked, ignore_errors=True)

    @property
    def in_place(self) -> bool:
        """Whether the files stay where they are after the run."""
        return self._unpacked is None

    @cached_property
    def files(self) -> list[Path]:
        """All files of the product: of the folder, or the one that was named and what lies beside it."""
        found: list[Path] = []
        _collect(self.folder, 0 if self.main is None else _DEEPEST, found)
        return sorted(found)

    def find(self, pattern: str) -> list[Path]:
        """Files whose path below the folder, with slashes, ends in what `pattern` (a regular expression, any case)
        matches.
        """
        wanted = re.compile(rf"(?:.*/)?{pattern}", re.IGNORECASE)
        return [file for file in self.files if wanted.fullmatch(file.relative_to(self.folder).as_posix())]

    def one(self, pattern: str) -> Path | None:
        """The named file if it matches, else the only one that does; HSFusionError where several do."""
        found = self.find(pattern)
        if self.main is not None and (len(found) > 1 or self.main in found):
            return self.main if self.main in found else None
        if len(found) > 1:
            raise HSFusionError(
                f"PRODUCT: '{self.given}' holds {len(found)} products ({found[0].name}, {found[1].name}, ...): choose "
                "one of these files."
            )
        return found[0] if found else None

    def text(self, path: Path) -> str:
        """A text file, UTF-8 or Latin-1; HSFusionError where it cannot be read."""
        if path not in self._texts:
            try:
                if path.stat().st_size > _LARGEST_TEXT:
                    raise OSError(0, "it is too large for a text")
                data = path.read_bytes()
            except OSError as error:
                raise HSFusionError(f"PRODUCT: '{path}' cannot be read ({error.strerror or error}).") from error
            try:
                self._texts[path] = data.decode("utf-8-sig")
            except UnicodeDecodeError:
                self._texts[path] = data.decode("latin-1")
        return self._texts[path]

    @cached_property
    def hdf(self) -> Hdf | None:
        """The HDF5 or netCDF-4 file of the product, opened; None where there is none or several of equal right."""
        if self.main is not None:
            return Hdf(self.main) if _is_hdf5(self.main) else None
        candidates = [file for file in self.files if _is_hdf5(file)]
        main = [file for file in candidates if not re.search(r"_(MASK|RFLUNCERT|OBS)_", file.name, re.IGNORECASE)]
        return Hdf(main[0]) if len(main) == 1 else None


def missing(source: Source, what: str, reason: str) -> HSFusionError:
    """The error for a product that lacks a file."""
    return HSFusionError(
        f"PRODUCT: '{source.given}' is incomplete: {what} is missing, {reason}; get the product again."
    )


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            if file.read(3) == b"CDF":  # netCDF of the classic kind
                return True
            for place in _HDF5_AT:
                file.seek(place)
                if file.read(len(_HDF5)) == _HDF5:
                    return True
    except OSError:
        return False
    return False


def _collect(folder: Path, depth: int, found: list[Path]) -> None:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if len(found) >= _MOST_FILES:
            return
        if entry.is_dir():
            if depth < _DEEPEST and not entry.is_symlink():
                _collect(entry, depth + 1, found)
        elif entry.is_file():
            found.append(entry)
