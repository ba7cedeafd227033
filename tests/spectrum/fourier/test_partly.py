"""Operators with some cyclic axes, by their frequencies, against dense SVDs of loops."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import assume, event, given, settings

import convspec as cs
from convspec.limits import DEFAULT_MAX_BYTES
from convspec.operators.normal import normalised
from convspec.spectrum.fourier.partly import at_frequencies
from convspec.spectrum.products import product_values
from tests import geometries, oracles
from tests.cases import Case
from tests.gaussian import gaussian


@st.composite
def partly_cyclic(draw: st.DrawFn) -> Case:
    """Some axes of a torus, and others; few channels."""
    kinds = draw(st.sampled_from([(0, 1), (1, 0), (0, 1, 1), (1, 0, 1), (0, 0, 1)]))
    lines = [
        draw(geometries.circulants(1) if cyclic else geometries.convolutions(1, True))
        for cyclic in kinds
    ]
    assume(math.prod(line.size[0] for line in lines) <= 120)
    groups = draw(st.integers(1, 2))
    modes = [line.padding_mode for line in lines]
    return Case(
        groups * draw(st.integers(1, 2)),
        groups * draw(st.integers(1, 2)),
        groups,
        kernel=tuple(line.kernel[0] for line in lines),
        size=tuple(line.size[0] for line in lines),
        stride=tuple(line.stride[0] for line in lines),
        dilation=tuple(line.dilation[0] for line in lines),
        padding=tuple(line.pads[0] for line in lines),
        padding_mode=tuple(m if isinstance(m, str) else m[0] for m in modes),
        bias=False,
        pruned=draw(st.booleans()),
        dtype=draw(st.sampled_from((torch.float64, torch.complex128))),
        seed=draw(st.integers(0, 2**16)),
    )


@settings(max_examples=120, deadline=None)
@given(partly_cyclic())
def test_all_values_are_those_of_the_matrix(case: Case) -> None:
    op = case.operator()
    work, exponent = normalised(op, torch.float64)
    parts = at_frequencies(work, DEFAULT_MAX_BYTES)
    event(f"some cyclic axes: {parts is not None}")
    assume(parts is not None)
    assert parts is not None
    values, error = (np.ldexp(x, exponent) for x in product_values(parts))
    expected = oracles.singular_values(case.matrix())
    found = np.zeros(len(expected))
    found[: len(values)] = values[: len(expected)]
    oracle = 1e-15 * max(op.shape) * expected[0]
    assert np.abs(found - expected).max() <= error + oracle
    assert error <= 1e-9 * max(1.0, float(expected[0]))
    assert not (values[len(expected) :] > error).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_spectra_take_them_where_they_are_cheaper(
    dtype: torch.dtype, transposed: bool
) -> None:
    """A panorama: closed along one axis, with zeros along the other."""
    weight = gaussian(4, 3, 2, 3, 3).double()
    options: dict[str, Any] = {"padding": 1, "padding_mode": ("zeros", "circular")}
    op = cs.ConvOperator(weight, (6, 8), **options)
    expected = oracles.singular_values(op.to_dense().numpy())
    plan = cs.explain(op)
    assert plan.method == "dense"
    assert "8 blocks, of which 5 differ" in plan.reason
    spec = cs.spectrum(op.T if transposed else op, dtype=dtype)
    assert np.abs(spec.values - expected).max() <= spec.error + 1e-13
    assert spec.error <= (1e-11 if dtype == torch.float64 else 1e-2)


def test_a_panorama_too_large_for_its_matrix() -> None:
    """16,384 values; all squares add up to ||A||_F^2, the largest is the norm."""
    op = cs.ConvOperator(
        gaussian(5, 4, 4, 3, 5).double(),
        (32, 128),
        padding=(1, 2),
        padding_mode=("reflect", "circular"),
    )
    plan = cs.explain(op)
    assert plan.method == "dense"
    assert plan.memory < 2**24
    spec = cs.spectrum(op)
    assert len(spec.values) == 4 * 32 * 128
    assert (spec.values**2).sum() == pytest.approx(op.frobenius_norm() ** 2, rel=1e-12)
    bound = cs.spectral_norm(op)
    assert bound.lower - spec.error <= spec.norm <= bound.upper + spec.error


def test_what_takes_too_much_is_left_whole() -> None:
    work, _ = normalised(
        cs.ConvOperator(
            gaussian(5, 2, 2, 3, 3), (5, 8), padding=1, padding_mode=("zeros", "circular")
        ),
        torch.float64,
    )
    assert at_frequencies(work, 2**20) is not None
    assert at_frequencies(work, 2**10) is None


@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_all_axes_of_one_kind_have_their_own_methods(mode: str) -> None:
    op = cs.ConvOperator(gaussian(5, 2, 2, 3, 3), (5, 8), padding=1, padding_mode=mode)
    assert at_frequencies(normalised(op, torch.float64)[0], DEFAULT_MAX_BYTES) is None


def test_blocks_that_do_not_fit_are_not_looked_for() -> None:
    """256 channels of 224 rows: the kernels alone would take a third of a gigabyte."""
    op = cs.ConvOperator(
        gaussian(0, 256, 256, 3, 3), 224, padding=1, padding_mode=("zeros", "circular")
    )
    assert at_frequencies(op, DEFAULT_MAX_BYTES) is None
