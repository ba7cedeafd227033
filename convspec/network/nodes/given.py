"""What an operation of the model was given: data, constants and plain arguments."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from convspec.errors import UnsupportedLayer
from convspec.model.event import Event, Value

__all__ = ["Given"]


class Given:
    """One operation and what it reads.

    Args:
        event: It.
        known: Numbers of the values that depend on the model's input.
    """

    def __init__(self, event: Event, known: frozenset[int]) -> None:
        self.event = event
        # in the order of the arguments, one that is given twice twice
        self.data = [each for each in event.inputs if each.number in known]
        filled = event.named.get("noise")  # written to, and read in training alone
        others = [
            each for each in event.inputs if each.number not in known and each != filled
        ]
        constants = event.constants
        self.unknown = any(each.number not in constants for each in others)
        if self.data and not event.outputs:
            raise UnsupportedLayer(
                f"the way through a model must not depend on its input; {self.where} "
                "reads a number from data; write the model without it"
            )
        self.changed = any(
            each.number in constants and not constants[each.number].is_unchanged
            for each in others
        )

    @property
    def name(self) -> str:
        """Of the operation, one that writes to its input by the name of the other."""
        namespace, _, name = self.event.name.partition("::")
        return name.rstrip("_") if namespace == "aten" else self.event.name

    @property
    def module(self) -> str:
        """The innermost module that it ran in."""
        return self.event.path[-1] if self.event.path else ""

    @property
    def where(self) -> str:
        """It in words: ``softmax of 'head' (model.py:12)``."""
        inside = f" of {self.module!r}" if self.module else ""
        line = f" ({self.event.line})" if self.event.line else ""
        return f"{self.event.name.partition('::')[2]}{inside}{line}"

    @cached_property
    def named(self) -> dict[str, Any]:
        """Its arguments by name, with their defaults."""
        usual = {
            argument.name: argument.default_value
            for argument in self.event.func._schema.arguments
            if argument.has_default_value()
        }
        return {**usual, **self.event.named}

    def is_data(self, name: str) -> bool:
        """Whether an argument is a tensor that depends on the input."""
        given = self.named.get(name)
        return isinstance(given, Value) and given in self.data

    def constant(self, name: str) -> Tensor | None:
        """A constant tensor or number in float64; None if an argument is neither."""
        given = self.named.get(name)
        if isinstance(given, Value):
            known = self.event.constants.get(given.number)
            return None if known is None else plain(known.tensor)
        if isinstance(given, bool | int | float):
            return torch.tensor(float(given), dtype=torch.float64, device="cpu")
        return None

    def no_bound(self, why: str = "") -> str:
        """A sentence that refuses the operation."""
        reason = why or "its Lipschitz constant is not known to convspec"
        return (
            f"each operation must have a Lipschitz constant; {self.where}: {reason}; "
            "replace it, or bound the parts of the model before and behind it"
        )


def plain(tensor: Tensor) -> Tensor:
    """A tensor in float64 on the CPU, without its history."""
    return tensor.detach().to(device="cpu", dtype=torch.float64)
