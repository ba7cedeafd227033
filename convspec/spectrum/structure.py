"""What an operator consists of, found when a method asks: blocks, classes, factors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from convspec.arrays import FloatArray
from convspec.operators.direct_sum import Summand, direct_sum
from convspec.operators.operator import ConvOperator
from convspec.operators.reduce import Reduction
from convspec.spectrum.summands import sum_bytes, sum_flops, sum_values

__all__ = ["Structure"]


class Structure:
    """An operator in normal form, whole and in parts.

    Attributes:
        op: The operator.
    """

    op: ConvOperator

    def __init__(self, op: ConvOperator) -> None:
        self.op = op

    @cached_property
    def reduced(self) -> Reduction:
        """The operator without the axes that factor out."""
        return Reduction.of(self.op)

    @cached_property
    def parts(self) -> list[Summand]:
        """The operators that it is a direct sum of; none for 0."""
        return direct_sum(self.op)

    @property
    def flops(self) -> float:
        """Estimated operations of dense SVDs."""
        return sum_flops(self.parts)

    @property
    def bytes(self) -> int:
        """Bytes of the largest matrix that they hold."""
        return sum_bytes(self.parts)

    @property
    def words(self) -> str:
        """What dense SVDs there are, in words."""
        return _words(self.parts)

    def dense_values(self) -> tuple[FloatArray, float]:
        """All min(m, n) singular values, descending, and a bound on the errors."""
        values = np.zeros(min(self.op.shape))
        if not self.parts:
            return values, 0.0
        found, error = sum_values(self.parts)
        values[: len(found)] = found
        return values, error


def _words(parts: Sequence[Summand]) -> str:
    if not parts:
        return "it is 0"
    copies = sum(part.times * part.reduced.groups for part in parts)
    kinds = sum(part.reduced.groups for part in parts)
    shapes = {part.reduced.block_shape for part in parts}
    rows, columns = max(shapes, key=lambda shape: shape[0] * shape[1])
    if len(parts) == 1 and copies == kinds:
        count = f"{kinds} blocks" if kinds > 1 else "one block"
        return f"a dense SVD is exact, of {count} of {rows} x {columns}"
    size = f"the largest of {rows} x {columns}" if len(shapes) > 1 else ""
    size = size or f"of {rows} x {columns}"
    differ = "all equal" if kinds == 1 else f"of which {kinds} differ"
    return (
        f"it is a direct sum of {copies} blocks, {differ}; "
        f"dense SVDs of those are exact, {size}"
    )
