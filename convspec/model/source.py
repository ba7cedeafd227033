"""What can be run as a model: modules of all kinds, and programs that hold one."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from convspec.errors import UnreadableModel
from convspec.isolation import isolated_class
from convspec.model.trace import Trace

__all__ = ["OpenedModel", "ReadModel", "runnable", "within_recursion_limit"]


class ReadModel(ABC):
    """A model that was read from a file and is not run: it knows what it calls."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is, in a word or two, as a report names it."""

    @abstractmethod
    def trace(
        self,
        input_shape: tuple[Any, ...] | None,
        *,
        linear: bool = False,
        fold_batch_norm: bool = False,
    ) -> Trace:
        """What it calls on an input of this shape.

        Args:
            input_shape: Without the batch, or one shape for each input; None for what
                the file says.
            linear: Whether products with weight matrices are calls, too.
            fold_batch_norm: Whether batch norm behind a convolution is a part of it.

        Raises:
            UnreadableModel: If the shape is missing, or fits nothing in the file.
        """

    def module(
        self, input_shape: tuple[Any, ...] | None
    ) -> tuple[nn.Module, tuple[int, ...]]:
        """A module that computes what it does, and the shape of its input.

        Args:
            input_shape: Without the batch; None for what the file says.

        Raises:
            UnreadableModel: If there is none.
        """
        raise UnreadableModel(
            f"the model must be known as a whole; of {self.title} there is no module to "
            "run; give a factory package.module:callable, an exported program .pt2 or "
            "an ONNX file"
        )


@isolated_class
@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model that was opened by the name of its source, see ``convspec.open_model``.

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


def runnable(model: object) -> nn.Module:
    """The module to run of what was given.

    Raises:
        TypeError: If it is none.
        UnreadableModel: If it holds weights, but no model.
    """
    if isinstance(model, torch.export.ExportedProgram):
        module: nn.Module = model.module()
        return module
    if isinstance(model, nn.Module):
        return model
    if isinstance(model, Mapping):
        raise UnreadableModel(
            "a model must say what it computes; a state dict holds the weights alone, no "
            "stride, no padding and no sizes; load it into its model, "
            "model.load_state_dict(...), and pass that"
        )
    if isinstance(model, torch.jit.ScriptFunction):
        raise UnreadableModel(
            "a model must be a module; a TorchScript function is none; call it in the "
            "forward of one"
        )
    raise TypeError(
        f"analyze takes a torch.nn.Module; got {type(model).__name__}; wrap what is none "
        "in a module whose forward calls it"
    )


@contextmanager
def within_recursion_limit() -> Iterator[None]:
    """Say in words that a model is nested too deep for Python.

    Raises:
        UnreadableModel: In place of RecursionError.
    """
    try:
        yield
    except RecursionError as error:
        raise UnreadableModel(
            "modules must be nested no deeper than Python's recursion limit, "
            f"{sys.getrecursionlimit()}, allows; the model is, or one of its modules "
            "holds or calls itself; list its layers in one nn.Sequential, or raise "
            "sys.setrecursionlimit"
        ) from error
