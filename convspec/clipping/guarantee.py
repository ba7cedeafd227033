"""What a bound on a kernel is for: one operator, or all sizes of a layer."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from convspec.bounds import spectral_norm, worst_case_norm
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound

__all__ = ["Guarantee"]


@dataclass(frozen=True)
class Guarantee:
    """How norms of kernels are proved.

    Attributes:
        op: An operator of the layer: the one meant, or one of any size.
        sizes: ``"all"``, ``"divisible"``, or None for the size of ``op`` alone.
    """

    op: ConvOperator
    sizes: str | None

    def norm(self, weight: Tensor, rtol: float = 1e-6) -> Bound:
        """The certified norm of a kernel, with the arguments of a check unless told."""
        op = self.op.with_weight(weight)
        if self.sizes is None:
            return spectral_norm(op, rtol)
        return worst_case_norm(op, sizes=self.sizes, rtol=rtol)
