"""The lower end from waves and a few Krylov steps, against singular values."""

from __future__ import annotations

import pytest
import torch

import convspec as cs
from convspec.bounds.iteration import small_side
from convspec.bounds.spectral_norm.lower import leading
from convspec.operators.kernel import ScaledKernel
from convspec.spectrum.krylov.largest import largest_triples
from convspec.spectrum.waves.ritz import wave_vectors
from tests.gaussian import gaussian

# images with enough places for waves, and one of each kind that has none
OPERATORS = {
    "line": cs.ConvOperator(gaussian(1, 4, 5, 5), 90, padding=2),
    "wide": cs.ConvOperator(gaussian(2, 2, 9, 3), 60, padding=1),
    "strided": cs.ConvOperator(gaussian(3, 6, 3, 5), 101, stride=2, padding=(2,)),
    "dilated": cs.ConvOperator(gaussian(4, 4, 4, 3), 80, dilation=3, padding=1),
    "transposed": cs.ConvOperator(gaussian(5, 5, 3, 4), 50, stride=2, transposed=True),
    "complex": cs.ConvOperator(gaussian(6, 3, 3, 3, dtype=torch.complex128), 60),
    "groups": cs.ConvOperator(gaussian(7, 4, 2, 3), 60, groups=2),
    "reflect": cs.ConvOperator(
        gaussian(8, 2, 2, 3), 60, padding=1, padding_mode="reflect"
    ),
    "plane": cs.ConvOperator(gaussian(9, 1, 1, 3, 3), 41, padding=1),
}


@pytest.mark.parametrize("rtol", [1e-3, 1e-4, 1e-8], ids=str)
@pytest.mark.parametrize("name", OPERATORS)
def test_the_lower_end_is_below_and_near(name: str, rtol: float) -> None:
    kernel = ScaledKernel.of(OPERATORS[name])
    sigma = float(torch.linalg.svdvals(kernel.operator.to_dense())[0])
    found = leading(kernel, rtol)
    # an ulp or so is the error of the singular value
    assert (1 - max(rtol / 20, 1e-9)) * sigma <= found.lower <= sigma * (1 + 1e-14)


def test_waves_save_most_krylov_steps() -> None:
    op = cs.ConvOperator(gaussian(1, 8, 8, 3, 3), 80, padding=1)
    found = wave_vectors(small_side(op))
    assert found is not None
    plain = largest_triples(op, 1, 1e-4, 4000)
    begun = largest_triples(op, 1, 1e-4, 4000, start=found.images.flatten(1))
    assert begun.converged
    assert 3 * begun.products < plain.products
    assert begun.values[0] == pytest.approx(plain.values[0], rel=1e-6)
