"""The rounding of products with an operator, against the same sums without rounding."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor

import convspec as cs
from convspec.operators.product_error import convolution_error
from tests import oracles
from tests.rounding.test_errors import small_cases


def exact_parts(values: Tensor) -> tuple[oracles.Array, oracles.Array]:
    """Real and imaginary parts as fractions."""
    wide = values.to(torch.complex128).numpy()
    fractions = np.vectorize(Fraction, otypes=[object])
    return fractions(wide.real), fractions(wide.imag)


def exact_length(op: cs.ConvOperator, x: Tensor) -> float:
    """``||fl(A x) - A x||``; the matrix has single weights where no taps coincide."""
    image = (op @ x).detach()
    (a, b), (c, d) = exact_parts(op.to_dense()), exact_parts(x)
    real, imaginary = exact_parts(image)
    gaps = [a @ c - b @ d - real, a @ d + b @ c - imaginary]
    return float(sum((gap**2).sum() for gap in gaps)) ** 0.5


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str
)
def test_products_are_off_by_no_more(dtype: torch.dtype) -> None:
    """Operators without coinciding taps, whose dense matrix is exact; and adjoints."""
    generator = torch.Generator().manual_seed(0)
    cases = (case for case in small_cases(5) if case.padding_mode == "zeros")
    for case in islice(cases, 25):
        drawn = case.weight_and_bias()[0]
        weight = torch.randn(drawn.shape, generator=generator, dtype=dtype)
        op = case.operator(weight)
        for side in (op, op.H):
            x = torch.randn(side.shape[1], generator=generator, dtype=dtype)
            x = x / torch.linalg.vector_norm(x)
            assert exact_length(side, x) <= convolution_error(side)
            assert convolution_error(side) == convolution_error(op)


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
def test_repeated_pixels_are_counted(mode: str) -> None:
    """Large sums cancel: the products of [1, -1] err as those of [1, 1] do."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(2, 2, 3, generator=generator)
    wide = weight.double()
    for padding in (1, 3):
        options = {"padding": padding, "padding_mode": mode}
        op, exact = (cs.ConvOperator(w, 5, **options) for w in (weight, wide))
        for _ in range(20):
            x = torch.randn(10, generator=generator)
            y = torch.randn(op.shape[0], generator=generator)
            for side, known, v in ((op, exact, x), (op.H, exact.H, y)):
                gap = (side @ v).double() - known @ v.double()
                size = torch.linalg.vector_norm(v.double())
                assert torch.linalg.vector_norm(gap) <= convolution_error(side) * size


def test_complex_products_of_three_real_ones_are_allowed_for() -> None:
    """``(a + ib)(c + id)`` from ac, bd and (a + b)(c + d), summed in float32."""
    rng = np.random.default_rng(2)
    for _ in range(200):
        a, b, c, d = rng.standard_normal((4, 24)).astype(np.float32)
        ac, bd, whole = a @ c, b @ d, (a + b) @ (c + d)
        found = complex(ac - bd, whole - ac - bd)
        known = (a + 1j * b.astype(complex)) @ (c + 1j * d.astype(complex))
        weight = torch.complex(torch.tensor(a), torch.tensor(b)).reshape(1, 24, 1)
        size = float(np.hypot(np.linalg.norm(c), np.linalg.norm(d)))
        assert abs(found - known) <= convolution_error(cs.ConvOperator(weight, 1)) * size


def test_taps_that_read_only_padding_and_zeros_add_nothing() -> None:
    weight = torch.tensor([[[1e30, 1.0, 1e30]]], dtype=torch.float64)
    dead = convolution_error(cs.ConvOperator(weight, 1, padding=1))
    assert dead == convolution_error(cs.ConvOperator(weight[..., 1:2], 1))
    assert convolution_error(cs.ConvOperator(0 * weight, 4)) == 0
    nothing = cs.ConvOperator(torch.ones(1, 1, 2), 1, stride=9, padding=((7, 0),))
    assert convolution_error(nothing) == 0
