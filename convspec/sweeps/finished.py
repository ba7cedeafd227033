"""Rows of checkpoints that are done, found again by the bytes of their files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convspec.cache import Refused, Store, entry_key
from convspec.sweeps.rows import Row

__all__ = ["Finished", "file_digest"]

STEP = "rows of a checkpoint"
CHUNK = 2**20


@dataclass(frozen=True)
class Finished:
    """Rows by what they depend on: a file's bytes, a model, settings and versions.

    Attributes:
        store: Where they are.
        model: The digest of the model.
        settings: All that the rows depend on besides.
    """

    store: Store
    model: str
    settings: Mapping[str, Any]

    def key(self, digest: str) -> str | None:
        """The key of a file's rows; None if settings are of a kind that has none."""
        try:
            inputs = self.model, dict(self.settings)
            return entry_key(STEP, digest, inputs, self.store.codec)
        except Refused:
            return None

    def rows(self, digest: str) -> list[Row] | None:
        """The rows of a file of this digest; None if there are none."""
        key = self.key(digest)
        found = None if key is None else self.store.read(key)
        are_rows = isinstance(found, list) and all(isinstance(row, dict) for row in found)
        return found if are_rows else None

    def keep(self, digest: str, rows: list[Row]) -> None:
        """Store the rows of a file."""
        key = self.key(digest)
        if key is not None:
            self.store.write(key, rows)


def file_digest(path: Path) -> str | None:
    """The SHA-256 of a file's bytes; None if it cannot be read, or is no plain file."""
    found = hashlib.sha256()
    try:
        if not path.is_file():
            return None
        with open(path, "rb") as stream:
            while chunk := stream.read(CHUNK):
                found.update(chunk)
    except OSError:
        return None
    return found.hexdigest()
