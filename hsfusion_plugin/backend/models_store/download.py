"""A file from an https address, by its hash: resumed where it stopped, given up at once on cancel, in place only when
it is whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from ....models.files import continued_file, new_file, open_regular, size_of_own
from ...backend import qgis_network
from ..client.errors import HSFusionError
from ..client.transport import CONNECT_S, POLL_S, _Adapter
from .manifest import Entry

READ_S = 60.0
MOST_REDIRECTS = 5
_BLOCK = 1 << 18


def download(entry: Entry, folder: Path, progress: Any) -> Path:
    """The model's file in `folder`; HSFusionError, Cancelled. What came before a cancel or a broken line is kept for
    the next time.
    """
    part = folder / f".{entry.name}-{entry.sha256[:16]}.part"
    with requests.Session() as session:
        qgis_network.apply(session, entry.url)
        adapter = _Adapter()
        session.mount("https://", adapter)
        _watched(lambda: _receive(session, entry, part, progress), adapter, progress)
    return _keep(part, entry, folder)


def copy(entry: Entry, source: Path, folder: Path, progress: Any) -> Path:
    """The same from a folder that holds the file already."""
    found = source / entry.file_name
    if not found.exists():
        raise HSFusionError(f"SOURCE {source} has no file {entry.file_name}: copy it there, or choose another folder.")
    part = folder / f".{entry.name}-{entry.sha256[:16]}.copy"
    try:
        with open_regular(found) as reader, new_file(part) as writer:
            for block in iter(lambda: reader.read(_BLOCK), b""):
                progress.check()
                writer.write(block)
                progress.step(writer.tell() / entry.size)
        return _keep(part, entry, folder)
    except OSError as error:
        raise HSFusionError(f"{found} cannot be copied to {folder} ({error.strerror or error}).") from error
    finally:
        part.unlink(missing_ok=True)


def check_room(entry: Entry, folder: Path) -> None:
    """Make `folder`; HSFusionError where it cannot be written or has no room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise HSFusionError(f"FOLDER {folder} cannot be made ({error.strerror}): choose another one.") from error
    if not os.access(folder, os.W_OK):
        raise HSFusionError(f"FOLDER {folder} cannot be written: choose another one.")
    if free < 1.1 * entry.size:
        raise HSFusionError(
            f"FOLDER {folder} has {free / 1e6:.0f} MB left and {entry.name} needs {entry.size / 1e6:.0f} MB: free some "
            "space."
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read now."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _receive(session: requests.Session, entry: Entry, part: Path, progress: Any) -> None:
    begun = size_of_own(part)
    if begun >= entry.size:
        return
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={begun}-"} if begun else {})}
    with _followed(session, entry.url, headers) as response:
        if response.status_code == 416:  # the server's file is another one than it was
            part.unlink(missing_ok=True)
        if response.status_code not in (200, 206):
            raise HSFusionError(
                f"{_host(entry.url)} answers {response.status_code} for {entry.file_name}: try again later, or fetch "
                "the file by hand "
                "and give its folder as SOURCE."
            )
        resumed = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {begun}-"
        )
        if begun and resumed:
            progress.info(f"Going on at {begun / 1e6:.1f} of {entry.size / 1e6:.1f} MB.")
        with continued_file(part) if resumed else new_file(part) as file:
            for block in _blocks(response):
                progress.check()
                file.write(block)
                if file.tell() > entry.size:
                    break  # not the file that was promised; its hash will say so
                progress.step(file.tell() / entry.size)


def _blocks(response: requests.Response) -> Iterator[bytes]:
    yield from response.iter_content(_BLOCK)


def _followed(session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
    """The answer behind redirects, none of which may leave https."""
    for _ in range(MOST_REDIRECTS + 1):
        response = session.get(url, headers=headers, stream=True, timeout=(CONNECT_S, READ_S), allow_redirects=False)
        if not response.is_redirect:
            return response
        response.close()
        url = urljoin(url, response.headers["Location"])
        if urlsplit(url).scheme != "https":
            raise HSFusionError(
                f"The address of the model leads on to {_host(url)} without https, which is not followed."
            )
    raise HSFusionError(f"The address of the model leads on more than {MOST_REDIRECTS} times: check the manifest.")


def _watched(work: Any, adapter: _Adapter, progress: Any) -> None:
    """Run `work` on a thread, so that a server that says nothing cannot hold up a cancel."""
    errors: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="hsfusion-download", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(POLL_S)
            progress.check()
    except BaseException:
        adapter.abort()
        thread.join(1.0)
        raise
    if errors:
        raise _said(errors[0]) from errors[0]


def _said(error: Exception) -> Exception:
    if isinstance(error, requests.exceptions.SSLError):
        return HSFusionError(
            "The server's certificate is not trusted: set REQUESTS_CA_BUNDLE to your organisation's certificates, or "
            "use SOURCE."
        )
    if isinstance(error, (requests.exceptions.RequestException, ConnectionError, TimeoutError)):
        return HSFusionError(
            "The download broke off: check the network and run again, which goes on where it stopped; or fetch the "
            "file by hand and "
            "give its folder as SOURCE."
        )
    if isinstance(error, OSError):
        return HSFusionError(f"The model cannot be written ({error.strerror or error}): check the disk.")
    return error


def _keep(part: Path, entry: Entry, folder: Path) -> Path:
    """Under its name, if it is what the manifest promises; otherwise it goes."""
    size = size_of_own(part)
    if size < entry.size and not part.name.endswith(".copy"):
        raise HSFusionError(
            f"Only {size / 1e6:.1f} of {entry.size / 1e6:.1f} MB came: run again, which goes on where it stopped."
        )
    if size != entry.size or file_sha256(part) != entry.sha256:
        part.unlink(missing_ok=True)
        raise HSFusionError(
            f"{entry.file_name} is not the file that the manifest promises (size or sha256 differ), so it was not "
            "kept: "
            "run again, and if that does not help, tell who keeps the manifest."
        )
    target = folder / entry.file_name
    os.replace(part, target)
    return target


def _host(url: str) -> str:
    return urlsplit(url).netloc
