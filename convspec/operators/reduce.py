"""Exact reductions that every method shares: what of the geometry the operator reads.

Taps that only ever fall into padding and pixels that nothing reads are dropped. An axis
with one tap left factors out: ``A = S (x) B`` with S a selection of pixels, whose
singular values are the square roots of how often each pixel is read. Axes on which all
taps shift together, modulo the pixels read, are cyclic: there A is block circulant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import FloatArray, IntArray
from convspec.operators.geometry import Axis
from convspec.operators.half_ring import HalfRing, half_ring
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads, at_live_taps
from convspec.operators.symbol import Symbol
from convspec.rounding.directed import square_root

__all__ = ["Reduction"]


@dataclass(frozen=True)
class Reduction:
    """An operator as ``scales (x) B`` with B on the axes that do not factor out.

    Attributes:
        weight: (c_out, c, *live taps of the kept axes).
        groups: Diagonal blocks of B.
        axes: All axes, as read.
        transposed: Whether the operator is the transpose of what is described here.
        shape: (m, n) of the operator.
    """

    weight: Tensor
    groups: int
    axes: tuple[Reads, ...]
    transposed: bool
    shape: tuple[int, int]

    @classmethod
    def of(cls, op: ConvOperator) -> Reduction:
        """Reduce an operator."""
        axes = tuple(Reads.of(axis) for axis in op.geometry.axes)
        return cls._of(op.weight.detach(), op.groups, axes, op.transposed, op.shape)

    @classmethod
    def of_reads(cls, weight: Tensor, groups: int, axes: tuple[Reads, ...]) -> Reduction:
        """Reduce a convolution that reads this; weight (c_out, c, *kernel)."""
        outputs = math.prod(axis.outputs for axis in axes)
        pixels = math.prod(len(axis.pixels) for axis in axes)
        shape = weight.shape[0] * outputs, groups * weight.shape[1] * pixels
        return cls._of(weight, groups, axes, False, shape)

    @classmethod
    def _of(
        cls,
        weight: Tensor,
        groups: int,
        axes: tuple[Reads, ...],
        transposed: bool,
        shape: tuple[int, int],
    ) -> Reduction:
        weight = at_live_taps(weight, axes)
        kept = [
            length
            for length, axis in zip(weight.shape[2:], axes, strict=True)
            if not axis.single
        ]
        weight = weight.reshape(*weight.shape[:2], *kept)
        return cls(weight, groups, axes, transposed, shape)

    @property
    def kept(self) -> tuple[Reads, ...]:
        """The axes of B."""
        return tuple(axis for axis in self.axes if not axis.single)

    @cached_property
    def half_rings(self) -> dict[int, HalfRing]:
        """Of the axes of B those that are not cyclic but halves of rings."""
        kept = [j for j, axis in enumerate(self.axes) if not axis.single]
        found = {
            j: half_ring(self.axes[j], self.weight, 2 + dim)
            for dim, j in enumerate(kept)
            if not self.axes[j].cyclic
        }
        return {j: half for j, half in found.items() if half is not None}

    @property
    def block_channels(self) -> tuple[int, int]:
        """Output and input channels of one group."""
        return self.weight.shape[0] // self.groups, self.weight.shape[1]

    @property
    def block_shape(self) -> tuple[int, int]:
        """(rows, columns) of one group's block of B."""
        rows, columns = self.block_channels
        return (
            rows * math.prod(axis.outputs for axis in self.kept),
            columns * math.prod(len(axis.pixels) for axis in self.kept),
        )

    @cached_property
    def symbol(self) -> Symbol:
        """The symbol whose blocks at the frequencies of its rings are those of B.

        All axes are cyclic, or halves of rings; of these each output channel may have a
        factor of size 1.
        """
        rings = [
            axis.on_ring(j in self.half_rings)
            for j, axis in enumerate(self.axes)
            if not axis.single
        ]
        offsets, strides = [ring[0] for ring in rings], [ring[1] for ring in rings]
        return Symbol.of_taps(self.weight, self.groups, offsets, strides)

    @cached_property
    def scales(self) -> FloatArray:
        """Singular values of the axes that factor out, all products of them."""
        scales = np.ones(1)
        for axis in self.axes:
            if axis.single:
                scales = np.multiply.outer(scales, np.sqrt(axis.counts)).reshape(-1)
        return scales

    @property
    def root(self) -> float:
        """The norm of the axes that factor out, rounded up."""
        counts = (int(axis.counts.max()) for axis in self.axes if axis.single)
        return square_root(math.prod(counts))

    def without_single_axes(self, op: ConvOperator) -> ConvOperator:
        """B as an operator: axes that factor out have one tap, pixel and output."""
        weight, axes = op.weight, list(op.geometry.axes)
        for j, read in enumerate(self.axes):
            if read.single:
                weight = weight.index_select(2 + j, torch.as_tensor(read.taps))
                axes[j] = Axis(1, 1, 1)
        if axes == list(op.geometry.axes):
            return op
        return op.with_geometry(weight, replace(op.geometry, axes=tuple(axes)))

    def assemble(
        self, values: FloatArray, multiplicity: IntArray | None = None
    ) -> FloatArray:
        """All min(m, n) singular values of A, descending, from those of B.

        Args:
            values: Of B, (j, ...).
            multiplicity: How often each row counts, (j,); once each if None.
        """
        nonzero = np.multiply.outer(values, self.scales)
        if multiplicity is None:
            ascending = np.sort(nonzero, axis=None)
        else:
            runs = [
                np.repeat(np.sort(nonzero[multiplicity == times], axis=None), times)
                for times in np.unique(multiplicity)
            ]
            ascending = np.sort(np.concatenate(runs), kind="stable")  # merges the runs
        complete = np.zeros(min(self.shape))
        found = ascending[::-1][: len(complete)]  # beyond those are zeros by structure
        complete[: len(found)] = found
        return complete

    def error(self, norm: float, error: float) -> float:
        """The error of A's values from the norm of B and the error of its values."""
        top = float(self.scales.max())
        # the square root and the product round once each, in float64
        rounding = 0.0 if top in (0.0, 1.0) else 2 * float(np.finfo(np.float64).eps)
        return top * (error + rounding * (norm + error))
