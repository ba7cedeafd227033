"""Norms of matrices rounded up and down, against 50 digits and hard cases."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from convspec.bounds.gram_steps import GramSteps
from convspec.rounding import norm_enclosure
from convspec.rounding.largest import LargestNorm, norm
from tests.gaussian import gaussian

DIGITS = 50


def truth(matrix: Tensor) -> mpmath.mpf:
    with mpmath.workdps(DIGITS):
        entries = mpmath.matrix(matrix.tolist())
        decompose = mpmath.svd_c if matrix.is_complex() else mpmath.svd_r
        return max(decompose(entries, compute_uv=False))


def orthogonal(n: int) -> Tensor:
    return torch.linalg.qr(gaussian(1, n, n))[0]


HARD = {
    "gaussian": gaussian(0, 5, 5),
    "tall": gaussian(1, 9, 3),
    "wide": gaussian(2, 2, 11),
    "complex": gaussian(3, 4, 6, dtype=torch.complex128),
    "row": gaussian(4, 1, 7),
    "entry": torch.tensor([[-3.7]], dtype=torch.float64),
    "orthogonal": orthogonal(6),
    "nearly-orthogonal": orthogonal(6) + 1e-9 * gaussian(5, 6, 6),
    "identity": torch.eye(4, dtype=torch.float64),
    "ones": torch.ones(5, 4, dtype=torch.float64),
    "rank-one": torch.outer(gaussian(6, 5), gaussian(7, 6)),
    "cluster": torch.diag(torch.tensor([1, 1 - 1e-16, 1 - 1e-12, 0.5]).double()),
    "graded": torch.diag(10.0 ** -torch.arange(0, 200, 40)).double(),
    "hilbert": 1 / (torch.arange(6)[:, None] + torch.arange(6) + 1).double(),
    "jordan": torch.diag(torch.ones(4), 1).double(),
}


@pytest.mark.parametrize("matrix", HARD.values(), ids=HARD)
def test_both_ends(matrix: Tensor) -> None:
    found = LargestNorm.of([matrix[None]])
    known = truth(matrix)
    below = float(norm_enclosure(matrix)[0])
    assert mpmath.mpf(below) <= known <= mpmath.mpf(found.above)
    assert found.above <= float(known) * (1 + 1e-13)
    assert below >= float(known) * (1 - 1e-13)
    assert float(norm(matrix)) == pytest.approx(float(known), rel=1e-14)


def test_the_larger_of_many() -> None:
    """In one batch or in several, with and without ties: the bound holds for all."""
    matrices = gaussian(8, 40, 4, 6)
    known = float(torch.linalg.matrix_norm(matrices, 2).max())
    place = int(torch.linalg.matrix_norm(matrices, 2).argmax())
    for size in (1, 7, 40):
        found = LargestNorm.of(matrices.split(size))
        assert found.index == place
        assert known * (1 - 1e-15) <= found.above <= known * (1 + 1e-13)
    for order in (torch.arange(40), torch.arange(40).flip(0)):
        found = LargestNorm.of([matrices[order]])
        assert torch.equal(matrices[order][found.index], matrices[place])


def test_batches_of_different_size_do_not_lower_the_level() -> None:
    large, small = 5 * gaussian(9, 3, 4, 4), 0.1 * gaussian(10, 50, 4, 4)
    known = float(torch.linalg.matrix_norm(large, 2).max())
    for batches in ([large, small], [small, large], [small, large, small]):
        assert known <= LargestNorm.of(batches).above * (1 + 1e-15) <= known * (1 + 1e-12)


def test_all_zero() -> None:
    found = LargestNorm.of([torch.zeros(3, 2, 4, dtype=torch.float64)])
    assert found.index == 0
    assert found.above < 1e-150
    assert norm_enclosure(torch.zeros(2, 4, dtype=torch.float64))[0] == 0
    weight = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(norm(weight), weight)
    assert not gradient.any()


def test_wide_matrices_stay_sharp() -> None:
    matrix = gaussian(11, 200, 900)
    known = float(torch.linalg.matrix_norm(matrix, 2))
    assert known <= LargestNorm.of([matrix[None]]).above <= known * (1 + 1e-10)
    assert known * (1 - 1e-10) <= float(norm_enclosure(matrix)[0]) <= known * (1 + 1e-14)


def test_plain_lapack_is_below_the_truth_half_of_the_time() -> None:
    """Which is why a computed singular value is no upper bound."""
    below = 0
    for seed in range(30):
        matrix = gaussian(seed, 6, 6)
        with mpmath.workdps(DIGITS):
            computed = float(torch.linalg.svdvals(matrix)[0])
            known = truth(matrix)
            below += mpmath.mpf(computed) < known
            assert mpmath.mpf(LargestNorm.of([matrix[None]]).above) >= known
    assert below >= 5


# -- Gram steps -------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 3, 8])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("matrix", HARD.values(), ids=HARD)
def test_gram_steps_bound_schatten_norms(
    matrix: Tensor, dtype: torch.dtype, steps: int
) -> None:
    rounded = matrix.to(dtype)
    if dtype == torch.complex64:  # the rounded matrix is the given one here
        matrix = rounded.to(torch.complex128)
    found = GramSteps(rounded[None])
    for _ in range(steps):
        found = found.step()
    p = 2 ** (steps + 1)
    with mpmath.workdps(DIGITS):
        entries = mpmath.matrix(matrix.to(torch.complex128).tolist())
        values = mpmath.svd_c(entries, compute_uv=False)
        known = mpmath.fsum(value**p for value in values) ** (mpmath.mpf(1) / p)
        assert mpmath.mpf(float(found.above())) >= known
    slack = 1e-4 if dtype == torch.complex64 else 1e-12
    assert float(found.above()) <= float(known) * (1 + slack)
    assert float(found.value()) == pytest.approx(float(known), rel=slack)


def test_gram_steps_neither_overflow_nor_vanish() -> None:
    for scale in (1e-30, 1e30):
        found = GramSteps((scale * gaussian(12, 1, 5, 5)).to(torch.complex64))
        known = scale * float(torch.linalg.matrix_norm(gaussian(12, 5, 5), 2))
        for _ in range(30):
            found = found.step()
        assert known * (1 - 1e-6) <= float(found.above()) <= known * (1 + 1e-3)


def test_taking_part_of_a_batch() -> None:
    found = GramSteps(gaussian(13, 4, 3, 3).to(torch.complex128)).step()
    part = found.take(torch.tensor([2, 0]))
    assert np.array_equal(part.step().above(), found.step().above()[[2, 0]])
