"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["require_writable", "write_bytes", "write_text"]


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


def require_writable(path: Path) -> None:
    """Refuse a file that could not be written, before long work.

    Raises:
        OSError: If its folder is missing or not writable, or it is a folder itself.
    """
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder must exist: {folder}; make it first")
    if path.is_dir():
        raise IsADirectoryError(f"a file must be named; {path} is a folder")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"the folder must be writable: {folder}")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
