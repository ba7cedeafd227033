"""The kernel of an operator as the bounds read it, and results scaled back from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from convspec.operators.groups import distinct_groups
from convspec.operators.normal import normalised
from convspec.operators.operator import ConvOperator, require_operator
from convspec.operators.reads import Reads, at_live_taps
from convspec.operators.reduce import Reduction
from convspec.operators.symbol import Symbol
from convspec.quantity.bound import Bound
from convspec.rounding import down, up
from convspec.rounding.scaling import ldexp

__all__ = ["ScaledKernel"]


@dataclass(frozen=True)
class ScaledKernel:
    """``A = 2^exponent`` times the operator of ``weight``, whose largest part is near 1.

    Bounds of a transposed operator are those of the convolution it transposes, so that
    only the latter is described.

    Attributes:
        weight: (c_out, c_in / groups, *taps), float64 or complex128 on the CPU,
            differentiable in the operator's weight; without the taps that read nothing.
        groups: Diagonal blocks of the operator.
        axes: What each axis reads.
        operator: ``2^-exponent A``, with all taps.
        exponent: Of the scale.
    """

    weight: Tensor
    groups: int
    axes: tuple[Reads, ...]
    operator: ConvOperator
    exponent: int

    @classmethod
    def of(cls, op: ConvOperator) -> ScaledKernel:
        """The kernel of an operator; a TypeError for anything else."""
        require_operator(op, "a bound")
        near = op.to(device="cpu")
        return cls._of_scaled(*normalised(near, torch.float64, differentiable=True))

    @classmethod
    def _of_scaled(cls, operator: ConvOperator, exponent: int) -> ScaledKernel:
        """Of an operator in normal form, scaled by ``2^-exponent``."""
        axes = tuple(Reads.of(axis) for axis in operator.geometry.axes)
        weight = at_live_taps(operator.weight, axes)
        return cls(weight, operator.groups, axes, operator, exponent)

    def essential(self) -> tuple[ScaledKernel, float]:
        """What decides the norm, and the factor, rounded up, that it is to be given.

        One group of each kernel, no axis that factors out; without the graph. The
        largest weight is among what is left, so that the scale stays.
        """
        operator = distinct_groups(self.detached().operator)
        reduced = Reduction.of(operator)
        core = reduced.without_single_axes(operator)
        return self._of_scaled(core, self.exponent), reduced.root

    @property
    def taps(self) -> tuple[int, ...]:
        """Taps per axis."""
        return tuple(self.weight.shape[2:])

    @property
    def blocks(self) -> Tensor:
        """The weight by groups, (groups, c_out / groups, c_in / groups, *taps)."""
        return self.weight.reshape(self.groups, -1, *self.weight.shape[1:])

    def detached(self) -> ScaledKernel:
        """The same kernel without the graph of its gradient."""
        operator = self.operator.with_weight(self.operator.weight.detach())
        return replace(self, weight=self.weight.detach(), operator=operator)

    def symbol(self, strides: Sequence[int]) -> Symbol:
        """F(w), each axis split into ``strides`` phases: ``ceil(reach / stride)`` lags.

        Dilation is left out: it permutes frequencies. There are never more lags than
        taps, so that an error bound for sums over the taps of ``weight`` serves F.

        Args:
            strides: Phases per axis, of a :class:`convspec.tori.places.Setting`.
        """
        taps = [read.taps - read.taps[0] for read in self.axes]
        return Symbol.of_kernel(self.weight, self.groups, strides, taps)

    def bound(
        self,
        name: str,
        *,
        lower: float = 0.0,
        upper: float = math.inf,
        value: Tensor | None = None,
        assumptions: str,
        reference: str,
        guarantee: str = "certified",
    ) -> Bound:
        """The bound on A from one on the scaled operator, its ends moved outward.

        Where no tap reads anything A is 0, which rounding hides from some of the bounds.
        """
        if upper < math.inf and not self.weight.detach().any():
            upper = 0.0
        return Bound(
            scaled_down(lower, self.exponent),
            scaled_up(upper, self.exponent),
            name,
            assumptions,
            reference,
            guarantee,
            None if value is None else ldexp(value, self.exponent),
        )


def scaled_up(upper: float, exponent: int) -> float:
    """At least ``2^exponent upper``.

    Scaling to near 1 loses parts of entries 2^1000 times smaller than the largest. A
    bound is 0 or far above that, so that one step up covers them.
    """
    if upper == 0 or math.isinf(upper):
        return upper
    try:
        return up(math.ldexp(up(upper), exponent))
    except OverflowError:
        return math.inf


def scaled_down(lower: float, exponent: int) -> float:
    """At most ``2^exponent lower``, and at least 0."""
    if lower <= 0:
        return 0.0
    try:
        return max(0.0, down(math.ldexp(down(lower), exponent)))
    except OverflowError:
        return float(np.finfo(np.float64).max)
