"""What a pickle asks for beyond tensors, read from its operations before it is loaded.

Without ``weights_only`` a pickle runs what it likes. With it, it may still ask for
memory: ``bytearray(10**10)`` takes some bytes of a file, and each call of
``codecs.encode`` copies a text that the file holds once.
"""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import IO
from zipfile import ZipFile

from convspec.files.reading import readers, unreadable
from convspec.limits import readable_bytes

__all__ = ["require_modest"]

# magic number, version, system, what was saved, names of storages
PICKLES_OF_LEGACY = 5
REFUSED = "bytearray"
COPIES = "encode"


def require_modest(path: Path, archive: bool, max_bytes: float) -> None:
    """Refuse pickles that would take much more memory than they have bytes.

    Args:
        path: The file.
        archive: Whether it is an archive that holds the pickle, or the pickle itself.
        max_bytes: What copies of texts in it may not exceed.

    Raises:
        UnreadableModel: If it is no pickle, or one of that kind.
    """
    what = "hold a pickle of tensors"
    if not archive:
        with readers(path, what), open(path, "rb") as file:
            _require(path, file, PICKLES_OF_LEGACY, max_bytes)
        return
    with readers(path, what), ZipFile(path) as members:
        for name in members.namelist():
            if name.endswith(".pkl"):
                with members.open(name) as member:
                    _require(path, member, 1, max_bytes)


def _require(path: Path, file: IO[bytes], pickles: int, max_bytes: float) -> None:
    calls, longest, copies = 0, 0, False
    for _ in range(pickles):
        for operation, argument, _ in pickletools.genops(file):
            calls += operation.name == "REDUCE"
            if isinstance(argument, str | bytes):
                longest = max(longest, len(argument))
            if operation.name != "GLOBAL":
                continue
            name = str(argument).rpartition(" ")[2]
            copies = copies or name == COPIES
            if name == REFUSED:
                raise unreadable(
                    path,
                    "hold tensors alone",
                    f"it also holds a {REFUSED}, which may take any memory",
                    "save the state_dict() of the model",
                )
    # of a character, encoded
    if copies and 4 * calls * longest > max_bytes:
        raise unreadable(
            path,
            f"take no more than max_bytes = {readable_bytes(max_bytes)}",
            f"{calls} calls may copy a text of {longest} characters",
            "raise max_bytes if you trust it",
        )
