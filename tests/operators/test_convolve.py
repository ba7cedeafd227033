"""Products a few images or a stripe of one at a time are those of all at once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from convspec.operators import convolve
from tests import geometries, oracles
from tests.agreement import assert_representations_agree
from tests.cases import Case
from tests.memory import operator

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel lengths:UserWarning"
)


@settings(max_examples=300)
@given(geometries.any_case())
def test_stripes_of_one_row(case: Case) -> None:
    """The matrix by plain loops, from products of which nothing fits the cache."""
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(convolve, "CHUNK_BYTES", 1)
        assert_representations_agree(case.operator(), case.matrix(), case.seed)


@settings(max_examples=300)
@given(geometries.any_case())
def test_stripes_with_a_shorter_last_one(case: Case) -> None:
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(convolve, "CHUNK_BYTES", 1000)
        assert_representations_agree(case.operator(), case.matrix(), case.seed)


@pytest.mark.parametrize("case", ["31x31", "3x3 circular", "sincnet"])
def test_large_images(case: str) -> None:
    """Against torch's own layer, which unfolds them whole."""
    op = operator(case)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, *op.input_shape, dtype=torch.float64, generator=generator)
    axes, image = op.geometry.axes, x
    if axes[0].mode == "circular":
        image = torch.nn.functional.pad(x, [1, 1] * len(axes), mode="circular")
    apply = getattr(torch.nn.functional, f"conv{len(axes)}d")
    padding = [axis.before if axis.mode == "zeros" else 0 for axis in axes]
    expected = apply(image, op.weight, padding=padding, groups=op.groups)
    found = op.apply(x)
    size = oracles.frobenius(expected.numpy())
    assert oracles.frobenius((found - expected).numpy()) <= 1e-13 * size
    y = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
    ahead, back = float((y * expected).sum()), float((op.adjoint(y) * x).sum())
    assert abs(ahead - back) <= 1e-12 * size * float(y.norm())


def test_gradients_through_stripes() -> None:
    op = operator("15x15")
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(op.input_shape, dtype=torch.float64, generator=generator)
    weight = op.weight.requires_grad_()
    assert convolve.product_bytes(op.geometry, weight) > convolve.CHUNK_BYTES
    (found,) = torch.autograd.grad(op.apply(x).square().sum(), weight)
    plain = torch.nn.functional.conv2d(x[None], weight, padding=7)
    (expected,) = torch.autograd.grad(plain.square().sum(), weight)
    assert float((found - expected).norm()) <= 1e-12 * float(expected.norm())
    back = op.adjoint(x).square().sum()
    (found,) = torch.autograd.grad(back, weight)
    plain = torch.nn.functional.conv_transpose2d(x[None], weight, padding=7)
    (expected,) = torch.autograd.grad(plain.square().sum(), weight)
    assert float((found - expected).norm()) <= 1e-12 * float(expected.norm())
