"""Makes the zip for the QGIS plugin site, dist/hsfusion-VERSION.zip, and checks it as the site does.

    .venv/bin/python scripts/dev/package.py [--output FOLDER] [--no-checks | --release]

The same files give the same bytes. Exit code 1, and no zip, if a check complains.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = "hsfusion"
FILES = ("__init__.py", "metadata.txt", "LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "scripts/serve.py")
FOLDERS = ("processing", "hsfusion_plugin", "models", "resources")
CODE = {".py", ".md", ".txt", ".csv", ".json", ".yaml", ".toml", ".html", ".css", ".js", ".j2"}
DATA = {".svg", ".png", ".qml", ".qm", ".model3", ".tif", ".safetensors"}
MAX_RESOURCES = 15_000_000
EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first day, for every file


def contents(root: Path) -> Iterator[Path]:
    """The files of the plugin, relative to the checkout, in order."""
    paths = [root / name for name in FILES if (root / name).is_file()]
    paths += [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.suffix in CODE | DATA]
    for path in sorted(paths, key=lambda path: path.relative_to(root).as_posix()):
        inside = path.relative_to(root)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in inside.parts):
            yield inside


def version(root: Path) -> str:
    metadata = ConfigParser(interpolation=None)
    metadata.read_string((root / "metadata.txt").read_text(encoding="utf-8"))
    return metadata["general"]["version"]


def make_zip(root: Path, target: Path) -> None:
    """Write the zip: one folder `hsfusion`, files in order, without dates, owners or executable bits."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for inside in contents(root):
            entry = zipfile.ZipInfo(f"{NAME}/{inside.as_posix()}", EPOCH)
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (root / inside).read_bytes(), compresslevel=9)


def summary(archive: Path) -> Iterator[str]:
    """Size of the zip, and of each folder in it."""
    rows: dict[str, list[int]] = {}
    with zipfile.ZipFile(archive) as entries:
        for entry in entries.infolist():
            parts = entry.filename.split("/")[1:]
            place = "/".join(parts[: 2 if parts[0] == "resources" else 1]) if len(parts) > 1 else "(top)"
            row = rows.setdefault(place, [0, 0, 0])
            row[0] += 1
            row[1] += entry.file_size
            row[2] += entry.compress_size
    yield f"{'folder':<24} {'files':>6} {'kB':>8} {'kB zipped':>10}"
    for place in sorted(rows):
        files, size, zipped = rows[place]
        yield f"{place:<24} {files:>6} {size / 1e3:>8.0f} {zipped / 1e3:>10.0f}"
    yield f"{archive.name}: {archive.stat().st_size / 1e6:.2f} MB, {sum(row[0] for row in rows.values())} files"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder for the zip (default: dist)")
    parser.add_argument("--no-checks", action="store_true", help="make the zip only")
    parser.add_argument(
        "--release", action="store_true", help="also want the addresses in metadata.txt that a release needs"
    )
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    target = options.output / f"{NAME}-{version(ROOT)}.zip"
    with tempfile.TemporaryDirectory(dir=options.output) as folder:
        draft = Path(folder) / target.name
        make_zip(ROOT, draft)
        print("\n".join(summary(draft)))
        resources = sum((ROOT / p).stat().st_size for p in contents(ROOT) if p.parts[0] == "resources")
        failed = resources > MAX_RESOURCES
        if failed:
            print(f"resources: {resources / 1e6:.1f} MB, more than {MAX_RESOURCES / 1e6:.0f}")
        if not options.no_checks:
            from hsfusion.scripts.dev.site_checks import all_complaints  # needs the dev environment

            for name, complaints in all_complaints(draft, Path(folder) / "unpacked", options.release).items():
                print(f"{name}: {'ok' if not complaints else ''}")
                print("".join(f"  {complaint}\n" for complaint in complaints), end="")
                failed = failed or bool(complaints)
        if failed:
            return 1
        draft.replace(target)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
