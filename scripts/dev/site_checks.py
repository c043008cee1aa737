"""What the QGIS plugin site asks of an uploaded zip, as functions: each returns the complaints it has (none: an empty
list).
"""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

MAX_ZIP = 25_000_000
REQUIRED_FIELDS = ("name", "description", "version", "qgisMinimumVersion", "author", "about")
ADDRESSES = ("email", "tracker", "repository")  # required by the site, too; blank until somebody owns them
REQUIRED_FILES = ("__init__.py", "metadata.txt", "LICENSE")
HIDDEN_ALLOWED = {".gitignore", ".gitattributes", ".bandit", ".secrets.baseline", ".flake8"}
PROGRAMS = {".exe", ".dll", ".so", ".dylib", ".bat", ".sh", ".ps1", ".cmd", ".com", ".pyd", ".msi", ".jar"}
CACHES = {".pyc", ".pyo"}
REFUSED_PARTS = {"__pycache__", ".git", "__MACOSX", "tests", "test"}
MAGIC = {
    b"\x7fELF": "an ELF program",
    b"MZ": "a Windows program",
    b"\xcf\xfa\xed\xfe": "a Mach-O program",
    b"#!": "a script",
}


def check_size(archive: Path) -> list[str]:
    """At most 25 MB."""
    size = archive.stat().st_size
    return (
        [f"{size / 1e6:.1f} MB is more than the {MAX_ZIP / 1e6:.0f} MB that the site takes"] if size > MAX_ZIP else []
    )


def check_names(entries: zipfile.ZipFile) -> list[str]:
    """One top folder that Python can import, no path that leaves it, nothing hidden, no cache, no test."""
    complaints = []
    tops = {name.split("/")[0] for name in entries.namelist()}
    if len(tops) != 1:
        complaints.append(f"more than one top folder: {', '.join(sorted(tops))}")
    complaints += [
        f"the folder {top} is no Python identifier" for top in tops if not (top.isascii() and top.isidentifier())
    ]
    for name in entries.namelist():
        parts = PurePosixPath(name).parts
        if name.startswith("/") or "\\" in name or ":" in name or ".." in parts:
            complaints.append(f"{name}: not a plain relative path")
        if REFUSED_PARTS & set(parts):
            complaints.append(f"{name}: a cache, a repository or a test")
        if any(part.startswith(".") for part in parts) and parts[-1] not in HIDDEN_ALLOWED:
            complaints.append(f"{name}: a hidden file")
    if len(set(map(str.lower, entries.namelist()))) != len(entries.namelist()):
        complaints.append("two names differ in nothing but their case")
    top = min(tops)
    missing = [name for name in REQUIRED_FILES if f"{top}/{name}" not in entries.namelist()]
    return complaints + [f"{name} is missing" for name in missing]


def check_programs(entries: zipfile.ZipFile) -> list[str]:
    """No program or library by name, content or permission."""
    complaints = []
    for entry in entries.infolist():
        mode = entry.external_attr >> 16
        if stat.S_ISLNK(mode) or mode & 0o111 and not entry.is_dir():
            complaints.append(f"{entry.filename}: a link, or executable")
        if PurePosixPath(entry.filename).suffix.lower() in PROGRAMS | CACHES:
            complaints.append(f"{entry.filename}: a kind of file that the site refuses")
        with entries.open(entry) as file:
            start = file.read(4)
        complaints += [f"{entry.filename}: {what}" for magic, what in MAGIC.items() if start.startswith(magic)]
    return complaints


def check_metadata(plugin: Path, release: bool = False) -> list[str]:
    """metadata.txt of the unpacked plugin: required fields, values the site understands, nothing it has given up."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]  # names of fields keep their case
    parser.read_string((plugin / "metadata.txt").read_text(encoding="utf-8"))
    fields = dict(parser["general"])
    required = (*REQUIRED_FIELDS, *(ADDRESSES if release else ()))
    complaints = [f"metadata.txt: no {name}" for name in required if not fields.get(name, "").strip()]
    if complaints:
        return complaints
    complaints += [
        f"metadata.txt: HTML in {name}" for name in ("description", "about") if re.search(r"<\w+[^>]*>", fields[name])
    ]
    complaints += [
        f"metadata.txt: {name} is no address"
        for name in ("tracker", "repository", "homepage")
        if fields.get(name)
        and not (urlsplit(fields[name]).scheme in ("http", "https") and urlsplit(fields[name]).netloc)
    ]
    if "plugin" in fields["name"].lower():
        complaints.append("metadata.txt: the name should not say 'plugin'")
    if "supportsQt6" in fields:
        complaints.append("metadata.txt: supportsQt6 is given up; qgisMaximumVersion says it")
    if fields.get("email") and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", fields["email"]):
        complaints.append("metadata.txt: email is no address")
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?([-.]?\w+)*", fields["version"]):
        complaints.append(f"metadata.txt: version {fields['version']}")
    for name in ("qgisMinimumVersion", "qgisMaximumVersion"):
        if not re.fullmatch(r"\d+\.\d+(\.\d+)?", fields.get(name, "3.0")):
            complaints.append(f"metadata.txt: {name} {fields[name]}")
    for name in ("experimental", "deprecated", "server", "hasProcessingProvider"):
        if fields.get(name, "no").lower() not in ("true", "false", "yes", "no", "1", "0"):
            complaints.append(f"metadata.txt: {name} is neither yes nor no")
    if "icon" in fields and not (plugin / fields["icon"]).is_file():
        complaints.append(f"metadata.txt: there is no {fields['icon']}")
    return complaints


def check_bandit(plugin: Path) -> list[str]:
    """Bandit with every rule but B404, whatever its severity: on the site any finding blocks."""
    found = _json([sys.executable, "-m", "bandit", "-q", "-r", str(plugin), "-s", "B404", "-f", "json"])
    return [
        f"{Path(r['filename']).relative_to(plugin)}:{r['line_number']}: {r['test_id']} {r['issue_text']}"
        for r in found["results"]
    ] + [f"bandit cannot read {error['filename']}: {error['reason']}" for error in found["errors"]]


def check_secrets(plugin: Path) -> list[str]:
    """What detect-secrets takes for a secret."""
    command = [sys.executable, "-m", "detect_secrets", "-C", str(plugin), "scan", "--all-files", "."]
    found = _json(command)["results"]
    return [f"{hit['filename']}:{hit['line_number']}: {hit['type']}" for hits in found.values() for hit in hits]


def _json(command: list[str]) -> dict:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout[done.stdout.index("{") :])
    except ValueError:
        raise SystemExit(
            f"{' '.join(command[1:3])} did not run (pip install -e '.[dev]'):\n{done.stderr[-1000:]}"
        ) from None


def all_complaints(archive: Path, unpacked: Path, release: bool = False) -> dict[str, list[str]]:
    """Every check's complaints on a zip; `unpacked` is an empty folder to unpack it into; release: addresses may not be
    blank.
    """
    with zipfile.ZipFile(archive) as entries:
        complaints = {
            "size": check_size(archive),
            "names": check_names(entries),
            "programs": check_programs(entries),
        }
        if any(complaints.values()):
            return complaints
        entries.extractall(unpacked)
        plugin = unpacked / entries.namelist()[0].split("/")[0]
    complaints["metadata"] = check_metadata(plugin, release)
    complaints["bandit"] = check_bandit(plugin)
    complaints["secrets"] = check_secrets(plugin)
    return complaints
