"""A folder of entries, one file each, that is right whatever happens to its files.

An entry is an npz archive, ``KEY.npz``: the arrays of a value, and under ``text`` its key
and its JSON. The comment at the archive's end is the SHA-256 of all bytes before it, so
that a file is known to be whole before anything of it is read. What is not whole, or of
another key, is no entry. Files are replaced at once: processes that write one entry at a
time leave one or the other, and they are the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convspec.cache.codec import Arrays, Codec, Refused
from convspec.written import write_bytes

__all__ = ["MOST_BYTES", "Store"]

# an entry that is larger is neither written nor read
MOST_BYTES = 2**31
TEXT = "text"
CHECKSUM = 64  # hexadecimal digits of a SHA-256


@dataclass
class Store:
    """Entries of a folder.

    Attributes:
        folder: Where they are.
        codec: What values can be.
        failed: Whether an entry could not be written, which is said once.
    """

    folder: Path
    codec: Codec
    failed: bool = False

    @classmethod
    def at(cls, folder: str | os.PathLike[str], codec: Codec | None = None) -> Store:
        """The entries of a folder, which is made if it is not there.

        Raises:
            OSError: If it is a file, cannot be made, or cannot be written to.
        """
        path = Path(folder)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(
                f"the cache must be a folder; {path} is a file; name another"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as error:
            raise type(error)(
                f"the cache must be a folder that can be written to; {path}: "
                f"{error.strerror}"
            ) from None
        return cls(path, Codec() if codec is None else codec)

    def path(self, key: str) -> Path:
        """Where the entry of a key is."""
        return self.folder / f"{key}.npz"

    def read(self, key: str) -> Any:
        """The value of an entry; None if there is none that is whole and of this key."""
        try:
            path = self.path(key)
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
                return None
            return self._value(key, path.read_bytes())
        except Exception:  # of archives that are none there is no end of kinds
            return None

    def write(self, key: str, value: object) -> None:
        """Store a value, in the place of an entry that is there.

        Where it cannot be stored there is a warning, once: the value is not lost with it.
        """
        try:
            content, path = self._content(key, value), self.path(key)
            if len(content) > MOST_BYTES:
                return
            if path.is_symlink() or path.is_fifo():  # which a write would follow
                path.unlink()
            write_bytes(path, content)
        except (OSError, Refused) as error:
            if not self.failed:
                warnings.warn(
                    f"results are not all stored in {self.folder}: {error}", stacklevel=2
                )
            self.failed = True

    def _content(self, key: str, value: object) -> bytes:
        """The bytes of an entry."""
        text, arrays = self.codec.encoded(value)
        whole = json.dumps({"key": key, "value": text}).encode("utf-8")
        stream = io.BytesIO()
        arrays[TEXT] = np.frombuffer(whole, dtype=np.uint8)
        np.savez(stream, **arrays)  # type: ignore[arg-type]
        with zipfile.ZipFile(stream, "a") as archive:
            archive.comment = CHECKSUM * b"0"
        content = stream.getvalue()[:-CHECKSUM]
        return content + hashlib.sha256(content).hexdigest().encode("ascii")

    def _value(self, key: str, content: bytes) -> Any:
        """The value of the bytes of an entry, which anyone may have written.

        Raises:
            Refused: If it is not whole, or that of another key.
        """
        body, checksum = content[:-CHECKSUM], content[-CHECKSUM:]
        if hashlib.sha256(body).hexdigest().encode("ascii") != checksum:
            raise Refused("not whole")
        arrays: Arrays = {}
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            if any(each.compress_type for each in archive.zip.infolist()):
                raise Refused("compressed: what it would hold is not known")
            arrays.update(archive)
        whole = json.loads(arrays.pop(TEXT).tobytes().decode("utf-8"))
        if whole["key"] != key:
            raise Refused("the entry of another key")
        return self.codec.decoded(whole["value"], arrays)
