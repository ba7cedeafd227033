"""Kernels of low rank against SVDs in NumPy, and their operators against matrices."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given

import convspec as cs
from tests.cases import Case
from tests.gaussian import gaussian
from tests.geometries import any_case
from tests.oracles import Array
from tests.small_operators import OPERATORS

WIDE = cs.ConvOperator(gaussian(1, 6, 4, 3, 3), (7, 6), stride=2, padding=1, dilation=2)
GROUPS = cs.ConvOperator(gaussian(2, 6, 3, 3, 2), (5, 6), groups=2, padding=1)
TURNED = cs.ConvOperator(
    gaussian(3, 4, 5, 3, 2), (4, 5), stride=(2, 1), padding=1, transposed=True
)
COMPLEX = cs.ConvOperator(
    gaussian(4, 3, 4, 2, 3, dtype=torch.complex128), 5, padding=1, padding_mode="circular"
)
ALL = {"wide": WIDE, "groups": GROUPS, "transposed": TURNED, "complex": COMPLEX}


def unfolded(op: cs.ConvOperator, by: str, axis: int = 0) -> list[Array]:
    """The matrix of each group, with loops over nothing but einsum's letters.

    Rows are of the output's side; a transposed weight has its input channels first.
    """
    weight = op.weight.numpy()
    blocks = weight.reshape(op.groups, -1, *weight.shape[1:])
    if op.transposed:
        blocks = blocks.swapaxes(1, 2)
    letters = "xyz"[: weight.ndim - 2]
    first = {"input": letters, "output": "", "axis": letters[axis : axis + 1]}[by]
    second = "".join(letter for letter in letters if letter not in first)
    order = f"oi{letters}->o{second}i{first}"
    sizes = dict(zip("oi" + letters, blocks.shape[1:], strict=True))
    rows = int(np.prod([sizes[letter] for letter in "o" + second]))
    return [np.einsum(order, block).reshape(rows, -1) for block in blocks]


def matrix(op: cs.LinearMap) -> Array:
    return op.to_dense().detach().numpy()


@pytest.mark.parametrize("by", ["input", "output", "axis"])
@pytest.mark.parametrize("op", ALL.values(), ids=ALL)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_eckart_young(op: cs.ConvOperator, by: str, rank: int) -> None:
    for axis in (0, 1) if by == "axis" else (0,):
        found = cs.low_rank(op, rank, by=by, axis=axis)
        values = [np.linalg.svd(one, compute_uv=False) for one in unfolded(op, by, axis)]
        tail = np.sqrt(sum((one[rank:] ** 2).sum() for one in values))
        whole = np.sqrt(sum((one**2).sum() for one in values))
        assert abs(found.kernel_error - tail / whole) < 1e-14
        assert abs(np.linalg.norm(op.weight - found.weight) - tail) < 1e-13 * whole
        merged = unfolded(op.with_weight(found.weight), by, axis)
        assert max(np.linalg.matrix_rank(one) for one in merged) == rank


@pytest.mark.parametrize("by", ["input", "output", "axis"])
@pytest.mark.parametrize("op", ALL.values(), ids=ALL)
def test_which_has_which_taps(op: cs.ConvOperator, by: str) -> None:
    found = cs.low_rank(op, 2, by=by)
    kernel = tuple(op.weight.shape[2:])
    one = (1,) * len(kernel)
    taps = {
        "input": (kernel, one),
        "output": (one, kernel),
        "axis": ((kernel[0], 1), (1, kernel[1])),
    }[by]
    shapes = tuple(tuple(part.weight.shape[2:]) for part in (found.first, found.second))
    assert shapes == taps
    assert found.first.output_shape[0] == 2 * op.groups
    before, after = found.parameters
    assert before == op.weight.numel()
    assert after == found.first.weight.numel() + found.second.weight.numel()
    assert found.weight.shape == op.weight.shape


def check(op: cs.ConvOperator, found: cs.LowRank) -> None:
    """Both factors make the operator of the merged kernel, and the error is certified."""
    exact = op.to(found.weight.dtype)
    approximate = matrix(exact.with_weight(found.weight))
    made = matrix(found.second.to(exact.dtype) @ found.first.to(exact.dtype))
    scale = float(np.abs(approximate).sum(axis=1).max()) + float(np.abs(made).max())
    assert np.allclose(made, approximate, rtol=0, atol=1e-13 * scale)
    assert found.operator.input_shape == op.input_shape
    assert found.operator.output_shape == op.output_shape
    error = np.linalg.norm(matrix(exact) - made, 2)
    slack = 1e-13 * np.linalg.norm(matrix(exact), 2)
    bound = found.operator_error
    assert bound.lower - slack <= error <= bound.upper + slack
    assert bound.guarantee == "certified"
    assert bound.upper <= (1 + 1e-5) * bound.lower + 1e4 * slack + 1e-300


@given(any_case())
def test_every_geometry(case: Case) -> None:
    """Every stride, dilation, padding and group, by all unfoldings in turn."""
    op = case.operator()
    ways = ["input", "output"] + ["axis"] * (op.weight.ndim > 3)
    check(op, cs.low_rank(op, 1, by=ways[sum(op.weight.shape) % len(ways)], axis=0))


@pytest.mark.parametrize("by", ["input", "output", "axis"])
@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "half"])
def test_small_operators(name: str, by: str) -> None:
    op = OPERATORS[name]
    if by == "axis" and op.weight.ndim == 3:
        with pytest.raises(cs.NotApplicable, match="has one axis; use by='input'"):
            cs.low_rank(op, 1, by=by)
        return
    for axis in range(op.weight.ndim - 2) if by == "axis" else (0,):
        check(op, cs.low_rank(op, 1, by=by, axis=axis))


@pytest.mark.parametrize("op", ALL.values(), ids=ALL)
def test_full_rank_changes_nothing(op: cs.ConvOperator) -> None:
    most = min(unfolded(op, "input")[0].shape)
    found = cs.low_rank(op, most)
    assert found.kernel_error < 1e-14
    assert found.operator_error.upper < 1e-12
    assert np.allclose(matrix(found.operator), matrix(op), rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match=f"rank must be at most {most}"):
        cs.low_rank(op, most + 1)


def test_channels() -> None:
    op = cs.ConvOperator(gaussian(5, 6, 4, 1, 1), 5, stride=2)
    found = cs.low_rank(op, 2, by="channels")
    check(op, found)
    # of 1x1 kernels the operator's error is the next singular value
    values = np.linalg.svd(op.weight.numpy()[:, :, 0, 0], compute_uv=False)
    assert abs(found.operator_error.upper - values[2]) < 1e-5
    with pytest.raises(cs.NotApplicable, match="is for kernels of one tap; got 3x3"):
        cs.low_rank(WIDE, 2, by="channels")


def test_separable_kernels() -> None:
    """A product along its axes has rank 1 by axis, and not by channels alone."""
    vectors = gaussian(6, 3), gaussian(7, 5)
    kernel = torch.outer(*vectors)[None, None]
    op = cs.ConvOperator(kernel, (8, 9), padding=(1, 2), padding_mode="reflect")
    for axis in (0, 1):
        found = cs.low_rank(op, 1, by="axis", axis=axis)
        assert found.kernel_error < 1e-15
        assert found.parameters == (15, 8)
        assert found.first.weight.shape[2 + axis] == kernel.shape[2 + axis]
        check(op, found)


@pytest.mark.parametrize("by", ["input", "output", "axis"])
@pytest.mark.parametrize("op", ALL.values(), ids=ALL)
@pytest.mark.parametrize("energy", [0.0, 0.3, 0.7, 0.95, 1.0])
def test_energy(op: cs.ConvOperator, by: str, energy: float) -> None:
    found = cs.low_rank(op, energy=energy, by=by)
    values = [np.linalg.svd(one, compute_uv=False) for one in unfolded(op, by)]
    kept = np.cumsum(sum(one**2 for one in values))
    shares = kept / kept[-1]
    assert shares[found.rank - 1] >= energy - 1e-12
    assert found.rank == 1 or shares[found.rank - 2] < energy
    assert found.kernel_error**2 <= 1 - energy + 1e-12


def test_single_precision_counts_its_rounding() -> None:
    """Factors of float32 make another kernel than their SVD: the error is theirs."""
    op = WIDE.to(torch.float32)
    found = cs.low_rank(op, 6)
    assert found.first.dtype == found.second.dtype == torch.float32
    check(op, found)
    assert 1e-8 < found.kernel_error < 1e-6


def test_scale() -> None:
    """Squares neither overflow nor underflow."""
    for exponent in (-600, 600):
        op = WIDE.with_weight(WIDE.weight * 2.0**exponent)
        found, plain = cs.low_rank(op, 2), cs.low_rank(WIDE, 2)
        assert abs(found.kernel_error - plain.kernel_error) < 1e-15
        ratio = found.operator_error.upper / 2.0**exponent / plain.operator_error.upper
        assert abs(ratio - 1) < 1e-5


def test_zero() -> None:
    op = cs.ConvOperator(torch.zeros(2, 3, 3), 5)
    found = cs.low_rank(op, energy=0.5)
    assert (found.rank, found.kernel_error) == (1, 0.0)
    assert found.operator_error.upper < 1e-300


def test_bias_and_relative_error() -> None:
    layer = torch.nn.Conv2d(4, 6, 3, padding=1, dtype=torch.float64)
    op = cs.ConvOperator.from_layer(layer, 6)
    found = cs.low_rank(op, 3)
    assert torch.equal(found.second.offset, op.offset)
    assert not found.first.offset.any()
    error = np.linalg.norm(matrix(op) - matrix(found.operator), 2)
    assert error / np.linalg.norm(matrix(op), 2) in cs.Enclosure(*found.relative_error)
    turned = torch.nn.ConvTranspose2d(4, 6, 3, stride=2, dtype=torch.float64)
    op = cs.ConvOperator.from_layer(turned, 4)
    assert torch.equal(cs.low_rank(op, 2).second.offset, op.offset)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "give one of rank and energy; got rank=None, energy=None"),
        ({"rank": 1, "energy": 0.5}, "give one of rank and energy"),
        ({"rank": 0}, "rank must be an integer of at least 1"),
        ({"rank": 1.5}, "rank must be an integer"),
        ({"energy": 1.5}, "share must be from 0 to 1"),
        ({"rank": 1, "by": "rows"}, "by must be one of input, output, axis, channels"),
        ({"rank": 1, "by": "axis", "axis": 2}, "axis must be from 0 to 1; got 2"),
        ({"rank": 1, "by": "axis", "axis": -1}, "axis must be an integer of at least 0"),
    ],
)
def test_refusals(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cs.low_rank(WIDE, **arguments)


def test_words() -> None:
    found = cs.low_rank(WIDE, 2, by="output")
    assert repr(found).startswith("<LowRank 2 by output: 216 -> 116 parameters, kernel")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("seed", range(20))
def test_certified_without_tolerance(seed: int, dtype: torch.dtype) -> None:
    """Of one output the norm of the difference is a sum of squares, in fractions.

    At full rank the error is nothing but rounding, that of both factors.
    """
    op = cs.ConvOperator(gaussian(seed, 1, 5, 1, dtype=dtype), 1)
    found = cs.low_rank(op, 1, by="channels")
    (scale,) = map(Fraction, found.second.weight.flatten().tolist())
    factors = map(Fraction, found.first.weight.flatten().tolist())
    kernel = map(Fraction, op.weight.flatten().tolist())
    square = sum((k - scale * f) ** 2 for k, f in zip(kernel, factors, strict=True))
    bound = found.operator_error
    assert Fraction(bound.lower) ** 2 <= square <= Fraction(bound.upper) ** 2
    assert bound.upper < 64 * float(torch.finfo(dtype).eps)


def test_half_precision() -> None:
    op = WIDE.to(torch.float16)
    found = cs.low_rank(op, 3)
    assert found.second.dtype == torch.float16
    check(op, found)
