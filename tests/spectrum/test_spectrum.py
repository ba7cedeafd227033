"""All singular values of every kind of convolution, against NumPy's SVD of its matrix.

The matrix comes from the operator and from plain loops. About 650 cases by default;
``-m slow`` runs 5000 more.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import event, given, settings

import convspec as cs
from tests import geometries, oracles
from tests.cases import Case
from tests.gaussian import gaussian

# Of the operator of |K|, whose norm rounding scales with: matrices here have fewer than
# 1000 rows and columns, kernels fewer than 100 taps. A bound beyond this says nothing.
USEFUL = 5000 * np.finfo(np.float64).eps


def fourier_refusal(op: cs.ConvOperator) -> str | None:
    """Why Fourier is refused, or None where it is exact."""
    try:
        cs.explain(op, method="fourier")
    except cs.NotApplicable as refused:
        return str(refused)
    return None


def assert_complete_spectrum(spec: cs.Spectrum, op: cs.ConvOperator) -> None:
    """Exactly min(m, n) numbers, float64, descending, none negative."""
    assert spec.complete
    assert spec.converged
    assert spec.shape == op.shape
    assert spec.values.dtype == np.float64
    assert spec.values.shape == (min(op.shape),)
    assert len(spec) == min(op.shape)
    assert np.all(np.diff(spec.values) <= 0)
    assert spec.values[-1] >= 0
    assert spec.left is None
    assert spec.right is None


def assert_values(spec: cs.Spectrum, matrix: oracles.Array) -> None:
    """The values are the matrix's, within both errors."""
    known = oracles.singular_values(matrix)
    worst = np.abs(spec.values - known).max()
    assert worst <= spec.error + oracles.svd_tolerance(matrix)


def assert_spectrum_agrees(case: Case) -> None:
    """Dense, Fourier where it is exact, and auto are NumPy's values of both matrices."""
    op, reference = case.operator(), case.matrix()
    refusal = fourier_refusal(op)
    event("refused" if refusal else "Fourier is exact")
    sizes = oracles.frobenius(case.operator(op.weight.abs()).to_dense().numpy())
    for method in ("dense", "auto") if refusal else ("dense", "fourier", "auto"):
        spec = cs.spectrum(op, method=method)
        if method == "auto":
            assert spec.method == ("dense" if refusal else "fourier")
        else:
            assert spec.method == method
        assert_complete_spectrum(spec, op)
        assert_values(spec, reference)
        assert_values(spec, op.to_dense().numpy())
        assert 0 <= spec.error <= USEFUL * sizes
    adjoint = cs.spectrum(op.H)
    assert adjoint.shape == op.shape[::-1]
    assert_values(adjoint, reference)


TORI = st.one_of(*map(geometries.circulants, (1, 2, 3)))


@settings(max_examples=90)
@given(geometries.convolutions(1))
def test_conv1d(case: Case) -> None:
    assert_spectrum_agrees(case)


@settings(max_examples=160)
@given(geometries.convolutions(2))
def test_conv2d(case: Case) -> None:
    assert_spectrum_agrees(case)


@settings(max_examples=60)
@given(geometries.convolutions(3))
def test_conv3d(case: Case) -> None:
    assert_spectrum_agrees(case)


@settings(max_examples=110)
@given(
    st.one_of(
        geometries.transposed(1), geometries.transposed(2), geometries.transposed(3)
    )
)
def test_transposed(case: Case) -> None:
    assert_spectrum_agrees(case)


@settings(max_examples=90)
@given(geometries.asymmetric())
def test_asymmetric_padding(case: Case) -> None:
    assert_spectrum_agrees(case)


@settings(max_examples=140)
@given(TORI)
def test_torus(case: Case) -> None:
    """Circular padding with n / stride outputs is always accepted."""
    assert fourier_refusal(case.operator()) is None
    assert_spectrum_agrees(case)


@pytest.mark.slow
@settings(max_examples=3500)
@given(geometries.any_case())
def test_many_more(case: Case) -> None:
    assert_spectrum_agrees(case)


@pytest.mark.slow
@settings(max_examples=1500)
@given(TORI)
def test_many_more_tori(case: Case) -> None:
    assert_spectrum_agrees(case)


def is_circulant(line: oracles.Array) -> bool:
    """Whether each row is the one before, shifted by columns per row, unread ones off."""
    live = line[:, (line != 0).any(axis=0)]
    rows, columns = live.shape
    step, remainder = divmod(columns, rows)
    return not remainder and np.array_equal(np.roll(live, (1, step), (0, 1)), live)


def test_cyclic_rule_on_the_matrix() -> None:
    """What :func:`is_circulant` says of matrices that show it."""
    shifts = np.array([[1, 2, 0, 0], [0, 1, 2, 0], [0, 0, 1, 2], [2, 0, 0, 1]])
    assert is_circulant(shifts)
    assert is_circulant(shifts[::2])
    assert is_circulant(np.array([[1, 2, 0], [0, 0, 0]])[:1])
    assert not is_circulant(shifts[:3])
    assert not is_circulant(np.vstack([shifts, shifts]))


