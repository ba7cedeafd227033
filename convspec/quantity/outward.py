"""Arithmetic on bounds, rounded to the side on which they stay bounds."""

from __future__ import annotations

import math

import numpy as np

from convspec.arrays import FloatArray
from convspec.quantity.enclosure import Enclosure
from convspec.rounding import down_nonnegative, up

__all__ = [
    "EPS",
    "log_sum",
    "power_norm",
    "prefix_sums",
    "scaled",
    "scaled_ends",
    "total",
]

EPS = float(np.finfo(np.float64).eps)
LARGEST, TINY = float(np.finfo(np.float64).max), float(np.finfo(np.float64).tiny)
MODEST = 500  # of exponents
FEW = 1024  # terms are added one by one


def scaled(values: FloatArray, exponent: int, towards: float) -> FloatArray:
    """``2^exponent * values``, rounded towards 0 or inf; exact in the normal range."""
    found = _scaled_exactly(values, exponent)
    if found is None:
        with np.errstate(over="ignore", under="ignore"):
            found = np.ldexp(values, exponent)
            back = np.ldexp(found, -exponent)
        found = np.where(back == values, found, np.nextafter(found, towards))
        found = found if towards else np.minimum(found, LARGEST)
    found.setflags(write=False)
    return found


def _scaled_exactly(values: FloatArray, exponent: int) -> FloatArray | None:
    """``2^exponent`` times values that are 0 or stay normal; None if others are there."""
    if abs(exponent) > MODEST:
        return None
    found: FloatArray = values * 2.0**exponent
    small = float(np.min(found, where=values > 0, initial=1.0))
    normal = small >= 2.0**MODEST * TINY and float(found.max(initial=0.0)) < LARGEST
    return found if normal else None


def scaled_ends(ends: Enclosure, exponent: int) -> Enclosure:
    """``2^exponent`` times an enclosure, rounded outward."""
    lower, upper = (np.array([end]) for end in ends)
    found = scaled(lower, exponent, 0.0), scaled(upper, exponent, math.inf)
    return Enclosure(float(found[0][0]), float(found[1][0]))


def total(values: FloatArray) -> float:
    """The sum, to one of its two neighbours if all have one sign; inf if it overflows.

    Halves are added, and what each addition rounds is known exactly (Knuth, The Art of
    Computer Programming 2, section 4.2.2, theorem B). The sums of these, below
    ``2^-53 log2(n)`` of the sum of all sizes, are themselves rounded to far more digits
    than are left in the end, where all is added exactly.
    """
    halves, rounded = values, list[float]()
    with np.errstate(over="ignore", invalid="ignore"):
        while len(halves) > FEW:
            middle = len(halves) // 2
            left, right, odd = halves[:middle], halves[middle : 2 * middle], halves[-1]
            if len(halves) % 2:
                rounded.append(float(odd))
            halves = left + right
            back = halves - left
            rounded.append(float(((left - (halves - back)) + (right - back)).sum()))
    terms = [*halves.tolist(), *rounded]
    try:
        if all(map(math.isfinite, terms)):
            return math.fsum(terms)
        return math.fsum(values.tolist())
    except OverflowError:
        return math.inf


def prefix_sums(values: FloatArray) -> FloatArray:
    """The sums of the first 0, 1, ... values, rounded to the nearest; (n + 1,)."""
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums


def power_norm(values: FloatArray, p: float, side: int) -> float:
    """``(sum values^p)^(1/p)`` of descending values, rounded up (side 1) or down (-1).

    Division, sum and 1 / p are correctly rounded and moved by one place; powers are
    taken to be within 4 units in the last place.
    """
    top = float(values.max())
    if top == 0 or math.isinf(top):
        return top
    slack = 1 + side * 8 * EPS
    step = np.nextafter(values / top, side * math.inf).clip(min=0.0)
    step[values == 0] = 0.0
    with np.errstate(over="ignore", under="ignore"):
        # of p = 4 as two squares, which are within 2 units
        powers = total((step * step) ** 2 if p == 4 else step**p) * slack
        exponents = [math.nextafter(1 / p, end) for end in (0.0, math.inf)]
        roots = [float(np.float64(powers) ** e) for e in exponents]
        root = max(roots) if side > 0 else min(roots)
        found = float(np.float64(root) * slack * top)
    return up(found) if side > 0 else down_nonnegative(found)


def log_sum(values: FloatArray, side: int) -> float:
    """``sum ln values``, rounded up (side 1) or down (-1); -inf with a zero among them.

    Logarithms are taken to be within 4 units in the last place, and those near 0 to be
    as good absolutely.
    """
    if not values.all():
        return -math.inf
    if np.isinf(values).any():
        return side * math.inf
    logs = np.log(values)
    off = 4 * EPS * (total(np.abs(logs)) + len(logs))
    return math.nextafter(total(logs) + side * off, side * math.inf)
