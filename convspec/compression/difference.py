"""How far the operators of one convolution and of two in its place are apart.

Certified, with all that rounding may have changed: by a kernel of the difference, or by
its blocks at every frequency of a torus.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.bounds.schur import one_inf
from convspec.bounds.spectral_norm.norm import spectral_norm
from convspec.frequency.conjugate import conjugate_half
from convspec.operators.kernel import scaled_down, scaled_up
from convspec.operators.normal import normalised
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.rounding import down_nonnegative, frobenius_above, norm_enclosure, up
from convspec.rounding.directed import UNIT
from convspec.rounding.largest import LargestNorm
from convspec.rounding.products import product_error
from convspec.rounding.scaling import UNDERFLOW, ldexp
from convspec.rounding.waves import symbol_error

__all__ = ["BlockDifference", "Difference", "KernelDifference"]

NAME = "low-rank error"
# blocks that are tested at a time
BATCH_BYTES = 2**24
# for what sums and products of a few bounds round themselves
ROOM = 1.001


class Difference(Protocol):
    """The difference of two operators."""

    def norm(self) -> Bound:
        """Its norm, certified."""


@dataclass(frozen=True)
class KernelDifference:
    """Of a convolution and one with the same geometry and another kernel.

    Attributes:
        op: The geometry.
        weight: The difference of both kernels.
        rounding: A bound on what rounding changed of it, entry by entry.
    """

    op: ConvOperator
    weight: Tensor
    rounding: Tensor

    def norm(self) -> Bound:
        """The norm of the kernel's operator, and of what rounding may have changed."""
        norm = spectral_norm(self.op.with_weight(self.weight))
        change = one_inf(self.op.with_weight(self.rounding)).upper
        return Bound(
            down_nonnegative(norm.lower - change),
            up(norm.upper + change),
            NAME,
            norm.assumptions,
            norm.reference,
        )


@dataclass(frozen=True)
class BlockDifference:
    """``A - second @ first`` of closed operators on one torus.

    None of them is transposed: transposes are as far apart.

    Attributes:
        op: A.
        first: Into the channels between, with A's strides.
        second: Out of them.
    """

    op: ConvOperator
    first: ConvOperator
    second: ConvOperator

    def norm(self) -> Bound:
        """``max_w ||A(w) - S(w) F(w)||`` over the frequencies of the torus.

        Above, Cholesky tests of all blocks; below, the norm of one of the largest.
        """
        ops, exponent = self._scaled()
        sides = _Sides(*ops)
        index, _ = conjugate_half(sides.grid, everything=self.op.dtype.is_complex)
        largest = LargestNorm()
        for start in range(0, len(index), sides.batch):
            largest.add(sides.difference(index[start : start + sides.batch]))
        one = largest.index // self.op.groups
        block = sides.difference(index[one : one + 1])
        lower, _ = norm_enclosure(block[largest.index % self.op.groups][None])
        error = sides.error
        return Bound(
            scaled_down(down_nonnegative(float(lower[0]) - error), exponent),
            scaled_up(up(largest.above + error), exponent),
            NAME,
            "upper end: Cholesky tests at every frequency of the torus",
            "Rump, BIT 46, 2006; blocks of a circulant as of Sedghi, Gupta and Long, "
            "ICLR 2019",
        )

    def _scaled(self) -> tuple[list[ConvOperator], int]:
        """All three with entries of at most 1, ``2^-e`` times their difference, and e."""
        ops = [normalised(op, torch.float64) for op in (self.op, self.first, self.second)]
        of, first, second = (exponent for _, exponent in ops)
        most = max(of, first + second)
        shifts = of - most, 0, first + second - most
        moved = [
            op.with_weight(ldexp(op.weight, shift)).to(device="cpu")
            for (op, _), shift in zip(ops, shifts, strict=True)
        ]
        return moved, most


class _Sides:
    """The symbols of the three, and what their difference is off by as computed."""

    def __init__(self, op: ConvOperator, first: ConvOperator, second: ConvOperator):
        self.grid = op.output_shape[1:]
        self._symbols = [each.symbol() for each in (op, first, second)]
        self._errors = [symbol_error(each.weight) for each in (op, first, second)]
        sizes = [each.groups * math.prod(each.block_shape) for each in self._symbols]
        self.batch = max(1, BATCH_BYTES // (16 * sum(sizes)))
        self._most = [0.0, 0.0, 0.0]

    def difference(self, index: IntArray) -> Tensor:
        """The blocks at some frequencies; (frequencies * groups, rows, columns)."""
        of, first, second = (each.at_grid(index, self.grid) for each in self._symbols)
        found: Tensor = of - second @ first
        for place, some in enumerate((found, first, second)):
            size = float(frobenius_above(some).max())
            self._most[place] = max(self._most[place], size)
        return found.flatten(0, 1)

    @property
    def error(self) -> float:
        """At least the norm of what any block that was computed is off by."""
        of, first, second = self._errors
        found, into, out = self._most
        rank = self._symbols[1].block_shape[0]
        product = second * into + out * first + second * first
        product += product_error(rank, True) * out * into
        return up(ROOM * (of + product + 2 * UNIT * (found + out * into)) + UNDERFLOW)
