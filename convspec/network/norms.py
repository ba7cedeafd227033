"""Certified upper ends of the norms of a network's linear maps, each found once.

A search for a norm holds whenever it ends: where time is short, ends are wider.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch

from convspec.bounds import spectral_norm, worst_case_norm
from convspec.bounds.spectral_norm.composition import matrix_norm_above
from convspec.errors import NotApplicable
from convspec.network.kinds import Axes, Rows
from convspec.operators.operator import ConvOperator
from convspec.rounding.directed import up

__all__ = ["Norms"]

# relative gap of a norm; a network of a hundred layers loses a factor of exp(0.1)
RTOL = 1e-3
# seconds for a norm when there are none left, and the share of those left for one
LEAST_SECONDS, SHARE = 0.02, 0.5
# operations up to which a layer's own size is asked for
SMALL = 2**18


@dataclass
class Norms:
    """Norms of operators, remembered.

    Attributes:
        rtol: Relative gap at which a norm is left.
        until: When ``time.perf_counter`` says so, norms are left as they are.
    """

    rtol: float = RTOL
    until: float = math.inf
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
            seconds = max(LEAST_SECONDS, SHARE * (self.until - time.perf_counter()))
            try:
                return worst_case_norm(op, rtol=self.rtol, max_seconds=seconds).upper
            except NotApplicable:
                pass
        return spectral_norm(op, rtol=self.rtol).upper

    def of_axes(self, kind: Axes) -> float:
        """At least the norm of matrices on axes: the product of theirs."""
        norm = 1.0
        for matrix in kind.matrices.values():
            norm = up(norm * matrix_norm_above(matrix, kind.relative))
        return norm

    def of_rows(self, kind: Rows) -> float:
        """At least the norm of a matrix over all entries."""
        return matrix_norm_above(kind.matrix, kind.relative)
