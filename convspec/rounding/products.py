"""Matrix products with a bound on their rounding error.

``|fl(XY) - XY| <= gamma_k |X| |Y|`` for real factors with k inner terms, whatever the
order of the sums and with or without fused operations (Higham, Accuracy and Stability
of Numerical Algorithms, 2nd ed., section 3.5). The real and the imaginary part of a
complex product are real sums of 2 k terms, bounded by ``gamma_{2k} |X| |Y|`` each. That
is the arithmetic of every BLAS in double precision on a CPU; it is not that of Strassen's
method, of three real products for a complex one, nor of TF32.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convspec.rounding.directed import UNIT, gamma, up
from convspec.rounding.norms import above, frobenius_above
from convspec.rounding.scaling import UNDERFLOW

__all__ = ["gram_matrix", "product_error", "small_side_first"]


def product_error(inner: int, is_complex: bool, unit: float = UNIT) -> float:
    """Number g with ``|fl(XY) - XY| <= g |X| |Y|`` for ``inner`` inner terms.

    Args:
        inner: The columns of X.
        is_complex: Whether the factors are.
        unit: The unit roundoff of the arithmetic.
    """
    if is_complex:
        return up(up(math.sqrt(2)) * gamma(2 * inner, unit))
    return gamma(inner, unit)


def small_side_first(matrices: Tensor) -> Tensor:
    """X or its transpose, with no more rows than columns; the same singular values."""
    return matrices.mT if matrices.shape[-2] > matrices.shape[-1] else matrices


def gram_matrix(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """``X X^H`` on the smaller side, and a bound on the 2-norm of its error.

    ``|| |X| |X|^T ||_2 <= ||X||_F^2``.

    Args:
        matrices: (..., r, c), entries below 2^60.

    Returns:
        (..., n, n) with n = min(r, c), and (...).
    """
    wide = small_side_first(matrices)
    gram = wide @ wide.mH
    factor = product_error(wide.shape[-1], wide.is_complex())
    size = frobenius_above(wide)
    error = above(factor * above(size**2))
    # by the size, whose square may be lost as well; of two plain numbers torch.where
    # would make float32, in which this is 0
    return gram, error + torch.where(size > 0, UNDERFLOW, size)
