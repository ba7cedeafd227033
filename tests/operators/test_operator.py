"""Every representation of an operator, over the whole space of geometries.

Each case is compared with two oracles: plain loops, and one-hot images through torch's
own layer. About 3000 cases by default; ``-m slow`` runs 10,000 more.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from tests import geometries, oracles
from tests.agreement import assert_near, assert_representations_agree
from tests.cases import Case

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel lengths:UserWarning"
)


@torch.no_grad()
def assert_case_agrees(case: Case) -> None:
    """The operator is the oracles' matrix, and a layer's output is matrix plus offset."""
    reference = case.matrix()
    if case.padding_mode == "zeros":  # no two taps of an output read one pixel
        assert np.array_equal(case.operator().to_dense().numpy(), reference)
    if case.asymmetric:  # torch has no such layer
        assert_representations_agree(case.operator(), reference, case.seed)
        return
    layer = case.layer()
    op = cs.ConvOperator.from_layer(layer, case.input_size)
    assert_representations_agree(op, reference, case.seed)

    norm, offset = oracles.frobenius(reference), op.offset.numpy()
    ceiling = norm + oracles.frobenius(offset)  # one-hot images go through the bias
    assert_near(oracles.onehot_matrix(layer, case.size), reference, ceiling)

    generator = torch.Generator().manual_seed(case.seed)
    x = torch.randn(2, *op.input_shape, dtype=case.dtype, generator=generator)
    y = layer(x)
    assert y.shape[1:] == op.output_shape
    flat, expected = x.reshape(2, -1).T, y.reshape(2, -1).T.numpy()
    scale = norm * oracles.frobenius(x.numpy()) + oracles.frobenius(offset)
    assert_near(op @ flat + op.offset[:, None], expected, scale)
    assert_near(op.to_dense() @ flat + op.offset[:, None], expected, scale)


@settings(max_examples=120)
@given(geometries.convolutions(1))
def test_conv1d(case: Case) -> None:
    assert_case_agrees(case)


@settings(max_examples=200)
@given(geometries.convolutions(2))
def test_conv2d(case: Case) -> None:
    assert_case_agrees(case)


@settings(max_examples=90)
@given(geometries.convolutions(3))
def test_conv3d(case: Case) -> None:
    assert_case_agrees(case)


@settings(max_examples=80)
@given(geometries.transposed(1))
def test_conv_transpose1d(case: Case) -> None:
    assert_case_agrees(case)


@settings(max_examples=100)
@given(geometries.transposed(2))
def test_conv_transpose2d(case: Case) -> None:
    assert_case_agrees(case)


@settings(max_examples=60)
@given(geometries.transposed(3))
def test_conv_transpose3d(case: Case) -> None:
    assert_case_agrees(case)


@settings(max_examples=110)
@given(geometries.asymmetric())
def test_asymmetric_padding(case: Case) -> None:
    assert_case_agrees(case)


@pytest.mark.slow
@settings(max_examples=10_000)
@given(geometries.any_case())
def test_ten_thousand_cases(case: Case) -> None:
    assert_case_agrees(case)
