"""hsfusion:getmodel: a model of a manifest, from its pinned address or from a folder, checked and put where runs look
for models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...models.cards import check_weights, model_info
from ..backend.models_store.download import check_room, copy, download, file_sha256
from ..backend.models_store.manifest import BUNDLED, Entry, find_entry, read_manifest
from ..backend.models_store.places import fetched_models
from ..backend.settings import Settings
from ..errors import HSFusionError
from .run.progress import Progress


@dataclass(frozen=True)
class GetModelRequest:
    """model: a name of the manifest, "" = only list them; manifest: None = the bundled one; source: folder with the
    files, None = network; folder: None = the user's own folder of models.
    """

    model: str = ""
    manifest: Path | None = None
    source: Path | None = None
    folder: Path | None = None


def run(request: GetModelRequest, progress: Progress) -> dict[str, Any]:
    """The outputs by name; HSFusionError, Cancelled."""
    manifest = request.manifest or BUNDLED
    entries = read_manifest(manifest)
    lines = [entry.sentence for entry in entries] or [f"{manifest.name} lists no models."]
    if not request.model:
        progress.info("\n".join(["Models that can be had:", *lines] if entries else lines))
        return {"MODEL_FILE": None, "LIST": "\n".join(lines)}
    entry = find_entry(request.model, entries, manifest)
    folder = request.folder or fetched_models()
    path = _fetched(entry, request, folder, progress)
    if request.folder is not None and folder not in Settings.read().model_places:
        progress.info(f"Add {folder} to the model folders in the options of HSFusion, or give the file as MODEL_FILE.")
    return {"MODEL_FILE": str(path), "LIST": "\n".join(lines)}


def _fetched(entry: Entry, request: GetModelRequest, folder: Path, progress: Progress) -> Path:
    there = folder / entry.file_name
    if there.is_file() and there.stat().st_size == entry.size and file_sha256(there) == entry.sha256:
        progress.info(f"{there} is there already, with the right sha256.")
        return there
    check_room(entry, folder)
    progress.info(entry.sentence)
    if request.source is not None:
        progress.phase(f"Copying {entry.file_name}")
        path = copy(entry, request.source, folder, progress)
    else:
        progress.phase(f"Downloading {entry.file_name}")
        path = download(entry, folder, progress)
    try:
        card = model_info(path).card
        check_weights(path)
    except HSFusionError:
        path.unlink(missing_ok=True)
        raise
    progress.info(f"{path}: {card['architecture']}, sha256 {entry.sha256[:12]}; name it as MODEL.")
    return path
