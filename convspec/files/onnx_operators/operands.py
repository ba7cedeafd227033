"""What an ONNX operation is given: attributes, constants of the file, and data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from convspec.errors import UnsupportedLayer
from convspec.files.onnx_file import Proto
from convspec.files.onnx_program import Node
from convspec.files.onnx_tensors import TYPES, Folder

__all__ = ["Operands", "Reader", "Run"]

# of all inputs in order, None for those that are left out or were read as numbers
Run = Callable[..., Any]
WIDEST = 8  # bytes of a number


class Operands:
    """The inputs of one operation.

    Args:
        node: The operation.
        values: Constants with their numbers, data on the meta device; None for inputs
            that are left out.
        data: Places of those that depend on the model's input.
        opset: Version of the standard's operations.
        folder: What reads tensors of the file, and how large they may be.
    """

    def __init__(
        self,
        node: Node,
        values: Sequence[Tensor | None],
        data: frozenset[int],
        opset: int,
        folder: Folder,
    ) -> None:
        self.node, self.values, self.data, self.opset = node, values, data, opset
        self.folder = folder
        # places of inputs whose numbers, or whose shape alone, were read
        self.taken: set[int] = set()

    def has(self, place: int) -> bool:
        """Whether an input is given."""
        return place < len(self.values) and self.values[place] is not None

    def value(self, place: int) -> Tensor:
        """An input; of data its shape and type.

        Raises:
            UnsupportedLayer: If it is left out.
        """
        if not self.has(place):
            raise self.refused(f"its input {place + 1} is missing")
        found = self.values[place]
        assert found is not None
        return found

    def shape(self, place: int) -> tuple[int, ...]:
        """The shape of an input."""
        return tuple(self.value(place).shape)

    def rank(self, place: int = 0) -> int:
        """The number of axes of an input."""
        return self.value(place).ndim

    def take(self, place: int) -> Tensor:
        """An input of which only what is known of it now is read."""
        self.taken.add(place)
        return self.value(place)

    def integers(self, place: int) -> list[int]:
        """The numbers of an input.

        Raises:
            UnsupportedLayer: If it depends on the model's input, or is of other numbers.
        """
        found = self._numbers(place)
        if found.is_floating_point():
            raise self.refused(f"its input {place + 1} must be integers; it is none")
        return [int(each) for each in found.reshape(-1).tolist()]

    def numbers(self, place: int) -> list[float]:
        """The numbers of an input, of any type.

        Raises:
            UnsupportedLayer: If it depends on the model's input.
        """
        return [float(each) for each in self._numbers(place).reshape(-1).tolist()]

    def listed(self, name: str, place: int) -> list[int] | None:
        """Integers that are an attribute, or an input in later versions; None if none."""
        own = self.node.integers(name)
        if own is not None:
            return list(own)
        return self.integers(place) if self.has(place) else None

    def number(self, name: str, place: int, usual: float) -> float:
        """A number that is an attribute, or an input in later versions."""
        own = self.node.number(name, math.nan)
        if not math.isnan(own):
            return own
        if not self.has(place):
            return usual
        found = self.numbers(place)
        if len(found) != 1:
            raise self.refused(f"its input {place + 1} must be one number")
        return found[0]

    def stored(self, tensor: Proto) -> Tensor:
        """The numbers of a tensor that is an attribute.

        Raises:
            UnsupportedLayer: If they are of no type that is read.
        """
        found = self.folder.tensor(tensor)
        if found is None:
            raise self.refused("its value has a type that is not read")
        return found

    def axis(self, usual: int, rank: int | None = None) -> int:
        """The attribute ``axis``, from 0 up.

        Raises:
            UnsupportedLayer: If there is no such axis.
        """
        return self.along(self.node.integer("axis", usual), rank)

    def along(self, axis: int, rank: int | None = None) -> int:
        """An axis, from 0 up.

        Raises:
            UnsupportedLayer: If there is no such one.
        """
        rank = self.rank() if rank is None else rank
        if not -rank <= axis < max(rank, 1):
            raise self.refused(f"axis {axis} is none of {rank}")
        return axis % rank if rank else 0

    def dtype(self, name: str, usual: int) -> torch.dtype:
        """The type of tensors that an attribute names by its number.

        Raises:
            UnsupportedLayer: If torch has none.
        """
        number = self.node.integer(name, usual)
        found = TYPES[number][3] if number in TYPES else None
        if found is None:
            raise self.refused(f"type number {number} of tensors is not read")
        return found

    def broadcast(self, one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
        """The shape that both have copied along axes of size 1.

        Raises:
            UnsupportedLayer: If there is none.
        """
        rank = max(len(one), len(other))
        found = []
        first, second = ((1,) * (rank - len(sizes)) + (*sizes,) for sizes in (one, other))
        for a, b in zip(first, second, strict=True):
            if a != b and 1 not in (a, b):
                raise self.refused(f"shapes {tuple(one)} and {tuple(other)} do not fit")
            found.append(b if a == 1 else a)
        return tuple(found)

    def require_entries(self, count: float) -> None:
        """Refuse what would be larger than anything that is made.

        Raises:
            UnsupportedLayer: If it is.
        """
        if count * WIDEST > self.folder.max_bytes:
            raise self.refused(
                f"it makes {count:.3g} numbers, more than max_bytes lets; raise max_bytes"
            )

    def refused(self, why: str) -> UnsupportedLayer:
        """An error that says which operation is not computed, and why."""
        name = self.node.path or next(filter(None, self.node.outputs), "")
        return UnsupportedLayer(
            f"each operation must be one that convspec computes; "
            f"{self.node.operation} of {name[:200]!r}: {why}; replace it, or give the "
            "model as a module or an exported program .pt2"
        )

    def _numbers(self, place: int) -> Tensor:
        found = self.value(place)
        if place in self.data:
            raise self.refused(
                f"its input {place + 1} depends on the model's input; it must be "
                "numbers that are known before the model runs"
            )
        self.taken.add(place)
        self.require_entries(found.numel())
        return found


Reader = Callable[[Operands], Run]