def axis_lines(case: Case) -> list[oracles.Array]:
    """Each axis alone: the 1-D matrix with taps 1, 2, 4, ... which sums do not hide."""
    lines = []
    for j, k in enumerate(case.kernel):
        taps = 2 ** np.arange(k)[None, None]
        size, stride, pads, dilation = (
            [values[j]] for values in (case.size, case.stride, case.pads, case.dilation)
        )
        if case.transposed:
            extra = [case.output_padding[j]]
            matrix = oracles.scatter_matrix(taps, size, stride, pads, extra, dilation)
            lines.append(matrix.T)
        else:
            given = case.padding_mode
            mode = given if isinstance(given, str) else given[j]
            lines.append(oracles.loop_matrix(taps, size, stride, pads, dilation, 1, mode))
    return lines


def taps_read(line: oracles.Array) -> int:
    """How many of the taps 1, 2, 4, ... occur."""
    return int(np.bitwise_or.reduce(line, axis=None)).bit_count()


@settings(max_examples=300)
@given(st.one_of(geometries.any_case(), TORI))
def test_fourier_is_refused_exactly_when_it_must_be(case: Case) -> None:
    """Accepted if every axis is circulant or has one live tap; else an axis is named."""
    bad = [
        j
        for j, line in enumerate(axis_lines(case))
        if taps_read(line) > 1 and not is_circulant(line)
    ]
    refusal = fourier_refusal(case.operator())
    event(f"{case.padding_mode}: {'refused' if refusal else 'accepted'}")
    assert (refusal is None) == (not bad)
    if refusal:
        assert f"axis {bad[0]} has " in refusal


NAMED: dict[str, tuple[tuple[int, ...], Any, dict[str, Any]]] = {
    "kernel-1x7": ((2, 3, 1, 7), (5, 6), {"padding": "same"}),
    "kernel-3x1-strided": ((3, 2, 3, 1), (7, 5), {"padding": (1, 0), "stride": (2, 3)}),
    "kernel-7x1-circular": (
        (2, 2, 7, 1),
        (5, 4),
        {"padding": "same", "padding_mode": "circular"},
    ),
    "kernel-1x3x1": ((2, 1, 1, 3, 1), (3, 4, 2), {"padding": "same"}),
    "pointwise": ((4, 3, 1, 1), (3, 4), {}),
    "pointwise-padded": ((2, 3, 1, 1), (3, 4), {"padding": 2}),
    "pointwise-replicated": (
        (2, 3, 1, 1),
        (3, 4),
        {"padding": 2, "padding_mode": "replicate"},
    ),
    "pointwise-reflected-strided": (
        (2, 3, 1),
        7,
        {"padding": 3, "padding_mode": "reflect", "stride": 2},
    ),
    "depthwise": ((5, 1, 3, 3), 4, {"padding": 1, "groups": 5}),
    "depthwise-multiplier": ((6, 1, 3), 5, {"groups": 3, "padding": 1}),
    "transposed-pointwise-gaps": ((2, 3, 1, 1), 3, {"stride": 3, "transposed": True}),
    "transposed-output-padding-over-stride": (
        (2, 2, 3),
        4,
        {"stride": 2, "dilation": 5, "output_padding": 4, "transposed": True},
    ),
    "one-output": ((3, 2, 4), 4, {}),
    "more-rows-than-pixels": ((1, 1, 2), 3, {"padding": 3, "padding_mode": "circular"}),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_named_geometry(name: str, dtype: torch.dtype) -> None:
    shape, size, options = NAMED[name]
    op = cs.ConvOperator(gaussian(1, *shape, dtype=dtype), size, **options)
    for method in ("dense", "auto"):
        spec = cs.spectrum(op, method=method)
        assert_complete_spectrum(spec, op)
        assert_values(spec, op.to_dense().numpy())


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("method", ["dense", "fourier", "auto"])
def test_all_taps_dead(method: str, dim: int) -> None:
    """Two taps on either side of the only pixel: A = 0, with certainty."""
    weight = torch.ones(2, 3, *[2] * dim)
    op = cs.ConvOperator(weight, 1, dilation=2, padding=1)
    spec = cs.spectrum(op, method=method)
    assert spec.values.tolist() == [0.0, 0.0]
    assert spec.error == 0


def test_zero_weights() -> None:
    for mode in geometries.MODES:
        op = cs.ConvOperator(torch.zeros(2, 2, 3), 4, padding=1, padding_mode=mode)
        spec = cs.spectrum(op)
        assert spec.values.tolist() == [0.0] * 8
        assert spec.error == 0
