"""Models that a function of the user's makes: ``package.module:callable``."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from convspec.errors import UnreadableModel

__all__ = ["is_factory", "made_by"]

NAMED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_factory(source: str) -> bool:
    """Whether a source is written ``package.module:callable``."""
    return NAMED.fullmatch(source) is not None


def made_by(source: str) -> nn.Module:
    """The module that a factory makes, or the module that the name is.

    Raises:
        UnreadableModel: If it cannot be imported, or makes no module.
    """
    module, _, name = source.partition(":")
    with _importable(os.getcwd()):
        try:
            found: Any = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
            made = found if isinstance(found, nn.Module) else found()
        except Exception as error:
            raise UnreadableModel(
                f"{source} must be importable from here and callable without arguments; "
                f"{type(error).__name__}: {error}; name a function that returns the model"
            ) from error
    if not isinstance(made, nn.Module):
        raise UnreadableModel(
            f"{source} must make a torch.nn.Module; it made a {type(made).__name__}"
        )
    return made


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    """Look for modules in a folder first."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
