"""The operator's contract: the one-liner, batches, shapes, messages, limits."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convspec as cs
from tests.gaussian import gaussian

GEOMETRY: dict[str, Any] = {"stride": (1, 2), "padding": (1, 0), "groups": 2}


@pytest.fixture
def op() -> cs.ConvOperator:
    """4 channels of 4 x 5 pixels to 6 channels of 4 x 2, in two groups."""
    return cs.ConvOperator(
        gaussian(0, 6, 2, 3, 3), (4, 5), bias=gaussian(1, 6), **GEOMETRY
    )


# -- the question that people ask ---------------------------------------------------


@torch.no_grad()
def test_matrix_of_a_layer_as_asked_on_the_forum() -> None:
    """What matrix does Conv2d(2, 3, 3) multiply a batch of two 2 x 4 x 5 images by?"""
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, 3, dtype=torch.float64)
    batch = torch.randn(2, 2, 4, 5, dtype=torch.float64)
    expected = layer(batch)  # (2, 3, 2, 3)

    A = cs.to_matrix(layer, (4, 5))
    offset = cs.ConvOperator.from_layer(layer, (4, 5)).offset
    affine = cs.to_matrix(layer, (4, 5), homogeneous=True)
    assert A.shape == (18, 40)
    assert affine.shape == (19, 41)
    assert torch.equal(affine[:-1, :-1], A)
    assert torch.equal(affine[:-1, -1], offset)
    assert affine[-1].tolist() == [0.0] * 40 + [1.0]
    for image, output in zip(batch, expected, strict=True):
        x = image.flatten()
        tolerance = 1e-14 * float(A.norm() * x.norm() + offset.norm())
        assert (A @ x + offset - output.flatten()).abs().max() <= tolerance
        y = affine @ torch.cat([x, x.new_ones(1)])
        assert (y[:-1] - output.flatten()).abs().max() <= tolerance
        assert y[-1] == 1


@torch.no_grad()
def test_homogeneous_matrices_compose() -> None:
    """Two layers in a row are the product of their homogeneous matrices."""
    torch.manual_seed(1)
    first = nn.Conv1d(1, 2, 3, dtype=torch.float64)
    second = nn.ConvTranspose1d(2, 1, 2, stride=2, dtype=torch.float64)
    x = torch.randn(1, 7, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    A, B = (
        cs.to_matrix(layer, size, homogeneous=True)
        for layer, size in ((first, 7), (second, 5))
    )
    y = B @ (A @ torch.cat([x.flatten(), one]))
    torch.testing.assert_close(y[:-1], second(first(x)).flatten(), rtol=0, atol=1e-14)


# -- batches ------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (0,), (2, 0)], ids=str)
@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect"])
def test_batches(lead: tuple[int, ...], mode: str) -> None:
    """Leading axes are kept, whatever their number, empty ones included."""
    op = cs.ConvOperator(gaussian(8, 3, 2, 2, 3), (4, 5), padding=1, padding_mode=mode)
    x, y = gaussian(9, *lead, *op.input_shape), gaussian(10, *lead, *op.output_shape)
    image, back = op.apply(x), op.adjoint(y)
    assert image.shape == (*lead, *op.output_shape)
    assert back.shape == (*lead, *op.input_shape)
    for index in np.ndindex(*lead):
        torch.testing.assert_close(image[index], op.apply(x[index]), rtol=0, atol=1e-13)
        torch.testing.assert_close(back[index], op.adjoint(y[index]), rtol=0, atol=1e-13)


def test_no_columns(op: cs.ConvOperator) -> None:
    assert (op @ torch.zeros(op.shape[1], 0).double()).shape == (op.shape[0], 0)


def test_noncontiguous_images(op: cs.ConvOperator) -> None:
    x = gaussian(11, 5, 4, 4).movedim(0, -1)  # (4, 4, 5), strides of (4, 4, 5)
    assert not x.is_contiguous()
    assert torch.equal(op.apply(x), op.apply(x.contiguous()))
    block = gaussian(12, 3, op.shape[1]).T
    torch.testing.assert_close(op @ block, op.to_dense() @ block, rtol=0, atol=1e-12)


# -- what it says -------------------------------------------------------------------


def test_repr(op: cs.ConvOperator) -> None:
    text = repr(op)
    for part in ("48 x 80", "4x4x5 -> 6x4x2", "kernel 3x3", "stride 1x2", "groups 2"):
        assert part in text
    assert "padding 1, 0 zeros" in text
    assert "float64" in text
    assert "\n" not in text
    assert "transposed" not in text
    assert "transposed 6x4x2 -> 4x4x5" in repr(op.T)
    plain = repr(cs.ConvOperator(torch.ones(1, 1, 2), 4))
    assert not any(word in plain for word in ("stride", "padding", "groups", "dilation"))
    pairs = cs.ConvOperator(torch.ones(1, 1, 2), 4, padding=((1, 0),))
    assert "(1, 0)" in repr(pairs)


def test_shapes(op: cs.ConvOperator) -> None:
    assert op.input_shape == (4, 4, 5)
    assert op.output_shape == (6, 4, 2)
    assert op.shape == (48, 80)
    assert op.T.shape == op.H.shape == (80, 48)
    assert op.T.T.shape == op.shape
    assert op.groups == 2


def test_offset(op: cs.ConvOperator) -> None:
    assert torch.equal(op.offset, op.bias.repeat_interleave(8))
    assert torch.equal(op.T.offset, torch.zeros(80, dtype=torch.float64))
    unbiased = cs.ConvOperator(op.weight, (4, 5), **GEOMETRY)
    assert torch.equal(unbiased.offset, torch.zeros(48, dtype=torch.float64))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_not_finite(bad: float) -> None:
    weight = torch.zeros(2, 1, 3)
    weight[1, 0, 2] = bad
    with pytest.raises(cs.NotFiniteError, match=r"weight must be finite; 1 of its 6 ent"):
        cs.ConvOperator(weight, 4)
    with pytest.raises(
        cs.NotFiniteError, match=r"bias must be finite; 2 of its 2 entries"
    ):
        cs.ConvOperator(torch.zeros(2, 1, 3), 4, bias=torch.full((2,), bad))
    layer = nn.Conv1d(1, 2, 3)
    with torch.no_grad():
        layer.weight[0, 0, 0] = bad
    with pytest.raises(
        cs.NotFiniteError, match=r"^Conv1d\(1, 2, .*weight must be finite"
    ):
        cs.to_matrix(layer, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda op: op.apply(torch.zeros(4, 5)), r"\(\.\.\., 4, 4, 5\); got \(4, 5\)"),
        (
            lambda op: op.apply(torch.zeros(4, 5, 4)),
            r"\(\.\.\., 4, 4, 5\); got \(4, 5, 4\)",
        ),
        (lambda op: op.apply(torch.zeros(80)), r"\(\.\.\., 4, 4, 5\); got \(80,\)"),
        (lambda op: op.apply(torch.tensor(0.0)), r"\(\.\.\., 4, 4, 5\); got \(\)"),
        (
            lambda op: op.adjoint(torch.zeros(4, 4, 5)),
            r"\(\.\.\., 6, 4, 2\); got \(4, 4,",
        ),
        (
            lambda op: op @ torch.zeros(48),
            r"\(80,\) or a block \(80, j\); got shape \(48,\)",
        ),
        (lambda op: op.T @ torch.zeros(80), r"\(48,\) or a block \(48, j\)"),
        (lambda op: op @ torch.zeros(4, 4, 5), r"got shape .4, 4, 5.; .*op\.apply\(x\)"),
        (lambda op: op @ torch.zeros(3, 80), r"block \(80, j\); got shape \(3, 80\)"),
    ],
    ids=[
        "apply-no-channels",
        "apply-wrong-size",
        "apply-flat",
        "apply-scalar",
        "adjoint-of-input",
        "matmul-output",
        "transposed-matmul-input",
        "matmul-image",
        "matmul-rows",
    ],
)
def test_wrong_shapes(op: cs.ConvOperator, call: Any, message: str) -> None:
    with pytest.raises(cs.GeometryError, match=message):
        call(op)


def test_numpy_arrays_are_sent_to_scipy(op: cs.ConvOperator) -> None:
    with pytest.raises(
        TypeError, match=r"torch\.Tensor; got ndarray; .*op\.to_scipy\(\)"
    ):
        op @ np.zeros(80)
    with pytest.raises(TypeError, match=r"torch\.Tensor; got ndarray"):
        op.apply(np.zeros((4, 4, 5)))


# -- limits -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "ways"),
    [
        ("to_dense", ("to_sparse", "to_scipy", "spectrum", "max_bytes", "TiB")),
        ("to_sparse", ("to_scipy", "max_bytes", "TiB")),
        ("to_torch_sparse", ("to_scipy", "max_bytes", "TiB")),
    ],
)
def test_too_large(method: str, ways: tuple[str, ...]) -> None:
    """512 channels at 512 x 512: refused at once, with the way on."""
    layer = nn.Conv2d(512, 512, 3, padding=1)
    op = cs.ConvOperator.from_layer(layer, (512, 512))
    with pytest.raises(cs.TooLargeError) as caught:
        getattr(op, method)()
    assert isinstance(caught.value, MemoryError)
    for way in ways:
        assert way in str(caught.value)


@pytest.mark.parametrize("method", ["to_dense", "to_sparse", "to_torch_sparse"])
def test_max_bytes_is_the_users(op: cs.ConvOperator, method: str) -> None:
    with pytest.raises(cs.TooLargeError, match=r"max_bytes = 1 KiB; it needs"):
        getattr(op, method)(max_bytes=1024)
    assert getattr(op, method)(max_bytes=2 * 48 * 80 * 8).shape == op.shape


def test_dense_limit_is_exact(op: cs.ConvOperator) -> None:
    """What a refusal says is needed, the matrix and its tables, is what it takes."""
    matrix = 48 * 80 * 8
    with pytest.raises(cs.TooLargeError) as refused:
        op.to_dense(max_bytes=matrix - 1)
    (said,) = re.findall(r"needs ([\d.]+) KiB", str(refused.value))
    needed = 1024 * float(said)
    assert matrix <= needed < 1.5 * matrix
    assert op.to_dense(max_bytes=math.ceil(1.0005 * needed)).shape == (48, 80)
    with pytest.raises(cs.TooLargeError):
        op.to_dense(max_bytes=math.floor(0.9995 * needed))
    layer = nn.Conv1d(1, 1, 1, bias=False)
    with pytest.raises(cs.TooLargeError):
        cs.to_matrix(layer, 100_000)
    with pytest.raises(cs.TooLargeError):
        cs.to_matrix(layer, 8, max_bytes=255)


# -- once defects --------------------------------------------------------------------


def test_no_columns_through_scipy(op: cs.ConvOperator) -> None:
    assert (op.to_scipy() @ np.zeros((op.shape[1], 0))).shape == (op.shape[0], 0)


def test_adjoint_names_its_argument(op: cs.ConvOperator) -> None:
    with pytest.raises(cs.GeometryError, match=r"^y must have shape \(\.\.\., 6, 4, 2\)"):
        op.adjoint(torch.zeros(4, 4, 5))


def test_sparse_under_a_default_device(op: cs.ConvOperator) -> None:
    """Meta stands for any device that is not the weight's."""
    expected = op.to_dense().numpy()
    with torch.device("meta"):
        assert np.array_equal(op.to_sparse().toarray(), expected)


@pytest.mark.parametrize(
    "call",
    [
        cs.spectrum,
        cs.explain,
        cs.spectral_envelope,
        cs.spectral_density,
        cs.symbol_density,
        cs.frequency_response,
        cs.spectral_norm,
        cs.bounds.table,
        cs.bounds.tsuzuku,
    ],
    ids=lambda call: call.__name__,
)
def test_layers_are_refused_with_what_to_do(call: Callable[[Any], object]) -> None:
    with pytest.raises(
        TypeError, match=r"takes a ConvOperator; got Conv1d; .*from_layer"
    ):
        call(torch.nn.Conv1d(1, 1, 3))
