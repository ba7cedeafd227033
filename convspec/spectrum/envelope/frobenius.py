"""What the exact Frobenius norm, ``sum sigma_i^2 = ||A||_F^2``, says of single values."""

from __future__ import annotations

import math

import numpy as np
import torch

from convspec.arrays import FloatArray
from convspec.operators import matrix
from convspec.operators.normal import normalised
from convspec.operators.operator import ConvOperator
from convspec.quantity.enclosure import Enclosure
from convspec.quantity.outward import EPS, prefix_sums, scaled_ends
from convspec.rounding import down_nonnegative, up

__all__ = ["certified_frobenius", "frobenius_bounds", "frobenius_norm"]

# singular values from which on fewer windows are looked at
MANY = 2**19


def certified_frobenius(op: ConvOperator) -> Enclosure:
    """Bounds on ``||A||_F`` of any operator, whatever the size of its weights."""
    work, exponent = normalised(op, torch.float64)
    return scaled_ends(frobenius_norm(work), exponent)


def frobenius_norm(op: ConvOperator) -> Enclosure:
    """Bounds on ``||A||_F`` of an operator with weights near 1, rounding included.

    The form ``<K, K x_1 M_1 ...>`` is a sum of products of the entries of |K|; by the
    error bound of inner products in any order (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., section 3.1), it errs by at most about
    (terms) eps times its value at |K|.
    """
    overlaps = [axis.overlap for axis in op.geometry.axes]
    weight = op.weight.detach()
    square = matrix.frobenius_norm(weight, overlaps) ** 2
    terms = 4 * (weight.numel() + sum(weight.shape) + 32)
    error = terms * EPS * matrix.frobenius_norm(weight.abs(), overlaps) ** 2
    most = square + error
    lower = down_nonnegative(math.sqrt(max(0.0, square - error)))
    return Enclosure(lower, up(math.sqrt(most)) if most else 0.0)


def frobenius_bounds(
    lower: FloatArray, upper: FloatArray, squares: Enclosure
) -> tuple[FloatArray, FloatArray]:
    """Bounds that follow from a band ``L <= sigma <= U`` and an enclosure of the squares.

    For every window of k indices that starts at i,
    ``k sigma_i^2 >= sum sigma_j^2 >= sum U_j^2 - (sum_all U_j^2 - ||A||_F^2)``, because
    no ``U_j^2 - sigma_j^2`` is negative; and for every window that ends at i,
    ``k sigma_i^2 <= sum L_j^2 + (||A||_F^2 - sum_all L_j^2)``. Sums of n numbers err by
    at most n eps of the sum (Higham, Accuracy and Stability of Numerical Algorithms, 2nd
    ed., section 4.2), which is granted to the other side.

    Args:
        lower: Descending; (n,).
        upper: Descending, infinite where nothing is known; (n,).
        squares: Enclosure of ``||A||_F^2``.
    """
    length = len(upper)
    unit = 4 * (length + 8) * EPS
    below = prefix_sums(lower**2)
    missing = max(0.0, squares[1] - below[-1]) + unit * (squares[1] + below[-1])
    most = below[1:] + missing  # means of squares, of which the roots are taken at last
    most /= np.arange(1, length + 1)
    for k in _windows(length):
        mean = _means(below, k, missing)
        np.minimum(most[k - 1 :], mean, out=most[k - 1 :])
    if not np.isfinite(upper).all():
        return np.zeros(length), _roots(most, 1 + 8 * EPS)
    above = prefix_sums(upper**2)
    excess = above[-1] - squares[0] + unit * above[-1]
    least = np.zeros(length)
    for k in _windows(length):
        mean = _means(above, k, -excess)
        np.maximum(least[: len(mean)], mean, out=least[: len(mean)])
    return _roots(least, 1 - 8 * EPS), _roots(most, 1 + 8 * EPS)


def _means(sums: FloatArray, k: int, more: float) -> FloatArray:
    """Of all windows of k values, with so much more in each, from prefix sums."""
    mean: FloatArray = sums[k:] - sums[:-k]
    mean += more
    mean /= k
    return mean


def _roots(means: FloatArray, slack: float) -> FloatArray:
    np.maximum(means, 0.0, out=means)
    np.sqrt(means, out=means)
    means *= slack
    return means


def _windows(length: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 11, ..., length: about ten to each factor of 30.

    A third of that for lengths that take seconds.
    """
    lengths, k = [], 1
    factor = 1.4 if length < MANY else 2.8
    while k < length:
        lengths.append(k)
        k = max(k + 1, math.ceil(factor * k))
    return [*lengths, length]
