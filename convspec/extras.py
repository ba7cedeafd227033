"""Packages of the extras: imported on use, missed in words."""

from __future__ import annotations

import importlib
from typing import Any

from convspec.errors import ConvSpecError

__all__ = ["MissingExtra", "import_extra"]


class MissingExtra(ConvSpecError, ImportError):
    """A package of one of convspec's extras that is not installed."""


def import_extra(module: str, extra: str) -> Any:
    """The imported module, which the named extra of convspec installs.

    Args:
        module: The full name of the module, such as ``"safetensors.torch"``.
        extra: The extra that brings it, such as ``"cli"``.

    Raises:
        MissingExtra: If it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"{module} must be importable for this; got {error}; "
            f"install convspec[{extra}]"
        ) from error
