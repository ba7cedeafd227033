"""Ratios of quadratic forms are never below the truth, nor far above."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch

from convspec.rounding.pencil import hermitian_part, largest_ratio
from tests import exact
from tests.gaussian import gaussian

DTYPES = {"real": torch.float64, "complex": torch.complex128}


def pair(seed: int, side: int, dtype: torch.dtype, scale: float):
    """A positive semidefinite and a positive definite matrix."""
    a, b = (gaussian(seed + j, side, side + 2 * j, dtype=dtype) for j in (0, 1))
    numerator = scale * hermitian_part(a @ a.mH)
    return numerator, hermitian_part(b @ b.mH)


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e-30])
@pytest.mark.parametrize("side", [1, 2, 7])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_ratio_against_fifty_digits(dtype, side, scale):
    for seed in range(5):
        form, size = pair(seed, side, dtype, scale)
        bound = largest_ratio(form, size, 0.0, 0.0)
        with mpmath.workdps(exact.DIGITS):
            wide_n, wide_d = exact.matrix(form), exact.matrix(size)
            factor = mpmath.inverse(mpmath.cholesky(wide_d))
            values = mpmath.eighe(factor * wide_n * factor.H, eigvals_only=True)
            assert bound >= max(values)
        assert bound <= float(max(values)) * (1 + 1e-9)


def test_what_is_off_is_added():
    eye = torch.eye(3, dtype=torch.float64)
    zero = torch.zeros_like(eye)
    assert 0.1 <= largest_ratio(zero, eye, 0.1, 0.0) <= 0.5
    assert 1 / 0.9 <= largest_ratio(eye, eye, 0.0, 0.1) <= 1.3
    assert largest_ratio(eye, eye, 0.0, 1.1) == math.inf


def test_nothing_where_the_denominator_is_not_positive():
    eye = torch.eye(2, dtype=torch.float64)
    singular = torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert largest_ratio(eye, singular, 0.0, 0.0) == math.inf
    assert largest_ratio(eye, -eye, 0.0, 0.0) == math.inf
    assert largest_ratio(eye, eye * math.nan, 0.0, 0.0) == math.inf
