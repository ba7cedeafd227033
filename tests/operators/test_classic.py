"""The two classic constructions, nested Toeplitz blocks and im2col, as torch computes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import nn

import convspec as cs
from tests import geometries, oracles
from tests.agreement import RTOL, assert_near
from tests.cases import Case
from tests.gaussian import gaussian

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel lengths:UserWarning"
)


# -- the matrix in one line -----------------------------------------------------------


def assert_loops_matrix(case: Case) -> None:
    weight, bias = case.weight_and_bias()
    given = {**case.arguments, "transposed": case.transposed, "bias": bias}
    wanted = case.matrix()
    found = cs.to_matrix(weight, case.input_size, **given)
    scale = oracles.frobenius(wanted)
    assert_near(found.numpy(), wanted, scale)
    assert torch.equal(cs.to_matrix(weight.numpy(), case.input_size, **given), found)
    if bias is None:
        return
    affine = cs.to_matrix(weight, case.input_size, True, **given)
    pixels = len(wanted) // case.c_out
    assert torch.equal(affine[:-1, :-1], found)
    assert affine[:-1, -1].tolist() == np.repeat(bias.numpy(), pixels).tolist()
    assert affine[-1].tolist() == [0] * (affine.shape[1] - 1) + [1]


@settings(max_examples=150)
@given(
    geometries.convolutions(1)
    | geometries.convolutions(2, asymmetric=True)
    | geometries.transposed(1)
    | geometries.transposed(2)
)
def test_matrix_of_a_weight(case: Case) -> None:
    assert_loops_matrix(case)


def test_matrix_of_a_weight_alone() -> None:
    """No argument: stride 1, no padding; and the gradient reaches the weight."""
    weight = torch.tensor([[[1.0, 2.0]]], requires_grad=True)
    found = cs.to_matrix(weight, 3)
    assert found.tolist() == [[1, 2, 0], [0, 1, 2]]
    found.sum().backward()
    assert weight.grad.tolist() == [[[2.0, 2.0]]]
    assert cs.to_matrix(np.array([[[1, 2]]]), 2, transposed=True).T.tolist() == [
        [1, 2, 0],
        [0, 1, 2],
    ]


GIVEN: dict[str, Any] = {
    "bias": torch.zeros(1),
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "padding_mode": "zeros",
    "transposed": False,
    "output_padding": 0,
}


@pytest.mark.parametrize("name", GIVEN)
def test_a_layer_has_its_own_arguments(name: str) -> None:
    layer = nn.Conv1d(1, 1, 3)
    words = rf"for bare weights; a Conv1d has its own; got {name}; leave them out, or "
    with pytest.raises(cs.GeometryError, match=words):
        cs.to_matrix(layer, 5, **{name: GIVEN[name]})


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (nn.Linear(2, 2), cs.UnsupportedLayer, "must be one of torch"),
        (nn.Conv1d, TypeError, "the weight must be a torch.Tensor or a NumPy array"),
        (None, TypeError, "the weight must be a torch.Tensor or a NumPy array"),
        (torch.ones(3), cs.GeometryError, "from_scipy"),
        (torch.ones(1, 1, 9), cs.GeometryError, "the padded input must be"),
        (torch.full((1, 1, 2), math.nan), cs.NotFiniteError, "weight must be finite"),
        (
            cs.ConvOperator(torch.ones(1, 1, 3), 5),
            TypeError,
            r"a layer or a weight; got an operator, <ConvOperator 3 x 5.*op\.to_dense",
        ),
    ],
    ids=["linear", "class", "none", "axes", "size", "nan", "operator"],
)
def test_no_matrix_of_these(wrong: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        cs.to_matrix(wrong, 5)


# -- Toeplitz -------------------------------------------------------------------------


def test_toeplitz_4x3x3x3_on_3x7x9() -> None:
    """The squared error against conv2d is rounding alone."""
    weight, x = gaussian(0, 4, 3, 3, 3), gaussian(1, 3, 7, 9)
    matrix = cs.from_toeplitz(weight, (7, 9))
    assert matrix.shape == (4 * 5 * 7, 3 * 7 * 9)
    y = F.conv2d(x[None], weight)[0]
    error = (matrix @ x.flatten() - y.flatten()).square().sum()
    assert error < 1e-25


# id, weight shape, input size, padding
TOEPLITZ = [
    ("all-different", (5, 2, 3, 4), (6, 7), 0),
    ("padding-one", (5, 2, 3, 4), (6, 7), 1),
    ("padding-per-axis", (2, 3, 4, 2), (5, 8), (2, 1)),
    ("padding-pairs", (2, 3, 3, 2), (4, 5), ((1, 0), (0, 2))),
    ("padding-same", (2, 1, 4, 3), (5, 5), "same"),
    ("padding-valid", (1, 2, 2, 5), (4, 6), "valid"),
    ("padding-beyond-kernel", (1, 1, 2, 2), (2, 3), 3),
    ("kernel-over-size", (2, 2, 5, 1), (2, 3), (2, 0)),
    ("1d", (3, 2, 4), 9, 0),
    ("1d-pair", (3, 2, 4), (9,), ((3, 1),)),
    ("3d", (2, 3, 1, 2, 3), (2, 4, 5), 0),
    ("3d-padding", (2, 1, 3, 2, 2), (2, 3, 4), (1, 0, (0, 1))),
    ("one-pixel", (1, 1, 1, 1), (1, 1), 0),
]


@pytest.mark.parametrize(
    ("shape", "size", "padding"), [c[1:] for c in TOEPLITZ], ids=[c[0] for c in TOEPLITZ]
)
def test_toeplitz_is_the_matrix(shape: Any, size: Any, padding: Any) -> None:
    """Entry by entry the loops' matrix, and the operator's."""
    dim = len(shape) - 2
    case = Case(
        c_in=shape[1],
        c_out=shape[0],
        groups=1,
        kernel=shape[2:],
        size=(size,) * dim if isinstance(size, int) else size,
        stride=(1,) * dim,
        dilation=(1,) * dim,
        padding=(padding,) * dim if isinstance(padding, int) else padding,
    )
    weight, _ = case.weight_and_bias()
    matrix = cs.from_toeplitz(weight, size, padding)
    assert np.array_equal(matrix.numpy(), case.matrix())
    assert torch.equal(matrix, case.operator().to_dense())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_toeplitz_keeps_dtype_and_entries(dtype: torch.dtype) -> None:
    weight = gaussian(2, 2, 3, 2, 2).to(dtype)
    matrix = cs.from_toeplitz(weight, (3, 4), 1)
    assert matrix.dtype == dtype
    assert torch.equal(matrix, cs.ConvOperator(weight, (3, 4), padding=1).to_dense())


def test_toeplitz_errors() -> None:
    weight = gaussian(3, 1, 1, 3, 3)
    with pytest.raises(
        cs.GeometryError, match=r"kernel's extent.*axis 0 has 0 \+ 2 \+ 0"
    ):
        cs.from_toeplitz(weight, (2, 5))
    with pytest.raises(cs.TooLargeError, match="to_sparse"):
        cs.from_toeplitz(weight, (512, 512), 1)
    with pytest.raises(cs.TooLargeError, match=r"max_bytes = 100 bytes"):
        cs.from_toeplitz(weight, 5, max_bytes=100)


# -- im2col ---------------------------------------------------------------------------


@torch.no_grad()
def test_im2col_with_bias_is_the_layer() -> None:
    """3 -> 20 channels on 55 x 55 with padding 1, the bias added per channel."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 20, 5, padding=1, dtype=torch.float64)
    x = gaussian(4, 2, 3, 55, 55)
    op = cs.ConvOperator.from_layer(layer, (55, 55))
    y = cs.im2col(x, op) + layer.bias[:, None, None]
    expected = layer(x)
    assert y.shape == (2, 20, 53, 53)
    # each output sums 75 products and a bias
    tolerance = 76 * 2.0**-52 * float(layer.weight.abs().sum(dim=(1, 2, 3)).max())
    assert (y - expected).abs().max() <= tolerance * float(x.abs().max())


