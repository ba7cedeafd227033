"""Enclosures of the spectral norm: never violated, and as narrow as was asked for.

The truth is an interval a few 1e-15 wide, relative, or a closed form; no tolerance.
"""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from tests.cases import Case
from tests.closed_forms import CLOSED_FORMS, ClosedForm
from tests.enclosures import assert_meets, extended_matrix, norm_enclosure
from tests.gaussian import gaussian
from tests.geometries import KINDS

# so little that only tori, pieces and counting are left
LITTLE = 3e6


def assert_holds(case: Case, rtol: float, max_flops: float) -> cs.Bound:
    """The enclosure meets the interval of the truth."""
    op = case.operator()
    bound = cs.spectral_norm(op, rtol, max_flops=max_flops)
    assert bound.guarantee == "certified"
    assert_meets(bound, norm_enclosure(extended_matrix(case)), op)
    return bound


def assert_all_hold(kind: st.SearchStrategy[Case], count: int) -> None:
    @settings(max_examples=count)
    @given(
        case=kind,
        rtol=st.sampled_from([1e-3, 1e-6, 1e-9]),
        max_flops=st.sampled_from([1e12, LITTLE, 1e3]),
    )
    def run(case: Case, rtol: float, max_flops: float) -> None:
        bound = assert_holds(case, rtol, max_flops)
        if max_flops == 1e12:
            assert bound.gap <= max(rtol, 2e-9)

    run()


@pytest.mark.parametrize("kind", KINDS)
def test_random_operators(kind: str) -> None:
    assert_all_hold(KINDS[kind], 12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_random_operators(kind: str) -> None:
    assert_all_hold(KINDS[kind], 300)


def operator(weight: Any, size: Any, **options: Any) -> cs.ConvOperator:
    """One channel, unless the weight has channels."""
    weight = np.asarray(weight, dtype=float)
    weight = weight[None, None] if weight.ndim < 3 else weight
    return cs.ConvOperator(weight, size, **options)


LAPLACIAN = [1.0, -2.0, 1.0]
NAMED = {
    # name: operator, norm or None for a dense one, what it is greater than
    "laplacian-above-circular": (
        operator(LAPLACIAN, 3, padding=1),
        2 + math.sqrt(2),
        3.0,
    ),
    "box-reflect-above-supremum": (
        operator(np.ones(3) / 3, 8, padding=1, padding_mode="reflect"),
        None,
        1.02,
    ),
    "box-replicate-above-supremum": (
        operator(np.ones(5) / 5, 16, padding=2, padding_mode="replicate"),
        None,
        1.005,
    ),
    "stride-that-leaves-a-remainder": (
        operator(np.ones(2), 3, stride=2, padding=((0, 1),), padding_mode="circular"),
        math.sqrt(3),
        1.7,
    ),
    "groups-maximum-not-product": (
        operator(np.array([0.5, 1.2, 0.9, 1.1])[:, None, None], 5, groups=4),
        1.2,
        1.1,
    ),
    "kernel-larger-than-its-torus": (
        operator(np.arange(25.0).reshape(5, 5), 3, padding=2, padding_mode="circular"),
        300.0,
        299.0,
    ),
    "one-tap-axis": (
        operator(np.ones((2, 3, 1, 3)), (4, 5), padding=(0, 1), padding_mode="replicate"),
        None,
        1.0,
    ),
    "a-pixel-shown-three-times": (
        operator(np.ones(1), 2, padding=2, padding_mode="circular"),
        math.sqrt(3),
        1.7,
    ),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("max_flops", [1e12, LITTLE, 1.0])
def test_named_traps(name: str, max_flops: float) -> None:
    op, known, more = NAMED[name]
    low, high = norm_enclosure(op.to_dense().numpy().astype(np.longdouble))
    assert low > more
    assert known is None or known == pytest.approx(low, rel=1e-12)
    bound = cs.spectral_norm(op, 1e-9, max_flops=max_flops)
    assert bound.upper >= low
    assert bound.lower <= high
    if max_flops == 1e12:
        assert bound.gap <= 1e-9


@pytest.mark.parametrize("form", CLOSED_FORMS, ids=lambda form: form.id)
@pytest.mark.parametrize("n", [5, 8])
def test_closed_forms(form: ClosedForm, n: int) -> None:
    op = cs.ConvOperator(**form.arguments(n))
    known = float(np.max(np.abs(form.singular_values(n))))
    bound = cs.spectral_norm(op, 1e-8)
    assert bound.lower <= known * (1 + 1e-13)
    assert bound.upper >= known * (1 - 1e-13)
    assert bound.gap <= 1e-8


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "symmetric"])
def test_the_gap_closes_where_a_band_is_affordable(mode: str) -> None:
    """768 unknowns, no dense matrix."""
    op = cs.ConvOperator(gaussian(0, 3, 4, 3, 3), 16, padding=1, padding_mode=mode)
    bound = cs.spectral_norm(op, 1e-9)
    assert bound.gap <= 1e-9
    assert bound.assumptions == "upper end: the operator itself"


