"""What a pickle asks for beyond tensors, read from its operations before it is loaded.

Without ``weights_only`` a pickle runs what it likes. With it, it may still ask for
memory: ``bytearray(10**10)`` takes some bytes of a file, and each call of
``codecs.encode`` or ``OrderedDict`` copies what the file holds once.
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
# which copy what they are given; called with nothing, as is usual, they do not
COPIES = ("Counter", "OrderedDict", "encode", "set")
# bytes of an entry of a container
ENTRY = 64


def require_modest(path: Path, archive: bool, max_bytes: float) -> None:
    """Refuse pickles that would take much more memory than they have bytes.

    Args:
        path: The file.
        archive: Whether it is an archive that holds the pickle, or the pickle itself.
        max_bytes: What copies of what it holds may not exceed.

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
    calls, operations, longest = 0, 0, 0
    for _ in range(pickles):
        copying, last = set[object](), False
        for operation, argument, _ in pickletools.genops(file):
            operations += 1
            if isinstance(argument, str | bytes):
                longest = max(longest, len(argument))
            if "PUT" in operation.name:  # a name for what is on top
                (copying.add if last else copying.discard)(argument)
                continue
            calls += last and operation.name != "EMPTY_TUPLE"
            name = str(argument).rpartition(" ")[2] if operation.name == "GLOBAL" else ""
            last = name in COPIES or ("GET" in operation.name and argument in copying)
            if name == REFUSED:
                raise unreadable(
                    path,
                    "hold tensors alone",
                    f"it also holds a {REFUSED}, which may take any memory",
                    "save the state_dict() of the model",
                )
    if calls * max(4 * longest, ENTRY * operations) > max_bytes:
        raise unreadable(
            path,
            f"take no more than max_bytes = {readable_bytes(max_bytes)}",
            f"{calls} calls may copy what it holds in {operations} operations",
            "raise max_bytes if you trust it",
        )
