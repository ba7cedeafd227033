"""Certified upper ends of the norms of a network's linear maps, each found once."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from convspec.bounds import spectral_norm, worst_case_norm
from convspec.errors import NotApplicable
from convspec.network.kinds import Axes, Rows
from convspec.operators.operator import ConvOperator
from convspec.rounding.directed import up
from convspec.rounding.norms import norm_above
from convspec.rounding.svd import norm_enclosure

__all__ = ["Norms"]

# relative gap of a norm; a network of a hundred layers loses a factor of exp(0.1)
RTOL = 1e-3
# operations up to which a layer's own size is asked for
SMALL = 2**18


@dataclass
class Norms:
    """Norms of operators, remembered.

    Attributes:
        rtol: Relative gap at which a norm is left.
    """

    rtol: float = RTOL
    _filters: list[tuple[ConvOperator, float]] = field(default_factory=list)

    def of_filter(self, op: ConvOperator) -> float:
        """At least the norm of a convolution."""
        for known, norm in self._filters:
            same = known.geometry == op.geometry and known.transposed == op.transposed
            if same and torch.equal(known.weight, op.weight):
                return norm
        norm = self._of_filter(op)
        self._filters.append((op, norm))
        return norm

    def _of_filter(self, op: ConvOperator) -> float:
        if op.geometry.reads > SMALL:
            try:
                return worst_case_norm(op, rtol=self.rtol).upper
            except NotApplicable:
                pass
        return spectral_norm(op, rtol=self.rtol).upper

    def of_axes(self, kind: Axes) -> float:
        """At least the norm of matrices on axes: the product of theirs."""
        norm = 1.0
        for matrix in kind.matrices.values():
            norm = up(norm * _norm(matrix, kind.relative))
        return norm

    def of_rows(self, kind: Rows) -> float:
        """At least the norm of a matrix over all entries."""
        return _norm(kind.matrix, kind.relative)


def _norm(matrix: Tensor, relative: float) -> float:
    """At least ``|M|``, whose entries are off by a share of themselves."""
    if not matrix.any():
        return 0.0
    _, upper = norm_enclosure(matrix[None])
    norm = float(upper[0])
    if not relative:
        return norm
    moved = float(norm_above(matrix.abs()[None])[0])
    return up(norm + up(relative * moved))
