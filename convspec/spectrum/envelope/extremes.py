"""The most concentrated and the most even spectra that a band and ``||A||_F`` allow.

Among all ``L_i <= sigma_i <= U_i`` with ``sum sigma_i^2 = S`` one vector of squares
majorises all others: U from the front, L from the back, one value between. And one is
majorised by all others: ``sigma_i`` = t clipped to ``[L_i, U_i]``. Proof. L and U
descend. The k largest squares add up to at most ``min(sum_{i<=k} U_i^2, S - sum_{i>k}
L_i^2)``, which is what the first vector attains; and to at least what the second has: for
k with ``L_k > t`` and with ``U_k < t`` by the bounds themselves, between these by
concavity of the sums of a descending vector, where those of the second are linear.

Sums of ``f(sigma_i^2)`` with concave f (nuclear and Schatten norms up to p = 2,
logarithms) are therefore least at the first and largest at the second, with convex f the
other way round (Marshall, Olkin and Arnold, Inequalities, 2nd ed., chapter 3, C.1). All
of these grow with each value, so that S may be replaced by an end of an enclosure of it,
on the safe side of the rounding of the sums.
"""

from __future__ import annotations

import math

import numpy as np

from convspec.arrays import FloatArray
from convspec.quantity.outward import EPS, prefix_sums

__all__ = ["concentrated", "even"]


def concentrated(
    lower: FloatArray, upper: FloatArray, norm: float, side: int
) -> FloatArray:
    """The most concentrated values whose squares add up to ``norm^2``.

    Args:
        lower: Descending; (n,).
        upper: Descending; (n,).
        norm: Euclidean norm to reach, an end of an enclosure of the true one.
        side: -1 to stay below it for certain, 1 above it; ``lower`` or ``upper`` where
            the band does not allow that.
    """
    edge = lower if side < 0 else upper
    if not np.isfinite(upper).all() or not upper.any():
        return edge
    low, high, exponent, square = _scaled_down(lower, upper, norm, side)
    # squares of the vectors that are high on the first j places and low behind
    sums = np.maximum.accumulate(prefix_sums(high**2) + prefix_sums(low[::-1] ** 2)[::-1])
    goal = square + side * 4 * (len(low) + 8) * EPS * (sums[-1] + square)
    j = int(np.searchsorted(sums, goal, side="right" if side < 0 else "left")) - 1
    if j < 0 or j >= len(low):
        return edge
    between = math.sqrt(low[j] ** 2 + max(0.0, goal - sums[j])) * (1 + side * 8 * EPS)
    between = math.ldexp(min(max(between, low[j]), high[j]), exponent)
    return np.concatenate([upper[:j], [between], lower[j + 1 :]])


def even(lower: FloatArray, upper: FloatArray, norm: float, side: int) -> FloatArray:
    """The most even values whose squares add up to ``norm^2``, arguments as above."""
    edge = lower if side < 0 else upper
    if not np.isfinite(upper).all() or not upper.any():
        return edge
    low, high, exponent, square = _scaled_down(lower, upper, norm, side)
    below, above = prefix_sums(low**2), prefix_sums(high[::-1] ** 2)[::-1]
    goal = square + side * 4 * (len(low) + 8) * EPS * (above[0] + square)

    def squares(level: float) -> float:
        first = len(low) - int(np.searchsorted(low[::-1], level, side="right"))
        last = len(low) - int(np.searchsorted(high[::-1], level, side="left"))
        return float(below[first] + (last - first) * level**2 + above[last])

    bottom, top = 0.0, float(high[0])
    if not squares(bottom) <= goal <= squares(top):
        return edge
    while (middle := (bottom + top) / 2) not in (bottom, top):
        bottom, top = (middle, top) if squares(middle) <= goal else (bottom, middle)
    level = math.ldexp(bottom if side < 0 else top, exponent)
    clipped: FloatArray = np.clip(level, lower, upper)
    return clipped


def _scaled_down(
    lower: FloatArray, upper: FloatArray, norm: float, side: int
) -> tuple[FloatArray, FloatArray, int, float]:
    """The band over ``2^exponent``, near 1, the exponent, and the square of the norm."""
    exponent = math.frexp(float(upper[0]))[1]
    with np.errstate(over="ignore", under="ignore"):
        low, high = np.ldexp(lower, -exponent), np.ldexp(upper, -exponent)
        scaled = float(np.ldexp(norm, -exponent))
    square = max(0.0, math.nextafter(scaled * scaled, side * math.inf))
    return low, high, exponent, square
