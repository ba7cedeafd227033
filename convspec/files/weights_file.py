"""Reading weights from files: tensors by name, and never code."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convspec.extras import import_extra
from convspec.files.archive import ZIP, members, names
from convspec.files.pickles import require_modest
from convspec.files.reading import first_bytes, readers, require_file, unreadable
from convspec.files.safetensors_header import is_safetensors, require_header
from convspec.files.wrappers import unwrapped
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, readable_bytes

__all__ = ["Weights", "read_weights"]

# what pickles begin with from their second protocol on
PICKLE = b"\x80"
WHOLE = "hold tensors alone, written by torch.save or safetensors"


class Weights(dict[str, Tensor]):
    """Tensors by name.

    Attributes:
        notes: Sentences on what was undone and what was left out.
    """

    notes: list[str]

    def __init__(self, tensors: dict[str, Tensor], notes: list[str]) -> None:
        super().__init__(tensors)
        self.notes = notes


@isolated
def read_weights(
    path: str | os.PathLike[str], *, max_bytes: Bytes = DEFAULT_MAX_BYTES
) -> Weights:
    """The tensors of a file, by name.

    What it is, is told by what it holds: safetensors, or what torch.save writes, today or
    before torch 1.6. Nothing in it is run: of pickles, only tensors and plain containers
    are read. NaN and infinity are kept.

    Args:
        path: The file: ``.safetensors``, ``.pth``, ``.pt``, ``.bin``, ``.ckpt``.
        max_bytes: What neither the file nor what it unpacks to may exceed.

    Returns:
        A dict with sentences, ``.notes``, on what was undone and left out.

    Raises:
        TypeError: If max_bytes is no number of bytes.
        UnreadableModel: If the file is another, too large or damaged.
    """
    path = Path(path)
    max_bytes = byte_limit(max_bytes)
    size = require_file(path, max_bytes)
    with readers(path, WHOLE):
        beginning = first_bytes(path, 9)
    if beginning.startswith(ZIP):
        held = _of_archive(path, max_bytes)
    elif beginning.startswith(PICKLE) and not is_safetensors(beginning):
        require_modest(path, False, max_bytes)
        held = _of_pickle(path, mmap=False)
    elif is_safetensors(beginning):
        require_header(path, size)
        with readers(path, WHOLE):
            held = import_extra("safetensors.torch", "cli").load_file(path, device="cpu")
    else:
        raise unreadable(
            path, WHOLE, f"it begins with {beginning!r}", "save the state dict again"
        )
    found = unwrapped(path, held)
    _require_small(path, found.tensors, max_bytes)
    with readers(path, WHOLE):
        # copies: archives are mapped into memory, and the file may change
        tensors = {name: t.detach().clone() for name, t in found.tensors.items()}
    return Weights(tensors, found.notes)


def _of_archive(path: Path, max_bytes: float) -> object:
    held = names(path)
    if "archive_format" in held:
        raise unreadable(
            path, WHOLE, "it is an exported program", "read it as one, from a .pt2"
        )
    if "constants.pkl" in held:
        raise unreadable(
            path,
            WHOLE,
            "it is a TorchScript program, which runs code",
            "save the state_dict() of the model",
        )
    members(path, max_bytes)
    require_modest(path, True, max_bytes)
    # mapped, a storage ends where the file ends, whatever the pickle says its size is
    return _of_pickle(path, mmap=True)


def _of_pickle(path: Path, mmap: bool) -> object:
    held: Any
    with readers(path, WHOLE):
        try:
            if mmap and path.suffix != ".safetensors":
                held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            else:  # by a path of that name torch takes it for what it is called
                with open(path, "rb") as file:
                    held = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise _refused(path, error) from error
    return held


def _refused(path: Path, error: Exception) -> Exception:
    """What torch says in several paragraphs where a pickle names what may run."""
    said = str(error)
    name = re.search(r"(?:GLOBAL|class|function) ([\w.]+)", said)
    if "weights_only" not in said and "Weights only" not in said:
        return error
    got = f"it also holds {name[1]}" if name else "it holds what is none"
    return unreadable(
        path, WHOLE, f"{got}, and reading that may run code", "save its state_dict()"
    )


def _require_small(path: Path, tensors: dict[str, Tensor], max_bytes: float) -> None:
    """Refuse tensors that say more than they hold, as expanded ones do."""
    total = sum(each.numel() * each.element_size() for each in tensors.values())
    if total > max_bytes:
        raise unreadable(
            path,
            f"hold no more than max_bytes = {readable_bytes(max_bytes)} of weights",
            f"its tensors have {readable_bytes(total)}",
            "raise max_bytes if you trust it",
        )
