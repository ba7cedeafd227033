"""The header of a safetensors file, checked before its reader sees the file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from convspec.files.reading import readers, unreadable

__all__ = ["is_safetensors", "require_header"]

# of bytes: a hundred thousand tensors take some ten million
LONGEST = 2**25
BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
    "C64": 8,
}


def is_safetensors(beginning: bytes) -> bool:
    """Whether a file begins like one: with the length of a header, then the header."""
    return len(beginning) > 8 and beginning[8:9] == b"{"


def require_header(path: Path, size: int) -> None:
    """Refuse a header that does not fit the file.

    Args:
        path: The file.
        size: Of it, in bytes.

    Raises:
        UnreadableModel: If the header is long or no JSON, if a dtype is not known, or if
            the tensors are not one behind the other to the end of the file.
    """
    header, data = _header(path, size)
    spans = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        with readers(path, "describe each tensor by dtype, shape and data_offsets"):
            begin, end = entry["data_offsets"]
            spans.append((_count(begin), _count(end)))
            shape, dtype = [_count(n) for n in entry["shape"]], entry["dtype"]
            known = BYTES.get(dtype)
        if known is None:
            raise unreadable(
                path,
                f"hold tensors of known dtypes, {', '.join(BYTES)}",
                f"{name!r} is {dtype!r}",
                "convert it",
            )
        if math.prod(shape) * known != spans[-1][1] - spans[-1][0]:
            raise unreadable(
                path,
                "give each tensor the bytes of its shape",
                f"{name!r}, {shape} of {dtype}, has {spans[-1][1] - spans[-1][0]}",
                "write it again",
            )
    _require_tiled(path, sorted(spans), data)


def _header(path: Path, size: int) -> tuple[dict[str, Any], int]:
    """The header, and how many bytes are left for tensors."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(LONGEST, size - 8):
            raise unreadable(
                path,
                f"have a header that fits it and {LONGEST} bytes",
                f"it says {length} bytes",
                "copy it again",
            )
        text = file.read(length)
    with readers(path, "have a header in JSON"):
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError(f"the header is a {type(found).__name__}")
    return found, size - 8 - length


def _count(number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ValueError(f"{number!r} is no count")
    return number


def _require_tiled(path: Path, spans: list[tuple[int, int]], data: int) -> None:
    at = 0
    for begin, end in spans:
        if begin != at:
            break
        at = end
    else:
        if at == data:
            return
    raise unreadable(
        path,
        f"hold its tensors one behind the other in {data} bytes",
        "their offsets overlap, leave gaps or end elsewhere",
        "copy it again",
    )
