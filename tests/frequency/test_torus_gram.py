"""Gram matrices by their own polynomial: against 50 digits and against an SVD."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

import convspec as cs
from convspec.frequency.conjugate import conjugate_half
from convspec.frequency.torus import TorusBlocks
from convspec.frequency.torus_gram import TorusGram
from convspec.operators import autocorrelation
from convspec.operators.reduce import Reduction
from convspec.operators.symbol import Symbol
from convspec.rounding import svd_error
from convspec.rounding.waves import symbol_error
from convspec.spectrum.fourier import values
from convspec.spectrum.fourier.values import decomposed, fourier_values
from tests.gaussian import gaussian

EPS = float(np.finfo(np.float64).eps)


def uneven(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Numbers of very different sizes, whose leading bits say little of the rest."""
    return gaussian(seed, *shape, dtype=dtype) * 10.0 ** (4 * gaussian(seed + 1, *shape))


def symbol_of(weight: Tensor, groups: int = 1, stride: int = 1) -> Symbol:
    dim = weight.ndim - 2
    offsets = [np.arange(k) - 1 for k in weight.shape[2:]]
    return Symbol.of_taps(weight, groups, offsets, [stride] * dim)


def low_pass(*line: float) -> Tensor:
    """Blocks of 16 x 2 that fall to nothing at the highest frequencies."""
    taps = torch.tensor(line, dtype=torch.float64)
    return gaussian(0, 16, 2, 1, 1) * torch.outer(taps, taps)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("made", [gaussian, uneven], ids=lambda made: made.__name__)
@pytest.mark.parametrize(
    ("shape", "groups", "stride", "grid"),
    [
        ((5, 2, 3), 1, 1, (7,)),
        ((2, 5, 2), 1, 1, (4,)),
        ((8, 2, 3, 2), 2, 1, (3, 4)),
        ((9, 1, 3, 3), 1, 2, (2, 3)),
        ((5, 2, 2, 1, 2), 1, 1, (2, 3, 2)),
    ],
    ids=str,
)
def test_against_50_digits(
    shape: tuple[int, ...],
    groups: int,
    stride: int,
    grid: tuple[int, ...],
    made: object,
    dtype: torch.dtype,
) -> None:
    """In the Frobenius norm no further off than stated, whatever cancels."""
    symbol = symbol_of(made(3, *shape, dtype=dtype), groups, stride)
    polynomial = TorusGram(symbol, grid)
    index, _ = conjugate_half(grid, everything=True)
    found = polynomial.at(index).numpy()
    coefficients = symbol.coefficients.numpy()
    with mpmath.workdps(50):
        for place, group in np.ndindex(len(index), groups):
            block = mpmath.zeros(*symbol.block_shape)
            for number, lag in enumerate(symbol.lags.tolist()):
                turns = [
                    mpmath.mpf(int(w) * q) / n
                    for w, q, n in zip(index[place], lag, grid, strict=True)
                ]
                tap = coefficients[group, :, :, number].tolist()
                block += mpmath.matrix(tap) * mpmath.expjpi(2 * mpmath.fsum(turns))
            wide = block if block.rows <= block.cols else block.T
            gap = mpmath.matrix(found[place, group].tolist()) - wide * wide.H
            assert mpmath.mnorm(gap, "f") <= polynomial.error[group]


def test_no_further_off_than_evaluating_the_blocks() -> None:
    """The coefficients as rounded once: a bound that random stems stay well within."""
    weight = gaussian(0, 64, 3, 7, 7)
    polynomial = TorusGram(symbol_of(weight), (32, 32))
    spread = float(torch.linalg.vector_norm(weight.abs().sum(dim=(2, 3))))
    assert polynomial.error[0] <= 10 * EPS * spread**2


