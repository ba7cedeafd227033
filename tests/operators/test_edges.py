"""Shapes at the edge: one pixel, kernels that wrap, empty operators, and the torus."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from tests import geometries, oracles
from tests.agreement import assert_representations_agree
from tests.cases import Case


def case(kernel: tuple[int, ...], size: tuple[int, ...], **given: Any) -> Case:
    dim = len(size)
    usual: dict[str, Any] = {
        "c_in": 2,
        "c_out": 2,
        "groups": 1,
        "stride": (1,) * dim,
        "dilation": (1,) * dim,
        "padding": (0,) * dim,
    }
    if given.get("transposed"):
        usual["output_padding"] = (0,) * dim
    return Case(kernel=kernel, size=size, **{**usual, **given})


EXTREMES = {
    "one-pixel-one-tap": case((1,), (1,)),
    "one-pixel-replicate": case((3, 3), (1, 1), padding="same", padding_mode="replicate"),
    "one-pixel-circular": case((3, 3), (1, 1), padding="same", padding_mode="circular"),
    "one-pixel-same-long-kernel": case((7,), (1,), padding="same"),
    "reflect-widest": case((7,), (4,), padding=(3,), padding_mode="reflect"),
    "circular-widest": case((7,), (3,), padding=(3,), padding_mode="circular"),
    "circular-kernel-over-size": case(
        (5, 4), (3, 2), padding="same", padding_mode="circular"
    ),
    "circular-all-taps-on-one-pixel": case(
        (3,), (4,), dilation=(4,), padding=(4,), padding_mode="circular"
    ),
    "replicate-far": case((2,), (2,), padding=(9,), padding_mode="replicate"),
    "all-taps-in-padding": case((2,), (1,), dilation=(2,), padding=(1,)),
    "zero-rows": case((3,), (2,), padding=(9,)),
    "stride-over-size": case((1,), (3,), stride=(5,)),
    "stride-skips-pixels": case((1, 2), (5, 7), stride=(3, 4)),
    "strided-padding-only": case((1,), (2,), stride=(5,), padding=(1,)),
    "large-dilation": case((2, 2), (3, 3), dilation=(7, 5), padding=(4, 3)),
    "depthwise": case((3,), (4,), c_in=5, c_out=5, groups=5, padding=(1,)),
    "depthwise-multiplier": case((2,), (4,), c_in=3, c_out=6, groups=3),
    "one-channel-to-many": case((3,), (3,), c_in=1, c_out=9, padding=(1,)),
    "many-channels-to-one": case((3,), (3,), c_in=9, c_out=1, padding=(1,)),
    "3d-flat-axes": case((1, 3, 1), (1, 4, 1), padding=(0, 1, 0)),
    "3d-one-long-axis": case(
        (1, 1, 3), (2, 1, 6), padding=(0, 0, 2), padding_mode="reflect"
    ),
    "transposed-one-pixel": case((3,), (1,), transposed=True, padding=(1,)),
    "transposed-gaps": case((1,), (3,), stride=(4,), transposed=True),
    "transposed-output-padding-unread": case(
        (1, 1),
        (2, 2),
        stride=(3, 1),
        dilation=(1, 4),
        output_padding=(2, 3),
        transposed=True,
    ),
    "transposed-output-padding-over-stride": case(
        (2,), (3,), stride=(2,), dilation=(5,), output_padding=(4,), transposed=True
    ),
    "transposed-to-one-output": case((2,), (2,), transposed=True, padding=(1,)),
    "transposed-depthwise": case(
        (3, 2), (2, 3), c_in=4, c_out=4, groups=4, stride=(2, 2), transposed=True
    ),
}


@pytest.mark.parametrize("extreme", EXTREMES.values(), ids=EXTREMES)
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.complex128], ids=["real", "complex"]
)
def test_extreme(extreme: Case, dtype: torch.dtype) -> None:
    extreme = dataclasses.replace(extreme, dtype=dtype)
    assert_representations_agree(extreme.operator(), extreme.matrix())


def test_operator_without_entries() -> None:
    """Both taps beside the only pixel: A = 0, and nothing is stored."""
    op = EXTREMES["all-taps-in-padding"].operator()
    assert op.shape == (2, 2)
    assert op.to_sparse().nnz == 0
    assert op.frobenius_norm() == 0
    assert torch.count_nonzero(op.to_dense()) == 0


def test_taps_that_cancel_are_not_stored() -> None:
    """[1, 0, -1] replicated on one pixel is 1 - 1 = 0; zero weights leave no entry."""
    weight = torch.tensor([[[1.0, 0.0, -1.0]]])
    op = cs.ConvOperator(weight, 1, padding=1, padding_mode="replicate")
    assert op.to_sparse().nnz == 0
    assert op.frobenius_norm() == 0
    wide = cs.ConvOperator(weight, 4, padding=1)
    assert wide.to_sparse().nnz == 6
    negative_zero = cs.ConvOperator(torch.tensor([[[-0.0, 2.0]]]), 4)
    assert negative_zero.to_sparse().nnz == 3


def test_large_sparse_matrix_is_the_stencil() -> None:
    """90,000 columns: the 5-point Laplacian, checked by its row sums and products."""
    size = 300
    weight = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None].double()
    matrix = cs.ConvOperator(weight, size, padding=1).to_sparse()
    assert matrix.shape == (size**2, size**2)
    assert matrix.nnz == 5 * size**2 - 4 * size
    assert abs(matrix - matrix.T).max() == 0
    edge = np.zeros((size, size))
    for border in (edge[0], edge[-1], edge[:, 0], edge[:, -1]):
        border -= 1
    assert np.array_equal((matrix @ np.ones(size**2)).reshape(size, size), edge)


# -- the circular counterpart ---------------------------------------------------------


TORI = geometries.circulants(1) | geometries.circulants(2) | geometries.circulants(3)


@settings(max_examples=100)
@given(TORI)
def test_circular_is_the_torus(case: Case) -> None:
    """Zero padding replaced by wrapping, for every way to split the padding."""
    padded = dataclasses.replace(case, padding_mode="zeros").operator()
    torus = padded.circular()
    assert torus.shape == case.operator().shape
    assert np.array_equal(torus.to_dense().numpy(), case.operator().to_dense().numpy())
    assert torch.equal(torus.offset, padded.offset)


@settings(max_examples=100)
@given(TORI)
def test_torus_commutes_with_shifts(case: Case) -> None:
    """A shift of the input by the stride shifts the output by one."""
    op = case.operator()
    generator = torch.Generator().manual_seed(case.seed)
    x = torch.randn(op.input_shape, dtype=case.dtype, generator=generator)
    axes = tuple(range(1, x.ndim))
    shifted = op.apply(x.roll(case.stride, axes))
    tolerance = 1e-13 * op.frobenius_norm() * float(x.norm())
    assert (shifted - op.apply(x).roll((1,) * len(axes), axes)).abs().max() <= tolerance


def test_circular_of_circular_is_itself() -> None:
    options = {"stride": 2, "padding": ((1, 0),), "padding_mode": "circular"}
    op = cs.ConvOperator(torch.tensor([[[1.0, 2.0, 3.0]]]), 6, **options)
    assert torch.equal(op.circular().to_dense(), op.to_dense())


def test_circular_of_transpose_is_transpose_of_circular() -> None:
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(2, 3, 3, 2, generator=generator)
    op = cs.ConvOperator(weight, (4, 6), stride=2, padding=1)
    assert torch.equal(op.T.circular().to_dense(), op.circular().to_dense().T)


def test_circular_keeps_bias() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3), 4, padding=1, bias=torch.tensor([7.0]))
    assert op.circular().offset.tolist() == [7.0] * 4


def test_circular_errors() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3, 3), (4, 5), stride=2, padding=1)
    with pytest.raises(cs.GeometryError, match=r"axis 1 has size 5 and stride 2"):
        op.circular()
    long = cs.ConvOperator(torch.ones(1, 1, 9), 3, padding=4)
    with pytest.raises(cs.GeometryError, match="wrap more than once"):
        long.circular()


def test_kernel_longer_than_torus_is_folded() -> None:
    """k = 5 on n = 3: taps 3 apart add up; cropping the kernel would be wrong."""
    taps = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    op = cs.ConvOperator(taps[None, None], 3, padding=2, padding_mode="circular")
    folded = [4.0, 8.0 + 1.0, 16.0 + 2.0]  # lags 0, 1, 2 modulo 3
    rows = [[folded[(q - o) % 3] for q in range(3)] for o in range(3)]
    assert op.to_dense().tolist() == rows
    values = oracles.singular_values(op.to_dense().numpy())
    assert values[0] == pytest.approx(31.0, rel=1e-14)
