"""One operation of a model, and the tensors that it reads and makes, by number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten

__all__ = ["FACTORIES", "Constant", "Event", "Value", "version_of"]

# of what they read only its shape and type matters
FACTORIES = ("empty", "full", "new_", "ones", "rand", "zeros")


@dataclass(frozen=True)
class Value:
    """A tensor while the model ran.

    Attributes:
        number: Its own; one that is written to gets another.
        storage: Of the memory that it shares with its views.
        shape: Its shape.
    """

    number: int
    storage: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Constant:
    """A tensor that does not depend on what a model is given.

    Attributes:
        tensor: Itself, not a copy.
        version: How often it had been written to.
    """

    tensor: Tensor
    version: int

    @property
    def is_unchanged(self) -> bool:
        """Whether it still holds what the operation read."""
        return self.version == version_of(self.tensor)


@dataclass(frozen=True)
class Event:
    """One operation.

    Attributes:
        func: The operator that torch dispatched.
        args: Its arguments, tensors as :class:`Value`.
        kwargs: Those given by name.
        outputs: What it returned.
        writes: Storages that it wrote to.
        tensors: Its weights and statistics, those that the model holds, and biases; by
            name of the argument, of :data:`KEPT` alone.
        path: Names of the modules it ran in, the innermost last.
        line: Where the model's code called it, ``file.py:12``; of :data:`KEPT` alone,
            unless the recorder has sources.
        constants: Tensors that no source reaches, by number of their value; of a
            recorder with sources.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Value, ...]
    writes: frozenset[int]
    tensors: Mapping[str, Tensor]
    path: tuple[str, ...]
    line: str
    constants: Mapping[int, Constant] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the operator, without its overload: ``aten::convolution``."""
        return str(self.func._schema.name)

    @property
    def named(self) -> dict[str, Any]:
        """Its arguments by their names."""
        names = [argument.name for argument in self.func._schema.arguments]
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}

    @cached_property
    def inputs(self) -> list[Value]:
        """The tensors that it read."""
        flat = tree_flatten((self.args, dict(self.kwargs)))[0]
        return [each for each in flat if isinstance(each, Value)]


def version_of(tensor: Tensor) -> int:
    """How often a tensor was written to; 0 of those that do not count."""
    return 0 if tensor.is_inference() else tensor._version
