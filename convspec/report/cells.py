"""What a cell says: numbers, bounds rounded outward, shapes, and names made printable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

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
    return _rounded(value, ROUND_FLOOR, digits)


def rounded_up(value: float, digits: int = DIGITS) -> str:
    """An integer as it is, else so many digits, at least the value."""
    return _rounded(value, ROUND_CEILING, digits)


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


def _rounded(value: float, rounding: str, digits: int) -> str:
    if isinstance(value, int):
        return str(value)
    cut = Context(prec=digits, rounding=rounding).create_decimal_from_float(value)
    short = f"{float(cut):.{digits}g}"
    small = 1e4 <= value < 1e7  # without an exponent, which would be longer
    return f"{cut.normalize():f}" if "e+" in short and small else short
