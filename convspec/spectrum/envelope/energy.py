"""How many singular values hold a share of the energy, from bounds on all of them."""

from __future__ import annotations

import math

import numpy as np

from convspec.arrays import FloatArray
from convspec.quantity.enclosure import Enclosure
from convspec.quantity.outward import EPS, prefix_sums, scaled

__all__ = ["energy_rank"]


def energy_rank(
    lower: FloatArray, upper: FloatArray, norm: Enclosure, share: float
) -> Enclosure:
    """Bounds on the least r with ``sum_{i <= r} sigma_i^2 >= share ||A||_F^2``.

    At least the r at which the squares of the upper bounds reach it. At most the r at
    which those of the lower bounds do, or from which on those of the upper bounds are
    ``(1 - share) ||A||_F^2`` or less; and at most a share of all, rounded up, as the
    values descend. Sums of n squares are off by at most n eps of themselves.

    Args:
        lower: Bounds, descending; (n,).
        upper: Bounds, descending; (n,).
        norm: Of ``||A||_F``.
        share: From 0 to 1.
    """
    count = len(upper)
    if norm.upper == 0 or share == 0:
        return Enclosure(0, 0)
    if math.isinf(norm.upper):
        return Enclosure(0, count)
    exponent = -math.frexp(norm.upper)[1]
    low, high = scaled(lower, exponent, 0.0), scaled(upper, exponent, math.inf)
    squares = Enclosure(*(math.ldexp(end, exponent) for end in norm)).squared
    slack = 4 * (count + 8) * EPS
    below = prefix_sums(low**2) * (1 - slack)
    above = prefix_sums(np.minimum(high, 2.0) ** 2) * (1 + slack)
    tail = prefix_sums(np.minimum(high, 2.0)[::-1] ** 2)[::-1] * (1 + slack)
    least = int(np.argmax(above >= share * squares.lower * (1 - slack)))
    enough = below >= share * squares.upper * (1 + slack)
    spared = tail <= (1 - share) * squares.lower * (1 - slack)
    most = min(
        int(np.argmax(found)) if found.any() else count for found in (enough, spared)
    )
    most = min(most, math.ceil(share * count * (1 + slack)), count)
    most = max(most, 1)  # no value holds nothing, if a share underflows
    return Enclosure(min(least, most), most)