@pytest.mark.parametrize(
    "mode", ["zeros", "reflect", "replicate", "circular", "symmetric"]
)
@pytest.mark.parametrize(
    ("size", "max_flops"),
    [(24, 3e7), (24, 1e7), (24, 4e6), ((9, 40), 3e6), ((40, 9), 2e6)],
    ids=str,
)
def test_bounds_without_the_operator(mode: str, size: Any, max_flops: float) -> None:
    """Tori, half-wrapped ones and pieces hold; without them the gap would be above 1."""
    weight = gaussian(1, 3, 3, 3, 3) + 1
    op = cs.ConvOperator(weight, size, padding=1, padding_mode=mode)
    known = cs.spectral_norm(op, 1e-9)
    less = cs.spectral_norm(op, 1e-9, max_flops=max_flops)
    assert known.gap <= 1e-9
    assert known.lower <= less.upper
    assert less.lower <= known.upper
    assert "itself" not in less.assumptions
    assert less.gap < {"zeros": 0.02, "circular": 2e-9}.get(mode, 0.5)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "symmetric"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_pieces_hold(mode: str, axes: int) -> None:
    """Pieces of every width, down to where an axis cannot be cut, are upper bounds."""
    sizes = {1: [40, 41], 2: [(12, 15), (9, 22)], 3: [(5, 6, 7)]}[axes]
    for seed, size in enumerate(sizes):
        weight = gaussian(seed, 2, 2, *[3] * axes) + seed % 2
        op = cs.ConvOperator(weight, size, padding=1, padding_mode=mode)
        known = cs.spectral_norm(op, 1e-9)
        for exponent in (2, 5, 6, 6.5, 7):
            bound = cs.spectral_norm(op, 1e-9, max_flops=10**exponent)
            assert bound.upper >= known.lower


@pytest.mark.parametrize("exponent", [-1074, -1030, -600, -300, 300, 600, 1020])
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_scales(exponent: int, mode: str) -> None:
    """Powers of two scale the bounds; nothing overflows or vanishes on the way."""
    small = torch.tensor([[[3.0, -5, 1]], [[2, 0, 4]]], dtype=torch.float64)
    weight = small * 2.0 ** (exponent // 2) * 2.0 ** (exponent - exponent // 2)
    near = cs.ConvOperator(small, 6, padding=1, padding_mode=mode)
    far = cs.ConvOperator(weight, 6, padding=1, padding_mode=mode)
    low, high = norm_enclosure(near.to_dense().numpy().astype(np.longdouble))
    bound = cs.spectral_norm(far)
    with mpmath.workdps(50):
        scale = mpmath.mpf(2) ** exponent
        assert mpmath.mpf(bound.upper) >= low * scale
        assert mpmath.mpf(bound.lower) <= high * scale
    if -1000 < exponent < 1000:
        assert bound.gap <= 1e-6


def test_norms_beyond_float64() -> None:
    weight = torch.full((1, 1, 3), 1.7e308, dtype=torch.float64)
    bound = cs.spectral_norm(cs.ConvOperator(weight, 9, padding=1))
    assert bound.upper == math.inf
    assert bound.lower < math.inf


@pytest.mark.parametrize(
    "mode", ["zeros", "circular", "reflect", "replicate", "symmetric"]
)
def test_zero_kernels(mode: str) -> None:
    weight = torch.zeros(2, 3, 3, 3)
    op = cs.ConvOperator(weight, 4, padding=1, padding_mode=mode)
    bound = cs.spectral_norm(op)
    assert (bound.lower, bound.upper, bound.gap) == (0, 0, 0)


def test_an_operator_that_reads_nothing_but_padding() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 2), 1, stride=9, padding=((7, 0),))
    bound = cs.spectral_norm(op)
    assert (bound.lower, bound.upper) == (0, 0)


