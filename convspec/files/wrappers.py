"""What training programs wrap weights in, undone and said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convspec.files.reading import one_line, unreadable

__all__ = ["Unwrapped", "unwrapped"]

# in this order where several hold tensors
WRAPPERS = (
    "state_dict",
    "model",
    "module",
    "ema",
    "model_state_dict",
    "params",
    "params_ema",
    "net",
    "generator",
)
# how deep wrappers are looked through: two are usual
DEEPEST = 8
# names said of what is left out
SAID = 5


@dataclass
class Unwrapped:
    """Tensors by name, and sentences on what was around and among them."""

    tensors: dict[str, Tensor]
    notes: list[str] = field(default_factory=list)


def unwrapped(path: Path, held: object) -> Unwrapped:
    """The tensors of the innermost mapping that holds them.

    Raises:
        UnreadableModel: If there is none, or several under names that say nothing.
    """
    entries, names = held, list[str]()
    notes: list[str] = []
    while isinstance(entries, Mapping) and len(names) < DEEPEST:
        inner = [key for key, entry in entries.items() if _holds_tensors(entry)]
        key = next((name for name in WRAPPERS if name in inner), None)
        if key is None and not any(map(_is_weight, entries.values())):
            key = _only(path, inner)
        if key is None:
            break
        names.append(one_line(key, 60))
        notes += _left_out([k for k in entries if k != key], "beside it")
        entries = entries[key]
    found = entries if isinstance(entries, Mapping) else {}
    kept = {k: t for k, t in found.items() if isinstance(k, str) and _is_weight(t)}
    if not kept:
        raise unreadable(
            path,
            "hold tensors by name",
            f"it holds {_kind(held)} without any",
            "write it with torch.save(model.state_dict(), path)",
        )
    if names:
        notes.insert(0, f"the weights were in {'.'.join(names)}")
    notes += _left_out([k for k in found if k not in kept], "no dense tensors")
    return Unwrapped(kept, notes)


def _only(path: Path, inner: list[Any]) -> Any:
    """The one entry that holds tensors; None without any."""
    if len(inner) > 1:
        raise unreadable(
            path,
            "hold the weights of one model",
            f"tensors are in {_list(inner)}",
            "write the state dict of one of them to a file",
        )
    return inner[0] if inner else None


def _holds_tensors(entry: object, depth: int = 0) -> bool:
    if not isinstance(entry, Mapping) or depth > 2:
        return False
    return any(map(_is_weight, entry.values())) or any(
        _holds_tensors(entry[name], depth + 1) for name in WRAPPERS if name in entry
    )


def _is_weight(entry: object) -> bool:
    """Whether an entry is a tensor whose values lie in memory one beside the other."""
    if type(entry) not in (Tensor, torch.nn.Parameter):
        return False
    assert isinstance(entry, Tensor)
    usual = entry.layout == torch.strided and not entry.is_quantized
    return usual and not entry.is_nested and entry.device.type == "cpu"


def _kind(held: object) -> str:
    if isinstance(held, Mapping):
        return f"a mapping of {_list(list(held))}" if held else "an empty mapping"
    return f"a {type(held).__name__}"


def _list(names: list[Any]) -> str:
    some = [one_line(name, 60) for name in names[:SAID] if isinstance(name, str | int)]
    return ", ".join(some) + ", ..." * (len(names) > SAID)


def _left_out(names: list[Any], why: str) -> list[str]:
    return [f"left out, {why}: {_list(names)}"] if names else []
