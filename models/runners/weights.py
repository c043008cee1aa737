"""Model files: weights and card in one safetensors file. Torch is imported only where weights are touched."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..cards import ModelError, open_model, read_card, read_header, sha256

if TYPE_CHECKING:
    import torch

MOST_GROWTH = 4  # times as many weights as in the file: an older file grows into a newer network

__all__ = ["check_size", "load_state", "model_bytes", "read_card", "save_model", "sha256"]


def model_bytes(state_dict: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> bytes:
    """A whole model file: weights, card, and the checksum of the weights."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in state_dict.items()}
    plain = save(
        tensors
    )  # safetensors puts tensors in the same order whatever the metadata, so this is the data's hash
    data = plain[8 + int.from_bytes(plain[:8], "little") :]
    text = yaml.safe_dump(dict(card), sort_keys=False, allow_unicode=True)
    return save(tensors, metadata={"card": text, "data_sha256": hashlib.sha256(data).hexdigest()})


def save_model(path: Path, state_dict: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> None:
    """Write weights and card to `path` (NAME.safetensors), whole or not at all."""
    path = Path(path)
    whole = model_bytes(state_dict, card)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(whole)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check_size(build: Callable[[], torch.nn.Module], state: Mapping[str, torch.Tensor]) -> None:
    """ModelError where the network that `build` makes has far more weights than the file: it would only fill the
    memory.
    """
    import torch

    with torch.device("meta"):
        wanted = sum(weight.numel() for weight in build().state_dict().values())
    found = sum(weight.numel() for weight in state.values())
    if wanted > MOST_GROWTH * found + 1_000_000:
        raise ModelError(
            f"The model's card speaks of {wanted:.3g} weights and its file has {found:.3g}: copy it again."
        )


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a model file, on the CPU; ModelError if the file is missing, damaged or foreign."""
    from safetensors.torch import load

    path = Path(path)
    read_card(path)
    header, offset = read_header(path)
    with open_model(path) as file:
        blob = file.read()
    expected = header["__metadata__"].get("data_sha256")
    if expected and hashlib.sha256(memoryview(blob)[offset:]).hexdigest() != expected:
        raise ModelError(
            f"The weights in {path} are damaged (their checksum is wrong): copy or download the model again."
        )
    try:
        return load(blob)
    except Exception as error:  # safetensors raises its own class for each defect
        raise ModelError(f"The model file {path} cannot be loaded ({error}): copy or download it again.") from error