def test_coinciding_taps_that_cancel() -> None:
    """Replicate padding of one pixel adds all taps: 1 + 1e-200 - 1 is not 0."""
    weight = torch.tensor([[[1.0, 1e-200, -1.0]]], dtype=torch.float64)
    op = cs.ConvOperator(weight, 1, padding=1, padding_mode="replicate")
    bound = cs.spectral_norm(op)
    assert bound.lower <= 1e-200 <= bound.upper


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_weights_are_bounded_as_stored(dtype: torch.dtype) -> None:
    weight = gaussian(3, 3, 2, 3, 3).to(dtype)
    bound = cs.spectral_norm(cs.ConvOperator(weight, 5, padding=1))
    exact = cs.spectral_norm(cs.ConvOperator(weight.double(), 5, padding=1))
    assert (bound.lower, bound.upper) == (exact.lower, exact.upper)


@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect"])
@pytest.mark.parametrize("max_flops", [1e12, LITTLE, 1e5])
def test_complex_weights(mode: str, max_flops: float) -> None:
    weight = gaussian(4, 2, 3, 3, 3, dtype=torch.complex128)
    op = cs.ConvOperator(weight, (6, 5), padding=1, padding_mode=mode)
    low, high = norm_enclosure(op.to_dense().numpy().astype(np.clongdouble))
    bound = cs.spectral_norm(op, 1e-9, max_flops=max_flops)
    assert bound.upper >= low
    assert bound.lower <= high
    if max_flops == 1e12:
        assert bound.gap <= 1e-9


def test_groups_are_pruned_but_never_lost() -> None:
    """One of 64 depthwise groups is larger than the others by 1e-4."""
    weight = gaussian(5, 1, 1, 3, 3).repeat(64, 1, 1, 1)
    weight[41] *= 1 + 1e-4
    op = cs.ConvOperator(weight, 9, padding=1, groups=64)
    single = cs.spectral_norm(cs.ConvOperator(weight[41:42], 9, padding=1), 1e-9)
    bound = cs.spectral_norm(op, 1e-9)
    assert bound.lower <= single.upper
    assert bound.upper >= single.lower
    assert bound.gap <= 1e-9


def test_a_group_that_its_symbol_hides() -> None:
    """Replicate padding makes the group with the smaller symbol the larger one."""
    alternating = torch.tensor([1.0, -1, 1, -1], dtype=torch.float64)
    weight = torch.stack([1.1 * alternating, torch.full((4,), 0.6)])[:, None]
    op = cs.ConvOperator(weight, 2, groups=2, padding=((1, 2),), padding_mode="replicate")
    low, high = norm_enclosure(op.to_dense().numpy().astype(np.longdouble))
    bound = cs.spectral_norm(op, 1e-9)
    assert bound.lower <= high
    assert low <= bound.upper
    assert bound.gap <= 1e-9


def test_without_a_budget_schur_counts_taps_that_cancel() -> None:
    """Replicate padding adds taps up in one pixel, of either sign."""
    weight = gaussian(7, 2, 1, 3, 3)
    weight -= weight.mean(dim=(2, 3), keepdim=True)
    options: dict[str, Any] = {"stride": 2, "padding": 3, "padding_mode": "replicate"}
    op = cs.ConvOperator(weight, 10, **options)
    bound, schur = cs.spectral_norm(op, max_flops=1e3), cs.bounds.one_inf(op)
    absolute = cs.bounds.one_inf(cs.ConvOperator(weight.abs(), 10, **options))
    assert bound.upper <= schur.upper * (1 + 1e-12)
    assert schur.upper <= 0.7 * absolute.upper
    low, high = norm_enclosure(op.to_dense().numpy().astype(np.longdouble))
    assert low <= bound.upper
    assert bound.lower <= high


def test_transposes_have_the_same_norm() -> None:
    op = cs.ConvOperator(gaussian(6, 4, 2, 3, 3), (7, 6), stride=2, padding=1)
    bound, mirrored = cs.spectral_norm(op, 1e-9), cs.spectral_norm(op.T, 1e-9)
    assert mirrored.lower <= bound.upper
    assert bound.lower <= mirrored.upper
    assert max(bound.gap, mirrored.gap) <= 1e-9


@pytest.mark.parametrize("rtol", [0.0, 1.0, -1e-6, math.nan])
def test_tolerances_are_checked(rtol: float) -> None:
    with pytest.raises(ValueError, match="rtol must be between 0 and 1; got"):
        cs.spectral_norm(operator(LAPLACIAN, 3), rtol)


@pytest.mark.parametrize("name", ["max_flops", "max_bytes"])
def test_budgets_are_checked(name: str) -> None:
    given_: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"{name} must be positive; got 0"):
        cs.spectral_norm(operator(LAPLACIAN, 3), **given_)
