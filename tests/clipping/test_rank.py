"""Circular operators of low rank, against decompositions of their dense matrices."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given

import convspec as cs
from tests.cases import Case
from tests.gaussian import gaussian
from tests.geometries import circulants
from tests.oracles import Array

EPS = 2.0**-52


def values_of(matrix: Array) -> Array:
    found: Array = np.linalg.svd(matrix, compute_uv=False)
    return found


def blocks_by_loops(op: cs.ConvOperator) -> list[tuple[Array, int]]:
    """``V^H A U`` for Fourier vectors U and V of the torus, and how often each occurs.

    Of a real matrix each of two opposite frequencies stands for both.
    """
    turned = op.T if op.transposed else op
    matrix = turned.to_dense().numpy()
    out, into = turned.output_shape, turned.input_shape
    found = []
    for wave in itertools.product(*map(range, out[1:])):
        opposite = tuple(-j % n for j, n in zip(wave, out[1:], strict=True))
        if not op.dtype.is_complex and opposite < wave:
            continue
        left = vectors(wave, out[1:], out[1:])
        right = vectors(wave, out[1:], into[1:])
        rows = np.kron(np.eye(out[0]), left)
        columns = np.kron(np.eye(into[0]), right)
        block = rows.conj().T @ matrix @ columns
        pair = not op.dtype.is_complex and opposite != wave
        found.append((block, 1 + pair))
    return found


def vectors(wave: tuple[int, ...], grid: Any, sizes: Any) -> Array:
    """One wave on each phase of the pixels, normalised; (pixels, phases)."""
    found = np.ones((1, 1), dtype=complex)
    for j, n, size in zip(wave, grid, sizes, strict=True):
        stride = size // n
        axis = np.zeros((size, stride), dtype=complex)
        for pixel in range(size):
            turn = np.exp(2j * np.pi * j * (pixel // stride) / n)
            axis[pixel, pixel % stride] = turn / math.sqrt(n)
        found = np.kron(found, axis)
    return found


def least_distance(op: cs.ConvOperator, rank: int, upper: float) -> float:
    """Over all numbers of values kept in the blocks, by recursion; no sorting."""
    best = {0: 0.0}
    for block, times in blocks_by_loops(op):
        following: dict[int, float] = {}
        squares = values_of(block)
        for kept in range(len(squares) + 1):
            off = (np.maximum(squares[:kept] - upper, 0) ** 2).sum()
            off = times * float(off + (squares[kept:] ** 2).sum())
            for used, before in best.items():
                total = used + times * kept
                if total <= rank:
                    least = following.get(total, math.inf)
                    following[total] = min(least, before + off)
        best = following
    return math.sqrt(min(best.values()))


def check(op: cs.ConvOperator, rank: int, upper: float = math.inf) -> None:
    matrix = op.to_dense().numpy()
    found = cs.clip_spectrum(op, upper=upper, rank=rank)
    assert (found.shape, found.dtype) == (op.shape, op.dtype)
    before, after = values_of(matrix), values_of(found.to_dense().numpy())
    slack = max(before[0], 1e-300) * EPS * 16 * max(matrix.shape)
    assert (after > slack).sum() <= rank
    assert after[0] <= upper + slack
    off = float(np.linalg.norm(found.to_dense().numpy() - matrix))
    slack *= math.sqrt(len(before))
    assert abs(off - least_distance(op, rank, upper)) <= slack
    clipped = np.minimum(before, upper)
    clipped[rank:] = 0
    assert off >= np.linalg.norm(before - clipped) - slack
    if op.dtype.is_complex:  # no value is bound to another
        assert off <= np.linalg.norm(before - clipped) + slack


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_every_geometry(dim: int) -> None:
    @given(circulants(dim))
    def every(case: Case) -> None:
        op = case.operator()
        if any(a.output * a.stride != a.size for a in op.geometry.axes):
            with pytest.raises(cs.GeometryError, match="use clip"):
                cs.clip_spectrum(op, rank=1)
            return
        most = min(op.shape)
        for rank in {1, 1 + case.seed % most, most}:
            check(op, rank)
        largest = values_of(op.to_dense().numpy())[0]
        check(op, 1 + case.seed % most, 0.6 * float(largest) or 1.0)

    every()


TORUS = cs.ConvOperator(
    gaussian(1, 4, 3, 3, 3),
    (6, 4),
    stride=(2, 1),
    padding=((1, 0), (1, 1)),
    padding_mode="circular",
)
TURNED = cs.ConvOperator(
    gaussian(2, 4, 2, 4), 8, padding=1, stride=2, padding_mode="circular"
).T
GROUPS = cs.ConvOperator(
    gaussian(3, 6, 2, 3), 7, padding=1, groups=3, padding_mode="circular"
)
COMPLEX = cs.ConvOperator(
    gaussian(4, 3, 2, 3, 2, dtype=torch.complex128),
    4,
    padding=((1, 1), (0, 1)),
    padding_mode="circular",
)
ALL = {"torus": TORUS, "transposed": TURNED, "groups": GROUPS, "complex": COMPLEX}


@pytest.mark.parametrize("op", ALL.values(), ids=ALL)
def test_every_rank(op: cs.ConvOperator) -> None:
    """Eckart and Young wherever no pair is split, and rank() counts what is kept."""
    values = values_of(op.to_dense().numpy())
    reached = 0
    for rank in range(1, len(values) + 1):
        check(op, rank)
        found = cs.clip_spectrum(op, rank=rank)
        assert cs.spectrum(found).rank() <= rank
        if rank == len(values) or values[rank] < (1 - 1e-9) * values[rank - 1]:
            off = np.linalg.norm(found.to_dense() - op.to_dense())
            wanted = math.sqrt((values[rank:] ** 2).sum())
            assert abs(off - wanted) < 1e-12 * values[0]
            left, s, right = np.linalg.svd(op.to_dense().numpy(), full_matrices=False)
            nearest = (left[:, :rank] * s[:rank]) @ right[:rank]
            assert np.allclose(found.to_dense(), nearest, atol=1e-11 * values[0])
            assert cs.spectrum(found).rank() == rank
            reached += 1
    assert reached >= len(values) // 2


def diagonal(*values: float) -> cs.ConvOperator:
    """A circulant of one channel with these values at frequencies 0, 1, ..., n / 2."""
    taps = np.fft.irfft(values, 2 * len(values) - 2)
    kernel = torch.from_numpy(taps)[None, None]
    padding = ((len(values) - 2, len(values) - 1),)
    return cs.ConvOperator(kernel, len(taps), padding=padding, padding_mode="circular")


def rounded(op: cs.ConvOperator) -> list[float]:
    return [round(value, 10) for value in cs.spectrum(op).values.tolist()]


def test_pairs_are_kept_or_dropped_as_a_whole() -> None:
    op = diagonal(4.0, 3.0, 2.0)  # 3 twice
    kept = {k: rounded(cs.clip_spectrum(op, rank=k)) for k in (1, 2, 3, 4)}
    assert kept[1] == [4, 0, 0, 0]
    assert kept[2] == [4, 2, 0, 0]  # 16 + 4 is more than 9 + 9
    assert kept[3] == [4, 3, 3, 0]
    assert kept[4] == [4, 3, 3, 2]
    op = diagonal(4.0, 3.0, 0.0)
    assert rounded(cs.clip_spectrum(op, rank=2)) == [3, 3, 0, 0]  # 9 + 9 is more than 16


def test_lower_lifts_what_is_kept_alone() -> None:
    op = diagonal(4.0, 0.5, 3.0)
    found = cs.clip_spectrum(op, 1.0, 3.5, rank=2)
    assert rounded(found) == [3.5, 3, 0, 0]
    assert rounded(cs.clip_spectrum(op, 1.0, 3.5, rank=4)) == [3.5, 3, 1, 1]
    zero = op.with_weight(torch.zeros_like(op.weight))
    assert rounded(cs.clip_spectrum(zero, 1.0, rank=3)) == [1, 1, 1, 0]


def test_a_rank_beyond_all_keeps_all() -> None:
    found = cs.clip_spectrum(TORUS, rank=10**6)
    assert torch.allclose(found.to_dense(), TORUS.to_dense(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("exponent", [-900, 900])
def test_scale(exponent: int) -> None:
    large = TORUS.with_weight(TORUS.weight * math.ldexp(1.0, exponent))
    found = cs.clip_spectrum(large, rank=5).weight * math.ldexp(1.0, -exponent)
    assert torch.equal(found, cs.clip_spectrum(TORUS, rank=5).weight)


@pytest.mark.parametrize("rank", [0, -1, 1.5, True, "2"])
def test_refusals(rank: Any) -> None:
    with pytest.raises(ValueError, match="rank must be an integer of at least 1"):
        cs.clip_spectrum(TORUS, rank=rank)
