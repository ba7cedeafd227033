"""Orthogonalisation against 50 digits: nearly dependent rows, exhausted ones, batches."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from torch import Tensor

from convspec.krylov.orthogonal import (
    exhausted,
    orthogonalised,
    orthonormal_rows,
    without,
)
from tests import exact
from tests.gaussian import gaussian

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]
SIDE, COUNT = 12, 5


def rounding(dtype: torch.dtype) -> float:
    """What sums of SIDE products err by, with room for what follows from them."""
    return 4 * SIDE * torch.finfo(dtype).eps


def basis_of(seed: int, dtype: torch.dtype, count: int = COUNT) -> Tensor:
    """Orthonormal rows, (count, SIDE)."""
    columns = torch.linalg.qr(gaussian(seed, SIDE, count, dtype=dtype))[0]
    return columns.mH.resolve_conj().contiguous()


def near_to(basis: Tensor, seed: int, distance: float, count: int = 3) -> Tensor:
    """Rows about so far from the span of the basis, (count, SIDE)."""
    mixture = gaussian(seed, count, len(basis), dtype=basis.dtype) @ basis
    return mixture + distance * gaussian(seed + 1, count, SIDE, dtype=basis.dtype)


def projected_out(rows: Tensor, basis: Tensor) -> mpmath.matrix:
    """Rows less their projection on the span of a basis, by its normal equations."""
    x, B = exact.matrix(rows), exact.matrix(basis)
    return x - (x * B.H) * (B * B.H) ** -1 * B


def norm(matrix: mpmath.matrix) -> float:
    """The Frobenius norm."""
    return float(mpmath.sqrt(mpmath.fsum(abs(entry) ** 2 for entry in matrix)))


def size(rows: Tensor) -> float:
    return float(torch.linalg.vector_norm(rows))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distance", [1.0, 1e-2, 1e-4])
def test_what_is_left(dtype: torch.dtype, distance: float) -> None:
    """Right to the rounding of the rows, orthogonal to the rounding of itself."""
    basis = basis_of(0, dtype)
    rows = near_to(basis, 1, distance)
    rest, along = orthogonalised(rows, basis)
    with mpmath.workdps(exact.DIGITS):
        truth = projected_out(rows, basis)
        assert norm(exact.matrix(rest) - truth) <= rounding(dtype) * size(rows)
        parts = exact.matrix(along) * exact.matrix(basis)
        back = exact.matrix(rest) + parts - exact.matrix(rows)
        assert norm(back) <= rounding(dtype) * size(rows)
        for row in rest:
            overlap = exact.matrix(row[None]) * exact.matrix(basis).H
            assert norm(overlap) <= rounding(dtype) * size(row)


def test_one_pass_is_not_enough_where_little_is_left() -> None:
    basis = basis_of(2, torch.float64)
    rows = near_to(basis, 3, 1e-9)
    allowed = rounding(rows.dtype) * torch.linalg.vector_norm(rows, dim=1) * 1e-9
    for passes, enough in ((without, False), (orthogonalised, True)):
        rest, _ = passes(rows, basis)
        overlap = torch.linalg.vector_norm(rest @ basis.mH, dim=1)
        assert bool((overlap <= allowed).all()) is enough


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pass_that_leaves_most_is_the_last(dtype: torch.dtype) -> None:
    basis = basis_of(4, dtype)
    near, far = near_to(basis, 5, 1e-3), orthogonalised(near_to(basis, 6, 1.0), basis)[0]
    once, _ = without(far, basis)
    assert torch.equal(orthogonalised(far, basis, enough=0.7)[0], once)
    both = torch.cat([far, near])  # one row of which little is left is enough
    for found, known in zip(
        orthogonalised(both, basis, enough=0.7), orthogonalised(both, basis), strict=True
    ):
        assert torch.equal(found, known)


@pytest.mark.parametrize("dtype", DTYPES)
def test_batches_are_the_single_ones(dtype: torch.dtype) -> None:
    bases = torch.stack([basis_of(seed, dtype) for seed in range(4)])
    rows = torch.stack([near_to(basis, 7, 1e-2) for basis in bases])
    rest, along = orthogonalised(rows, bases)
    for place, basis in enumerate(bases):
        alone = orthogonalised(rows[place], basis)
        allowed = rounding(dtype) * size(rows[place])
        assert size(rest[place] - alone[0]) <= allowed
        assert size(along[place] - alone[1]) <= allowed


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_empty_basis_takes_nothing(dtype: torch.dtype) -> None:
    rows = gaussian(8, 3, SIDE, dtype=dtype)
    rest, along = orthogonalised(rows, rows[:0])
    assert torch.equal(rest, rows)
    assert along.shape == (3, 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exhausted_is_what_lies_in_the_span(dtype: torch.dtype) -> None:
    """And not what is a thousand roundings off it."""
    basis = basis_of(9, dtype)
    for distance, within in ((0.0, True), (1e3 * torch.finfo(dtype).eps, False)):
        for seed in range(20):
            rows = near_to(basis, seed, distance)
            rest, _ = orthogonalised(rows, basis)
            lengths = [torch.linalg.vector_norm(x, dim=1) for x in (rest, rows)]
            assert exhausted(*lengths, dtype).tolist() == [within] * 3


def test_exhausted_at_its_edges() -> None:
    kind = torch.float64
    assert bool(exhausted(0.0, 0.0, kind))
    assert bool(exhausted(math.nan, 1.0, kind))
    assert not bool(exhausted(1e-300, 0.0, kind))
    lengths = torch.tensor([1e-16, 1e-14, math.nan], dtype=kind)
    assert exhausted(lengths, torch.ones(3), kind).tolist() == [True, False, True]
    assert exhausted(lengths, torch.ones(3), torch.float32).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_orthonormal_rows_of_dependent_ones(dtype: torch.dtype) -> None:
    """Rows of sizes far apart, one twice: the directions that there are, and others."""
    against = basis_of(10, dtype)
    rows, _ = orthogonalised(gaussian(11, 4, SIDE, dtype=dtype), against)
    rows[1] *= 1e-3
    rows[2] = rows[0] - 2 * rows[1]
    generator = torch.Generator().manual_seed(0)
    q, coupling = orthonormal_rows(rows, against, generator)
    with mpmath.workdps(exact.DIGITS):
        Q = exact.matrix(q)
        assert norm(Q * Q.H - mpmath.eye(4)) <= rounding(dtype)
        assert norm(Q * exact.matrix(against).H) <= rounding(dtype)
        back = exact.matrix(coupling) * Q - exact.matrix(rows)
        assert norm(back) <= rounding(dtype) * size(rows)
    assert not coupling[:, 3].any()  # three directions
    assert coupling[:, :3].abs().amax(dim=0).min() > 0
