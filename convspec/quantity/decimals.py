"""Numbers in print: so many digits, rounded to the side that keeps a bound one."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

__all__ = ["nearest", "rounded_down", "rounded_up"]

# powers of ten up to which numbers are printed without an exponent
LEAST, MOST = -4, 6


def nearest(value: float, digits: int, *, zeros: bool = False) -> str:
    """An integer as it is, else so many significant digits.

    Args:
        value: The number; an ``int``, or a ``float`` however round.
        digits: How many to print.
        zeros: Whether zeros at the end are among them, as in columns of a table.

    >>> nearest(12, 1), nearest(0.00012346, 4), nearest(1234567.0, 3), nearest(2e7, 3)
    ('12', '0.0001235', '1230000', '2e+07')
    >>> nearest(2.5, 4), nearest(2.5, 4, zeros=True)
    ('2.5', '2.500')
    """
    return _printed(value, ROUND_HALF_EVEN, digits, zeros)


def rounded_down(value: float, digits: int, *, zeros: bool = False) -> str:
    """A lower bound; what is printed is at most the value.

    >>> rounded_down(1.9999, 2), rounded_down(float("inf"), 2)
    ('1.9', 'inf')
    """
    return _printed(value, ROUND_FLOOR, digits, zeros)


def rounded_up(value: float, digits: int, *, zeros: bool = False) -> str:
    """An upper bound; what is printed is at least the value.

    >>> rounded_up(0.1, 20)  # the float64 is a little above a tenth
    '0.10000000000000000556'
    """
    return _printed(value, ROUND_CEILING, digits, zeros)


def _printed(value: float, rounding: str, digits: int, zeros: bool) -> str:
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    context = Context(prec=digits, rounding=rounding)
    exact = context.create_decimal_from_float(value)
    if not exact:
        return "0"
    place = Decimal((0, (1,), exact.adjusted() + 1 - digits))  # of the last digit
    exact = exact.quantize(place, context=context) if zeros else exact.normalize(context)
    if LEAST <= exact.adjusted() <= MOST:
        return f"{exact:f}"
    mantissa, power = f"{exact:e}".split("e")
    return f"{mantissa}e{int(power):+03d}"