@torch.no_grad()
def test_im2col_without_bias_is_not_the_layer() -> None:
    """Forgetting the bias leaves exactly the bias, the same at every pixel."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 20, 3, padding=1, dtype=torch.float64)
    x = gaussian(5, 3, 55, 55)
    op = cs.ConvOperator.from_layer(layer, 55)
    difference = layer(x) - cs.im2col(x, op)
    missing = layer.bias[:, None, None].expand_as(difference)
    torch.testing.assert_close(difference, missing, rtol=0, atol=1e-13)
    assert not torch.allclose(layer(x), cs.im2col(x, op), rtol=0, atol=1e-3)


@settings(max_examples=200)
@given(
    geometries.convolutions(1)
    | geometries.convolutions(2)
    | geometries.convolutions(3)
    | geometries.convolutions(2, asymmetric=True)
)
def test_im2col_over_geometries(case: Case) -> None:
    op, reference = case.operator(), case.matrix()
    generator = torch.Generator().manual_seed(case.seed)
    x = torch.randn(2, *op.input_shape, dtype=case.dtype, generator=generator)
    y = cs.im2col(x, op)
    assert y.shape == (2, *op.output_shape)
    flat = x.reshape(2, -1).numpy()
    scale = oracles.frobenius(reference) * oracles.frobenius(flat)
    assert_near(y.reshape(2, -1).numpy(), flat @ reference.T, scale)


@pytest.mark.parametrize("lead", [(), (0,), (2, 3)], ids=str)
def test_im2col_batches(lead: tuple[int, ...]) -> None:
    op = cs.ConvOperator(gaussian(6, 4, 1, 3, 2), (4, 5), padding=1, groups=2)
    x = gaussian(7, *lead, 2, 4, 5)
    y = cs.im2col(x, op)
    assert y.shape == (*lead, *op.output_shape)
    tolerance = RTOL * op.frobenius_norm() * float(x.norm())
    assert torch.allclose(y, op.apply(x), rtol=0, atol=tolerance)


def test_im2col_refuses_transposed() -> None:
    op = cs.ConvOperator(gaussian(8, 2, 3, 3), 5, stride=2, transposed=True)
    with pytest.raises(cs.NotApplicable, match=r"scatters.*im2col on op\.T") as caught:
        cs.im2col(torch.zeros(op.input_shape), op)
    assert caught.value.name == "im2col"
    y = gaussian(9, *op.output_shape)
    tolerance = RTOL * op.frobenius_norm() * float(y.norm())
    assert torch.allclose(cs.im2col(y, op.T), op.adjoint(y), rtol=0, atol=tolerance)


def test_im2col_wrong_shape() -> None:
    op = cs.ConvOperator(gaussian(10, 2, 3, 3), 5)
    with pytest.raises(cs.GeometryError, match=r"\(\.\.\., 3, 5\); got \(3, 6\)"):
        cs.im2col(torch.zeros(3, 6), op)


# -- once defects --------------------------------------------------------------------


def test_toeplitz_complex() -> None:
    weight = gaussian(11, 2, 1, 3, dtype=torch.complex128)
    op = cs.ConvOperator(weight, 4, padding=1)
    assert torch.equal(cs.from_toeplitz(weight, 4, 1), op.to_dense())


def test_im2col_promotes_as_apply_does() -> None:
    op = cs.ConvOperator(gaussian(12, 2, 1, 3).float(), 4)
    x = gaussian(13, 1, 4)
    assert torch.allclose(cs.im2col(x, op), op.apply(x), rtol=0, atol=1e-13)


def test_im2col_keeps_infinities_local() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3), 6, padding=1)
    x = torch.zeros(1, 6)
    x[0, 0] = math.inf
    expected = [[math.inf, math.inf, 0, 0, 0, 0]]
    assert op.apply(x).tolist() == expected
    assert cs.im2col(x, op).tolist() == expected


def test_im2col_wants_tensors() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3), 6)
    with pytest.raises(TypeError, match=r"torch\.Tensor; got ndarray"):
        cs.im2col(np.zeros((1, 6)), op)
