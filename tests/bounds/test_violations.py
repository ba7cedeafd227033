"""No bound is ever on the wrong side of the truth, compared without any tolerance.

The truth is an interval a few 1e-15 wide, relative, from a decomposition judged in
extended precision, or 50 digits from mpmath. ``-m slow`` runs 20,000 operators in the
place of 80.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from convspec import bounds
from tests import oracles
from tests.cases import Case
from tests.enclosures import assert_meets, extended_matrix, norm_enclosure
from tests.geometries import KINDS
from tests.rounding.test_errors import DIGITS, exact_matrix, small_cases, to_mpmath

Method = Callable[[cs.ConvOperator], cs.Bound]
CERTIFIED: list[Method] = [
    bounds.frobenius,
    bounds.one_inf,
    bounds.reshaped_kernel,
    bounds.tsuzuku,
    bounds.fantastic_four,
    bounds.sampled_symbol,
    partial(bounds.sampled_symbol, samples=7),
    bounds.lip_bound,
    partial(bounds.lip_bound, version=1),
    bounds.gram_iteration,
    partial(bounds.gram_iteration, dtype=torch.float32),
    partial(bounds.gram_iteration, samples=7, iterations=9),
    bounds.gram_iteration_zero,
    bounds.schatten,
    partial(bounds.schatten, p=2),
    bounds.krylov,
    bounds.power_iteration,
]


def worst_case_upper(op: cs.ConvOperator) -> cs.Bound:
    """The upper end; the lower one is below the supremum, not this operator's norm."""
    return replace(bounds.worst_case_norm(op), lower=0.0)


# of the symbol, whose taps all count, also those that read only padding here
SUPREMA: list[Method] = [
    bounds.supremum,
    partial(bounds.supremum, max_evaluations=1),
    worst_case_upper,
]
# the tighter, the closer a rounded proof comes to a false one
NORMS: list[Method] = [
    bounds.spectral_norm,
    *(partial(bounds.spectral_norm, rtol=rtol) for rtol in (1e-9, 1e-12, 1e-14)),
]
EVERY: list[Method] = [*CERTIFIED, *NORMS, *SUPREMA]
# formulas of the kernel alone, which padding that repeats pixels breaks
REFUSING = {"fantastic_four", "tensor_norm", "gram_iteration_zero"}


def applied(
    op: cs.ConvOperator, methods: Sequence[Method] = EVERY
) -> Iterator[tuple[Method, cs.Bound]]:
    """Each method and its bound; only other padding than zeros may be refused."""
    for method in methods:
        try:
            yield method, method(op)
        except cs.NotApplicable as refused:
            zeros = all(axis.mode == "zeros" for axis in op.geometry.axes)
            if refused.name not in REFUSING or zeros:
                raise


def assert_holds(op: cs.ConvOperator, low: float, high: float) -> None:
    """Every bound that is not an estimate meets the interval of the truth."""
    for _, bound in applied(op):
        assert bound.guarantee in ("certified", "probabilistic")
        assert_meets(bound, (low, high), op)
        if bound.value is None:  # enclosures made of proofs
            assert bound.name == "spectral_norm"
            continue
        assert not math.isnan(float(bound.value))
        if bound.guarantee == "certified" and bound.upper < math.inf:
            assert float(bound.value) <= bound.upper


def assert_all_hold(kind: st.SearchStrategy[Case], count: int) -> None:
    @settings(max_examples=count)
    @given(case=kind)
    def run(case: Case) -> None:
        assert_holds(case.operator(), *norm_enclosure(extended_matrix(case)))

    run()


