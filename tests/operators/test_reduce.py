"""What of a geometry is left: axes that factor out, and the block of the others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from convspec.operators.reduce import Reduction
from convspec.spectrum.dense import dense_groups
from tests import geometries, oracles
from tests.cases import Case

EPS = float(np.finfo(np.float64).eps)


def reduction(op: cs.ConvOperator) -> Reduction:
    return Reduction.of(op)


@settings(max_examples=120)
@given(geometries.any_case())
def test_scales_times_block_values(case: Case) -> None:
    """All products, filled up with zeros, are the singular values of the matrix."""
    op = case.operator()
    reduced = reduction(op)
    assert reduced.shape == op.shape
    blocks = torch.cat([build() for build in dense_groups(reduced)])
    assert blocks.shape == (op.groups, *reduced.block_shape)
    values = np.linalg.svd(blocks.numpy(), compute_uv=False)
    products = np.multiply.outer(values.ravel(), reduced.scales)
    assert products.size <= min(op.shape)
    known = case.matrix()
    np.testing.assert_allclose(
        oracles.descending(products, min(op.shape)),
        oracles.singular_values(known),
        rtol=0,
        atol=2 * oracles.svd_tolerance(known),
    )
    found = reduced.assemble(values.ravel())
    assert np.array_equal(found, oracles.descending(products, min(op.shape)))


@settings(max_examples=60)
@given(geometries.any_case())
def test_nothing_left_over(case: Case) -> None:
    """After the reduction no kept axis is single, no tap dead and no pixel unread."""
    reduced = reduction(case.operator())
    for read in reduced.kept:
        assert len(read.taps) > 1
        assert (read.source >= 0).any(axis=1).all()
        assert (read.counts > 0).all()
    assert reduced.weight.shape[2:] == tuple(len(read.taps) for read in reduced.kept)
    rows, columns = reduced.block_shape
    c_out, c = reduced.block_channels
    assert rows == c_out * math.prod(read.outputs for read in reduced.kept)
    assert columns == c * math.prod(len(read.pixels) for read in reduced.kept)


def test_pointwise_is_one_small_block() -> None:
    """A 1x1 layer on 1000 x 1000 pixels is decomposed as its 3 x 2 kernel."""
    op = cs.ConvOperator(torch.ones(3, 2, 1, 1), 1000)
    reduced = reduction(op)
    assert reduced.block_shape == (3, 2)
    assert reduced.kept == ()
    assert reduced.scales.tolist() == [1.0] * 10**6
    assert cs.explain(op, method="dense").flops < 1000


def test_one_axis_factors_out() -> None:
    """A (1, 7) kernel over rows that stride 2 picks: dense along the columns only."""
    op = cs.ConvOperator(torch.ones(2, 3, 1, 7), (9, 8), stride=(2, 1), padding="valid")
    reduced = reduction(op)
    assert [read.single for read in reduced.axes] == [True, False]
    assert reduced.block_shape == (2 * 2, 3 * 8)
    assert reduced.scales.tolist() == [1.0] * 5


def test_scales_are_square_roots_of_counts() -> None:
    """Replicated by 1 and by 2: pixels read 2, 1, 2 and 3, 3 times on the two axes."""
    op = cs.ConvOperator(
        torch.ones(1, 1, 1, 1), (3, 2), padding=(1, 2), padding_mode="replicate"
    )
    known = np.sqrt(np.multiply.outer([2, 1, 2], [3, 3])).ravel()
    np.testing.assert_allclose(reduction(op).scales, known, rtol=2 * EPS, atol=0)


def test_error_is_that_of_the_largest_scale() -> None:
    """Exact with scales of 0 and 1; else it grows with them, and by two roundings."""
    plain = reduction(cs.ConvOperator(torch.ones(2, 2, 3), 5, padding=1))
    assert plain.error(3.0, 1e-10) == 1e-10
    dead = reduction(cs.ConvOperator(torch.ones(1, 1, 2), 1, dilation=2, padding=1))
    assert dead.error(3.0, 1e-10) == 0
    replicated = reduction(
        cs.ConvOperator(torch.ones(1, 1, 1), 2, padding=1, padding_mode="replicate")
    )
    assert replicated.error(3.0, 0.0) == pytest.approx(
        math.sqrt(2) * 2 * EPS * 3, rel=1e-12, abs=0
    )
    assert replicated.error(3.0, 1e-10) > math.sqrt(2) * 1e-10
