"""What an operator consists of, found when a method asks: blocks, classes, factors."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from convspec.arrays import FloatArray
from convspec.operators.channels import ChannelBlocks, channel_blocks
from convspec.operators.kronecker import Kronecker, kronecker_sum
from convspec.operators.operator import ConvOperator
from convspec.operators.product_error import sum_error
from convspec.operators.reduce import Reduction
from convspec.operators.separable import may_separate
from convspec.spectrum.fourier.partly import at_frequencies
from convspec.spectrum.products import product_bytes, product_flops, product_values
from convspec.spectrum.summands import sum_flops

__all__ = ["Structure"]

# kernels are products of vectors along axes if they are up to some roundings
ROUNDINGS = 16
# or, where no exact method fits, up to those of numbers computed in single precision
SINGLE = float(torch.finfo(torch.float32).eps)
# a distance from a product that is more than what rounding to double precision makes
NOTABLE = 1e-10


class Structure:
    """An operator in normal form, whole and in parts.

    Attributes:
        op: The operator.
        max_bytes: Byte limit of what is held at a time.
    """

    op: ConvOperator
    max_bytes: int

    def __init__(self, op: ConvOperator, max_bytes: int) -> None:
        self.op, self.max_bytes = op, max_bytes

    @cached_property
    def reduced(self) -> Reduction:
        """The operator without the axes that factor out."""
        return Reduction.of(self.op)

    @cached_property
    def parts(self) -> list[Kronecker]:
        """The products that it is a direct sum of; none for 0."""
        eps = torch.finfo(self.op.dtype).eps
        exact = self._parts(eps)
        apart = at_frequencies(self.op, self.max_bytes)
        if apart is not None and product_flops(apart) < product_flops(exact):
            exact = apart
        if eps >= SINGLE or self._memory(exact) <= self.max_bytes:
            return exact
        if not any(self._may_separate(blocks, SINGLE) for blocks in self._blocks):
            return exact
        nearly = self._parts(SINGLE)
        return nearly if self._memory(nearly) <= self.max_bytes else exact

    def _parts(self, eps: float) -> list[Kronecker]:
        return kronecker_sum(self.op, self._blocks, ROUNDINGS * eps, sum_flops)

    @cached_property
    def _blocks(self) -> list[ChannelBlocks]:
        return channel_blocks(self.op)

    @staticmethod
    def _may_separate(blocks: ChannelBlocks, eps: float) -> bool:
        return bool(may_separate(blocks.weight, ROUNDINGS * eps).any())

    def _memory(self, parts: list[Kronecker]) -> int:
        return 24 * min(self.op.shape) + 3 * product_bytes(parts)

    @property
    def flops(self) -> float:
        """Estimated operations of dense SVDs."""
        return product_flops(self.parts)

    @property
    def memory(self) -> int:
        """Bytes that dense SVDs take, with the values."""
        return self._memory(self.parts)

    @property
    def words(self) -> str:
        """What dense SVDs there are, in words."""
        return _words(self.parts)

    def dense_values(self) -> tuple[FloatArray, float]:
        """All min(m, n) singular values, descending, and a bound on the errors."""
        values = np.zeros(min(self.op.shape))
        found, error = product_values(self.parts)
        values[: len(found)] = found
        if self._single and any(len(part.factors) > 1 for part in self.parts):
            # the factors are those of weights rounded to single precision
            overlaps = [axis.overlap for axis in self.op.geometry.axes]
            eps = torch.finfo(self.op.dtype).eps
            error += sum_error(self.op.weight, overlaps, eps)
        return values, error

    def eps(self, norm: float) -> float:
        """The machine epsilon for ranks, or more where the parts are not exactly A's."""
        eps = float(torch.finfo(self.op.dtype).eps)
        distance = max((part.distance for part in self.parts), default=0.0)
        return max(eps, distance / (norm * max(self.op.shape))) if distance else eps

    @property
    def nearly(self) -> bool:
        """Whether the parts are A's only up to more than double precision."""
        return any(part.distance > NOTABLE for part in self.parts)

    @property
    def _single(self) -> bool:
        return torch.finfo(self.op.dtype).eps >= SINGLE


def _words(parts: list[Kronecker]) -> str:
    if not parts:
        return "it is 0"
    summands = [
        (k.times * s.times, s.reduced) for k in parts for f in k.factors for s in f
    ]
    shapes = {reduced.block_shape for _, reduced in summands}
    rows, columns = max(shapes, key=lambda shape: shape[0] * shape[1])
    size = f"the largest of {rows} x {columns}" if len(shapes) > 1 else ""
    size = size or f"of {rows} x {columns}"
    split = [part for part in parts if len(part.factors) > 1]
    if split:
        whole = len(split) == len(parts)
        what = "it is" if whole else "some blocks of it are"
        near = max(part.distance for part in split)
        close = (
            f", up to about {near:.0e} of the largest weight" if near > NOTABLE else ""
        )
        return (
            f"{what} a Kronecker product, as kernels are products along axes{close}; "
            f"dense SVDs of the factors are exact, {size}"
        )
    copies = sum(times * reduced.groups for times, reduced in summands)
    kinds = sum(reduced.groups for _, reduced in summands)
    if len(summands) == 1 and copies == kinds:
        count = f"{kinds} blocks" if kinds > 1 else "one block"
        return f"a dense SVD is exact, of {count} of {rows} x {columns}"
    differ = "all equal" if kinds == 1 else f"of which {kinds} differ"
    return (
        f"it is a direct sum of {copies} blocks, {differ}; "
        f"dense SVDs of those are exact, {size}"
    )
