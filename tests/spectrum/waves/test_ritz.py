"""Ritz values on waves: below the singular values, near them, and of their vectors."""

from __future__ import annotations

import math

import pytest
import torch

import convspec as cs
from convspec.spectrum.waves.ritz import wave_vectors
from tests.gaussian import gaussian

COMPLEX = torch.complex128

# an operator, and how near to sigma_1 the first Ritz value must come
OPERATORS = {
    "laplacian": (cs.ConvOperator(gaussian(1, 1, 1, 3), 60, padding=1), 1e-4),
    "line": (cs.ConvOperator(gaussian(2, 3, 4, 5), 48, padding=2), 1e-3),
    "valid": (cs.ConvOperator(gaussian(3, 3, 4, 3), 48), 1e-3),
    "strided": (cs.ConvOperator(gaussian(4, 6, 3, 5), 61, stride=2, padding=2), 1e-3),
    "stride-3-dilation-2": (
        cs.ConvOperator(gaussian(5, 4, 2, 4), 70, stride=3, dilation=2, padding=3),
        1e-2,
    ),
    "transposed": (
        cs.ConvOperator(gaussian(6, 3, 2, 4), 30, stride=2, padding=1, transposed=True),
        1e-3,
    ),
    "plane": (cs.ConvOperator(gaussian(7, 3, 2, 3, 3), 20, padding=1), 2e-2),
    "one-tap-axis": (
        cs.ConvOperator(gaussian(8, 3, 2, 3, 1), (40, 5), padding=(1, 0)),
        1e-3,
    ),
    "space": (cs.ConvOperator(gaussian(9, 2, 2, 3, 2, 2), (9, 8, 7)), 1e-1),
    "complex": (
        cs.ConvOperator(gaussian(10, 2, 3, 3, dtype=COMPLEX), 50, padding=1),
        1e-3,
    ),
    "complex-transposed": (
        cs.ConvOperator(gaussian(10, 2, 3, 3, dtype=COMPLEX), 50, transposed=True),
        1e-3,
    ),
    "half-circular": (
        cs.ConvOperator(gaussian(11, 2, 2, 3), 40, padding=1, padding_mode="circular"),
        1e-9,
    ),
    "wide-padding": (cs.ConvOperator(gaussian(12, 2, 2, 3), 40, padding=3), 1e-3),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_values_are_below_the_singular_values_and_near(name: str) -> None:
    op, near = OPERATORS[name]
    sigma = torch.linalg.svdvals(op.to_dense())
    found = wave_vectors(op, 2, dtype=torch.float64)
    assert found is not None
    assert bool((found.values <= sigma[:2] * (1 + 1e-9)).all())
    assert float(found.values[0]) >= (1 - near) * float(sigma[0])
    for value, image in zip(found.values, found.images, strict=True):
        quotient = torch.linalg.vector_norm(op.apply(image)) / image.norm()
        # the vectors of a transposed operator have gone through half a step
        assert float(quotient) >= float(value) * (1 - 1e-9)
        assert op.transposed or float(quotient) == pytest.approx(float(value), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_images_have_the_dtype_asked_for(dtype: torch.dtype) -> None:
    op = cs.ConvOperator(gaussian(1, 2, 2, 3), 40, padding=1)
    found = wave_vectors(op, dtype=dtype)
    assert found is not None
    assert found.images.dtype == dtype
    assert found.images.shape == (1, *op.input_shape)


def test_the_second_difference_is_exact() -> None:
    """Its vectors are sine windows of the wave at pi: 4 cos^2(pi / (2 (n + 1)))."""
    op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]).double(), 50, padding=1)
    found = wave_vectors(op, 2)
    assert found is not None
    for j, value in enumerate(found.values.tolist(), 1):
        exact = 4 * math.cos(j * math.pi / 102) ** 2
        assert value == pytest.approx(exact, rel=1e-9)


def test_operators_without_waves_have_none() -> None:
    reflect = cs.ConvOperator(gaussian(1, 1, 1, 3), 9, padding=1, padding_mode="reflect")
    groups = cs.ConvOperator(gaussian(1, 2, 1, 3), 9, groups=2)
    large = cs.ConvOperator(gaussian(1, 1, 1, 17, 17), 20, padding=8)
    assert wave_vectors(reflect) is None
    assert wave_vectors(large) is None
    assert wave_vectors(groups) is None


def test_zero_weights_have_a_value_of_zero() -> None:
    op = cs.ConvOperator(torch.zeros(2, 2, 3, dtype=torch.float64), 9, padding=1)
    found = wave_vectors(op)
    assert found is not None
    assert found.values.tolist() == [0.0]


def test_counts_are_positive() -> None:
    op = cs.ConvOperator(gaussian(1, 2, 2, 3), 9)
    with pytest.raises(ValueError, match="count"):
        wave_vectors(op, 0)


def test_few_bytes_change_nothing() -> None:
    op = cs.ConvOperator(gaussian(1, 3, 3, 3, 3), 20, padding=1)
    tight, wide = wave_vectors(op, max_bytes=1), wave_vectors(op)
    assert tight is not None
    assert wide is not None
    torch.testing.assert_close(tight.values, wide.values, rtol=1e-6, atol=0)