@pytest.mark.parametrize("kind", KINDS)
def test_random_operators(kind: str) -> None:
    assert_all_hold(KINDS[kind], 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_twenty_thousand_random_operators(kind: str) -> None:
    assert_all_hold(KINDS[kind], 2000)


def fifty_digit_norm(case: Case, weight: torch.Tensor) -> mpmath.mpf:
    """The root of the largest eigenvalue of the Gram matrix, in twice as many digits.

    mpmath's SVD does not converge for some singular matrices.
    """
    parts = [weight.real, weight.imag] if weight.is_complex() else [weight]
    with mpmath.workdps(2 * DIGITS):
        real, *rest = (to_mpmath(exact_matrix(case, p.double().numpy())) for p in parts)
        entries = real + 1j * rest[0] if rest else real
        if len(entries) < entries.shape[1]:
            entries = entries.T
        matrix = mpmath.matrix(entries.tolist())
        values = mpmath.eighe(matrix.H * matrix, eigvals_only=True)
        return mpmath.sqrt(max(max(values), mpmath.mpf(0)))


def assert_fifty_digits(seed: int, count: int) -> None:
    """Tiny operators against mpmath, with weights that fill all 53 bits."""
    for case in islice(small_cases(seed), count):
        weight = case.weight_and_bias()[0]
        with mpmath.workdps(DIGITS):
            known = fifty_digit_norm(case, weight)
            for _, bound in applied(case.operator(weight)):
                assert mpmath.mpf(bound.lower) <= known <= mpmath.mpf(bound.upper)


def test_fifty_digits() -> None:
    assert_fifty_digits(0, 20)


@pytest.mark.slow
def test_fifty_digits_of_many() -> None:
    assert_fifty_digits(1, 800)


# -- extremes ---------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-1074, -1030, -600, -300, 300, 600, 1020])
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_scales(exponent: int, mode: str) -> None:
    """Powers of two scale the bounds; none of their squares overflows or vanishes."""
    small = torch.tensor([[[3.0, -5, 1]], [[2, 0, 4]]], dtype=torch.float64)
    weight = small * 2.0 ** (exponent // 2) * 2.0 ** (exponent - exponent // 2)
    near = cs.ConvOperator(small, 6, padding=1, padding_mode=mode)
    far = cs.ConvOperator(weight, 6, padding=1, padding_mode=mode)
    low, high = norm_enclosure(near.to_dense().numpy().astype(np.longdouble))
    for method, bound in applied(far):
        with mpmath.workdps(DIGITS):
            scale = mpmath.mpf(2) ** exponent
            assert mpmath.mpf(bound.upper) >= low * scale
            assert mpmath.mpf(bound.lower) <= high * scale
        if -1000 < exponent < 1000:
            known = method(near)
            assert bound.upper <= known.upper * 2.0**exponent * (1 + 1e-12)
            assert bound.lower >= known.lower * 2.0**exponent * (1 - 1e-12)


def test_norms_beyond_float64() -> None:
    """The norm overflows, so the upper ends are infinite and the lower ones finite."""
    op = cs.ConvOperator(
        torch.full((1, 1, 3), 1.7e308, dtype=torch.float64), 9, padding=1
    )
    for method in EVERY:
        bound = method(op)
        assert bound.upper == math.inf
        assert bound.lower < math.inf


def test_taps_that_read_only_padding_do_not_count() -> None:
    """A huge weight that never meets a pixel changes nothing."""
    weight = torch.tensor([[[1e300, 1.0, -2.0, 1.0, -1e300]]], dtype=torch.float64)
    op = cs.ConvOperator(weight, 2, padding=2)  # taps 0 and 4 are two pixels away
    known = cs.ConvOperator(weight[..., 1:4], 2, padding=1)
    assert op.to_dense().tolist() == known.to_dense().tolist()
    for method in [*CERTIFIED, bounds.spectral_norm]:
        assert method(op).upper == pytest.approx(method(known).upper, rel=1e-9)


@pytest.mark.parametrize(
    "padding_mode", ["zeros", "circular", "reflect", "replicate", "symmetric"]
)
def test_zero_kernels(padding_mode: str) -> None:
    """Zero is its own bound; no logarithm of 0, no division by 0."""
    weight = torch.zeros(2, 3, 3, 3, requires_grad=True)
    op = cs.ConvOperator(weight, 4, padding=1, padding_mode=padding_mode)
    for _, bound in applied(op, [*EVERY, bounds.tensor_norm]):
        assert bound.lower == 0
        assert bound.upper in (0, math.inf)
        if bound.value is None:
            continue
        (gradient,) = torch.autograd.grad(bound.value, weight)
        assert torch.isfinite(gradient).all()


def test_an_operator_that_reads_nothing_but_padding() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 2), 1, stride=9, padding=((7, 0),))
    assert not op.to_dense().any()
    for method in [*CERTIFIED, bounds.spectral_norm]:
        assert method(op).upper in (0, math.inf)
    for method in SUPREMA:
        assert method(op).upper >= 0


def test_nearly_coinciding_taps_that_cancel() -> None:
    """Replicate padding of one pixel adds all taps: 1 + 1e-200 - 1 is not 0."""
    weight = torch.tensor([[[1.0, 1e-200, -1.0]]], dtype=torch.float64)
    op = cs.ConvOperator(weight, 1, padding=1, padding_mode="replicate")
    for _, bound in applied(op):
        assert bound.lower <= 1e-200 <= bound.upper


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_weights_are_bounded_as_stored(dtype: torch.dtype) -> None:
    weight = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(3)).to(dtype)
    op = cs.ConvOperator(weight, 5, padding=1)
    exact = cs.ConvOperator(weight.double(), 5, padding=1)
    matrix = exact.to_dense().numpy().astype(np.longdouble)
    assert_holds(op, *norm_enclosure(matrix))
    for method in EVERY:
        assert method(op).upper == method(exact).upper


# -- the truth itself -----------------------------------------------------------------


def test_enclosures_contain_fifty_digits_and_are_narrow() -> None:
    for case in islice(small_cases(2), 30):
        weight = case.weight_and_bias()[0]
        matrix = extended_matrix(case)
        low, high = norm_enclosure(matrix)
        with mpmath.workdps(DIGITS):
            assert low <= fifty_digit_norm(case, weight) <= high
        assert high - low <= 1e-14 * oracles.frobenius(matrix)
