"""A convolution with some axes wrapped onto tori and the others left as they are.

Along a wrapped axis every ``S[t]`` is a submatrix of a phase-shifted cyclic shift, up to
repeated rows and columns (:mod:`convspec.tori.relations`). The DFT along these
axes turns A, up to the root of how often, into a submatrix of the direct sum over their
frequencies w of the convolutions on the other axes with the taps
``K_t(w) = sum_u K_{t,u} exp(i <u, w>)``. The norm of A is at most the largest of theirs:
all axes wrapped give the symbol on a grid, none gives A itself.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.bounds.spectral_norm.banded import BandedGram
from convspec.bounds.spectral_norm.layout import BandLayout
from convspec.limits import DEFAULT_MAX_BYTES
from convspec.rounding import gamma, up
from convspec.rounding.definite import at_most
from convspec.rounding.directed import UNIT, square_root
from convspec.rounding.norms import above, below, frobenius_above
from convspec.rounding.products import gram_matrix
from convspec.rounding.prove import least_proven
from convspec.rounding.waves import RATIONAL, rational_waves, sum_factor
from convspec.spectrum.envelope.torus import Torus, torus_frequencies
from convspec.tori.relation import Relation

__all__ = ["Exact", "Parts", "Wrap"]

CHUNK_BYTES = 2**26


@dataclass(frozen=True)
class Wrap:
    """An axis on a torus.

    Attributes:
        relation: How it sits there.
        turn: The phase, in turns.
    """

    relation: Relation
    turn: Fraction

    @property
    def square(self) -> int:
        """``||A||^2`` is at most so many times that of the torus."""
        relation = self.relation
        return max(relation.rows.counts) * max(relation.columns.counts)


@dataclass(frozen=True)
class Exact:
    """An axis as it is.

    Attributes:
        source: ``source[t, o]``: the pixel that tap t of output o reads, or -1.
        pixels: Number of pixels.
    """

    source: IntArray
    pixels: int


@dataclass(frozen=True)
class Parts:
    """The convolutions on the exact axes, one for each frequency of the wrapped ones.

    Attributes:
        coefficients: (groups, exact taps, rows, columns, lags).
        lags: (lags, wrapped axes).
        index: Places of the frequencies on the grid; (j, wrapped axes).
        grid: The grid.
        multiplicity: How many frequencies of the torus each place stands for; (j,).
        square: ``||A||^2`` is at most so many times theirs.
        exact: The exact axes.
        terms: How many taps coincide on the torus at most, and are added up.
        absolute: The coefficients of ``|K|``; as they are where no taps coincide.
        chunk_bytes: Of taps at several frequencies, held at a time.
    """

    coefficients: Tensor
    lags: IntArray
    index: IntArray
    grid: tuple[int, ...]
    multiplicity: IntArray
    square: int
    exact: tuple[Exact, ...]
    terms: int
    absolute: Tensor
    chunk_bytes: int = CHUNK_BYTES

    @classmethod
    def of(
        cls,
        weight: Tensor,
        groups: int,
        axes: Sequence[Wrap | Exact],
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> Parts:
        """The parts of a weight (c_out, c, *taps), one entry of axes for each axis."""
        exact = [j for j, axis in enumerate(axes) if isinstance(axis, Exact)]
        wrapped = [j for j, axis in enumerate(axes) if isinstance(axis, Wrap)]
        wraps = tuple(axis for axis in axes if isinstance(axis, Wrap))
        rows, columns = weight.shape[0] // groups, weight.shape[1]
        places = [0, *[2 + j for j in exact], 1, *[2 + j for j in wrapped]]
        moved = weight.permute(places)
        taps = math.prod(weight.shape[2 + j] for j in exact)
        moved = moved.reshape(
            groups * rows * taps, columns, *moved.shape[len(exact) + 2 :]
        )
        terms = math.prod(max(Counter(wrap.relation.lags).values()) for wrap in wraps)
        if wraps:
            torus = Torus(
                tuple(wrap.relation.frequencies for wrap in wraps),
                tuple(wrap.relation.stride for wrap in wraps),
                tuple(wrap.relation.lags for wrap in wraps),
            )
            symbol = torus.symbol(moved, 1)
            coefficients, lags = symbol.coefficients[0], symbol.lags
            absolute = coefficients
            if terms > 1:
                absolute = torus.symbol(moved.abs(), 1).coefficients[0]
            turns = tuple(wrap.turn for wrap in wraps)
            index, grid, times = torus_frequencies(torus, turns, weight.is_complex())
        else:
            coefficients, lags = moved[..., None], np.zeros((1, 0), dtype=np.int64)
            absolute = coefficients
            index, grid = np.zeros((1, 0), dtype=np.int64), ()
            times = np.ones(1, dtype=np.int64)
        shape = groups, rows, taps, coefficients.shape[-2], len(lags)
        return cls(
            coefficients.reshape(shape).transpose(1, 2),
            lags,
            index,
            grid,
            times,
            math.prod(wrap.square for wrap in wraps),
            tuple(axis for axis in axes if isinstance(axis, Exact)),
            terms,
            absolute.reshape(shape).transpose(1, 2),
            min(CHUNK_BYTES, max_bytes // 4),
        )

    @property
    def factor(self) -> float:
        """``sqrt(square)``, rounded up."""
        return square_root(self.square)

    @property
    def is_complex(self) -> bool:
        """Whether the taps at a frequency are complex."""
        return self.coefficients.is_complex() or bool(self.grid)

    @cached_property
    def layout(self) -> BandLayout:
        """The band of their Gram matrices."""
        return BandLayout.of(
            [axis.source for axis in self.exact],
            [axis.pixels for axis in self.exact],
            *self.coefficients.shape[2:4],
        )

    def flops(self, groups: int = 1) -> float:
        """Estimated operations of a test at every frequency, for so many groups."""
        if self.exact:
            each = self.layout.flops(self.is_complex)
        else:
            small, large = sorted(self.coefficients.shape[2:4])
            lags = self.coefficients.shape[-1]
            each = (
                8.0 * small * (small * large + small**2 / 6) + 4.0 * lags * small * large
            )
        return groups * len(self.index) * each

    def taps(self, group: int, places: IntArray | slice) -> Tensor:
        """The taps of one group at some frequencies, (j, taps, rows, columns)."""
        coefficients = self.coefficients[group]
        if not self.grid:
            return coefficients[None, ..., 0]
        waves = rational_waves(self.lags, self.index[places], self.grid)
        flat = coefficients.reshape(-1, len(self.lags)).T
        if coefficients.is_complex():
            found = waves @ flat
        else:
            found = torch.complex(waves.real @ flat, waves.imag @ flat)
        return found.reshape(len(waves), *coefficients.shape[:3])

    def norms(self, group: int, target: float, caps: Tensor) -> Tensor:
        """Upper bounds on the norm at each frequency: ``target`` where it can be proven.

        Args:
            group: Which group.
            target: What to prove.
            caps: Known bounds, (j,); where they are within the target nothing is done.

        Returns:
            (j,); where the target is out of reach as little as can be proven.
        """
        found = caps.clone()
        open_ = np.flatnonzero((caps > target).numpy())
        for places in np.array_split(open_, self._chunks(len(open_))):
            if len(places):
                part = self._tested(group, target, places)
                found[places] = torch.minimum(found[places], part)
        return found

    def _tested(self, group: int, target: float, places: IntArray) -> Tensor:
        taps, radius = self.taps(group, places), self.radius(group)
        if not self.exact:
            return _block_norms(taps[:, 0], target, radius)
        size = self.size(group)
        kernel = [len(axis.source) for axis in self.exact]
        ordered = [self.layout.ordered(some, kernel) for some in taps]
        values = [
            BandedGram(self.layout, some.contiguous(), radius, size).above(target)
            for some in ordered
        ]
        return torch.tensor(values, dtype=torch.float64)

    def _chunks(self, count: int) -> int:
        """Into how many parts to split the frequencies."""
        entries = math.prod(self.coefficients.shape[1:4])
        return max(1, math.ceil(64 * entries * count / self.chunk_bytes))

    def size(self, group: int) -> float:
        """At least ``sum_t sqrt(reads_t) ||K_t||_F`` of the taps at any frequency.

        That is at least the norm, with absolute values in the place of all entries.
        """
        return self._size(self.coefficients[group])

    def _size(self, coefficients: Tensor) -> float:
        frobenius = frobenius_above(coefficients.permute(3, 0, 1, 2))
        sums = frobenius.sum(dim=0)  # (exact taps,)
        if self.exact:
            order = torch.arange(len(sums))[:, None, None]
            kernel = [len(axis.source) for axis in self.exact]
            places = self.layout.ordered(order, kernel).reshape(-1)
            reads = torch.from_numpy(self.layout.reads).to(torch.float64)
            sums = sums[places] * reads.sqrt()
        count = math.prod(frobenius.shape) + 8
        return up(float(sums.sum()) * (1 + 2 * gamma(count)), 4)

    def radius(self, group: int) -> float:
        """At least the norm of what rounding the taps at a frequency changes."""
        if not self.grid:
            return 0.0
        lags = self.coefficients.shape[-1]
        factor = sum_factor(lags, self.coefficients.is_complex(), RATIONAL)
        return up(up(factor * self.size(group)) + self.merging(group))

    def merging(self, group: int) -> float:
        """At least the norm of what is rounded where taps coincide on the torus.

        Sums that nearly cancel have an error far above their own rounding: it goes by
        the sums of ``|K|``, which are as many units in the last place too small at most.
        """
        if self.terms == 1:
            return 0.0
        unit = gamma(self.terms)
        return up(unit * up(self._size(self.absolute[group]) * (1 + 2 * unit), 2))


def _block_norms(blocks: Tensor, target: float, radius: float) -> Tensor:
    """At least the 2-norms of blocks (j, r, c) known up to a radius."""
    gram, error = gram_matrix(blocks)
    upper = above(frobenius_above(blocks) + radius, 4 * UNIT)
    level = max(0.0, target - radius) * (1 - 4 * UNIT)
    proven = at_most(
        gram, below(torch.tensor(level * level, dtype=torch.float64), 4 * UNIT), error
    )
    upper[proven] = upper[proven].clamp(max=target)
    open_ = torch.arange(len(blocks))[~proven & (upper > target)]
    if not len(open_):
        return upper
    top = torch.linalg.eigvalsh(gram[open_])[:, -1].clamp(min=0)

    def test(levels: Tensor, left: Tensor) -> Tensor:
        levels, some = above(levels, UNIT), open_[left]
        proven = at_most(gram[some], levels, error[some])
        trial = above(above(levels.sqrt(), 4 * UNIT) + radius, 4 * UNIT)
        return torch.where(proven, trial, torch.inf)

    step = 8 * UNIT * blocks.shape[-1] * blocks.shape[-2]
    upper[open_] = least_proven(test, top, step, upper[open_])
    return upper
