"""Files as an attacker, or a fault, would make them."""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

Edit = Callable[[bytes], bytes]


class Touches:
    """An object whose unpickling creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def rewritten(
    source: Path,
    target: Path,
    edits: dict[str, Edit] | None = None,
    more: dict[str, bytes] | None = None,
    packed: int = zipfile.ZIP_STORED,
) -> Path:
    """A copy of an archive with members edited, by the end of their names, or added."""
    left = dict(edits or {})
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", packed) as new:
        root = old.namelist()[0].partition("/")[0]
        for each in old.infolist():
            content = old.read(each)
            for ending in [e for e in left if each.filename.endswith(e)]:
                content = left.pop(ending)(content)
            new.writestr(each.filename, content)
        for name, content in (more or {}).items():
            new.writestr(f"{root}/{name}", content)
    assert not left
    return target


def replacing(old: str, new: str, count: int = -1) -> Edit:
    """Text of a member replaced."""

    def edit(content: bytes) -> bytes:
        assert old.encode() in content, old
        return content.replace(old.encode(), new.encode(), count)

    return edit


def zip_bomb(path: Path) -> Path:
    """An archive of three compressed members, each of 3.5 GiB of zeros."""
    size, block = 7 * 2**29, 2**24
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    content = part * (size // block) + packer.flush()
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "data/0", "data/1"):
            archive.writestr(f"archive/{name}", content)
    whole = path.read_bytes()
    for mark, method, length in ((b"PK\x03\x04", 8, 22), (b"PK\x01\x02", 10, 24)):
        pieces = whole.split(mark)
        assert len(pieces) == 4
        for number, piece in enumerate(pieces[1:], start=1):
            header = bytearray(piece)
            header[method - 4 : method - 2] = struct.pack("<H", zipfile.ZIP_DEFLATED)
            header[length - 4 : length] = struct.pack("<I", size)
            pieces[number] = bytes(header)
        whole = mark.join(pieces)
    path.write_bytes(whole)
    return path


def overlapping(path: Path) -> Path:
    """An archive whose members lie in one place, as those of small bombs do."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(1000))
        archive.writestr("archive/data/0", bytes(1000))
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = struct.pack("<I", 0)
    path.write_bytes(content)
    return path


def safetensors(path: Path, header: object, data: bytes = b"", length: int = -1) -> Path:
    """A safetensors file of any header and any length of it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length < 0 else length
    path.write_bytes(struct.pack("<Q", length) + text + data)
    return path
