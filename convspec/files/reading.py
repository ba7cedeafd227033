"""What stands before every reader of a file, and what becomes of its exceptions."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convspec.errors import UnreadableModel
from convspec.extras import MissingExtra
from convspec.limits import readable_bytes

__all__ = ["first_bytes", "one_line", "readers", "require_file", "unreadable"]

# characters that a reader's own words may take in a message
WORDS = 300


def one_line(text: object, limit: int = 2**20) -> str:
    """Text without line breaks and control characters, and no longer than the limit."""
    words = " ".join(str(text)[: 4 * limit].split())
    plain = "".join(c if c.isprintable() else "?" for c in words)
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."


def unreadable(path: Path, must: str, got: str, instead: str) -> UnreadableModel:
    """The error for a file: what must hold of it, what is so, what to do."""
    return UnreadableModel(one_line(f"{path} must {must}; {got}; {instead}"))


def require_file(path: Path, max_bytes: float) -> int:
    """The size of a regular file that is neither empty nor larger than the limit.

    Raises:
        UnreadableModel: If it is another file, or none.
    """
    try:
        found = os.stat(path)
        if stat.S_ISREG(found.st_mode):
            with open(path, "rb"):
                pass
    except (OSError, ValueError) as error:
        raise unreadable(
            path, "be a file that can be opened", f"got {error}", "give another path"
        ) from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "none"
        raise unreadable(
            path, "be a regular file", f"it is {kind}", "give the path of one"
        )
    if not found.st_size:
        raise unreadable(path, "hold something", "it is empty", "write or copy it again")
    if found.st_size > max_bytes:
        raise unreadable(
            path,
            f"be no larger than max_bytes = {readable_bytes(max_bytes)}",
            f"it has {readable_bytes(found.st_size)}",
            "raise max_bytes",
        )
    return found.st_size


def first_bytes(path: Path, count: int) -> bytes:
    """What a file begins with."""
    with open(path, "rb") as file:
        return file.read(count)


@contextmanager
def readers(
    path: Path, what: str, instead: str = "write or copy it again"
) -> Iterator[None]:
    """Where a library reads a file: whatever it raises becomes UnreadableModel.

    Args:
        path: The file.
        what: What it must be, ``"be an exported program"``.
        instead: What to do where it is not.

    Raises:
        UnreadableModel: In place of any exception.
    """
    try:
        yield
    except (UnreadableModel, MissingExtra):
        raise
    except Exception as error:  # of a library, about bytes that anyone may have written
        said = one_line(f"{type(error).__name__}: {error}", WORDS)
        raise unreadable(path, what, f"reading it raised {said}", instead) from error
