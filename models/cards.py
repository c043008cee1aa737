"""Model files as seen from outside: find them, read the card in them, name them by their hash; without torch.

A model file is NAME.safetensors: eight bytes of header length, a JSON header, the tensors. The header's free-text
metadata holds the model card as YAML under `card` and the SHA-256 of the tensors under `data_sha256`
(https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import functools
import hashlib
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..models import card_schema, plain_yaml
from .errors import HSFusionError
from .files import open_regular
from .wire.text import parsed

SUFFIX = ".safetensors"
# What weights of a spectral subspace were trained to say, and beside which closed forms: others' residuals are not
# these.
OBJECTIVE = "x0 of the residual to the mean of LOC and MAP on the scene's own laws, in units of its expected spread"
NETWORK_ROW = "network"  # what a card's scores call the model itself, beside the closed forms
LONGEST_HEADER = 16_000_000  # bytes; those of networks with thousands of tensors have one
LARGEST_FILE = 64 << 30  # bytes


class ModelError(HSFusionError):
    """A model file is missing, damaged or not one of ours."""


class UnknownModel(ModelError):
    """No model of this name is installed."""


@dataclass(frozen=True)
class ModelInfo:
    """An installed model: its name (the file's stem), its file, the hash of that file and its card."""

    name: str
    path: Path
    sha256: str
    card: dict[str, Any]


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The safetensors header of a file and the offset at which its tensors start; ModelError if it is missing or
    damaged.
    """
    path = Path(path)
    damaged = ModelError(f"The model file {path} is damaged or not a safetensors file: copy or download it again.")
    with open_model(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else LONGEST_HEADER + 1
            if length > min(LONGEST_HEADER, size - 8):
                raise damaged
            header = parsed(file.read(length), LONGEST_HEADER)
            metadata = header.get("__metadata__") or {}
            if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
                raise damaged
            ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
            if 8 + length + max(ends, default=0) != size:
                raise damaged
        except OSError as error:
            raise ModelError(
                f"The model file {path} cannot be read ({error.strerror}): check its permissions."
            ) from error
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            raise damaged from None
    return header, 8 + length


def open_model(path: Path) -> BinaryIO:
    """A model file for reading; ModelError if there is none, or what has its name is no file: a pipe would be waited
    for.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        raise ModelError(f"There is no model file {path}: check the path, or choose an installed model.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"The model file {path} cannot be read ({reason}): check its permissions.") from error
    if os.fstat(file.fileno()).st_size > LARGEST_FILE:
        file.close()
        raise ModelError(f"The model file {path} is larger than {LARGEST_FILE >> 30} GiB: choose another one.")
    return file


def read_card(path: Path) -> dict[str, Any]:
    """The model card in a model file; ModelError, in one sentence, if the file is missing, damaged or foreign."""
    metadata = read_header(path)[0].get("__metadata__") or {}
    if "card" not in metadata:
        raise ModelError(f"The file {path} has no HSFusion model card: it belongs to another program.")
    try:
        card = plain_yaml.loaded(metadata["card"])
    except ValueError as error:
        raise ModelError(
            f"The model card in {path} cannot be read ({error}): copy or download the model again."
        ) from None
    wrong = card_schema.problem(card)
    if wrong:
        raise ModelError(
            f"The model card in {path} {wrong}: it is damaged, or was made for another version of HSFusion."
        )
    return card


def check_weights(path: Path) -> bool:
    """Whether the weights of a model file are those that were saved: True, or False if the file holds no checksum;
    ModelError if damaged.
    """
    header, offset = read_header(path)
    expected = (header.get("__metadata__") or {}).get("data_sha256")
    if not expected:
        return False
    digest = hashlib.sha256()
    with open_model(path) as file:
        file.seek(offset)
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise ModelError(
            f"The weights in {path} are damaged (their checksum is wrong): copy or download the model again."
        )
    return True


def check_objective(card: Mapping[str, Any]) -> None:
    """ModelError where the weights of a subspace model were trained beside other closed forms than this
    version makes.
    """
    if card.get("objective") != OBJECTIVE:
        raise ModelError(
            f"The model {card['name']} was trained beside the closed forms of another version of HSFusion: choose "
            "hsfusion-base, or adapt it anew."
        )


def beats_closed_forms(card: Mapping[str, Any]) -> bool:
    """Whether a card's scores tell of a better PSNR than that of every closed form beside it, in the mean over its
    cases; False where it tells nothing.
    """
    gains = []
    for of_case in (card.get("scores") or {}).values():
        rows = of_case.get("mean", of_case) if isinstance(of_case, dict) else {}
        known = {m: float(row[0]) for m, row in rows.items() if isinstance(row, (list, tuple)) and row}
        network = known.pop(NETWORK_ROW, None)
        if network is not None and known:
            gains.append(network - max(known.values()))
    return bool(gains) and sum(gains) > 0


def sha256(path: Path) -> str:
    """SHA-256 of a whole file, as hexadecimal text; remembered as long as the file's size and time stay the same."""
    path = Path(path).resolve()
    with open_model(path) as file:
        facts = os.fstat(file.fileno())
    return _sha256(path, facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, _size: int, _time: int) -> str:
    digest = hashlib.sha256()
    with open_model(path) as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def model_info(path: Path) -> ModelInfo:
    """Everything that is known of one model file; ModelError as `read_card`."""
    path = Path(path)
    card = read_card(path)
    return ModelInfo(name=path.stem, path=path, sha256=sha256(path), card=card)


def model_files(places: Iterable[Path]) -> dict[str, Path]:
    """Model name -> file, for places that are folders of model files or model files themselves; the first
    place wins.
    """
    found: dict[str, Path] = {}
    for place in map(Path, places):
        try:
            files = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else [place] if place.is_file() else []
        except OSError:  # a folder that may not be read has no models for us
            continue
        for path in files:
            found.setdefault(path.stem, path)
    return found


def find_models(places: Iterable[Path]) -> tuple[list[ModelInfo], list[ModelError]]:
    """The usable models in folders (or files), and what is wrong with the others."""
    models: list[ModelInfo] = []
    broken: list[ModelError] = []
    for path in model_files(places).values():
        try:
            models.append(model_info(path))
        except ModelError as error:
            broken.append(error)
        except Exception as error:  # whatever a file holds, it harms no other
            broken.append(ModelError(f"The model file {path} cannot be read ({type(error).__name__}): remove it."))
    return models, broken


def find_model(name: str, places: Iterable[Path]) -> ModelInfo:
    """The model of this name; UnknownModel with the names there are, or ModelError if its file is damaged or
    foreign.
    """
    files = model_files(places)
    if name not in files:
        names = ", ".join(sorted(files)) or "none"
        raise UnknownModel(
            f"There is no model called '{name}' (installed: {names}): choose one of these, or add its file to a model "
            "folder."
        )
    return model_info(files[name])
