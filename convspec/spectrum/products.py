"""All singular values of a direct sum of Kronecker products, from their factors'."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convspec.arrays import FloatArray
from convspec.operators.kronecker import Kronecker
from convspec.rounding.directed import up
from convspec.spectrum.summands import sum_bytes, sum_flops, sum_values

__all__ = ["product_bytes", "product_flops", "product_values"]

EPS = float(np.finfo(np.float64).eps)


def product_values(products: Sequence[Kronecker]) -> tuple[FloatArray, float]:
    """All singular values, descending, and a bound on the error of each."""
    found, error = [np.zeros(0)], 0.0
    for part in products:
        values, off = _values(part)
        found.append(np.repeat(np.sort(values, axis=None), part.times))
        error = max(error, off)
    ascending = np.sort(np.concatenate(found), kind="stable")  # merges the runs
    return ascending[::-1], error


def _values(part: Kronecker) -> tuple[FloatArray, float]:
    """All products of the factors' values, group by group.

    Where those are s and t, off by at most d and e, the product is off by at most
    ``s e + t d + d e`` and its own rounding; and all by the distance (Weyl).
    """
    values, error = sum_values(part.factors[0])
    for factor in part.factors[1:]:
        others, off = sum_values(factor)
        top, other = float(values.max()), float(others.max())
        values = (values[:, :, None] * others[:, None, :]).reshape(len(values), -1)
        error = top * off + other * error + error * off + EPS * top * other
    if part.distance:
        error = up(error * (1 + 8 * EPS) + part.distance)
    return values, error


def product_bytes(products: Sequence[Kronecker]) -> int:
    """Bytes of the largest block, the least that dense SVDs must hold."""
    return max((sum_bytes(f) for part in products for f in part.factors), default=0)


def product_flops(products: Sequence[Kronecker]) -> float:
    """Estimated operations of one SVD of each block that differs."""
    return sum(sum_flops(factor) for part in products for factor in part.factors)
