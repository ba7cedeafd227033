"""The Schatten 4-norm against decompositions of matrices that loops assemble."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from convspec.operators.axis import Axis
from convspec.spectrum.sums.fourth import fourth_flops, schatten_4
from convspec.spectrum.sums.pairs import all_counts, lag_counts, repeats
from tests import exact, geometries, oracles
from tests.cases import Case
from tests.gaussian import gaussian


def assert_holds(op: cs.ConvOperator, matrix: oracles.Array) -> None:
    """The enclosure is narrow, and holds the norm up to what LAPACK is off by."""
    ends = schatten_4(op)
    truth = float((oracles.singular_values(matrix) ** 4).sum() ** 0.25)
    assert ends.lower <= truth * (1 + 1e-12)
    assert ends.upper >= truth * (1 - 1e-12)
    assert ends.width <= 1e-9 * truth


@pytest.mark.parametrize("kind", geometries.KINDS)
def test_any_geometry(kind: str) -> None:
    @given(geometries.KINDS[kind])
    @settings(max_examples=40, deadline=None)
    def check(case: Case) -> None:
        assert_holds(case.operator(), case.matrix())

    check()


@pytest.mark.parametrize("channels", [(2, 5), (5, 2)], ids=str)
@pytest.mark.parametrize(
    "mode", ["zeros", "circular", "reflect", "replicate", "symmetric"]
)
def test_both_sides(mode: str, channels: tuple[int, int]) -> None:
    weight = gaussian(1, *channels, 3, 3)
    op = cs.ConvOperator(weight, (6, 7), padding=2, padding_mode=mode)
    assert_holds(op, op.to_dense().numpy())


def test_rounding_is_enclosed() -> None:
    """Fifty digits decide, where double precision could not."""
    for seed in range(6):
        op = cs.ConvOperator(gaussian(seed, 2, 2, 3), 4, padding=1)
        with mpmath.workdps(exact.DIGITS):
            A = exact.matrix(op.to_dense())
            truth = exact_norm(A.H * A)
            ends = schatten_4(op)
            assert mpmath.mpf(ends.lower) <= truth <= mpmath.mpf(ends.upper)
            assert ends.width < 1e-12 * float(truth)


def exact_norm(gram: mpmath.matrix) -> mpmath.mpf:
    """The fourth root of the sum of squares."""
    entries = [gram[i, j] for i in range(gram.rows) for j in range(gram.cols)]
    return mpmath.root(mpmath.fsum(abs(x) ** 2 for x in entries), 4)


@pytest.mark.parametrize("exponent", [-1000, -400, 400, 900])
def test_no_weight_is_too_large_or_small(exponent: int) -> None:
    weight = gaussian(3, 2, 2, 3)
    near = schatten_4(cs.ConvOperator(weight, 9, padding=1))
    far = schatten_4(cs.ConvOperator(weight * 2.0**exponent, 9, padding=1))
    assert far == tuple(math.ldexp(end, exponent) for end in near)


def test_zero_has_norm_zero() -> None:
    op = cs.ConvOperator(torch.zeros(2, 2, 3, dtype=torch.float64), 9)
    assert schatten_4(op) == (0.0, 0.0)


def test_few_bytes_change_nothing_but_rounding() -> None:
    op = cs.ConvOperator(gaussian(4, 12, 5, 3, 3), 9, padding=1, groups=2)
    tight, wide = schatten_4(op, max_bytes=1), schatten_4(op)
    assert tight.lower == pytest.approx(wide.lower, rel=1e-12)


def test_weights_of_all_pairs_must_fit() -> None:
    op = cs.ConvOperator(gaussian(4, 1, 1, 9), 9, padding=4, padding_mode="reflect")
    with pytest.raises(cs.TooLargeError, match="pairs of taps"):
        schatten_4(op, max_bytes=1000)


@pytest.mark.parametrize("outputs", [False, True])
@pytest.mark.parametrize(
    "axis",
    [
        Axis(7, 7, 3, before=1, after=1),
        Axis(9, 4, 4, stride=2, before=0, after=1),
        Axis(12, 3, 4, stride=3, dilation=2, before=1, after=1),
        Axis(6, 3, 3, stride=2, dilation=2, before=2, after=1),
        Axis(2, 7, 4, before=4, after=4),
    ],
    ids=str,
)
def test_counts_by_lag_are_those_of_all_pairs(axis: Axis, outputs: bool) -> None:
    table = all_counts(axis, outputs)
    assert not repeats(axis)
    kept = np.zeros_like(table)
    for lag in range(1 - axis.kernel, axis.kernel):
        counts = lag_counts(axis, lag, outputs)
        for i, j in np.ndindex(*counts.shape):
            a, c = i + max(0, -lag), j + max(0, -lag)
            kept[a, a + lag, c, c + lag] = counts[i, j]
    np.testing.assert_array_equal(kept, table)


def test_flops_are_those_of_the_cheaper_side() -> None:
    """45 products of 64 x 64 matrices and their inner products for 3 x 3 taps."""
    op = cs.ConvOperator(gaussian(1, 64, 64, 3, 3), 56, padding=1)
    assert fourth_flops(op) == pytest.approx(45 * 2 * 64**3, rel=0.2)
    wide = cs.ConvOperator(gaussian(1, 64, 2, 3, 3), 56, padding=1)
    assert fourth_flops(wide) < fourth_flops(op) / 500
