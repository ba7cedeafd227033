"""An operator of low rank in its kernel: two convolutions, and how far they are off."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from convspec.bounds.spectral_norm.norm import spectral_norm
from convspec.compression.difference import Difference, KernelDifference
from convspec.compression.unfolding import Unfolding
from convspec.isolation import isolated_class
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.rounding.directed import UNIT, gamma

__all__ = ["LowRank", "relative_distance"]

# what products of numbers too small for float64 lose, each
UNDERFLOW = 2.0**-1070


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class LowRank:
    """Two convolutions in the place of one, ``second @ first``.

    Attributes:
        op: What they approximate.
        first: The convolution next to the input.
        second: The one behind it, with the bias of ``op``.
        by: How the kernel was unfolded, or ``"frequency"``.
        rank: Channels between them, for each group.
        weight: The kernel of both together, in the shape of ``op.weight`` and in double
            precision; by frequency as large as the image.
        kernel_error: ``||K - weight||_F / ||K||_F``, by frequency with K laid out on the
            image; 0 for the zero kernel.
    """

    op: ConvOperator
    first: ConvOperator
    second: ConvOperator
    by: str
    rank: int
    weight: Tensor
    kernel_error: float
    _difference: Difference

    @classmethod
    def of(
        cls,
        op: ConvOperator,
        unfolding: Unfolding,
        by: str,
        rows: Tensor,
        columns: Tensor,
    ) -> LowRank:
        """The convolutions of two factors of the unfolded kernel, rows @ columns."""
        rank = rows.shape[2]
        own = unfolding.geometries(rank)
        kernels = unfolding.first_kernel(columns), unfolding.second_kernel(rows)
        turned = op.transposed
        first, second = (
            ConvOperator._of(kernel.contiguous(), geometry, turned)
            for kernel, geometry in zip(kernels, own, strict=True)
        )
        if turned:
            first, second = second, first
        if op.bias is not None:
            second = ConvOperator._of(second.weight, second.geometry, turned, op.bias)
        wide = torch.complex128 if op.dtype.is_complex else torch.float64
        rows, columns = rows.to(wide), columns.to(wide)
        weight = unfolding.folded(rows @ columns)
        kernel = op.weight.detach().to(wide)
        sizes = unfolding.folded(rows.abs() @ columns.abs())
        # a complex product has four real ones; twice for the sizes' own rounding
        rounding = 2 * gamma(4 * (rank + 2)) * sizes + 2 * UNIT * (kernel - weight).abs()
        rounding = rounding + 4 * (rank + 2) * UNDERFLOW
        difference = KernelDifference(op, kernel - weight, rounding)
        error = relative_distance(kernel - weight, kernel)
        return cls(op, first, second, by, rank, weight, error, difference)

    @property
    def operator(self) -> LinearMap:
        """The approximation as a map, ``second @ first``."""
        return self.second @ self.first

    @property
    def parameters(self) -> tuple[int, int]:
        """Numbers in the kernel, and in both kernels that take its place."""
        after = self.first.weight.numel() + self.second.weight.numel()
        return self.op.weight.numel(), after

    @cached_property
    def operator_error(self) -> Bound:
        """``||A - second @ first||``, the norm of the operators' difference, certified.

        The norm of the operator of ``K - weight``, and of what rounding may have changed
        of that; by frequency the largest norm of a block. At most as large as
        ``||A|| + ||second @ first||`` whatever the kernels; relative to ``||A||`` it is
        :attr:`relative_error`.
        """
        return self._difference.norm()

    @cached_property
    def relative_error(self) -> Enclosure:
        """``||A - second @ first|| / ||A||``, certified."""
        return self.operator_error / spectral_norm(self.op)

    def __repr__(self) -> str:
        before, after = self.parameters
        return (
            f"<LowRank {self.rank} by {self.by}: {before} -> {after} parameters, kernel "
            f"error {self.kernel_error:.4g}>"
        )


def relative_distance(difference: Tensor, of: Tensor) -> float:
    """The quotient of Frobenius norms, without overflow in squares."""
    scale = float(of.abs().max())
    if scale == 0:
        return 0.0
    norms = [torch.linalg.vector_norm(some / scale) for some in (difference, of)]
    return float(norms[0] / norms[1])
