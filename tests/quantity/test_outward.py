"""Sums and scalings of many numbers, against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from convspec.quantity.outward import EPS, LARGEST, power_norm, scaled, total
from tests.oracles import Array


def numbers(kind: str, count: int) -> Array:
    """Positive numbers, of one size or of many."""
    generator = np.random.default_rng(count)
    if kind == "near":
        return generator.uniform(0.5, 2.0, count)
    if kind == "tiny":
        return generator.uniform(0, 1, count) * 1e-310
    exponents = generator.integers(-900 if kind == "far" else -60, 60, count)
    return np.ldexp(generator.uniform(0.5, 1.0, count), exponents)


@pytest.mark.parametrize("kind", ["near", "far", "several", "tiny"])
@pytest.mark.parametrize("count", [0, 1, 7, 1024, 1025, 4097, 30_011])
def test_total_is_a_neighbour_of_the_sum(kind: str, count: int) -> None:
    values = numbers(kind, count)
    exact = sum(map(Fraction, values.tolist()), Fraction(0))
    found = total(values)
    assert (
        Fraction(math.nextafter(found, -1))
        < exact
        < Fraction(math.nextafter(found, math.inf))
        or Fraction(found) == exact
    )
    assert abs(total(-values) + found) == 0


def test_totals_that_overflow() -> None:
    assert total(np.full(5000, 1e308)) == math.inf
    assert total(np.array([1.0] * 3000 + [math.inf])) == math.inf
    assert total(np.full(3000, 1e304)) == pytest.approx(3e307, rel=1e-15)


@pytest.mark.parametrize("exponent", [0, 3, -7, 60, -400, 499, -700, 1000, -1060])
@pytest.mark.parametrize("kind", ["near", "far", "several", "tiny"])
def test_scaled_is_exact_or_on_the_side_that_is_asked_for(
    kind: str, exponent: int
) -> None:
    values = np.append(numbers(kind, 50), 0.0)
    power = Fraction(2) ** exponent
    for towards in (0.0, math.inf):
        found = scaled(values, exponent, towards)
        assert not found.flags.writeable
        for value, number in zip(values.tolist(), found.tolist(), strict=True):
            exact = Fraction(value) * power
            if math.isinf(number):
                assert exact > Fraction(LARGEST)
                continue
            if Fraction(number) != exact:
                assert (Fraction(number) > exact) == (towards > 0)
                off = abs(Fraction(number) - exact)
                assert number == LARGEST or off <= 2 * Fraction(math.ulp(number))


@pytest.mark.parametrize("p", [0.5, 1.0, 3.0, 4.0])
@pytest.mark.parametrize("kind", ["near", "several"])
def test_power_norms_are_on_their_sides(kind: str, p: float) -> None:
    values = np.sort(numbers(kind, 3000))[::-1].copy()
    with mpmath.workdps(40):
        exact = mpmath.fsum(mpmath.mpf(x) ** p for x in values.tolist()) ** (
            1 / mpmath.mpf(p)
        )
        below, above = (mpmath.mpf(power_norm(values, p, side)) for side in (-1, 1))
        assert below <= exact <= above
        assert above - below <= 200 * EPS * exact
