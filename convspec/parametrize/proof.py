"""Proofs of the norm of a kernel that changes a little from step to step.

A norm that was proved for one kernel serves those nearby: with ``W = a W_0 + D``,

    sigma_1(A(W)) <= |a| sigma_1(A(W_0)) + sqrt(overlap) ||D||,

D as a (C_out, C_in k^d) matrix and overlap how many pairs of an output and a tap read one
pixel at most (:func:`convspec.bounds.tsuzuku`). The scale a of least D is free of charge,
so that growing weights need no new proof. Nor does the gradient: that of ``sigma_1`` is
``u v^H`` at the taps, u and v the vectors of W_0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from convspec.bounds import spectral_norm, worst_case_norm
from convspec.errors import NotConverged
from convspec.operators.conv_arguments import ConvArguments
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads
from convspec.rounding import frobenius_above, up
from convspec.rounding.largest import LargestNorm
from convspec.spectrum import Spectrum, spectrum
from convspec.tori.every_size import ways
from convspec.tori.tap_range import TapRange

__all__ = ["CHECKED", "AtEverySize", "AtOneSize", "Proof", "Prover"]

# a proof may be this part above the norm
RTOL = 2e-2
# a check of the layer whose ends are this near each other passes
CHECKED = 2e-6


@dataclass(frozen=True)
class Proof:
    """What is known of one kernel.

    Attributes:
        weight: The kernel W_0, float64.
        above: At least the norm of its operator.
        slope: A gradient of the norm in the weight, like the weight.
    """

    weight: Tensor
    above: float
    slope: Tensor


@dataclass
class Prover(ABC):
    """What proves norms of kernels of one layer.

    Attributes:
        given: The layer's arguments.
        size: An input size: the one meant, or any.
    """

    given: ConvArguments
    size: tuple[int, ...]
    _overlap: float | None = field(default=None, repr=False)

    def operator(self, weight: Tensor) -> ConvOperator:
        """The operator of a kernel."""
        return ConvOperator(weight, self.size, **self.given.keywords)

    @abstractmethod
    def prove(self, weight: Tensor) -> Proof:
        """The norm of a kernel, from scratch."""

    @abstractmethod
    def count_overlap(self, op: ConvOperator) -> float:
        """How many pairs of an output and a tap read one pixel."""

    def near(self, proof: Proof, weight: Tensor, enough: float) -> float:
        """At least the norm of a kernel by what is known of another.

        Args:
            proof: Of the other.
            weight: Float64.
            enough: How much the second term may be, relative to the first, before more
                work is done to know it better.
        """
        length = float(proof.weight.abs().square().sum())
        inner = float((proof.weight.conj() * weight).sum().real)
        scale = inner / length if length else 0.0
        off = weight - scale * proof.weight  # of any scale it is true
        # a product and a difference for each entry, rounded
        rounding = 2.0**-51 * (abs(scale) * proof.weight.abs() + weight.abs()).sum()
        root = up(math.sqrt(self.overlap(weight)))
        first = up(abs(scale) * proof.above)
        second = up(root * up(_frobenius(off) + float(rounding), 4), 2)
        if second > enough * first:
            second = up(root * up(self._unfolded(off) + float(rounding), 4), 2)
        found = up(first + second)
        if second > first:
            found = min(found, up(root * self._unfolded(weight), 2))
        return found

    def overlap(self, weight: Tensor) -> float:
        """That of the layer, counted once."""
        if self._overlap is None:
            self._overlap = self.count_overlap(self.operator(weight))
        return self._overlap

    def _unfolded(self, off: Tensor) -> float:
        rows = off.flatten(1)
        blocks = rows.reshape(self.given.groups, -1, rows.shape[1])
        return LargestNorm.of([blocks]).above


class AtEverySize(Prover):
    """Norms over all input sizes, :func:`convspec.worst_case_norm`."""

    def prove(self, weight: Tensor) -> Proof:
        """By the supremum of the symbol."""
        kernel = weight.clone().requires_grad_()
        with torch.enable_grad():
            bound = worst_case_norm(self.operator(kernel), rtol=RTOL)
            assert bound.value is not None
            (slope,) = torch.autograd.grad(bound.value, kernel)
        return Proof(weight, bound.upper, slope)

    def count_overlap(self, op: ConvOperator) -> float:
        """Taps of the symbol, times what padding repeats: no size has more."""
        count = 1
        for axis in op.geometry.axes:
            repeats = ways(TapRange(axis, 0, axis.kernel - 1))
            count *= axis.kernel * min(way.count for way in repeats)
        return float(count)


class AtOneSize(Prover):
    """Norms at one input size, :func:`convspec.spectral_norm`."""

    def prove(self, weight: Tensor) -> Proof:
        """By the enclosure of the norm, and a pair of singular vectors."""
        op = self.operator(weight)
        above = spectral_norm(op, RTOL).upper
        found = _leading(op)
        assert found.left is not None
        assert found.right is not None
        kernel = weight.clone().requires_grad_()
        with torch.enable_grad():
            image = self.operator(kernel).apply(found.right[0])
            value = (found.left[0].conj() * image).sum().real
            (slope,) = torch.autograd.grad(value, kernel)
        return Proof(weight, above, slope)

    def count_overlap(self, op: ConvOperator) -> float:
        """Counted at this size."""
        reads = [Reads.of(axis) for axis in op.geometry.axes]
        return float(math.prod(int(read.counts.max()) for read in reads))


def _leading(op: ConvOperator) -> Spectrum:
    """The leading singular vectors, about."""
    try:
        return spectrum(op, 1, vectors=True, rtol=RTOL)
    except NotConverged as error:
        best: Spectrum = error.best  # type: ignore[assignment]
        return best


def _frobenius(off: Tensor) -> float:
    return float(frobenius_above(off.flatten(1)[None])[0])
