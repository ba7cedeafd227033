"""Clipped spectra of circular operators, against dense decompositions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given

import convspec as cs
from tests.cases import Case
from tests.geometries import circulants

EPS = 2.0**-52


def nearest(matrix: np.ndarray, lower: float, upper: float) -> np.ndarray:
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    return (left * np.clip(values, lower, upper)) @ right


def check(op: cs.ConvOperator, lower: float, upper: float) -> None:
    """Values in the interval, and no farther than the nearest of all matrices."""
    matrix = op.to_dense().numpy()
    found = cs.clip_spectrum(op, lower, upper)
    assert found.shape == op.shape
    assert found.input_shape == op.input_shape
    values = np.linalg.svd(matrix, compute_uv=False)
    after = np.linalg.svd(found.to_dense().numpy(), compute_uv=False)
    scale = max(values[0], lower, 1e-300) * EPS * 16 * max(matrix.shape)
    assert np.abs(after - np.clip(values, lower, upper)).max() <= scale
    off = np.linalg.norm(found.to_dense().numpy() - matrix)
    least = np.linalg.norm(np.clip(values, lower, upper) - values)
    assert off <= least + scale * math.sqrt(len(values))
    if values[-1] > 1e-6 * values[0]:  # the vectors are no choice
        wanted = nearest(matrix, lower, upper)
        assert np.abs(found.to_dense().numpy() - wanted).max() <= 1e3 * scale


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_circulants(dim: int) -> None:
    @given(circulants(dim))
    def every(case: Case) -> None:
        op = case.operator()
        norm = max(op.frobenius_norm(), 1e-3)
        if any(a.output * a.stride != a.size for a in op.geometry.axes):
            with pytest.raises(cs.GeometryError, match="use clip"):
                cs.clip_spectrum(op, 0.0, norm)
            return
        count = math.sqrt(min(op.shape))
        check(op, 0.3 * norm / count, 1.1 * norm / count)

    every()


def test_complex_weights() -> None:
    weight = torch.randn(
        3, 2, 3, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(0)
    )
    check(
        cs.ConvOperator(
            weight,
            (6, 4),
            stride=2,
            padding=((1, 0),) * 2,
            dilation=1,
            padding_mode="circular",
        ),
        1.0,
        3.0,
    )


def test_spectrum_and_condition_number() -> None:
    kernel = torch.tensor([[[1.0, 2.0, 1.0]]], dtype=torch.float64)
    op = cs.ConvOperator(kernel, 12, padding=1, padding_mode="circular")
    found = cs.clip_spectrum(op, 0.5, 2.0)
    values = cs.spectrum(found, method="fourier")
    assert values.values[0] / values.values[-1] == pytest.approx(4.0, rel=1e-14)
    assert found.weight.shape == (1, 1, 12)


def test_zeros_are_lifted() -> None:
    weight = torch.zeros(3, 2, 3, 3, dtype=torch.float64)
    op = cs.ConvOperator(weight, 4, padding=1, padding_mode="circular")
    values = cs.spectrum(cs.clip_spectrum(op, 0.5)).values
    assert np.allclose(values, 0.5, rtol=1e-14)


def test_nothing_to_clip_leaves_the_operator() -> None:
    weight = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    op = cs.ConvOperator(
        weight, 8, padding=1, groups=2, bias=torch.ones(4), padding_mode="circular"
    )
    found = cs.clip_spectrum(op)
    assert found.dtype == torch.float32
    assert torch.allclose(found.to_dense(), op.to_dense(), atol=1e-6)
    assert torch.equal(found.offset, op.offset)


def test_transposed() -> None:
    weight = torch.randn(
        4, 2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    op = cs.ConvOperator(weight, 8, padding=1, stride=2, padding_mode="circular").T
    assert op.transposed
    check(op, 1.0, 2.0)


def test_refusals() -> None:
    kernel = torch.ones(1, 1, 3, dtype=torch.float64)
    op = cs.ConvOperator(kernel, 7, padding=1)
    with pytest.raises(cs.GeometryError, match=r"axis 0 has 7 outputs .* zeros; use"):
        cs.clip_spectrum(op, 0.0, 1.0)
    torus = op.circular()
    with pytest.raises(ValueError, match="lower must be a number from 0 up; got -1"):
        cs.clip_spectrum(torus, -1.0)
    with pytest.raises(ValueError, match=r"upper must be at least lower = 2.0; got 1.0"):
        cs.clip_spectrum(torus, 2.0, 1.0)
    with pytest.raises(cs.TooLargeError, match="use clip"):
        cs.clip_spectrum(torus, max_bytes=10)
