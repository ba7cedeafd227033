"""What a cell says: numbers, bounds rounded outward, shapes, and names made printable."""

from __future__ import annotations

import math
from collections.abc import Sequence

from convspec.quantity import decimals
from convspec.report.layer import Known

__all__ = [
    "EMPTY",
    "number",
    "printable",
    "quantity",
    "rounded_down",
    "rounded_up",
    "shape",
]

EMPTY = "-"
DIGITS = 4


def number(value: float | None, digits: int = DIGITS) -> str:
    """An integer as it is, else so many digits; ``-`` for None."""
    if value is None:
        return EMPTY
    return str(value) if isinstance(value, int) else f"{value:.{digits}g}"


def quantity(known: Known, most: float | None = None, digits: int = DIGITS) -> str:
    """A number, or ``a..b``, ``>= a``, ``<= b``, rounded outward; of 0 and inf none.

    Args:
        known: The number or bounds on it.
        most: An upper bound that goes without saying.
        digits: How many to print.
    """
    if not isinstance(known, tuple):
        return number(known, digits)
    lower, upper = known
    if lower in (0, -math.inf) and upper == math.inf:
        return EMPTY
    if lower == upper:
        return number(lower, digits)
    if upper in (math.inf, most):
        return f">= {rounded_down(lower, digits)}"
    if lower in (0, -math.inf):
        return f"<= {rounded_up(upper, digits)}"
    return f"{rounded_down(lower, digits)}..{rounded_up(upper, digits)}"


def rounded_down(value: float, digits: int = DIGITS) -> str:
    """An integer as it is, else so many digits, at most the value."""
    return decimals.rounded_down(value, digits)


def rounded_up(value: float, digits: int = DIGITS) -> str:
    """An integer as it is, else so many digits, at least the value."""
    return decimals.rounded_up(value, digits)


def shape(numbers: Sequence[int]) -> str:
    """``64x56x56``."""
    return "x".join(map(str, numbers))


def printable(text: str) -> str:
    r"""The text with whatever does not print, such as escapes and newlines, escaped.

    >>> print(printable("conv" + chr(27) + "[31m"))
    conv\x1b[31m
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )
