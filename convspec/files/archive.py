"""Zip archives as torch writes them: what is checked before anything is unpacked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from convspec.files.reading import readers, unreadable
from convspec.limits import readable_bytes

__all__ = ["ZIP", "inner", "members", "names"]

# what an archive begins with
ZIP = b"PK\x03\x04"
ENCRYPTED = 0x1
# of a local header, without the name
HEADER = 30


def names(path: Path) -> list[str]:
    """Names of the members, without the folder that all of them are in.

    Raises:
        UnreadableModel: If it is no archive.
    """
    with readers(path, "be a whole zip archive"), ZipFile(path) as archive:
        return [inner(name) for name in archive.namelist()]


def inner(name: str) -> str:
    """The name of a member in the folder that it is in."""
    return name.partition("/")[2] or name


def members(path: Path, max_bytes: float) -> list[ZipInfo]:
    """The members of an archive that is what it says.

    Their sizes add up to no more than the limit, none lies over another, none is
    compressed (torch compresses none) and no name occurs twice.

    Raises:
        UnreadableModel: If it is another archive.
    """
    with readers(path, "be a whole zip archive"), ZipFile(path) as archive:
        found = archive.infolist()
        end = archive.start_dir
    _require_sizes(path, found, max_bytes)
    _require_apart(path, found, end)
    return found


def _require_sizes(path: Path, found: Sequence[ZipInfo], max_bytes: float) -> None:
    total = sum(each.file_size for each in found)
    if total > max_bytes:
        raise unreadable(
            path,
            f"unpack to no more than max_bytes = {readable_bytes(max_bytes)}",
            f"its members have {readable_bytes(total)}",
            "raise max_bytes if you trust it",
        )
    packed = [
        each
        for each in found
        if each.compress_type != ZIP_STORED or each.file_size != each.compress_size
    ]
    if packed or any(each.flag_bits & ENCRYPTED for each in found):
        raise unreadable(
            path,
            "hold its members as they are, as torch stores them",
            f"{len(packed) or 'some'} are compressed or encrypted",
            "unpack it and write it again with zip -0",
        )


def _require_apart(path: Path, found: Sequence[ZipInfo], end: int) -> None:
    if len({each.filename for each in found}) < len(found):
        raise unreadable(
            path, "name its members once", "names occur twice", "write it again"
        )
    last = 0
    for each in sorted(found, key=lambda member: member.header_offset):
        if each.header_offset < last:
            raise unreadable(
                path, "hold its members apart", "some overlap", "write it again"
            )
        last = each.header_offset + HEADER + len(each.filename) + each.compress_size
    if last > end:
        raise unreadable(path, "hold all of its members", "some end beyond it", "copy it")
