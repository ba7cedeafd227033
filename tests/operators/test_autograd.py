"""Derivatives in the weight and in the image, against finite differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

import convspec as cs
from tests.cases import Case


def conv(kernel: tuple[int, ...], size: tuple[int, ...], **given: Any) -> Case:
    """A small case, two channels to two."""
    usual = {
        "stride": (1,) * len(size),
        "dilation": (1,) * len(size),
        "padding": (0,) * len(size),
        "groups": 1,
    }
    return Case(c_in=2, c_out=2, kernel=kernel, size=size, **{**usual, **given})


def transposed(kernel: tuple[int, ...], size: tuple[int, ...], **given: Any) -> Case:
    usual = {"output_padding": (0,) * len(size)}
    return conv(kernel, size, transposed=True, **{**usual, **given})


CASES = {
    "1d-zeros": conv((3,), (5,), padding=(1,)),
    "1d-circular-wrapped": conv((5,), (3,), padding="same", padding_mode="circular"),
    "1d-asymmetric-complex": conv((2,), (4,), padding=((1, 0),), dtype=torch.complex128),
    "2d-strided-groups": conv((3, 2), (4, 5), stride=(2, 3), groups=2),
    "2d-circular": conv((2, 3), (3, 4), padding=(0, 1), padding_mode="circular"),
    "2d-reflect": conv((3, 3), (3, 4), padding=(2, 1), padding_mode="reflect"),
    "2d-replicate-dilated": conv(
        (2, 2), (3, 3), padding=(2, 2), padding_mode="replicate", dilation=(2, 2)
    ),
    "3d-reflect": conv((2, 1, 2), (2, 2, 3), padding=(1, 1, 1), padding_mode="reflect"),
    "1d-transposed": transposed((3,), (3,), stride=(2,), output_padding=(1,)),
    "2d-transposed": transposed((2, 3), (2, 3), padding=(0, 1), stride=(1, 2)),
    "2d-transposed-output-padding-over-stride": transposed(
        (2, 2), (2, 2), dilation=(3, 3), output_padding=(2, 2), groups=2
    ),
    "3d-transposed": transposed((1, 2, 2), (2, 2, 2), padding=(0, 1, 0)),
}


def variables(case: Case) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A weight, a batch of inputs and one of outputs, all requiring gradients."""
    op = case.operator()
    generator = torch.Generator().manual_seed(1)
    x, y = (
        torch.randn(2, *shape, dtype=case.dtype, generator=generator)
        for shape in (op.input_shape, op.output_shape)
    )
    return op.weight.requires_grad_(), x.requires_grad_(), y.requires_grad_()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
class TestGradients:
    def test_to_dense(self, case: Case) -> None:
        weight, _, _ = variables(case)
        assert gradcheck(lambda w: case.operator(w).to_dense(), weight)

    def test_apply(self, case: Case) -> None:
        weight, x, _ = variables(case)
        assert gradcheck(lambda w, x: case.operator(w).apply(x), (weight, x))

    def test_adjoint(self, case: Case) -> None:
        weight, _, y = variables(case)
        assert gradcheck(lambda w, y: case.operator(w).adjoint(y), (weight, y))


def test_second_derivative_of_rayleigh_quotient() -> None:
    """||A x||^2 twice differentiable in weight and image, as penalties need it."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(2, 1, 3, generator=generator, dtype=torch.float64)
    x = torch.randn(1, 4, generator=generator, dtype=torch.float64)

    def energy(w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        op = cs.ConvOperator(w, 4, padding=1, padding_mode="circular")
        return op.adjoint(op.apply(x)).mul(x).sum()

    assert gradgradcheck(energy, (weight.requires_grad_(), x.requires_grad_()))


def test_matrix_product_is_differentiable() -> None:
    """op @ v, op.T and op.offset keep the graph to weight, vector and bias."""
    layer = nn.Conv1d(2, 3, 3, padding=1, dtype=torch.float64)
    op = cs.ConvOperator.from_layer(layer, 4)
    v = torch.ones(8, dtype=torch.float64, requires_grad=True)
    (op @ v + op.offset).sum().backward()
    assert torch.equal(layer.bias.grad, torch.full((3,), 4.0, dtype=torch.float64))
    column_sums = op.to_dense().detach().sum(dim=0)
    torch.testing.assert_close(v.grad, column_sums, rtol=1e-14, atol=1e-14)
    reads = torch.tensor([3.0, 4.0, 3.0]).double()  # the outer taps miss one output
    assert torch.equal(layer.weight.grad, reads.expand(3, 2, 3))


def test_gradient_of_dense_norm_matches_layer() -> None:
    """d ||A x||^2 / d weight is the same through the matrix and through the layer."""
    torch.manual_seed(4)
    layer = nn.Conv2d(2, 2, 3, bias=False, padding=1, dtype=torch.float64)
    x = torch.randn(2, 4, 5, dtype=torch.float64)
    dense = cs.to_matrix(layer, (4, 5))
    (dense @ x.flatten()).square().sum().backward()
    through_matrix = layer.weight.grad.clone()
    layer.weight.grad = None
    layer(x).square().sum().backward()
    scale = float(through_matrix.abs().max())
    assert (through_matrix - layer.weight.grad).abs().max() <= 1e-13 * scale
