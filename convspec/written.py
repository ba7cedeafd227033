"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["write_bytes", "write_text"]


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write the text to ``path``, as :func:`write_bytes`.

    Raises:
        OSError: If the folder is missing or not writable, with its name, or the file
            cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write the content to ``path``, replacing it at once when all of it is on disk.

    Links are followed; what is no regular file, such as a pipe, is written to directly.

    Raises:
        OSError: If the folder is missing or not writable, with its name, or the file
            cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        target.write_bytes(content)
        return
    try:
        handle, partial = tempfile.mkstemp(dir=target.parent, prefix=".convspec-")
    except OSError as error:  # of the folder, whose name says more than that of the file
        raise type(error)(error.errno, error.strerror, str(target.parent)) from None
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, target)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
