"""Singular values of phase-shifted tori: the symbol on shifted grids.

Multiplying the wrapped entries of a circulant by ``exp(i phi)`` moves its grid of
frequencies by ``phi / N`` per axis (a block omega-circulant); the unitary DFT after the
diagonal ``exp(i phi o / N)`` still block-diagonalises it, stride included (polyphase).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count, islice, product

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import FloatArray, IntArray
from convspec.frequency.conjugate import one_of_each_pair
from convspec.frequency.torus import TorusBlocks
from convspec.operators.symbol import Symbol
from convspec.rounding import svd_error
from convspec.rounding.waves import symbol_error
from convspec.spectrum.fourier.cost import blocks_bytes, blocks_flops
from convspec.spectrum.fourier.values import decomposed

__all__ = [
    "Torus",
    "Turns",
    "block_count",
    "block_values",
    "torus_bytes",
    "torus_flops",
    "torus_frequencies",
    "torus_values",
    "turns_of",
]

Turns = tuple[Fraction, ...]


@dataclass(frozen=True)
class Torus:
    """Per axis: frequencies, stride and lags of the taps.

    Attributes:
        shape: Frequencies (outputs) per axis.
        strides: Stride per axis; the torus has ``shape * strides`` pixels.
        lags: The pixel that each tap of output 0 reads, per axis.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    lags: tuple[tuple[int, ...], ...]

    @property
    def varying(self) -> tuple[int, ...]:
        """The shape, 1 on axes along which all blocks are the same: no tap wraps."""
        pairs = zip(self.shape, self.strides, self.lags, strict=True)
        return tuple(
            1 if len({lag // stride for lag in lags}) == 1 else size
            for size, stride, lags in pairs
        )

    def symbol(self, weight: Tensor, groups: int) -> Symbol:
        """The symbol whose blocks on the shifted grid are those of the torus."""
        offsets = [np.array(lags, dtype=np.int64) for lags in self.lags]
        return Symbol.of_taps(weight, groups, offsets, self.strides)

    def count(self, weight: Tensor, groups: int) -> int:
        """The number of singular values of each group."""
        phases = math.prod(self.strides)
        block = min(weight.shape[0] // groups, weight.shape[1] * phases)
        return math.prod(self.shape) * block


def turns_of(free: tuple[bool, ...], limit: int, real: bool) -> list[Turns]:
    """The first ``limit`` phases ``phi / 2 pi`` of a nested sequence.

    Halves of turns come first, then quarters, eighths and so on, on the axes that are
    free; the others stay at 0. For real kernels phi and -phi give the same values, so
    one of the two is left out.
    """
    if not any(free):
        return [(Fraction(0),) * len(free)]
    return list(islice(_sequence(free, real), limit))


def _sequence(free: tuple[bool, ...], real: bool) -> Iterator[Turns]:
    seen: set[Turns] = set()
    for level in count():
        steps = [Fraction(j, 2**level) for j in range(2**level)]
        vectors = product(*[steps if f else [Fraction(0)] for f in free])
        for turns in sorted(vectors, key=_rank):
            mirrored = tuple(-t % 1 for t in turns) if real else turns
            if turns not in seen and mirrored not in seen:
                seen.add(turns)
                yield turns


def _rank(turns: Turns) -> tuple[int, Turns]:
    """The rank of a phase shift: those of all axes before those of some."""
    return -sum(t != 0 for t in turns), turns


def block_count(weight: Tensor, torus: Torus, turns: Turns) -> int:
    """How many blocks a torus has whose singular values may differ."""
    return len(torus_frequencies(torus, turns, weight.is_complex())[0])


def block_values(
    weight: Tensor, groups: int, torus: Torus, turns: Turns, some: slice
) -> FloatArray:
    """Singular values of some blocks of a phase-shifted torus; (blocks, groups * s)."""
    symbol = torus.symbol(weight, groups)
    index, grid, _ = torus_frequencies(torus, turns, weight.is_complex())
    return decomposed(TorusBlocks(symbol, grid, torch.float64), index[some])[0]


def torus_values(
    weight: Tensor,
    groups: int,
    torus: Torus,
    turns: Turns,
    found: Sequence[FloatArray] = (),
) -> tuple[FloatArray, FloatArray]:
    """All singular values of a phase-shifted torus, and a bound on the errors.

    The phases are rational multiples of 2 pi, so frequencies are reduced in integers:
    ``(2 pi j + phi) / N = 2 pi (j b + a) / (N b)`` for ``phi = 2 pi a / b``. The error
    is that of evaluating the symbol plus that of the SVD of the evaluated block, each
    enlarged by 1 percent for the rounding of the bounds themselves.

    Args:
        weight: (c_out, c, *kernel).
        groups: Number of groups.
        torus: The torus.
        turns: Its phases.
        found: Singular values of all blocks, as of :func:`block_values`; computed unless
            they are told.

    Returns:
        (groups, values), descending, and a bound for each group, (groups, 1).
    """
    found = found or [block_values(weight, groups, torus, turns, slice(None))]
    multiplicity = torus_frequencies(torus, turns, weight.is_complex())[2]
    each = np.concatenate(found).reshape(len(multiplicity), groups, -1)
    several = np.repeat(each, multiplicity, axis=0)
    values: FloatArray = -np.sort(-several.swapaxes(0, 1).reshape(groups, -1), axis=1)
    eps = float(np.finfo(np.float64).eps)
    channels = weight.reshape(groups, -1, *weight.shape[1:])
    evaluation = np.array([[symbol_error(part, eps)] for part in channels])
    block = torus.symbol(weight, groups).block_shape
    decomposition = svd_error(*block, 1.0, eps) * (values[:, :1] + evaluation)
    return values, 1.01 * (decomposition + evaluation)


def torus_flops(weight: Tensor, groups: int, torus: Torus, turns: Turns) -> float:
    """Estimated operations of decomposing the blocks of a torus."""
    rows, columns = weight.shape[0] // groups, weight.shape[1]
    count = math.prod(torus.varying)
    if not _all(turns, weight.is_complex()):
        count = count // 2 + 1
    return count * blocks_flops(groups, (rows, columns * math.prod(torus.strides)))


def torus_bytes(weight: Tensor, groups: int, torus: Torus) -> int:
    """Bytes of the values, sorted, and of the frequencies held at a time."""
    held = blocks_bytes(torus.symbol(weight, groups), math.prod(torus.varying))
    return 24 * groups * torus.count(weight, groups) + held


def _all(turns: Turns, is_complex: bool) -> bool:
    """Whether no two frequencies of the grid have conjugate blocks.

    A real kernel has them at w and -w; the shifted grid contains -w with w if every
    phase is 0 or pi.
    """
    return is_complex or any(t.denominator > 2 for t in turns)


def torus_frequencies(
    torus: Torus, turns: Turns, is_complex: bool
) -> tuple[IntArray, tuple[int, ...], IntArray]:
    """Grid places, the grid they are on, and how many frequencies each stands for.

    One of each conjugate pair is kept, and one frequency along an axis on which the
    symbol is constant.
    """
    shape = torus.varying
    cells = math.prod(shape)
    repeats = math.prod(torus.shape) // cells
    index = np.indices(shape).reshape(len(shape), cells).T
    parts = np.array([t.denominator for t in turns], dtype=np.int64)
    shifts = np.array([t.numerator for t in turns], dtype=np.int64)
    places = index * parts + shifts
    sizes = np.array(shape, dtype=np.int64) * parts
    grid = tuple(sizes.tolist())
    if _all(turns, is_complex):
        return places, grid, np.full(cells, repeats, dtype=np.int64)
    mirrored = (-places % sizes - shifts) // parts
    kept, times = one_of_each_pair(places, index, mirrored, shape)
    return kept, grid, repeats * times
