"""Singular values known in advance, against NumPy's SVD of the operator's matrix."""

from __future__ import annotations

import numpy as np
import pytest

import convspec as cs
from tests import oracles
from tests.closed_forms import CLOSED_FORMS, ClosedForm

MODES = ("zeros", "circular", "reflect", "replicate")


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("case", CLOSED_FORMS, ids=lambda case: case.id)
def test_closed_form(case: ClosedForm, n: int) -> None:
    matrix = cs.ConvOperator(**case.arguments(n)).to_dense().numpy()
    known = oracles.descending(case.singular_values(n))
    assert known.shape == (min(matrix.shape),)
    np.testing.assert_allclose(
        oracles.singular_values(matrix),
        known,
        rtol=0,
        atol=oracles.svd_tolerance(matrix),
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("kernel", "size", "stride", "padding", "dilation"),
    [
        ((5,), (9,), (2,), ((3, 1),), (1,)),
        ((3, 2), (6, 7), (1, 1), ((1, 1), (0, 1)), (1, 1)),
        ((3, 4), (7, 8), (2, 3), ((2, 2), (3, 0)), (2, 1)),
        ((2, 3, 1), (4, 5, 3), (1, 2, 1), ((1, 0), (2, 2), (1, 1)), (1, 2, 1)),
    ],
    ids=["1d", "2d", "2d-strided-dilated", "3d"],
)
def test_separable_kernel(mode, kernel, size, stride, padding, dilation) -> None:
    weight, mixing, factors = oracles.separable_kernel(11, (3, 2), kernel)
    op = cs.ConvOperator(
        weight,
        size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=mode,
    )
    matrix = op.to_dense().numpy()
    known = oracles.separable_singular_values(
        mixing, factors, size, stride, padding, dilation, mode
    )
    np.testing.assert_allclose(
        oracles.singular_values(matrix),
        known,
        rtol=0,
        atol=oracles.svd_tolerance(matrix),
    )


@pytest.mark.parametrize("mode", MODES)
def test_mixed_kernel(mode: str) -> None:
    kernels = np.random.default_rng(12).standard_normal((4, 3, 2))
    geometry = ((5, 6), (2, 1), ((1, 2), (1, 0)), (1, 2))
    size, stride, padding, dilation = geometry
    op = cs.ConvOperator(
        oracles.mixed_kernel(13, kernels),
        size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=mode,
    )
    matrix = op.to_dense().numpy()
    lines = [oracles.loop_matrix(k[None, None], *geometry, 1, mode) for k in kernels]
    union = np.concatenate([oracles.singular_values(line) for line in lines])
    np.testing.assert_allclose(
        oracles.singular_values(matrix),
        oracles.descending(union),
        rtol=0,
        atol=oracles.svd_tolerance(matrix),
    )