@pytest.mark.parametrize("pairs", [1, 50, 2**18])
def test_pairs_at_a_time(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    symbol = symbol_of(gaussian(0, 10, 2, 3, 2), 2)
    index, _ = conjugate_half((6, 5), everything=False)
    known = TorusGram(symbol, (6, 5))
    monkeypatch.setattr(autocorrelation, "PAIRS", pairs)
    found = TorusGram(symbol, (6, 5))
    gap = torch.linalg.matrix_norm(found.at(index) - known.at(index))
    assert (gap.amax(dim=0).numpy() <= known.error + found.error).all()


@pytest.mark.parametrize("some", [[0], [3, 11], [19, 2, 2, 7], range(20)], ids=str)
def test_any_frequencies_in_any_order(some: list[int]) -> None:
    polynomial = TorusGram(symbol_of(gaussian(0, 10, 2, 3, 3)), (4, 5))
    index, _ = conjugate_half((4, 5), everything=True)
    gap = polynomial.at(index[some]) - polynomial.at(index)[some]
    assert gap.abs().max() <= polynomial.error[0]


# -- values ---------------------------------------------------------------------------


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frequencies are decomposed block by block."""
    counts: list[int] = []
    original = values.thin_values

    def count(blocks: Tensor, *rest: object) -> Tensor:
        counts.append(len(blocks))
        return original(blocks, *rest)

    monkeypatch.setattr(values, "thin_values", count)
    return counts


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_well_conditioned_blocks_take_no_svd(
    groups: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = counted(monkeypatch)
    op = cs.ConvOperator(gaussian(0, 64, 3, 3, 3, dtype=dtype), 24, groups=groups)
    fourier_values(reduced(op.circular()))
    assert not counts


def reduced(op: cs.ConvOperator) -> Reduction:
    return Reduction.of(op)


def test_few_frequencies_of_a_large_kernel_take_their_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = counted(monkeypatch)
    fourier_values(reduced(cs.ConvOperator(gaussian(0, 64, 3, 7, 7), 8).circular()))
    assert sum(counts) == 8 * 8 // 2 + 2


@pytest.mark.parametrize(
    ("line", "least", "most"), [((1, 1), 1, 144), ((1, 4, 6, 4, 1), 145, 290)], ids=str
)
def test_small_blocks_are_decomposed_themselves(
    line: tuple[float, ...], least: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the Gram matrix says too little: a low pass near its zeros, or most of it."""
    counts = counted(monkeypatch)
    weight, grid = low_pass(*line), (24, 24)
    index, _ = conjugate_half(grid, everything=False)
    symbol = symbol_of(weight)
    found, error = decomposed(TorusBlocks(symbol, grid, torch.float64), index)
    assert least <= sum(counts) <= most
    known = np.linalg.svd(symbol.at_grid(index, grid)[:, 0].numpy(), compute_uv=False)
    assert np.abs(found - known).max() <= 2 * (error + symbol_error(weight, EPS))


@pytest.mark.parametrize("scale", [1e-3, 1e-90, 1e-140, 1e-300])
def test_groups_err_by_their_own_size(scale: float) -> None:
    """However much smaller one group is than the other."""
    weight, grid = gaussian(0, 40, 2, 3, 3), (10, 9)
    weight[20:] *= scale
    index, _ = conjugate_half(grid, everything=False)
    symbol = symbol_of(weight, 2)
    found, _ = decomposed(TorusBlocks(symbol, grid, torch.float64), index)
    blocks = symbol.at_grid(index, grid).numpy()
    for group in range(2):
        known = np.linalg.svd(blocks[:, group], compute_uv=False)
        part = weight.reshape(2, 20, 2, 3, 3)[group]
        allowed = svd_error(20, 2, known.max(), EPS) + symbol_error(part, EPS)
        gap = np.abs(found.reshape(len(index), 2, 2)[:, group] - known).max()
        assert gap <= 2 * allowed


def test_zero_kernel() -> None:
    found, _ = fourier_values(
        reduced(cs.ConvOperator(torch.zeros(8, 2, 3), 9).circular())
    )
    assert not found.any()
