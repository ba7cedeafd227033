"""Digits in print stay on the side of a bound, against fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convspec.quantity.decimals import nearest, rounded_down, rounded_up

FINITE = st.floats(allow_nan=False, allow_infinity=False)
DIGITS = st.integers(1, 20)


@given(FINITE, DIGITS)
def test_bounds_in_print_are_bounds_and_near(value: float, digits: int) -> None:
    below, above = rounded_down(value, digits), rounded_up(value, digits)
    unit = Fraction(10) ** (1 - digits) * abs(Fraction(value))
    assert Fraction(value) - unit <= Fraction(below) <= Fraction(value)
    assert Fraction(value) <= Fraction(above) <= Fraction(value) + unit
    assert nearest(value, digits) in (below, above)


@given(FINITE)
def test_seventeen_digits_are_the_number(value: float) -> None:
    assert float(nearest(value, 17)) == value


@pytest.mark.parametrize(
    ("value", "digits", "printed"),
    [
        (0.0, 3, "0"),
        (7, 1, "7"),
        (394208, 4, "394208"),
        (12345.6, 4, "12350"),
        (-12345.6, 4, "-12350"),
        (9999999.0, 3, "1e+07"),
        (0.00012344, 3, "0.000123"),
        (0.00001, 3, "1e-05"),
        (1.5e300, 4, "1.5e+300"),
        (math.inf, 4, "inf"),
        (-math.inf, 4, "-inf"),
    ],
)
def test_the_form(value: float, digits: int, printed: str) -> None:
    assert nearest(value, digits) == printed
