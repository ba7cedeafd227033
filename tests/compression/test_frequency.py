"""Low rank at each frequency, against decompositions of blocks made by loops."""

from __future__ import annotations

import math
from fractions import Fraction
from operator import mul

import numpy as np
import pytest
import torch
from hypothesis import given

import convspec as cs
from tests.cases import Case
from tests.clipping.test_rank import ALL, TORUS, blocks_by_loops, values_of
from tests.gaussian import gaussian
from tests.geometries import circulants
from tests.oracles import Array

EPS = 2.0**-52


def matrix(op: cs.LinearMap) -> Array:
    return op.to_dense().detach().numpy()


def groups_of(op: cs.ConvOperator) -> list[tuple[Array, int]]:
    """The blocks of each group at each frequency, and how often each occurs."""
    found = []
    for block, times in blocks_by_loops(op):
        rows, columns = (side // op.groups for side in block.shape)
        for g in range(op.groups):
            part = slice(g * rows, (g + 1) * rows), slice(g * columns, (g + 1) * columns)
            found.append((block[part], times))
    return found


def check(op: cs.ConvOperator, rank: int) -> None:
    """Rank, both errors as Eckart, Young and Mirsky have them, and the certificate."""
    found = cs.low_rank(op, rank, by="frequency")
    dense, made = matrix(op), matrix(found.operator)
    assert found.operator.input_shape == op.input_shape
    assert found.operator.output_shape == op.output_shape
    blocks = [(values_of(block), times) for block, times in groups_of(op)]
    least = max(float(each[rank:].max(initial=0)) for each, _ in blocks)
    tail = math.sqrt(sum(times * (each[rank:] ** 2).sum() for each, times in blocks))
    whole = math.sqrt(sum(times * (each**2).sum() for each, times in blocks))
    slack = EPS * 64 * max(dense.shape) * max(whole, 1e-300)
    assert abs(np.linalg.norm(dense - made, 2) - least) <= slack
    assert abs(np.linalg.norm(dense - made) - tail) <= slack
    assert abs(found.kernel_error * whole - tail) <= slack
    bound = found.operator_error
    assert bound.guarantee == "certified"
    assert bound.lower - slack <= least <= bound.upper + slack
    assert bound.upper - bound.lower <= 1e4 * slack
    for kind in (found.first, found.second):
        assert kind.dtype == op.dtype
    assert rank * op.groups in (found.first.weight.shape[0], found.first.weight.shape[1])


def of_rank(op: cs.ConvOperator, weight: torch.Tensor) -> int:
    """The largest rank of a block of the kernel of both together."""
    pads = [
        ((n - a.stride) // 2, n - a.stride - (n - a.stride) // 2)
        for n, a in zip(op.geometry.sizes, op.geometry.axes, strict=True)
    ]
    base = cs.ConvOperator(
        weight,
        op.geometry.sizes,
        stride=tuple(axis.stride for axis in op.geometry.axes),
        padding=tuple(pads),
        groups=op.groups,
        padding_mode="circular",
    )
    largest = values_of(matrix(base))[0]
    return max(
        int((values_of(block) > 1e-12 * largest).sum()) for block, _ in groups_of(base)
    )


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_every_geometry(dim: int) -> None:
    @given(circulants(dim))
    def every(case: Case) -> None:
        op = case.operator()
        if any(a.output * a.stride != a.size for a in op.geometry.axes):
            with pytest.raises(cs.GeometryError, match="use by='input'"):
                cs.low_rank(op, 1, by="frequency")
            return
        most = min(groups_of(op)[0][0].shape)
        for rank in {1, most}:
            check(op, rank)

    every()


@pytest.mark.parametrize("op", ALL.values(), ids=ALL)
def test_every_rank(op: cs.ConvOperator) -> None:
    most = min(groups_of(op)[0][0].shape)
    for rank in range(1, most + 1):
        check(op, rank)
        found = cs.low_rank(op, rank, by="frequency")
        assert of_rank(op, found.weight) == rank
        assert found.rank == rank
    with pytest.raises(ValueError, match=f"at most {most}, the smaller side of each"):
        cs.low_rank(op, most + 1, by="frequency")


@pytest.mark.parametrize("op", ALL.values(), ids=ALL)
@pytest.mark.parametrize("by", ["input", "output"])
def test_no_way_is_nearer(op: cs.ConvOperator, by: str) -> None:
    """Kernels with channels between on the coarse grid have blocks of the same rank.

    On the fine one a block has a channel between for each phase of the stride.
    """
    coarse = "output" if op.transposed else "input"
    if by != coarse and any(axis.stride > 1 for axis in op.geometry.axes):
        return
    best = cs.low_rank(op, 1, by="frequency")
    other = cs.low_rank(op, 1, by=by)
    assert best.operator_error.lower <= other.operator_error.upper
    dense = matrix(op)
    errors = [np.linalg.norm(dense - matrix(each.operator)) for each in (best, other)]
    assert errors[0] <= errors[1] * (1 + 1e-12)


@pytest.mark.parametrize("energy", [0.0, 0.5, 0.9, 1.0])
def test_energy(energy: float) -> None:
    found = cs.low_rank(TORUS, energy=energy, by="frequency")
    values = [values_of(block) * math.sqrt(times) for block, times in groups_of(TORUS)]
    kept = np.cumsum(sum(each**2 for each in values))
    shares = kept / kept[-1]
    assert shares[found.rank - 1] >= energy - 1e-12
    assert found.rank == 1 or shares[found.rank - 2] < energy
    assert abs(found.kernel_error**2 - (1 - shares[found.rank - 1])) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("seed", range(10))
def test_certified_without_tolerance(seed: int, dtype: torch.dtype) -> None:
    """On one pixel the norm of one output's difference is a sum of squares.

    At full rank the error is nothing but rounding, that of both factors.
    """
    op = cs.ConvOperator(
        gaussian(seed, 1, 5, 1, dtype=dtype), 1, padding=0, padding_mode="circular"
    )
    found = cs.low_rank(op, 1, by="frequency")
    (scale,) = map(Fraction, found.second.weight.flatten().tolist())
    factors = map(Fraction, found.first.weight.flatten().tolist())
    kernel = map(Fraction, op.weight.flatten().tolist())
    square = sum((k - scale * f) ** 2 for k, f in zip(kernel, factors, strict=True))
    bound = found.operator_error
    assert Fraction(bound.lower) ** 2 <= square <= Fraction(bound.upper) ** 2
    assert bound.upper < 1024 * float(torch.finfo(dtype).eps)


def exact(op: cs.ConvOperator) -> list[list[Fraction]]:
    """The matrix of a kernel that does not meet itself on the torus."""
    return [[Fraction(entry) for entry in row] for row in op.to_dense().tolist()]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("seed", range(5))
def test_certified_without_tolerance_on_four_pixels(
    seed: int, dtype: torch.dtype
) -> None:
    """Of one output and four frequencies, whose waves are 1, i, -1 and -i."""
    op = cs.ConvOperator(
        gaussian(seed, 1, 3, 3, dtype=dtype), 4, padding=1, padding_mode="circular"
    )
    found = cs.low_rank(op, 1, by="frequency")
    (row, *_), (out, *_), into = map(exact, (op, found.second, found.first))
    off = [
        a - sum(map(mul, out, column))
        for a, column in zip(row, zip(*into, strict=True), strict=True)
    ]
    waves = [(1, 0), (0, 1), (-1, 0), (0, -1)]
    squares = []
    for j in range(4):
        parts = [
            sum(off[4 * c + p] * waves[j * p % 4][part] for p in range(4))
            for c in range(3)
            for part in (0, 1)
        ]
        squares.append(sum(each**2 for each in parts))
    bound = found.operator_error
    assert Fraction(bound.lower) ** 2 <= max(squares) <= Fraction(bound.upper) ** 2
    assert bound.upper < 1024 * float(torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_rounding_of_the_factors_counts(dtype: torch.dtype) -> None:
    op = TORUS.to(dtype)
    found = cs.low_rank(op, 4, by="frequency")  # nothing is cut
    wide = found.second.to(torch.float64) @ found.first.to(torch.float64)
    error = np.linalg.norm(matrix(op.to(torch.float64)) - matrix(wide), 2)
    assert error > 0.01 * float(torch.finfo(dtype).eps)
    bound = found.operator_error
    slack = 1e-13 * np.linalg.norm(matrix(wide), 2)
    assert bound.lower - slack <= error <= bound.upper + slack
    assert bound.gap < 1e-3


@pytest.mark.parametrize("exponent", [-600, 600])
def test_scale(exponent: int) -> None:
    found = cs.low_rank(
        TORUS.with_weight(TORUS.weight * 2.0**exponent), 2, by="frequency"
    )
    plain = cs.low_rank(TORUS, 2, by="frequency")
    assert found.kernel_error == pytest.approx(plain.kernel_error, rel=1e-12)
    ratio = found.operator_error.upper / 2.0**exponent / plain.operator_error.upper
    assert ratio == pytest.approx(1, rel=1e-12)


def test_zero() -> None:
    zero = TORUS.with_weight(torch.zeros_like(TORUS.weight))
    found = cs.low_rank(zero, energy=0.5, by="frequency")
    assert (found.rank, found.kernel_error) == (1, 0.0)
    assert found.operator_error.upper < 1e-200


def test_bias_and_words() -> None:
    op = cs.ConvOperator(
        gaussian(5, 4, 3, 3), 6, padding=1, bias=torch.ones(4), padding_mode="circular"
    )
    found = cs.low_rank(op, 2, by="frequency")
    assert torch.equal(found.second.offset, op.offset)
    assert not found.first.offset.any()
    assert repr(found).startswith("<LowRank 2 by frequency: 36 -> 84 parameters, kernel")
    x = gaussian(6, 3, 6)
    wanted = op.with_weight(op.weight) @ x.flatten()
    assert np.linalg.norm(found.operator @ x.flatten() - wanted) < np.linalg.norm(wanted)


def test_refusals() -> None:
    op = cs.ConvOperator(gaussian(0, 2, 2, 3), 6, padding=1)
    with pytest.raises(
        cs.GeometryError,
        match=r"axis 0 has 6 outputs .* zeros; use by='input', by='output' or by='axis', "
        r"or take op.circular\(\)",
    ):
        cs.low_rank(op, 1, by="frequency")
    with pytest.raises(ValueError, match="give one of rank and energy"):
        cs.low_rank(TORUS, by="frequency")
    with pytest.raises(cs.TooLargeError, match="use by='input'"):
        cs.low_rank(TORUS, 1, by="frequency", max_bytes=100)
