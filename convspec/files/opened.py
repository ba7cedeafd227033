"""A model that was opened, and what its source says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from convspec.model.source import ReadModel

__all__ = ["OpenedModel"]


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """What :func:`convspec.analyze` takes in place of a module.

    Attributes:
        source: What was opened.
        model: A module, an exported program, or what was read from a file.
        input_shape: Of its input, without the batch, where it is known.
        notes: Sentences on what was undone to read it.
    """

    source: str
    model: nn.Module | torch.export.ExportedProgram | ReadModel
    input_shape: tuple[Any, ...] | None = None
    notes: tuple[str, ...] = ()
