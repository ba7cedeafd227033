"""Numbers moved to the safe side of the rounding that made them."""

from __future__ import annotations

import math

__all__ = ["UNIT", "down", "down_nonnegative", "gamma", "square_root", "up"]

# unit roundoff of float64
UNIT = 2.0**-53


def up(value: float, steps: int = 1) -> float:
    """The ``steps``-th float64 above: at least the exact result of as many operations.

    The exact result of one correctly rounded operation (+, -, *, /, sqrt) lies between
    the neighbours of the computed one; exp, log and cosines are good to a few steps.

    >>> up(1.0) == 1 + 2.0**-52
    True
    """
    for _ in range(steps):
        value = math.nextafter(value, math.inf)
    return value


def square_root(count: int) -> float:
    """``sqrt(n)`` of a whole number, exact if it is one, else rounded up.

    >>> square_root(9), square_root(2) > 2**0.5
    (3.0, True)
    """
    root = math.isqrt(count)
    return float(root) if root**2 == count else up(math.sqrt(count))


def down(value: float, steps: int = 1) -> float:
    """The ``steps``-th float64 below, the mirror of :func:`up`.

    >>> down(1.0) == 1 - 2.0**-53
    True
    """
    for _ in range(steps):
        value = math.nextafter(value, -math.inf)
    return value


def down_nonnegative(value: float, steps: int = 1) -> float:
    """:func:`down` of a computed value whose exact one is not negative: at least 0.

    >>> down_nonnegative(0.0)
    0.0
    """
    return max(0.0, down(value, steps))


def gamma(terms: float, unit: float = UNIT) -> float:
    """``gamma_n = n u / (1 - n u)``, the relative error of n accumulated roundings.

    Rounded up. Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
    lemma 3.1.

    Raises:
        ValueError: If ``n u >= 1``, where no bound holds.

    >>> gamma(1) > 2.0**-53
    True
    """
    share = terms * unit
    if not share < 1:
        raise ValueError(
            f"terms * unit must be below 1 for an error bound; got {terms} * {unit}; "
            "compute in a wider precision"
        )
    return up(share / down(1 - share), 2)
