"""The rounding of products with an operator, and of sums of its taps, as torch does."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.matrix import frobenius_norm
from convspec.operators.operator import ConvOperator
from convspec.rounding.directed import gamma, up

__all__ = ["convolution_error", "modulus_norm", "sum_error"]

# twice for the bound's own rounding and twice for what precedes and follows the sums;
# torch forms complex products from three real ones, which err up to six times as much
REAL, COMPLEX = 4, 16


def convolution_error(op: ConvOperator) -> float:
    """Bound on ``||fl(A x) - A x||`` for every unit vector x, and on the adjoint's.

    Entrywise ``|fl(A x) - A x| <= gamma_k |A| |x|`` for sums of k terms in any order
    (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.5), and
    ``|| |A| || <= sqrt(|| A ||_1 || A ||_inf)`` (Schur): an output reads each tap once,
    and each tap reads a pixel for as many outputs as padding repeats it.

    Args:
        op: In the precision of the products, with weights near 1.

    >>> weight = torch.ones(1, 1, 3, dtype=torch.float64)
    >>> 0 < convolution_error(ConvOperator(weight, 9)) < 1e-13
    True
    """
    modulus, terms = _modulus(op)
    unit = torch.finfo(op.weight.dtype).eps / 2
    return up(1.01 * gamma(terms, unit) * modulus, 4) if modulus else 0.0


def modulus_norm(op: ConvOperator) -> float:
    """At least ``|| |A| ||``, by Schur's test: a row of it times a column."""
    return up(1.01 * _modulus(op)[0], 2)


def _modulus(op: ConvOperator) -> tuple[float, int]:
    """``sqrt(|| |A| ||_1 || |A| ||_inf)`` as computed; terms of a sum, with the rest."""
    size = op.weight.detach().abs()
    for j, axis in enumerate(op.geometry.axes):
        live = np.flatnonzero(axis.live)
        if len(live) == axis.kernel:
            continue
        size = size.index_select(2 + j, torch.as_tensor(live, device=size.device))
    taps = math.prod(size.shape[2:])
    size = size.flatten(2).sum(dim=2)  # (c_out, c_in / groups)
    often = math.prod(axis.most_reads for axis in op.geometry.axes)
    row = float(size.sum(dim=1).max())
    column = often * float(size.reshape(op.groups, -1, size.shape[1]).sum(dim=1).max())
    channels = max(size.shape[0] // op.groups, size.shape[1])
    factor = COMPLEX if op.weight.is_complex() else REAL
    return math.sqrt(row * column), factor * channels * taps * often + 64


def sum_error(weight: Tensor, overlaps: Sequence[IntArray], eps: float) -> float:
    """Bound on the norm error from rounding weights and adding coinciding taps.

    A sum of k numbers errs by at most ``(k - 1) eps sum |.|`` in any order (Higham,
    Accuracy and Stability of Numerical Algorithms, 2nd ed., section 4.2), so the error
    is at most ``taps * eps`` times the Frobenius norm of the operator of ``|K|``.
    """
    taps = math.prod(weight.shape[2:])
    return taps * eps * frobenius_norm(weight.detach().abs(), overlaps)
