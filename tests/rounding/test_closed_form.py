"""Eigenvalues in closed form: within their bound of 50 digits, or refused."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from torch import Tensor

from convspec.rounding import svd_error
from convspec.rounding.blocks import root_values
from convspec.rounding.closed_form import CLOSED, closed_eigenvalues

EPS = torch.finfo(torch.float64).eps


def hermitian(eigenvalues: Tensor, generator: torch.Generator) -> Tensor:
    """A matrix whose eigenvalues are about these, exactly Hermitian."""
    size = len(eigenvalues)
    shape = (size, size)
    noise = torch.randn(shape, dtype=torch.complex128, generator=generator)
    basis, _ = torch.linalg.qr(noise)
    upper = torch.triu(basis * eigenvalues @ basis.mH, diagonal=1)
    diagonal = (basis.abs().square() @ eigenvalues).to(torch.complex128)
    return upper + upper.mH + torch.diag(diagonal)


def exact(matrix: Tensor) -> list[mpmath.mpf]:
    with mpmath.workdps(50):
        values = mpmath.eighe(mpmath.matrix(matrix.tolist()), eigvals_only=True)
        return sorted((mpmath.re(value) for value in values), reverse=True)


def eigenvalues(kind: str, size: int, trial: int, generator: torch.Generator) -> Tensor:
    values = torch.randn(size, dtype=torch.float64, generator=generator)
    if kind == "a close pair":
        values[1] = values[0] * (1 + 10.0 ** -(trial % 16))
    elif kind == "all close":
        values = 1 + 10.0 ** -(trial % 16) * values
    elif kind == "of all sizes":
        exponents = torch.randn(size, dtype=torch.float64, generator=generator)
        values *= 10.0 ** (6 * exponents)
    elif kind == "positive":
        values = values.square()
    return values


@pytest.mark.parametrize("size", CLOSED)
@pytest.mark.parametrize(
    "kind", ["generic", "a close pair", "all close", "of all sizes", "positive"]
)
def test_within_the_bound_of_50_digits(kind: str, size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    told = 0
    for trial in range(64):
        matrix = hermitian(eigenvalues(kind, size, trial, generator), generator)
        found, error = closed_eigenvalues(matrix)
        if math.isinf(error):
            continue
        told += 1
        with mpmath.workdps(50):
            for ours, known in zip(found.tolist(), exact(matrix), strict=True):
                assert abs(ours - known) <= error.item()
    assert told >= 24 or kind == "all close"


def test_generic_matrices_keep_nearly_all_digits() -> None:
    generator = torch.Generator().manual_seed(0)
    for size in CLOSED:
        values = torch.arange(1.0, size + 1, dtype=torch.float64)
        _, error = closed_eigenvalues(hermitian(values, generator))
        assert error < svd_error(size, size, float(size), EPS)


@pytest.mark.parametrize("scale", [0.0, 1e-120, 1e-70, 1.0, 1e70, 1e120])
@pytest.mark.parametrize("size", CLOSED)
def test_any_scale_and_multiple_of_the_identity(size: int, scale: float) -> None:
    """The formula says nothing of a multiple of the identity; LAPACK takes those."""
    matrices = scale * torch.eye(size, dtype=torch.complex128).repeat(4, 1, 1)
    matrices[1:, 0, 0] *= 1 + 1e-14
    matrices[2:, -1, -1] *= 9
    values, error = root_values(matrices, 0.0)
    known = matrices.diagonal(dim1=-2, dim2=-1).real.sqrt().sort(dim=-1, descending=True)
    assert ((values - known.values).abs() <= error[:, None]).all()
    # 9 is the condition number of the Gram matrices
    assert (error <= 9 * 300 * EPS * math.sqrt(scale)).all()


def test_single_precision_is_returned_as_such() -> None:
    matrices = torch.eye(3, dtype=torch.complex64)[None]
    values, _ = root_values(matrices, 0.0)
    assert values.dtype == torch.float32
    assert values.tolist() == [[1.0, 1.0, 1.0]]
